"""Find the user of an image, as a container's engine does: in the image's own /etc/passwd and /etc/group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...containers.container import CANNOT_START, StartFailed


@dataclass(frozen=True)
class ImageUser:
    """A user by numbers, its main group and all of its groups, and its home."""

    user: int = 0
    group: int = 0
    groups: tuple[int, ...] = (0,)
    home: str = "/"


def find_user(text: str, etc: Path = Path("/etc")) -> ImageUser:
    """Find the user that an image's USER means: a name or a number, and perhaps a group behind a colon.

    Raises:
        StartFailed: the image has no such user or group.
    """
    name, _, group = (text or "0").partition(":")
    entry = next((fields for fields in _entries(etc / "passwd", 6) if name in (fields[0], fields[2])), None)
    if entry is None and not name.isdigit():
        raise StartFailed(CANNOT_START, f"USER {text}: the image's /etc/passwd has no {name}: use a number")
    user = int(name if entry is None else entry[2])
    home = "/" if entry is None else entry[5] or "/"
    groups = list(_entries(etc / "group", 4))
    if group:
        number = _group_number(group, groups)
        return ImageUser(user, number, (number,), home)
    main = 0 if entry is None else int(entry[3])
    further = () if entry is None else tuple(int(row[2]) for row in groups if entry[0] in row[3].split(","))
    return ImageUser(user, main, (main, *further), home)


def _group_number(name: str, groups: list[list[str]]) -> int:
    found = next((row for row in groups if name == row[0]), None)
    if found is not None:
        return int(found[2])
    if not name.isdigit():
        raise StartFailed(CANNOT_START, f"the group {name}: the image's /etc/group does not have it: use a number")
    return int(name)


def _entries(path: Path, least: int) -> Iterator[list[str]]:
    """Yield the lines of such a file, split, of which an image need not have one; odd lines are passed over."""
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) >= least and fields[2].isdigit() and (least < 6 or fields[3].isdigit()):
            yield fields
