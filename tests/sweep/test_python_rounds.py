"""Rounds: a function of the records so far gives the rows of the next one; what is there stays, also after a kill."""

from __future__ import annotations

import itertools
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from python_sweeps import SECONDS, enter, events, start_python
from sweep_command import SweepCommand

from covalent_parallel_plugin import ParallelError, Sweep
from covalent_parallel_plugin.sweep.mistakes import SweepFileError
from covalent_parallel_plugin.sweep.records.record import Record

PARABOLA = ["sh", "-c", "echo y=$((($0 - 37) * ($0 - 37)))", "{x}"]
RESULT = {"stdout": r"y=(?P<y>\S+)"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    enter(tmp_path, monkeypatch.setenv, monkeypatch.chdir)
    return tmp_path


# A random sampler, in twenty lines


class RandomSearch:
    """Draws `size` rows a round, around the best one from the second round on, until there are `most`."""

    def __init__(self, low: int, high: int, size: int, most: int, seed: int) -> None:
        self.low, self.high, self.size, self.most, self.seed = low, high, size, most, seed

    def __call__(self, records: list[Record]) -> Iterator[dict[str, int]]:
        if len(records) >= self.most:
            return
        draw = random.Random(f"{self.seed} {len(records)}")
        known = {record.parameters["x"] for record in records}
        low, high = self.low, self.high
        if records:
            best = min(records, key=lambda record: record["y"]).parameters["x"]
            low, high = max(low, best - 10), min(high, best + 10)
        for x in draw.sample(sorted(set(range(low, high)) - known), self.size):
            yield {"x": x}


def test_a_random_sampler_gives_round_after_round(folder: Path) -> None:
    search = RandomSearch(0, 100, size=6, most=18, seed=3)
    sweep = Sweep(command=PARABOLA, parameters=search, result=RESULT, name="search")
    assert sweep.records == []
    records = sweep.run(local=True, show=False)
    assert len(records) == 18
    assert len({record.parameters["x"] for record in records}) == 18
    assert [event["to_run"] for event in events(folder / "search", "run")] == [6, 6, 6]
    best = sweep.best("y")
    assert best["y"] == min(record["y"] for record in records)
    # All names have all parameters, so that no round changes those of another one
    assert [record.name for record in records] == [f"x={record.parameters['x']}" for record in records]
    # A second run asks once more, and there is nothing more
    assert sweep.run(local=True, show=False) == records
    assert len(events(folder / "search", "start")) == 18
    assert "18 done" in SweepCommand(folder)("status", "search").stdout


def halving(records: list[Record]) -> list[dict[str, int]]:
    """Begin with eight, and give the better half twice the budget."""
    if not records:
        return [{"x": x, "budget": 1} for x in range(30, 46, 2)]
    budget = max(record.parameters["budget"] for record in records)
    last = [record for record in records if record.parameters["budget"] == budget]
    best = sorted(last, key=lambda record: record["y"])[: len(last) // 2]
    return [{"x": record.parameters["x"], "budget": 2 * budget} for record in best]


def test_halving_keeps_the_best_half(folder: Path) -> None:
    sweep = Sweep(command=[*PARABOLA, "{budget}"], parameters=halving, result=RESULT, name="half", max_parallel=2)
    seen = [(record.parameters["budget"], record.parameters["x"]) for record in sweep.run_iter(local=True)]
    assert sorted(seen) == [
        *((1, x) for x in range(30, 46, 2)), *((2, x) for x in (34, 36, 38, 40)), (4, 36), (4, 38), (8, 36),
    ]  # fmt: skip
    assert [budget for budget, _ in seen] == sorted(budget for budget, _ in seen)
    assert len(sweep.results) == 15


def test_a_run_that_was_killed_goes_on_with_the_rows_that_there_are(folder: Path) -> None:
    code = f"""
import random
import signal
from covalent_parallel_plugin import Sweep
def more(records):
    # Another answer each time: what was drawn is kept
    return [{{"x": random.randrange(10**9)}} for _ in range(2)] if len(records) < 6 else []
command = ["sh", "-c", "[ $(ls -d {folder}/some/x=* | wc -l) -lt 4 ] || [ -e {folder}/go ] || exec sleep 600", "{{x}}"]
sweep = Sweep(command=command, parameters=more, name="some", max_parallel=1)
for record in sweep.run_iter(local=True):
    print(record.name, flush=True)
"""
    killed = start_python(folder, code)
    assert killed.stdout is not None
    seen = [line.strip() for line in itertools.islice(killed.stdout, 3)]
    killed.kill()
    killed.communicate(timeout=SECONDS)
    (folder / "go").touch()
    second = start_python(folder, code)
    printed, errors = second.communicate(timeout=SECONDS)
    assert second.returncode == 0, errors
    names = printed.split()
    assert names[:3] == seen
    assert len(names) == len(set(names)) == 6
    ended = [event["task"] for event in events(folder / "some", "end") if event["status"] == "done"]
    assert sorted(ended) == sorted(names)


def test_rows_that_are_there_already_do_not_run_again_and_end_the_sweep(folder: Path) -> None:
    def same(records: list[Record]) -> list[dict[str, int]]:
        return [{"x": 1}, {"x": 2}, {"x": 1}]

    assert len(Sweep(command="true {x}", parameters=same, name="same").run(local=True, show=False)) == 2
    assert len(events(folder / "same", "start")) == 2


def test_a_plan_and_the_run_after_it_have_the_same_rows() -> None:
    def drawn(records: list[Record]) -> list[dict[str, float]]:
        return [] if records else [{"x": random.random()} for _ in range(3)]

    sweep = Sweep(command="true {x}", parameters=drawn, name="drawn")
    first = sweep.plan(local=True).plan.samples[0].name
    assert sweep.run(local=True, show=False)[0].name == first


def test_first_and_only_take_from_the_rows_that_there_are(folder: Path) -> None:
    sweep = Sweep(command=PARABOLA, parameters=halving, result=RESULT, name="half", flags=True)
    assert len(sweep.run(local=True, first=2, show=False)) == 2
    assert len(sweep.records) == 8
    assert len(events(folder / "half", "run")) == 1


def test_what_the_function_gives_is_checked(folder: Path) -> None:
    def given(*rounds: Any) -> Sweep:
        def rows(records: list[Record]) -> Any:
            return rounds[0 if not records else 1]

        return Sweep(command="true {x}", parameters=rows, name="given")

    with pytest.raises(SweepFileError, match="parameters: the function returned no rows: return some"):
        given(None).run(local=True, show=False)
    with pytest.raises(SweepFileError, match=r"^Sweep: parameters\(records\) is 5: return a list of rows"):
        given(5).run(local=True, show=False)
    with pytest.raises(SweepFileError, match=r"^Sweep: parameters\(records\)\[1\] is 5: give a mapping"):
        given([{"x": 1}, 5]).run(local=True, show=False)
    with pytest.raises(SweepFileError, match=r"^Sweep: parameters\(records\)\[0\] lacks x and has y too"):
        given([{"x": 1}], [{"y": 1}]).run(local=True, show=False)
    # What was computed stays
    assert [record.status for record in given(None).records] == ["done"]


def test_what_the_function_raises_is_raised_and_what_was_computed_stays() -> None:
    def breaks(records: list[Record]) -> list[dict[str, int]]:
        if records:
            raise ZeroDivisionError("mine")
        return [{"x": 1}]

    sweep = Sweep(command="true {x}", parameters=breaks, name="breaks")
    with pytest.raises(ZeroDivisionError, match="mine"):
        sweep.run(local=True, show=False)
    assert [record.status for record in sweep.records] == ["done"]


def test_a_folder_whose_rows_are_no_such_rows_is_refused(folder: Path) -> None:
    (folder / "file.yaml").write_text("name: given\ncommand: 'true'\nflags: true\nparameters: {file: '-'}\n")
    SweepCommand(folder)("run", "file.yaml", "--local", stdin="x\n1\n")
    with pytest.raises(ParallelError, match="has rows of another sweep, which are not JSON lines: give out= another"):
        Sweep(command="true {x}", parameters=halving, name="given").run(local=True, show=False)


def test_ctrl_c_ends_the_function_too(folder: Path) -> None:
    code = """
import time
from covalent_parallel_plugin import Sweep
def rows(records):
    if records:
        print("thinks", flush=True)
        time.sleep(600)
    return [{"x": 1}]
Sweep(command="echo {x}", parameters=rows, name="slow").run(local=True, show=False)
"""
    run = start_python(folder, code)
    assert run.stdout is not None
    assert run.stdout.readline() == "thinks\n"
    run.send_signal(signal.SIGINT)
    run.communicate(timeout=SECONDS)
    assert run.returncode == -signal.SIGINT
