"""What runs again and why."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from covalent_parallel_plugin.programs.core_schema import ParameterValue
from covalent_parallel_plugin.programs.verdict import TaskEnd
from covalent_parallel_plugin.sweep.combinations import Combination
from covalent_parallel_plugin.sweep.plan import HoursBound, Plan, Planner, RunRequest, SelectionError, reason_lines
from covalent_parallel_plugin.sweep.records.journal import Journal, end_event, pinned_event, start_event
from covalent_parallel_plugin.sweep.records.out_folder import OutFolder
from covalent_parallel_plugin.sweep.tasks import Pinned, SweepTask

DONE = TaskEnd("done", 0, None, 1, 1, None, "here", 1, 2)
FAILED = TaskEnd("failed", 2, None, 1, 1, None, "here", 1, 2)
KILLED = TaskEnd("killed", 137, 9, 1, 1, None, "here", 1, 2)
TIMEOUT = TaskEnd("timeout", 143, 15, 1, 1, None, "here", 1, 2)
NO_RESULT = TaskEnd("no-result", 0, None, 1, 1, None, "here", 1, 2)
PARTS = {"image": "i", "command": "c", "environment": "e", "files": "f", "inputs": "n", "config": "g"}


def task(index: int, key: str = "", name: str = "") -> SweepTask:
    values = {"i": ParameterValue(str(index), index), "mode": ParameterValue("a b", "a b")}
    return SweepTask(Combination(index, 0, values, None), name or f"i={index}", key or f"k{index}")


class Sweep:
    """A folder with a journal, and plans of it."""

    def __init__(self, folder: Path) -> None:
        self.out = OutFolder(folder / "out")

    def ran(self, *ends: tuple[SweepTask, TaskEnd | None], parts: Mapping[str, str] = PARTS) -> None:
        """Write a run in which these tasks have ended, or were running when it was killed."""
        with self.out.hold("art") as journal:
            self._begin(journal, len(ends), ())
            for one, end in ends:
                self.out.task_folder(one.name).mkdir(exist_ok=True)
                journal.append(start_event(one, 1))
                if end is not None:
                    journal.append(end_event(one, end, parts))

    def _begin(self, journal: Journal, count: int, stale: tuple[str, ...]) -> None:
        journal.append({"event": "run", "count": count, "pinned": pinned_event(Pinned()), "stale": list(stale)})

    def plan(
        self, *tasks: SweepTask, request: RunRequest | None = None, parts: Mapping[str, str] = PARTS
    ) -> tuple[Plan, list[str], list[str]]:
        """Return the plan, its lines, and the names of the tasks that run."""
        wanted: list[SweepTask] = []
        request = request if request is not None else RunRequest()
        plan = Planner(self.out, self.out.state("art"), request, lambda one: parts).plan(tasks, wanted)
        return plan, list(reason_lines(plan)), [one.name for one in wanted]


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    return Sweep(tmp_path)


def test_all_of_a_new_sweep_are_new(sweep: Sweep) -> None:
    plan, lines, wanted = sweep.plan(*map(task, range(4)))
    assert lines == ["4 are new"] and wanted == ["i=0", "i=1", "i=2", "i=3"]
    assert [one.index for one in plan.samples] == [0, 1, 3]


def test_the_samples_of_few_tasks(sweep: Sweep) -> None:
    assert [one.index for one in sweep.plan(task(0))[0].samples] == [0]
    assert [one.index for one in sweep.plan(task(0), task(1))[0].samples] == [0, 1]


def test_each_reason_has_a_line(sweep: Sweep) -> None:
    ends = [DONE, DONE, FAILED, FAILED, KILLED, TIMEOUT, NO_RESULT, None]
    sweep.ran(*((task(index), end) for index, end in enumerate(ends)))
    sweep.out.task_folder("i=1").rmdir()
    _, lines, wanted = sweep.plan(*map(task, range(10)))
    assert lines == [
        "1: its folder is gone",
        "    i=1",
        "2: failed, exit 2",
        "    i=2 i=3",
        "1: killed, signal 9",
        "    i=4",
        "1: timeout, signal 15",
        "    i=5",
        "1: no-result",
        "    i=6",
        "1: interrupted while it ran",
        "    i=7",
        "2 are new",
        "1 is done",
    ]
    assert wanted == [f"i={index}" for index in range(1, 10)]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"command": "x"}, "the command changed"),
        ({"image": "x"}, "the image changed"),
        ({"command": "x", "files": "x"}, "the command and the files changed"),
        ({"command": "x", "environment": "x", "inputs": "x"}, "the command, the environment and the inputs changed"),
        ({"config": "x"}, "the config changed"),
        ({}, "its key changed"),
    ],
)
def test_what_changed_is_named(sweep: Sweep, changes: Mapping[str, str], why: str) -> None:
    sweep.ran(*((task(index), DONE) for index in range(12)))
    tasks = [task(index, key="other") if index < 11 else task(index) for index in range(12)]
    plan, lines, _ = sweep.plan(*tasks, parts={**PARTS, **changes})
    assert lines == [f"11: {why}", "    i=0 i=1 i=2 i=3 i=4 i=5 i=6 i=7 and 3 more", "1 is done"]
    assert plan.stale == [f"i={index}" for index in range(11)] and sum(map(len, plan.repeats.values())) == 11


def test_tasks_that_the_file_has_no_more_are_stale(sweep: Sweep) -> None:
    sweep.ran((task(0), DONE), (task(1), FAILED))
    plan, lines, _ = sweep.plan(task(0))
    assert lines == ["1 is done"] and plan.stale == ["i=1"]


def test_tasks_that_are_done_under_another_name_do_not_run(sweep: Sweep) -> None:
    sweep.ran((task(0), DONE), (task(1), DONE), (task(2), FAILED))
    plan, lines, wanted = sweep.plan(*(task(index, name=f"new{index}") for index in range(3)))
    assert plan.moved == {"new0": "i=0", "new1": "i=1"} and wanted == ["new2"]
    assert lines == ["1 is new", "2 are done", "2 of them under another name: their folders are renamed"]


def test_repetitions_with_one_key_stay_apart(sweep: Sweep) -> None:
    sweep.ran(*((task(index, key="same"), DONE) for index in range(2)))
    plan, lines, wanted = sweep.plan(*(task(index, key="same") for index in range(3)))
    assert plan.moved == {} and lines == ["1 is new", "2 are done"] and wanted == ["i=2"]


def test_folders_are_renamed_also_in_a_circle(sweep: Sweep) -> None:
    sweep.ran((task(0), DONE), (task(1), DONE), (task(2), FAILED))
    for index in range(3):
        (sweep.out.task_folder(f"i={index}") / "stdout.txt").write_text(str(index))
    plan, _, _ = sweep.plan(task(0, "k1"), task(1, "k0"))
    assert plan.moved == {"i=0": "i=1", "i=1": "i=0"}
    sweep.out.rename_folders(plan.moved)
    assert [(sweep.out.path / f"i={index}" / "stdout.txt").read_text() for index in range(3)] == ["1", "0", "2"]
    sweep.out.rename_folders({"i=2": "i=0"})
    assert (sweep.out.path / "i=2" / "stdout.txt").read_text() == "1"
    assert (sweep.out.path / "i=2" / "attempt-0" / "stdout.txt").read_text() == "2"


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        (RunRequest(first=2), ["i=0"]),
        (RunRequest(first=1), ["i=0"]),
        (RunRequest(only=("i=2",)), ["i=2"]),
        (RunRequest(only=("i=[23]",)), ["i=2", "i=3"]),
        (RunRequest(only=("mode=a b",)), ["i=0", "i=2", "i=3"]),
        (RunRequest(only=("i=0", "*3")), ["i=0", "i=3"]),
        (RunRequest(only=("*",), first=3), ["i=0", "i=2"]),
        (RunRequest(is_again=True), ["i=0", "i=1", "i=2", "i=3"]),
        (RunRequest(is_again=True, first=2), ["i=0", "i=1"]),
        (RunRequest(only=("i=1",), is_again=True), ["i=1"]),
        (RunRequest(only=("i=1",)), []),
    ],
)
def test_selections(sweep: Sweep, request_: RunRequest, names: list[str]) -> None:
    sweep.ran((task(0), FAILED), (task(1), DONE), (task(2), FAILED))
    assert sweep.plan(*map(task, range(4)), request=request_)[2] == names


def test_a_selection_of_nothing_is_a_mistake(sweep: Sweep) -> None:
    with pytest.raises(SelectionError) as raised:
        sweep.plan(task(0), request=RunRequest(only=("size*", "i=7")))
    assert str(raised.value) == (
        "--only 'size*' or 'i=7' names no task: give a task's name, a pattern such as '*=a b', or name=value of a"
        " parameter as the file writes it"
    )


def test_the_bound_counts_every_attempt() -> None:
    assert str(HoursBound(10, 3600, 3)) == "10 tasks x 3600 s x 3 attempts = 30 machine-hours"
    assert str(HoursBound(3, 300, 1)) == "3 tasks x 300 s = 0.25 machine-hours"
    assert str(HoursBound(1, 3600, 1)) == "1 task x 3600 s = 1 machine-hours"
