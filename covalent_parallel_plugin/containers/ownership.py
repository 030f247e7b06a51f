"""Name the owner of a container: one runtime in one process, distinct from later processes of the same number."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
from collections.abc import Collection
from pathlib import Path

OWNER = re.compile(r"(?P<host>[A-Za-z0-9.-]+)_(?P<boot>[0-9a-f]*)_(?P<pid>[0-9]+)_(?P<started>-?[0-9]+)_[0-9a-f]{8}")
"""A machine, its boot, a process and when that started ("" and 0 without /proc), a runtime in it."""


def new_owner() -> str:
    """Name an owner in this process."""
    return f"{_host()}_{_boot()}_{os.getpid()}_{started_ticks(os.getpid())}_{secrets.token_hex(4)}"


def is_dead(owner: str) -> bool:
    """Return whether a text names an owner on this machine whose process does not run any more."""
    match = OWNER.fullmatch(owner)
    if match is None or match["host"] != _host():
        return False
    if match["boot"] != _boot():
        return True
    pid = int(match["pid"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's, so it runs
        pass
    return started_ticks(pid) != int(match["started"])


def users_below(processes: Collection[int]) -> set[int]:
    """List the users (effective uids) of these processes and of all that they started (none without /proc)."""
    parents: dict[int, int] = {}
    users: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/status") if processes else ():
        with contextlib.suppress(OSError):  # it has ended
            fields = dict(line.partition(":")[::2] for line in path.read_text().splitlines())
            pid = int(path.parent.name)
            parents[pid], users[pid] = int(fields["PPid"]), int(fields["Uid"].split()[1])

    def is_below(pid: int) -> bool:
        while pid not in processes and pid in parents:
            pid = parents[pid]
        return pid in processes

    return {user for pid, user in users.items() if is_below(pid)}


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()) or "localhost"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")[:8]
    except OSError:
        return ""


def started_ticks(pid: int) -> int:
    """Return the clock ticks from boot to a process's start (proc_pid_stat(5), field 22); -1: a zombie; 0: unknown."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return -1 if fields[0] == "Z" else int(fields[19])
