"""Resolve a container's volumes to folders, from what its VM has mounted; none leads out of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..model.runtime_interface import CANNOT_START, Mount, StartFailed

_SYSTEM_FOLDERS = ("", "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "proc", "run", "sbin", "sys", "usr")


@dataclass(frozen=True)
class ContainerVolume:
    """One volume of a container.

    `kind` says what `source` is: the path of a mount, with `below` it the folder that is meant; a path of the VM's own
    disk; or the name of a volume of the engine's.
    """

    kind: Literal["mount", "disk", "name"]
    source: str
    below: str
    target: str
    options: str


def resolve_volumes(mounts: Sequence[Mount], volumes: Sequence[str]) -> list[ContainerVolume]:
    """Return what each volume is; without any a container gets all mounts, as Batch does it.

    Source of the rule: google.cloud.batch.v1.Runnable.Container.volumes. Raises StartFailed for paths with "..".
    """
    for mount in mounts:
        _refuse_dots(mount.path)
    found = []
    for volume in volumes or [own_volume(mount, "ro" if mount.was_there else "rw") for mount in mounts]:
        source, target, options = [*volume.split(":", 2), ""][:3]
        if not source.startswith("/"):
            found.append(ContainerVolume("name", source, "", target, options))
            continue
        _refuse_dots(source)
        source = source.rstrip("/") or "/"
        over = max((mount for mount in mounts if _is_in(source, mount.path)), key=lambda m: len(m.path), default=None)
        if over is not None:
            below = source[len(over.path) :].strip("/")
            found.append(ContainerVolume("mount", over.path, below, target, _narrowed(options, over)))
            continue
        found.append(ContainerVolume("disk", source, "", target, options))
        # what is mounted somewhere below a folder of the VM's comes along with it
        for mount in mounts:
            if _is_in(mount.path, source):
                place = f"{target.rstrip('/')}/{mount.path[len(source.rstrip('/')) :].strip('/')}"
                found.append(ContainerVolume("mount", mount.path, "", place, _narrowed(options, mount)))
    return found


def own_volume(mount: Mount, options: str = "rw") -> str:
    """Write what is mounted as a volume at the same path."""
    return f"{mount.path}:{mount.path}:{options}"


def paths_of_vm(mounts: Sequence[Mount], volumes: Sequence[str]) -> list[str]:
    """List the paths of the VM's own disk that containers have as volumes, but for those of the system.

    Raises StartFailed for paths with "..".
    """
    found = resolve_volumes(mounts, volumes) if volumes else []
    return sorted({each.source for each in found if each.kind == "disk" and not is_of_system(each.source)})


def is_of_system(path: str) -> bool:
    """Return whether a path of the VM belongs to its operating system."""
    return path.split("/")[1] in _SYSTEM_FOLDERS


def place_below(root: Path, below: str) -> Path:
    """Return the path below `root`, without links; a leading "/" is the root itself. It need not be there yet.

    A job's files may be links that it made, to folders of this machine which are none of its own.

    Raises:
        StartFailed: the path leads out of `root`, or nowhere.
    """
    try:
        top = root.resolve()
        place = (top / below.lstrip("/")).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        # Links in a circle are a RuntimeError, zero bytes a ValueError
        raise StartFailed(CANNOT_START, f"{below!r} cannot be mounted: {error}") from error
    if not place.is_relative_to(top):
        raise StartFailed(CANNOT_START, f"{below!r} cannot be mounted: it leads out of the volume that it is in")
    return place


def _refuse_dots(path: str) -> None:
    if ".." in path.split("/"):
        raise StartFailed(CANNOT_START, f"{path!r} cannot be mounted: write the path without '..'")


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _narrowed(options: str, mount: Mount) -> str:
    if not mount.is_read_only:
        return options
    return ",".join(["ro", *(word for word in options.split(",") if word not in ("", "ro", "rw"))])
