"""The command `covalent-parallel sweep` as its users start it, in a folder and with an index of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

MAIN = "from covalent_parallel_plugin.cli import main; main(prog_name='covalent-parallel')"
COMMAND = (sys.executable, "-c", MAIN)
# As a shell starts a command in the foreground, whatever signals these tests were told to ignore
HEARS = "import signal; signal.signal(1, signal.SIG_DFL); signal.signal(2, signal.default_int_handler)"
FOREGROUND = (sys.executable, "-c", f"{HEARS}; {MAIN}")
# Longer than a run may take to end its job, on a busy machine
SECONDS = 120


class SweepCommand:
    """Runs commands in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            # as users have it
            "PYTHONUNBUFFERED": "",
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_DATA_HOME": str(folder / "data"),
            "COVALENT_CONFIG_DIR": str(folder / "covalent"),
        }

    def write(self, text: str, name: str = "art.yaml") -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def __call__(
        self, *words: str | Path, status: int = 0, stdin: str | None = None, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, which has this status."""
        ended = subprocess.run(
            [*COMMAND, "sweep", *map(str, words)],
            cwd=self.folder,
            env={**self.environment, **(more or {})},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            input=stdin if stdin is not None else "",
        )
        assert ended.returncode == status, ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
        return ended

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command in the background."""
        return subprocess.Popen(
            [*FOREGROUND, "sweep", *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def rows(self, out: str = "art") -> list[dict[str, Any]]:
        loaded: list[dict[str, Any]] = json.loads((self.folder / out / "results.json").read_text())
        return loaded

    def statuses(self, out: str = "art") -> dict[str, str]:
        return {row["task.name"]: row["task.status"] for row in self.rows(out)}

    def events(self, kind: str, out: str = "art") -> list[dict[str, Any]]:
        path = self.folder / out / "journal.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [event for event in map(json.loads, lines) if event["event"] == kind]

    def started(self, out: str = "art") -> list[str]:
        return [event["task"] for event in self.events("start", out)]

    def wait_for(self, is_so: Callable[[], object], what: str) -> None:
        until = time.monotonic() + SECONDS
        while not is_so():
            assert time.monotonic() < until, f"there is still no {what}"
            time.sleep(0.02)
