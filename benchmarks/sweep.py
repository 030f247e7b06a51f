"""`covalent-parallel sweep` on this machine: beside GNU parallel, and what it costs itself.

`python -m benchmarks.sweep [--image IMAGE] [ROW ...]`; the row `containers` needs an image, an engine and `parallel`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from .tables import Bound, Line, Table

OURS, PARALLEL = "sweep", "GNU parallel"
ROUNDS = 3
AT_ONCE = 4
# The command in a process of its own, which reports its own seconds of CPU and the peak of its memory when it ends
PROGRAM = """
import atexit, json, resource, sys
def report(path):
    used = resource.getrusage(resource.RUSAGE_SELF)
    with open(path, "w") as file:
        json.dump({"cpu": used.ru_utime + used.ru_stime, "peak": used.ru_maxrss}, file)
atexit.register(report, sys.argv.pop(1))
from covalent_parallel_plugin.cli import main
main()
"""


def measure(folder: Path, *words: str) -> dict[str, float]:
    """Run a `sweep` command; return its wall time and CPU in s, and its peak of memory in MB.

    Raises:
        RuntimeError: it did not end with 0.
    """
    report = folder / "used.json"
    began = time.perf_counter()
    command = [sys.executable, "-c", PROGRAM, str(report), "sweep", *words]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    wall = time.perf_counter() - began
    if ended.returncode:
        raise RuntimeError(f"{' '.join(words)}: {ended.stderr[-2000:]}")
    used = json.loads(report.read_text())
    kilobytes = 1 if sys.platform == "darwin" else 1024
    return {"wall": wall, "cpu": used["cpu"], "peak": used["peak"] * kilobytes / 1e6}


def write_sweep(folder: Path, name: str, text: str) -> str:
    (folder / f"{name}.yaml").write_text(text)
    return f"{name}.yaml"


def containers_table(image: str, tasks: int, rounds: int) -> Table:
    """Containers that do nothing, four at a time."""
    engine = next(name for name in ("podman", "docker") if shutil.which(name))
    walls: dict[str, list[float]] = {OURS: [], PARALLEL: []}
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            file = write_sweep(
                folder,
                "nothing",
                f"image: {image}\nentrypoint: ['true']\nparameters: {{i: {{start: 0, stop: {tasks}}}}}\ncommand: []\n"
                f"resources: {{vcpus: 1, memory: 64}}\nmax_parallel: {AT_ONCE}\n",
            )
            start = f"{engine} run --rm --network=host --entrypoint=true {image}"
            theirs = ["parallel", f"-j{AT_ONCE}", "--will-cite", "-n0", start, ":::", *map(str, range(tasks))]
            for who in (OURS, PARALLEL) if number % 2 else (PARALLEL, OURS):
                began = time.perf_counter()
                if who == OURS:
                    measure(folder, "run", file, "--local", "--yes")
                else:
                    subprocess.run(theirs, check=True, capture_output=True)
                walls[who].append(time.perf_counter() - began)
    line = Line(f"{tasks} containers that do nothing, {AT_ONCE} at a time: s", walls, Bound(1.15, is_ratio=True))
    return Table("Containers on this machine", (OURS, PARALLEL), (OURS, PARALLEL), (line,))


def costs_table(rounds: int) -> Table:
    """What the command itself takes, without containers."""
    commands, plans, done, memory = [], [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            file = write_sweep(
                folder, "true", "command: 'true'\nparameters: {i: {start: 0, stop: 1000}}\nmax_parallel: 2\n"
            )
            commands.append(measure(folder, "run", file, "--local", "--yes"))
            axes = "{a: {start: 0, stop: 100}, b: {start: 0, stop: 100}, c: {start: 0, stop: 10}}"
            file = write_sweep(folder, "many", f"command: echo {{a}} {{b}} {{c}}\nparameters: {axes}\n")
            plans.append(measure(folder, "plan", file))
            text = "command: 'true'\nparameters: {i: {start: 0, stop: 10000}}\nmax_parallel: 2\n"
            file = write_sweep(folder, "large", text)
            memory.append(measure(folder, "run", file, "--local", "--yes"))
            done.append(measure(folder, "run", file, "--local", "--yes"))
    lines = (
        Line("1,000 times `true`: ms of CPU each", {OURS: [used["cpu"] for used in commands]}, Bound(8)),
        Line("plan of 100,000 combinations: s", {OURS: [used["wall"] for used in plans]}, Bound(4)),
        Line("plan of 100,000 combinations: MB", {OURS: [used["peak"] for used in plans]}, Bound(200)),
        Line("10,000 times `true`: peak MB", {OURS: [used["peak"] for used in memory]}, Bound(150)),
        Line("10,000 tasks found done: s", {OURS: [used["wall"] for used in done]}, Bound(2)),
    )
    return Table("What a sweep costs", (OURS,), (OURS, OURS), lines)


def main(words: Sequence[str] | None = None) -> None:
    """Measure the rows that are asked for, and print their tables."""
    parser = argparse.ArgumentParser("python -m benchmarks.sweep", description=__doc__)
    parser.add_argument("--image", help="for `containers`: one that is here and has `true`")
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("rows", nargs="*", choices=("containers", "costs"), default=("containers", "costs"))
    given = parser.parse_args(words)
    for row in given.rows:
        if row == "containers" and not given.image:
            parser.error("the row containers needs --image")
        table = (
            containers_table(given.image, given.tasks, given.rounds)
            if row == "containers"
            else costs_table(given.rounds)
        )
        print(table.markdown(), flush=True)


if __name__ == "__main__":
    main()
