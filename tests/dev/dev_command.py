"""`covalent-parallel dev` as users start it, with a home and a folder for temporary files of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

COMMAND = [sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main()", "dev"]
SECONDS = 120

ELECTRONS = """
import os, sys, time
import covalent as ct
from pathlib import Path

@ct.electron(executor="gcpbatch")
def add(a, b):
    return a + b

@ct.electron(executor="gcpbatch")
def divide(by):
    return 1 / by

@ct.electron(executor="gcpbatch")
def rest(started):
    Path(started).touch()
    time.sleep(600)

def dispatched(electron, *arguments):
    return ct.dispatch(ct.lattice(electron))(*arguments)

def result(electron, *arguments):
    return ct.get_result(dispatched(electron, *arguments), wait=True)
"""


@dataclass(frozen=True)
class Ended:
    """How `dev` ended, and what it and its program wrote."""

    status: int
    stdout: str
    stderr: str


class Dev:
    """Runs `dev` with tasks as processes; all that it starts can be found."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home, self.temporary = folder / "home", folder / "tmp"
        for each in (self.home, self.temporary):
            each.mkdir()
        self._mark = f"TESTED_DEV={folder}"
        name, _, value = self._mark.partition("=")
        outer = {key: text for key, text in os.environ.items() if not key.startswith(("XDG_", "COVALENT_"))}
        # One for all tests of this worker: to fill it takes seconds
        cache = folder.parent / "cache"
        self.environment = {**outer, "HOME": str(self.home), "TMPDIR": str(self.temporary), name: value}
        self.environment["XDG_CACHE_HOME"] = str(cache)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start it in a session of its own."""
        return subprocess.Popen(
            [*COMMAND, *words],
            env=self.environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # The tests themselves may run under nohup
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # before any thread
        )

    def run(self, *words: str) -> Ended:
        """Run it to its end."""
        with self.start(*words) as process:
            stdout, stderr = process.communicate(timeout=SECONDS)
        return Ended(process.returncode, stdout, stderr)

    def script(self, text: str) -> str:
        """Write a program that has ELECTRONS."""
        path = self.folder / "program.py"
        path.write_text(f"{ELECTRONS}\n{text}\n")
        return str(path)

    def run_script(self, text: str, *options: str) -> Ended:
        """Run a program of Python's."""
        return self.run(*options, "--", "python", self.script(text))

    def processes(self) -> list[str]:
        """List the processes that it has started, tasks included."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                variables = (path / "environ").read_bytes().split(b"\0")
                folder = (path / "cwd").readlink()
            except OSError:  # it has ended, or is another user's
                continue
            if self._mark.encode() in variables or folder.is_relative_to(self.temporary):
                found.append((path / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        return found

    def folders(self) -> list[str]:
        """List what it has in the folder for temporary files."""
        return sorted(path.name for path in self.temporary.iterdir())


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for something to be so."""
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)
