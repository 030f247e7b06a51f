"""What the tests ask the system about processes (Linux: they read /proc)."""

from __future__ import annotations

from pathlib import Path


def living_members(group: int) -> list[int]:
    """List the processes of a group, without those that ended and that nobody has waited for."""
    members = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, rest = path.parent.name, path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if rest[0] != "Z" and int(rest[2]) == group:
            members.append(int(pid))
    return members
