"""List containers and volumes by owner, and remove those whose owner has died."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from .container import OWNER_LABEL
from .engine import ContainerEngine
from .ownership import OWNER, is_dead

_log = logging.getLogger(__name__)

FOLDER_PREFIX = "cpe-containers_"
NAME_PREFIX = "covalent-parallel-emulator"
_NAME = re.compile(rf"{NAME_PREFIX}-(?P<owner>{OWNER.pattern})-.+")


def list_containers(engine: ContainerEngine) -> list[tuple[str, str]]:
    """List the containers of all runtimes, each by its name and its owner."""
    # by name: the two engines write templates for labels differently
    return list(_owned(engine, "ps", "--all", f"--filter=label={OWNER_LABEL}", "--format={{.Names}}"))


def list_volumes(engine: ContainerEngine) -> list[tuple[str, str]]:
    """List the volumes of all runtimes, each by its name and its owner."""
    return list(_owned(engine, "volume", "ls", "--format={{.Name}}"))


def remove_leftovers(engine: ContainerEngine) -> None:
    """Remove containers, volumes and folders of runtimes whose process does not run any more."""
    kill_clients(OWNER_LABEL, is_dead)
    engine.remove(*(name for name, owner in list_containers(engine) if is_dead(owner)))
    for volume, owner in list_volumes(engine):
        if is_dead(owner):
            engine.call("volume", "rm", volume)
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        if is_dead(folder.name.removeprefix(FOLDER_PREFIX).rpartition("=")[0]):
            remove_folder(engine, folder)


def remove_folder(engine: ContainerEngine, folder: Path) -> None:
    """Remove a folder in which containers may have written as users that podman made up for this one."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists() and engine.name == "podman" and os.geteuid() != 0:
        engine.call("unshare", "rm", "-rf", str(folder))


def remove_containers_of(engine: ContainerEngine, label: str, owner: str) -> None:
    """Remove the containers that carry a label with this owner, and no others. Raises OSError if none can be listed."""
    kill_clients(label, lambda value: value == owner)
    listed = engine.call("ps", "--all", f"--filter=label={label}={owner}", "--format={{.Names}}")
    if listed.returncode:
        raise OSError(f"{engine.name} ps failed: {listed.stderr.strip()}")
    engine.remove(*listed.stdout.split())


def kill_clients(label: str, is_wanted: Callable[[str], bool]) -> None:
    """Kill the engine's own programs, which may be about to start a container, by the owner that their label carries.

    Linux only: elsewhere none is found.
    """
    option = f"--label={label}=".encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        # gone, or another user's
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            if any(word.startswith(option) and is_wanted(os.fsdecode(word.removeprefix(option))) for word in words):
                os.kill(int(path.parent.name), signal.SIGKILL)


def _owned(engine: ContainerEngine, *words: str) -> Iterator[tuple[str, str]]:
    listed = engine.call(*words)
    if listed.returncode:
        _log.error("%s %s failed: %s", engine.name, words[0], listed.stderr.strip())
    for name in listed.stdout.split():
        if match := _NAME.fullmatch(name):
            yield name, match["owner"]
