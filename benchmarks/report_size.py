"""`covalent-parallel report` of large dispatches and sweeps: how long it takes, how much memory, how large its page is.

`python -m benchmarks.report_size [--rounds R] [--no-browser]`: the traces are made (`made_traces.py`), in a folder of
their own, and the sweep runs on this machine, which takes minutes; the command runs in a process of its own, and
Chromium opens the page.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from covalent_parallel_plugin.batch.trace import traces_folder
from docs_build.browser import find_chromium, opened_page

from .made_traces import Size, write_trace
from .tables import Bound, Line, Table

OURS = "report"
ROUNDS = 3
COMMAND = (sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main()")
# Runs a command and says on a last line of its own how much memory and CPU that took: of no other process
MEASURED = """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_maxrss, used.ru_utime + used.ru_stime)
sys.exit(status)
"""
KILOBYTES = 1 if sys.platform == "darwin" else 1024


SWEEP = """\
name: made
command: [sh, -c, 'echo "{\\"loss\\": 0.$0}" >r.json', '{rate}']
parameters: {rate: {start: 0, stop: 100}, depth: {start: 0, stop: 100}}
result: r.json
max_parallel: 2
"""


@dataclass(frozen=True)
class Case:
    """A dispatch, or the sweep, and the most that its report may take; None where nothing is asked of it."""

    title: str
    size: Size | None
    make_seconds: float | None = None
    peak_mb: float | None = None
    page_mb: float | None = None
    open_seconds: float | None = None


CASES = (
    Case("100,000 items in one map", Size(electrons=1, items=100_000, tasks=1_000), make_seconds=30, peak_mb=1000),
    Case(
        "10,000 items in 1,000 electrons",
        Size(electrons=1_000, items=10, tasks=2),
        make_seconds=3,
        page_mb=5,
        open_seconds=3,
    ),
    Case("a sweep of 10,000 tasks", None),
)


def make_report(dispatch_id: str, data: Path, page: Path) -> dict[str, float]:
    """Run the command; return its seconds, also of CPU, its peak of memory and its page's size in MB of 10^6 bytes.

    Raises:
        RuntimeError: it did not end with 0.
    """
    began = time.perf_counter()
    printed = _run(data, "-c", MEASURED, *COMMAND, "report", dispatch_id, "-o", str(page))
    seconds = time.perf_counter() - began
    peak, cpu = map(float, printed.split()[-2:])
    return {"make": seconds, "cpu": cpu, "peak": peak * KILOBYTES / 1e6, "page": page.stat().st_size / 1e6}


def _run(data: Path, *words: str) -> str:
    """Run Python; return what it prints."""
    # A home of its own: no dispatch of this user's, and no price
    own = dict.fromkeys(("XDG_DATA_HOME", "XDG_STATE_HOME", "HOME", "COVALENT_CONFIG_DIR"), str(data))
    ended = subprocess.run(
        [sys.executable, *words],
        cwd=data,
        env={**os.environ, **own},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise RuntimeError(f"{' '.join(words[2:])}: {ended.stderr[-2000:]}")
    return ended.stdout


def _prepare(size: Size | None, data: Path) -> Path:
    """Write the trace of a dispatch, or run the sweep; return its trace."""
    traces = traces_folder({"XDG_DATA_HOME": str(data)})
    assert traces is not None
    if size is not None:
        return write_trace(traces, "made", size)
    (data / "made.yaml").write_text(SWEEP)
    _run(data, *COMMAND[1:], "sweep", "run", "made.yaml", "--local", "--yes")
    return next(path for path in traces.rglob("*") if path.is_file())


def open_page(page: Path) -> float:
    """Return the seconds that an installed Chromium takes until the page is loaded and drawn."""
    program = find_chromium()
    assert program is not None
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
        opened_page(program, Path(profile)) as seen,
    ):
        began = time.perf_counter()
        seen.open(page.as_uri())
        seen.evaluate("new Promise(drawn => requestAnimationFrame(() => setTimeout(drawn)))")
        return time.perf_counter() - began


def report_table(cases: Sequence[Case], rounds: int, has_browser: bool) -> Table:
    """Measure each case."""
    lines = []
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            data = Path(folder)
            trace = _prepare(case.size, data)
            values: dict[str, list[float]] = defaultdict(list)
            for number in range(rounds):
                print(f"{case.title}, round {number + 1} of {rounds}", file=sys.stderr, flush=True)
                for name, value in make_report("made", data, data / "report.html").items():
                    values[name].append(value)
                if has_browser:
                    values["open"].append(open_page(data / "report.html"))
            values["trace"].append(trace.stat().st_size / 1e6)
        lines += _lines(case, values)
    return Table("The report of a large dispatch", [OURS], (OURS, OURS), lines)


def _lines(case: Case, values: dict[str, list[float]]) -> list[Line]:
    asked = (
        ("trace", "its trace, MB", None),
        ("make", "to make it, s", case.make_seconds),
        ("cpu", "CPU of that, s", None),
        ("peak", "peak memory, MB", case.peak_mb),
        ("page", "the page, MB", case.page_mb),
        ("open", "to open it in Chromium, s", case.open_seconds),
    )
    return [
        Line(f"{case.title}: {measure}", {OURS: values[name]}, None if most is None else Bound(most))
        for name, measure, most in asked
        if values[name]
    ]


def main(words: Sequence[str] | None = None) -> int:
    """Measure, print the table; return 1 if a bound is broken."""
    parser = argparse.ArgumentParser("python -m benchmarks.report_size", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="R", help=f"how often [{ROUNDS}]")
    parser.add_argument("--no-browser", action="store_true", help="do not measure how long Chromium takes to open it")
    arguments = parser.parse_args(words)
    has_browser = not arguments.no_browser and find_chromium() is not None
    text = report_table(CASES, arguments.rounds, has_browser).markdown()
    print(f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.system()}\n\n{text}")
    return 1 if "BROKEN" in text else 0


if __name__ == "__main__":
    sys.exit(main())
