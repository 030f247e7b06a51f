"""Options of `docker run`, read as docker does: https://docs.docker.com/reference/cli/docker/container/run/."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence

from .near_names import nearest

# What takes no value, and the short forms
_FLAGS = (
    "--detach", "--disable-content-trust", "--help", "--init", "--interactive", "--no-healthcheck",
    "--oom-kill-disable", "--privileged", "--publish-all", "--quiet", "--read-only", "--rm", "--sig-proxy", "--tty",
    "--use-api-socket",
)  # fmt: skip
_OPTIONS = (
    "--add-host", "--annotation", "--attach", "--blkio-weight", "--blkio-weight-device", "--cap-add", "--cap-drop",
    "--cgroup-parent", "--cgroupns", "--cidfile", "--cpu-period", "--cpu-quota", "--cpu-rt-period", "--cpu-rt-runtime",
    "--cpu-shares", "--cpus", "--cpuset-cpus", "--cpuset-mems", "--detach-keys", "--device", "--device-cgroup-rule",
    "--device-read-bps", "--device-read-iops", "--device-write-bps", "--device-write-iops", "--dns", "--dns-option",
    "--dns-search", "--domainname", "--entrypoint", "--env", "--env-file", "--expose", "--gpus", "--group-add",
    "--health-cmd", "--health-interval", "--health-retries", "--health-start-interval", "--health-start-period",
    "--health-timeout", "--hostname", "--ip", "--ip6", "--ipc", "--isolation", "--kernel-memory", "--label",
    "--label-file", "--link", "--link-local-ip", "--log-driver", "--log-opt", "--mac-address", "--memory",
    "--memory-reservation", "--memory-swap", "--memory-swappiness", "--mount", "--name", "--network",
    "--network-alias", "--oom-score-adj", "--pid", "--pids-limit", "--platform", "--publish", "--pull", "--restart",
    "--runtime", "--security-opt", "--shm-size", "--stop-signal", "--stop-timeout", "--storage-opt", "--sysctl",
    "--tmpfs", "--ulimit", "--user", "--userns", "--uts", "--volume", "--volume-driver", "--volumes-from", "--workdir",
)  # fmt: skip
# Other names of these that docker takes as well
_OTHER_NAMES = ("--net", "--net-alias", "--dns-opt")
_SHORT_FLAGS = "itdPq"
_SHORT_OPTIONS = "aceghlmpuvw"


def docker_options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each option's name and value; "" where it has none. Raises ValueError."""
    left = deque(words)
    while left:
        word = left.popleft()
        if word.startswith("--") and len(word) > 2:
            name, is_joined, value = word.partition("=")
            _check(name)
            if not is_joined and name not in _FLAGS:
                value = _value(left)
            yield name, value
        elif word.startswith("-") and len(word) > 1 and word != "--":
            yield from _short_options(word, left)
        else:
            raise ValueError(f"holds {word!r}, which docker run would take for the image: leave it out, or quote it")


def _check(name: str) -> None:
    """Refuse what looks like an option and is none; what looks like none may be a new one."""
    if name not in (*_FLAGS, *_OPTIONS, *_OTHER_NAMES):
        near = nearest(name, (*_FLAGS, *_OPTIONS), 0.8)
        if near:
            raise ValueError(f"holds {name}, which is no option of docker run: use {near}")


def _short_options(word: str, left: deque[str]) -> Iterator[tuple[str, str]]:
    """The options of a cluster: -it is -i and -t, and -itv/a:/b is -i, -t, and -v with a value."""
    for position, letter in enumerate(word[1:], start=2):
        if letter in _SHORT_FLAGS:
            yield f"-{letter}", ""
        elif letter in _SHORT_OPTIONS:
            yield f"-{letter}", word[position:].removeprefix("=") or _value(left)
            return
        else:
            raise ValueError(f"holds -{letter}, which is no option of docker run: leave it out")


def _value(left: deque[str]) -> str:
    """The next word, if an option may have it as its value."""
    if left and (not left[0].startswith("-") or re.fullmatch(r"-\d+", left[0])):
        return left.popleft()
    return ""
