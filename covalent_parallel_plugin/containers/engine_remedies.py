"""What to do about a container engine that does not work, by its own message."""

from __future__ import annotations

import re

_INSTALL = {
    "podman": "https://podman.io/docs/installation",
    "docker": "https://docs.docker.com/engine/install/",
}
_SETTINGS = "~/.config/containers/containers.conf (of root: /etc/containers/containers.conf)"
# The first pattern that a message holds applies
_REMEDIES = (
    ("newuidmap|newgidmap", "install the package uidmap (on Fedora shadow-utils)"),
    (
        "subuid|subgid|not enough (ids|uids|gids)|insufficient uids",
        "run `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER`, and then"
        " `podman system migrate`",
    ),
    (
        "rlimit|ulimit",
        'write `default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]` below [containers] in'
        f" {_SETTINGS}, with numbers up to `ulimit -Hn` and `ulimit -Hu`",
    ),
    (
        "oci runtime .*(not found|no such file)|(crun|runc)\\b.*(not found in|executable file not found)",
        f"install crun or runc, or name the one that is there as `runtime` below [engine] in {_SETTINGS}",
    ),
    ("conmon", "install the package conmon"),
    ("policy\\.json", "install the package containers-common (on Debian golang-github-containers-common)"),
    (
        "overlay",
        'install fuse-overlayfs, or write `driver = "vfs"` below [storage] in ~/.config/containers/storage.conf',
    ),
    ("sd-bus|dbus|systemd", f'write `cgroup_manager = "cgroupfs"` below [engine] in {_SETTINGS}'),
    (
        "cgroup",
        "let users have the cgroup controllers cpu and memory:"
        " https://rootlesscontaine.rs/getting-started/common/cgroup2/",
    ),
    (
        "permission denied.*docker|docker.*permission denied",
        "run `sudo usermod --append --groups docker $USER` and log in again",
    ),
    ("docker daemon|docker\\.sock", "start Docker: `sudo systemctl start docker`, or Docker Desktop"),
    ("connect to podman|podman machine", "start Podman: `podman machine start`"),
    (
        "operation not permitted|permission denied|unshare",
        "if this is a container itself, start it with the privileges that containers in it need",
    ),
)


def engine_remedy(engine: str, reason: str) -> str:
    """Return what to do about an engine that gave this reason."""
    if "is not installed" in reason:
        return f"install it ({_INSTALL[engine]})"
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, reason, re.IGNORECASE):
            return remedy
    return f"see what `{engine} run --rm docker.io/library/hello-world` says"
