"""A shell in which a guide's commands run as its reader types them, in a folder and with an index of their own."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from guide_pages import Row

SECTION = '[executors.gcpbatch]\nproject_id = "local"\nbucket_name = "covalent"\npoll_freq = 0.5\n'
SECONDS = 300


class GuideShell:
    """Runs commands in one folder."""

    def __init__(self, folder: Path, more: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        places = {"COVALENT_CONFIG_DIR": str(folder / ".covalent"), "XDG_STATE_HOME": str(folder / ".state")}
        self._environment = {**os.environ, "PATH": path, **places, **(more or {})}
        (folder / ".covalent").mkdir(exist_ok=True)
        (folder / ".covalent" / "covalent.conf").write_text(SECTION)

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; what it writes to standard error stands in its output."""
        return subprocess.run(
            ["sh", "-c", line],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def table(self, out: str) -> list[Row]:
        """Return the rows of a sweep's results.csv."""
        with (self.folder / out / "results.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
