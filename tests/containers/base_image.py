"""A Python base image made on this machine with debootstrap, for container tests where no registry can be reached."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

BASE = "localhost/covalent-parallel-test-base:bookworm"
PYTHON_SLIM = "docker.io/library/python:3.11-slim"
RELEASE = "bookworm"
"""Debian 12, whose Python is 3.11."""
PACKAGES = "python3,python3-venv,python3-pip,ca-certificates"
ELSEWHERE = "COVALENT_PARALLEL_TEST_BASE"
"""Names an image to use instead, for machines that cannot make one but can pull, say, python:3.11-slim."""
LIMIT_SECONDS = 900
# In the image, not in the tarball's owner's hands: what the official images of Python have and Debian's lacks.
SETTINGS = ("ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "ENV LANG=C.UTF-8", "CMD python3")


class MissingBase(Exception):
    """The base image can be neither found nor made here; the text says what is missing."""


def base_image(engine: str = "podman") -> str:
    """Return the name of a base image in the engine's store, made at the first call (about a minute) and kept.

    Raises MissingBase.
    """
    if elsewhere := os.environ.get(ELSEWHERE):
        return elsewhere
    if shutil.which(engine) is None:
        raise MissingBase(f"{engine} is not installed")
    with alone("base.lock"):
        if _image_id(engine, BASE) is None:
            _load(engine, _tarball())
    return BASE


@contextlib.contextmanager
def as_python_slim(engine: str = "podman") -> Iterator[str]:
    """Let `python:3.11-slim` mean the base image for as long as this lasts, unless the engine has one already.

    The name is taken away when the last process that uses it leaves, so that it never hides the real image for longer.
    """
    base = base_image(engine)
    with open(cache_folder() / "slim.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        is_new = _image_id(engine, PYTHON_SLIM) is None
        if is_new:
            _run(engine, "tag", base, PYTHON_SLIM)
        try:
            yield PYTHON_SLIM
        finally:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if (is_new or base == BASE) and _image_id(engine, PYTHON_SLIM) == _image_id(engine, BASE):
                    # one of two names: the image stays (podman's `untag` with one argument would take both)
                    _run(engine, "rmi", PYTHON_SLIM)


def cache_folder() -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "covalent-parallel"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def alone(name: str) -> Iterator[None]:
    with open(cache_folder() / name, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=LIMIT_SECONDS)
    if done.returncode != 0:
        raise MissingBase(
            f"{' '.join(command)} ended with status {done.returncode}: {(done.stderr or done.stdout)[-2000:]}"
        )
    return done.stdout.strip()


def _image_id(engine: str, name: str) -> str | None:
    command = [engine, "image", "inspect", "--format", "{{.Id}}", name]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return found.stdout.strip() if found.returncode == 0 else None


def _load(engine: str, tarball: Path) -> None:
    version = re.search(r"-python(3\.\d+\.\d+)\.tar$", tarball.name)
    changes = [*SETTINGS, f"ENV PYTHON_VERSION={version[1]}"] if version else list(SETTINGS)
    _run(engine, "import", *(word for change in changes for word in ("--change", change)), str(tarball), BASE)


def _tarball() -> Path:
    kept = sorted(cache_folder().glob(f"base-{RELEASE}-python*.tar"))
    return kept[-1] if kept else _make_tarball()


def _make_tarball() -> Path:
    missing = [name for name in ("debootstrap", "unshare", "tar") if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        wants = [f"{', '.join(missing)} installed"] if missing else []
        wants += ["root"] if os.geteuid() != 0 else []
        raise MissingBase(
            f"making the base image needs {' and '.join(wants)}; once made, {cache_folder()} keeps it for everyone with"
            f" this home. Or name an image that the engine can get: {ELSEWHERE}=python:3.11-slim"
        )
    with tempfile.TemporaryDirectory(dir=cache_folder(), prefix="debootstrap-") as folder:
        root = Path(folder) / "root"
        # its own mount namespace: whatever debootstrap mounts is gone when it ends, before the folder is removed
        _run(
            "unshare",
            "--mount",
            "debootstrap",
            "--variant=minbase",
            f"--include={PACKAGES}",
            RELEASE,
            str(root),
            _mirror(),
        )
        (root / "usr/bin/python").symlink_to("python3")
        for marker in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            marker.unlink()
        version = _run("chroot", str(root), "python3", "-c", "import platform; print(platform.python_version())")
        tarball = cache_folder() / f"base-{RELEASE}-python{version}.tar"
        parts = [
            "--exclude=./var/cache/apt/*",
            "--exclude=./var/lib/apt/lists/*",
            "--exclude=./proc/*",
            "--exclude=./sys/*",
        ]
        _run(
            "tar",
            "--create",
            "--one-file-system",
            *parts,
            "--file",
            f"{folder}/base.tar",
            "--directory",
            str(root),
            ".",
        )
        Path(folder, "base.tar").replace(tarball)
    return tarball


def _mirror() -> str:
    """Read Debian's mirror from this machine's own apt sources."""
    if shutil.which("apt-get") is None:
        raise MissingBase(f"apt-get, whose sources name a mirror of Debian {RELEASE}, is not installed")
    listed = _run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages")
    sources = [line.split() for line in listed.splitlines() if len(line.split()) == 2]
    exact = [address for address, release in sources if release == RELEASE]
    debian = [address for address, _ in sources if address.rstrip("/").endswith("/debian")]
    if not exact + debian:
        raise MissingBase(f"no apt source of this machine is a mirror of Debian; set {ELSEWHERE} to an image instead")
    return (exact + debian)[0]


if __name__ == "__main__":
    try:
        print(base_image())
    except MissingBase as missing_base:
        sys.exit(str(missing_base))
