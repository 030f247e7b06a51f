"""How long a newcomer waits for the first results of `covalent-parallel dev -- python examples/first.py` and others.

`python -m benchmarks.first_minutes [--rounds N] [--image IMAGE] [ROW ...]`; with IMAGE, which podman has and which has
Python 3 as `python3`, also a sweep whose tasks are containers. Each run has an empty home folder, as on a new machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .tables import Bound, Line, Table

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
LIMIT_SECONDS = 300
# The most until the value is printed
MOST_SECONDS = 20.0
# Of the guide: six tasks, each with its program among its files
SWEEP = "sweep.yaml"
SWEEP_TEXT = """
command: python3 {sweep.folder}/pi.py
files: [pi.py]
flags: true
parameters:
  iterations: [1000, 10000]
  seed: {start: 1, stop: 4}
result: {stdout: 'pi_hat = (?P<pi>\\S+)'}
"""
# What a machine has without podman and docker, and what needs no image from elsewhere
PROCESSES = ["--runtime", "process"]
MAIN = "from covalent_parallel_plugin.cli import main; main()"


class Row(NamedTuple):
    """One command: its options of `dev`, its words, what it prints at the end, and its exit status."""

    options: Sequence[str]
    words: Sequence[str]
    wanted: str
    status: int


def rows(image: str | None) -> dict[str, Row]:
    python = sys.executable
    found = {
        "first": Row(PROCESSES, [python, f"{EXAMPLES}/first.py"], "6 words", 0),
        "map": Row(PROCESSES, [python, f"{EXAMPLES}/map.py"], "'value': 0", 0),
        "failing": Row(PROCESSES, [python, f"{EXAMPLES}/failing.py"], "ZeroDivisionError", 1),
    }
    if image is not None:
        sweep = [python, "-c", MAIN, "sweep", "run", SWEEP, "--set", f"image={image}"]
        found["sweep"] = Row(["--runtime", "podman"], sweep, "6 done", 0)
    return found


def run(row: Row) -> tuple[float, float]:
    """Run a command in an empty home folder; returns the seconds until what it prints was there, and until its end."""
    with tempfile.TemporaryDirectory() as home:
        Path(home, SWEEP).write_text(SWEEP_TEXT)
        shutil.copy(EXAMPLES / "pi/pi.py", home)
        environment = {**os.environ, "HOME": home, "PYTHONUNBUFFERED": "1"}
        words = [sys.executable, "-c", MAIN, "dev", *row.options, "--", *row.words]
        began, seen, text = time.monotonic(), None, ""
        with subprocess.Popen(
            words, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                text += line
                if seen is None and row.wanted in line:
                    seen = time.monotonic() - began
        ended = time.monotonic() - began
    if process.returncode != row.status or seen is None:
        raise RuntimeError(f"{' '.join(row.words)} ended with {process.returncode}:\n{text}")
    return seen, ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--image")
    parser.add_argument("rows", nargs="*")
    options = parser.parse_args()
    known = rows(options.image)
    if unknown := set(options.rows) - known.keys():
        parser.error(f"there is no row {', '.join(sorted(unknown))}: there are {', '.join(known)}")
    lines = []
    for name in options.rows or known:
        measured = [run(known[name]) for _ in range(options.rounds)]
        lines.append(Line(f"{name}: result, s", {"value": [seen for seen, _ in measured]}, Bound(MOST_SECONDS)))
        lines.append(Line(f"{name}: all ended, s", {"value": [ended for _, ended in measured]}))
    print(Table("A newcomer's first commands", ["value"], ("value", "value"), lines).markdown())


if __name__ == "__main__":
    main()
