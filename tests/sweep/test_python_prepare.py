"""`prepare`: a function of the user's that makes a task's folder ready, and is a part of its key."""

from __future__ import annotations

import functools
import threading
from pathlib import Path
from typing import Any

import pytest
from python_sweeps import enter, events

from covalent_parallel_plugin import Sweep, grid


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    enter(tmp_path, monkeypatch.setenv, monkeypatch.chdir)
    return tmp_path


def make(prepare: Any, command: Any = ("cat", "made.txt"), **more: Any) -> Sweep:
    return Sweep(command=command, parameters=grid(x=[1, 2]), name="prep", prepare=prepare, **more)


def write_made(task: Any, folder: Path) -> None:
    (folder / "made.txt").write_text(f"{task.index} {task.name} {task.parameters} {(folder / 'one.txt').exists()}\n")


def test_it_is_called_with_the_task_and_its_folder_once_its_files_are_there(folder: Path) -> None:
    (folder / "one.txt").write_text("one\n")
    records = make(write_made, files=["one.txt"]).run(local=True, show=False)
    assert [(record.folder / "stdout.txt").read_text() for record in records] == [
        "0 x=1 {'x': 1} True\n",
        "1 x=2 {'x': 2} True\n",
    ]
    # As with `files`, what the program has not changed is no output of it
    assert list((folder / "prep" / "x=1" / "files").iterdir()) == []


def test_what_the_program_changes_of_it_stays(folder: Path) -> None:
    make(write_made, ["sh", "-c", "echo more >>made.txt"]).run(local=True, show=False)
    assert (folder / "prep" / "x=2" / "files" / "made.txt").read_text().endswith("False\nmore\n")


def test_a_changed_function_runs_again_and_the_same_does_not(folder: Path) -> None:
    def other(task: Any, folder: Path) -> None:
        (folder / "made.txt").write_text("other\n")

    make(write_made).run(local=True, show=False)
    make(write_made).run(local=True, show=False)
    assert len(events(folder / "prep", "start")) == 2
    plan = make(other).plan(local=True)
    assert plan.plan.reasons == {"the files changed": ["x=1", "x=2"]}
    assert make(None).plan(local=True).plan.to_run == 2
    make(other).run(local=True, show=False)
    assert (folder / "prep" / "x=1" / "stdout.txt").read_text() == "other\n"


def test_a_parameter_that_only_the_function_reads_is_no_mistake() -> None:
    assert make(write_made).plan(local=True).document["warnings"] == []
    assert "is used nowhere" in make(None).plan(local=True).document["warnings"][0]


def test_what_it_raises_refuses_the_task_and_no_other(folder: Path) -> None:
    def some(task: Any, folder: Path) -> None:
        if task.parameters["x"] == 1:
            raise ValueError("x is too small")
        (folder / "made.txt").write_text("fine\n")

    records = make(some).run(local=True, show=False)
    assert [record.status for record in records] == ["refused", "done"]
    assert records[0].reason.startswith("prepare: ValueError: x is too small (test_python_prepare.py, line ")
    # and the next run tries again
    assert make(some).plan(local=True).plan.reasons == {"refused": ["x=1"]}


def test_one_that_leaves_the_interpreter_refuses_its_task_alone() -> None:
    def leave(task: Any, folder: Path) -> None:
        raise SystemExit(3)

    records = make(leave).run(local=True, show=False)
    assert [(record.status, record.reason[:23]) for record in records] == [("refused", "prepare: SystemExit: 3 ")] * 2


def test_calls_come_one_at_a_time() -> None:
    inside = threading.Semaphore(1)
    overlaps: list[str] = []

    def count(task: Any, folder: Path) -> None:
        if not inside.acquire(blocking=False):
            overlaps.append(task.name)
            return
        (folder / "made.txt").write_text("x" * 1_000_000)
        inside.release()

    Sweep(command="true", parameters=grid(x=range(20)), prepare=count, max_parallel=8).run(local=True, show=False)
    assert overlaps == []


def test_what_config_writes_is_not_to_be_changed() -> None:
    def change(task: Any, folder: Path) -> None:
        (folder / "config.json").write_text("{}")

    records = make(change, "true", config="json").run(local=True, show=False)
    assert [record.status for record in records] == ["refused"] * 2
    assert records[0].reason == "prepare: it changed config.json, which `config` writes: leave one of them out"


class Writer:
    """What is called may be an object."""

    def __call__(self, task: Any, folder: Path) -> None:
        (folder / "made.txt").write_text("by an object\n")

    def write(self, word: str, task: Any, folder: Path) -> None:
        (folder / "made.txt").write_text(word)


def test_objects_methods_and_partial_functions_will_do(folder: Path) -> None:
    for prepare in (Writer(), functools.partial(Writer().write, "first"), functools.partial(Writer().write, "second")):
        plan = make(prepare).plan(local=True)
        assert plan.plan.to_run == 2
        assert all(record.status == "done" for record in make(prepare).run(local=True, show=False))
        assert make(prepare).plan(local=True).plan.to_run == 0
    # one without a source
    assert make(print, "true").plan(local=True).plan.to_run == 2
