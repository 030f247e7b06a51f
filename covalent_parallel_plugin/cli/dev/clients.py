"""The processes of `dev` that use a session: a file each, so that the session notices when one of them dies.

What such a process has started carries its name in the environment. Linux only: elsewhere none of it is found.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from covalent_parallel_plugin.containers.ownership import is_dead
from covalent_parallel_plugin.results.dev_program import OWNER_VARIABLE


class Clients:
    """Those of the session in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "clients"
        self._folder.mkdir(mode=0o700, exist_ok=True)

    def add(self, owner: str) -> None:
        """Enter a process."""
        (self._folder / owner).touch(0o600)

    def raised_file(self, owner: str) -> Path:
        """Return the file in which a process's program enters what it raises."""
        return self._folder.with_name(f"raised-{owner}")

    def remove(self, owner: str) -> None:
        """Remove a process, which needs the session no more."""
        (self._folder / owner).unlink(missing_ok=True)
        self.raised_file(owner).unlink(missing_ok=True)

    def any_left(self) -> bool:
        """Whether any process uses the session, once dead ones are removed, and with them what they started."""
        owners = [path.name for path in self._folder.iterdir()]
        for owner in filter(is_dead, owners):
            kill_programs_of(owner)
            self.remove(owner)
        return any(not is_dead(owner) for owner in owners)


def kill_programs_of(owner: str) -> None:
    """Kill what a process has started, and all that this has started."""
    marker = f"{OWNER_VARIABLE}={owner}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        # It has ended, or is another user's
        with contextlib.suppress(OSError):
            if marker in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)
