"""The row inside a Covalent server: its table, and the processes whose CPU it counts; the rest needs minutes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import psutil  # type: ignore[import-untyped]  # Covalent brings it

from benchmarks.contenders import OURS
from benchmarks.covalent_run import Run, cpu_seconds, percentile
from benchmarks.inside_covalent import SLEEPING, table_of

BURN = "import time\nwhile time.process_time() < 0.2: pass"
# Waits for its child, tells that it has, and stays
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BURN!r}])\nprint('done', flush=True)\ninput()"

RUN = Run(
    wall_seconds=20.0,
    cpu_seconds=13.0,
    own_cpu_seconds=12.5,
    dispatch_cpu_seconds=1.0,
    warm_up_cpu_seconds=2.0,
    electron_seconds=6.0,
    peak_mb=200.0,
    answers=(),
)


def rows(ours: Run, sleeping: Run = RUN) -> dict[str, list[str]]:
    asked = {OURS: [replace(ours, answers=(0.01, 0.2))], SLEEPING: [replace(sleeping, answers=(0.01, 0.1))]}
    lines = table_of({OURS: [ours], SLEEPING: [sleeping]}, asked).markdown().splitlines()[4:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first: others for first, *others in cells}


def test_a_server_that_takes_a_third_more_cpu_than_with_the_sleeping_executor_holds_the_bound() -> None:
    assert rows(replace(RUN, cpu_seconds=17.3))["server's CPU, s"][-1] == "holds"


def test_a_server_that_takes_two_fifths_more_cpu_than_with_the_sleeping_executor_breaks_the_bound() -> None:
    assert rows(replace(RUN, cpu_seconds=18.2))["server's CPU, s"][-1] == "BROKEN"


def test_answers_are_those_of_the_runs_in_which_the_server_was_asked() -> None:
    assert rows(RUN)["server's answer, slowest, ms"][:3] == ["200", "100", "2"]


def test_a_system_that_does_not_tell_the_peak_of_memory_leaves_a_dash() -> None:
    unknown = replace(RUN, peak_mb=None)
    assert rows(unknown, unknown)["server's peak memory, MB"][:3] == ["–", "–", "–"]


def test_the_percentile_is_a_value_that_was_measured() -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], 0.95) == 95.0


def test_the_cpu_of_children_that_have_ended_counts() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdin is not None and parent.stdout is not None
        parent.stdout.readline()
        used = cpu_seconds(psutil.Process(parent.pid))
        parent.communicate("\n")
    assert used >= 0.2
