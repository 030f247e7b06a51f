"""Which folders a container's volumes are, from what its VM has mounted: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .runtime import Mount


@dataclass(frozen=True)
class Wanted:
    """One volume of a container.

    `kind` says what `source` is: the path of a mount, with `below` it the folder that is meant; a path of the VM's own
    disk; or the name of a volume of the engine's.
    """

    kind: Literal["mount", "disk", "name"]
    source: str
    below: str
    target: str
    options: str


def wanted_volumes(mounts: Sequence[Mount], volumes: Sequence[str]) -> list[Wanted]:
    """Tell what each volume is; without any a container gets all mounts, to be written to, as Batch does it.

    Source of the rule: google.cloud.batch.v1.Runnable.Container.volumes.
    """
    found = []
    for volume in volumes or [f"{mount.path}:{mount.path}:rw" for mount in mounts]:
        source, target, options = [*volume.split(":", 2), ""][:3]
        if not source.startswith("/"):
            found.append(Wanted("name", source, "", target, options))
            continue
        source = source.rstrip("/") or "/"
        over = max((mount for mount in mounts if _is_in(source, mount.path)), key=lambda m: len(m.path), default=None)
        if over is not None:
            below = source[len(over.path) :].strip("/")
            found.append(Wanted("mount", over.path, below, target, _narrowed(options, over)))
            continue
        found.append(Wanted("disk", source, "", target, options))
        # what is mounted somewhere below a folder of the VM's comes along with it
        for mount in mounts:
            if _is_in(mount.path, source):
                place = f"{target.rstrip('/')}/{mount.path[len(source.rstrip('/')) :].strip('/')}"
                found.append(Wanted("mount", mount.path, "", place, _narrowed(options, mount)))
    return found


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _narrowed(options: str, mount: Mount) -> str:
    if not mount.is_read_only:
        return options
    return ",".join(["ro", *(word for word in options.split(",") if word not in ("", "ro", "rw"))])
