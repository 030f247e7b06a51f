"""What tests of `Sweep` have in common: a folder of their own, and a command with a result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SECONDS = 60
# Prints twice its x
DOUBLE = ["sh", "-c", "echo value=$(($0 * 2))", "{x}"]
RESULT = {"stdout": r"value=(?P<value>\S+)"}


def enter(folder: Path, set_variable: Callable[[str, str], None], change_folder: Callable[[Path], None]) -> None:
    """Work in a folder, with an index of sweeps and a configuration of its own."""
    set_variable("HOME", str(folder))
    set_variable("XDG_STATE_HOME", str(folder / "state"))
    set_variable("XDG_DATA_HOME", str(folder / "data"))
    set_variable("COVALENT_CONFIG_DIR", str(folder / "covalent"))
    change_folder(folder)


def events(out: Path, kind: str) -> list[dict[str, Any]]:
    """The events of a kind in a sweep's journal."""
    path = out / "journal.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    loaded = [json.loads(line) for line in lines if line.endswith("\n")]
    return [event for event in loaded if event["event"] == kind]


def start_python(folder: Path, code: str, more: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a program that uses `Sweep`, as a shell starts it in the foreground."""
    hears = "import signal; signal.signal(1, signal.SIG_DFL); signal.signal(2, signal.default_int_handler)\n"
    environment = {
        **os.environ,
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder / "state"),
        "COVALENT_CONFIG_DIR": str(folder / "covalent"),
        **(more or {}),
    }
    return subprocess.Popen(
        [sys.executable, "-c", hears + code],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
