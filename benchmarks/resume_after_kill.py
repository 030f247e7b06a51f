"""A workflow whose Covalent server is killed at random moments, and that goes on: no electron runs twice.

`python -m benchmarks.resume_after_kill` kills a private server ten times with SIGKILL, each time in a workflow of
3 x 4 electrons and their sum, starts it again and resumes the dispatch; then with two kills in a row; then with
`cache=True`, where the script is started anew instead. Each electron appends a mark to a file when it starts.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from covalent_parallel_plugin.cloud.batch import BatchApi, connect
from covalent_parallel_plugin.covalent_api.private_configuration import Value
from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer
from covalent_parallel_plugin.covalent_api.server_client import OVER, UNANSWERED, ServerClient
from covalent_parallel_plugin.emulator import Emulator, ProcessRuntime

ROWS, COLUMNS = 4, 3
ELECTRONS = ROWS * COLUMNS + 1
# An electron is in flight for so long at least
ELECTRON_SECONDS = 2.0
PAUSE_SECONDS = 0.05
MOST_SECONDS = 240.0
SECTION: dict[str, Value] = {"project_id": "local", "bucket_name": "covalent", "poll_freq": 0.5}
PARENT = "projects/local/locations/us-east1"
COMMAND = (sys.executable, "-W", "ignore", "-c", "from covalent_parallel_plugin.cli import main; main()")
# Of the first row the value of the last column is 1 + 2 + 3, and each row below has 10 more in each column
VALUE = sum(10 * row * COLUMNS + sum(range(1, COLUMNS + 1)) for row in range(ROWS))

SCRIPT = f"""
import sys
import covalent as ct

executor = ct.executor.GCPBatchExecutor(%s)

@ct.electron(executor=executor)
def step(row, column, before, folder):
    import os, time
    with open(os.path.join(folder, "marks"), "a") as file:
        file.write(f"step {{row}} {{column}}\\n")
    time.sleep({ELECTRON_SECONDS})
    return before + 10 * row + column + 1

@ct.electron(executor=executor)
def total(values, folder):
    import os, time
    with open(os.path.join(folder, "marks"), "a") as file:
        file.write("total\\n")
    time.sleep({ELECTRON_SECONDS})
    return sum(values)

@ct.lattice
def grid(folder):
    ends = []
    for row in range({ROWS}):
        value = 0
        for column in range({COLUMNS}):
            value = step(row, column, value, folder)
        ends.append(value)
    return total(ends, folder)

print(ct.dispatch(grid)(sys.argv[1]))
"""


@dataclass(frozen=True)
class Kill:
    """When the server is killed: once so many electrons have begun, and so many seconds later."""

    marks: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.marks} begun + {self.seconds:.2f} s"


@dataclass(frozen=True)
class Ended:
    """What came of a workflow: its value, how often each electron began, and the jobs that it took."""

    kills: Sequence[Kill]
    value: str
    marks: Mapping[str, int]
    jobs: int
    said: Sequence[str]

    @property
    def wrong(self) -> list[str]:
        """What is not as it must be, none if all is."""
        found = [] if self.value == str(VALUE) else [f"the value is {self.value}, not {VALUE}"]
        found += [f"{name} began {count} times" for name, count in self.marks.items() if count != 1]
        if len(self.marks) != ELECTRONS:
            found.append(f"{len(self.marks)} electrons of {ELECTRONS} began")
        if self.jobs != ELECTRONS:
            found.append(f"{self.jobs} jobs of {ELECTRONS} electrons")
        return found


class Site:
    """An emulator and a private Covalent server, which is killed and started again."""

    def __init__(self, folder: Path, emulator: Emulator, server: PrivateCovalentServer) -> None:
        self.folder, self.emulator, self.server = folder, emulator, server

    @property
    def client(self) -> ServerClient:
        """A client of the server."""
        return ServerClient(self.server.address)

    def dispatch(self, marks: Path, options: str = "") -> str:
        """Dispatch the workflow, whose marks go to a folder; return its id."""
        script = self.folder / "grid.py"
        script.write_text(SCRIPT % options)
        return self._output(sys.executable, "-W", "ignore", str(script), str(marks)).split()[-1]

    def kill(self) -> None:
        """Kill the server with SIGKILL, and start it again."""
        os.kill(self.server.process_id, signal.SIGKILL)
        until(lambda: not self.server.is_running, "the server has not died")
        self.server.stop()
        until(self._is_started, "the server's port is not free")

    def _is_started(self) -> bool:
        try:
            self.server.start()
        except OSError:
            # Held by what the server had forked, which is being killed
            return False
        return True

    def command(self, *arguments: str) -> str:
        """Run `covalent-parallel`; return what it prints."""
        return self._output(*COMMAND, *arguments)

    def value_of(self, dispatch_id: str) -> str:
        """Wait for a dispatch; return its value as text, or the state that it ended with."""
        until = time.monotonic() + MOST_SECONDS
        while (state := self._state(dispatch_id)) not in OVER:
            if time.monotonic() > until:
                return f"{state} after {MOST_SECONDS:g} s"
            time.sleep(PAUSE_SECONDS)
        source = f"from covalent_parallel_plugin import wait; print(wait({dispatch_id!r}))"
        return self._output(sys.executable, "-W", "ignore", "-c", source).strip() if state == "COMPLETED" else state

    def jobs(self) -> set[str]:
        """The names of all jobs so far."""

        async def listed() -> set[str]:
            batch = BatchApi(connect(self.emulator.environment["BATCH_EMULATOR_HOST"]))
            try:
                return {job.name for job in await batch.list(PARENT)}
            finally:
                await batch.close()

        return asyncio.run(listed())

    def _state(self, dispatch_id: str) -> str:
        try:
            return self.client.dispatch_state(dispatch_id)
        except UNANSWERED:
            return ""

    def _output(self, *command: str) -> str:
        ended = subprocess.run(
            command,
            env=self.server.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
            check=False,
        )
        if ended.returncode:
            raise RuntimeError(f"{' '.join(command[-3:])} ended with {ended.returncode}: {ended.stdout}{ended.stderr}")
        return ended.stdout


@contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    """Run both, with all files below a folder."""
    section: dict[str, Value] = SECTION | {"cache_dir": str(folder / "cache")}
    with (
        Emulator(runtime=ProcessRuntime(site_packages=True), tasks_at_once=ROWS) as emulator,
        PrivateCovalentServer(
            folder / "home", emulator.environment, configuration={"executors.gcpbatch": section}
        ) as server,
    ):
        yield Site(folder, emulator, server)


def run_resumed(site: Site, marks: Path, kills: Sequence[Kill]) -> Ended:
    """Run the workflow, kill the server at these moments, and resume the dispatch each time."""
    return _run(site, marks, kills, "", lambda dispatch_id: site.command("resume", dispatch_id, "--yes"))


def run_anew(site: Site, marks: Path, kills: Sequence[Kill], options: str) -> Ended:
    """Run the workflow with options of its executor, kill the server, and start the script anew each time."""
    return _run(site, marks, kills, options, lambda _: f"New dispatch {site.dispatch(marks, options)}.")


def _run(site: Site, marks: Path, kills: Sequence[Kill], options: str, go_on: Callable[[str], str]) -> Ended:
    marks.mkdir()
    before, said = site.jobs(), []
    dispatch_id = site.dispatch(marks, options)
    for kill in kills:
        until(lambda kill=kill: len(begun(marks)) >= kill.marks, f"not {kill.marks} electrons have begun")  # type: ignore[misc]
        time.sleep(kill.seconds)
        site.kill()
        said.append(go_on(dispatch_id).strip())
        if "New dispatch " in said[-1]:
            dispatch_id = said[-1].rpartition("New dispatch ")[2].split()[0].rstrip(".")
    value = site.value_of(dispatch_id)
    return Ended(kills, value, Counter(begun(marks)), len(site.jobs() - before), said)


def begun(marks: Path) -> list[str]:
    """The electrons that have begun, each as often as it has."""
    file = marks / "marks"
    return file.read_text().splitlines() if file.exists() else []


def random_kills(seed: int, count: int) -> list[Kill]:
    """Moments from before the first electron's start to the sum's run, in order."""
    draw = random.Random(seed)
    # An electron that a later kill waits for begins after the one that an earlier one met
    marks = sorted(draw.sample(range(ELECTRONS), count))
    return [Kill(each, draw.uniform(0, 0.9 * ELECTRON_SECONDS)) for each in marks]


def until(is_so: Callable[[], bool], problem: str) -> None:
    """Wait until something is so. Raises RuntimeError where that takes too long."""
    deadline = time.monotonic() + MOST_SECONDS
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{problem} within {MOST_SECONDS:g} s")
        time.sleep(PAUSE_SECONDS)


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.resume_after_kill", description=__doc__)
    parser.add_argument("--moments", type=int, default=10, metavar="N", help="runs with one kill [10]")
    parser.add_argument("--pairs", type=int, default=3, metavar="N", help="runs with two kills in a row [3]")
    parser.add_argument("--cached", type=int, default=3, metavar="N", help="runs with cache=True, started anew [3]")
    parser.add_argument("--seed", type=int, default=0, help="of the moments [0]")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """Run, print a row of a table for each run and, on standard error, what went wrong; status 1 if anything did."""
    arguments = _parse(words)
    runs = [("resumed", 1)] * arguments.moments + [("resumed twice", 2)] * arguments.pairs
    runs += [("cache=True, started anew", 1)] * arguments.cached
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} CPUs; {ELECTRONS} electrons of {ELECTRON_SECONDS:g} s\n"
    )
    print("| run | killed at | value | electrons begun | begun twice | jobs | what resume said |")
    print("|---|---|--:|--:|--:|--:|---|", flush=True)
    wrong = []
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, running_site(Path(folder)) as site:
        for number, (kind, count) in enumerate(runs):
            marks, kills = Path(folder, f"marks-{number}"), random_kills(arguments.seed + number, count)
            is_cached = kind.startswith("cache")
            # Runs share the bucket: what one of them cached is not the next one's
            options = f"cache=True, cache_version='{number}'"
            ended = run_anew(site, marks, kills, options) if is_cached else run_resumed(site, marks, kills)
            twice = sum(times > 1 for times in ended.marks.values())
            said = "; ".join(text.partition(": ")[2].partition(". New")[0] for text in ended.said)
            cells = (kind, ", ".join(map(str, kills)), ended.value, len(ended.marks), twice, ended.jobs, said)
            print(f"| {' | '.join(map(str, cells))} |", flush=True)
            wrong += [f"run {number}: {text}" for text in ended.wrong]
    for text in wrong:
        print(text, file=sys.stderr)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
