"""`sweep logs` of tasks on Batch: what they deliver while they run, then what their end has, each line once."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from batch_sweeps import Answer, FakeMachines, by_value, on_emulator, write_file
from google.cloud import storage  # type: ignore[attr-defined]  # the package has no types
from machines import KILLED
from sweep_command import SweepCommand

from covalent_parallel_plugin.cli.sweep.task_on_batch import FollowedTask, FollowPauses, TaskOnBatch
from covalent_parallel_plugin.cli.sweep.task_printer import TaskPrinter
from covalent_parallel_plugin.cli.sweep.task_search import search_elsewhere, search_here
from covalent_parallel_plugin.protocol.exit_codes import EXIT_RETRY_EXCEPTION
from covalent_parallel_plugin.sweep.records.out_folder import OutFolder
from covalent_parallel_plugin.sweep.records.sweeps_index import UnknownSweepError

Start = Callable[..., FakeMachines]
PLACE = ("--project-id", "local", "--bucket-name", "covalent")


@pytest.fixture
def on_machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    with on_emulator(monkeypatch.setenv) as start:
        yield start


def made(folder: Path, **more: Any) -> SweepCommand:
    folder.mkdir(exist_ok=True)
    write_file(folder, **{"tasks": 2, **more})
    return SweepCommand(folder)


def names(part: str) -> list[str]:
    blobs = storage.Client(project="local").list_blobs("covalent", prefix="covalent-sweeps/")
    return [blob.name for blob in blobs if part in blob.name]


def rest_of(follower: subprocess.Popen[str]) -> tuple[str, str]:
    """What a command still prints until its end, after lines that were read."""
    assert follower.stdout is not None and follower.stderr is not None
    rest, told = follower.stdout.read(), follower.stderr.read()
    follower.wait(180)
    return rest, told


class Running:
    """A program that has printed some lines, and prints the others once its gate is open."""

    def __init__(self, *live: str, rest: str = "") -> None:
        self.live, self.rest = live, rest
        self.gate = threading.Event()

    def __call__(self, task: Mapping[str, Any], attempt: int) -> Answer:
        return Answer(stdout="".join(self.live) + self.rest, live=self.live, gate=self.gate)


def test_of_a_run_that_has_only_begun_no_task_is_unknown(tmp_path: Path) -> None:
    sweep = made(tmp_path / "a")
    with OutFolder(tmp_path / "a" / "art").hold("art"):
        told = sweep("logs", "art", "x=1").stderr
    assert told == "covalent-parallel: x=1: waits: the run has only begun\n"
    assert "has no task 'x=1'" in sweep("logs", "art", "x=1", status=1).stderr


@pytest.fixture
def running(on_machines: Start, tmp_path: Path) -> Iterator[tuple[SweepCommand, Running]]:
    """A detached sweep whose two tasks have delivered what they printed so far."""
    program = Running("one\ntwo\n", "th", "ree\n\x1b[31mred\x1b[0m\n", rest="four\nlast")
    machines = on_machines(program)
    sweep = made(tmp_path / "a")
    sweep("run", "art.yaml", "--detach")
    sweep.wait_for(lambda: len(names("/live/")) == 6, "output")
    yield sweep, program
    program.gate.set()
    machines.wait_for_jobs()


def test_what_a_task_has_delivered_so_far_is_printed(running: tuple[SweepCommand, Running], tmp_path: Path) -> None:
    sweep, _ = running
    so_far = "one\ntwo\nthree\n\x1b[31mred\x1b[0m\n"
    assert sweep("logs", "art", "x=1").stdout == so_far
    both = sweep("logs", "art", "x=1", "--both", "--tail", "3", "--timestamps")
    times = [f"1970-01-01T00:16:{seconds}.500Z " for seconds in (40, 41, 42)]
    assert both.stdout.splitlines() == [f"{times[0]}two", f"{times[1]}three", f"{times[2]}red"]
    assert both.stderr == ""
    first = json.loads(sweep("logs", "art", "x=1", "--json").stdout.splitlines()[0])
    assert first == {
        "sweep": "art",
        "task": "x=1",
        "attempt": 0,
        "stream": "stdout",
        "time": "1970-01-01T00:16:40.500Z",
        "line": "one",
    }
    (tmp_path / "b").mkdir()
    other = SweepCommand(tmp_path / "b")
    assert other("logs", "art", "x=1", *PLACE).stdout == so_far
    assert "the sweep 'art' has no task 'x=9': did you mean x=" in other("logs", "art", "x=9", *PLACE, status=1).stderr
    assert "has no task 'x=9'" in sweep("logs", "art", "x=9", "--stderr", status=1).stderr


@pytest.mark.parametrize("is_here", [True, False])
def test_a_task_is_followed_to_its_end(running: tuple[SweepCommand, Running], tmp_path: Path, is_here: bool) -> None:
    sweep, program = running
    if not is_here:
        (tmp_path / "b").mkdir()
        sweep = SweepCommand(tmp_path / "b")
    with sweep.start("logs", "-f", "art", "x=1", *([] if is_here else PLACE)) as follower:
        assert follower.stdout is not None
        assert [follower.stdout.readline() for _ in range(3)] == ["one\n", "two\n", "three\n"]
        sweep.wait_for(lambda: names("/follow/0000001"), "request for output")
        program.gate.set()
        rest, told = rest_of(follower)
    assert (rest, told, follower.returncode) == ("\x1b[31mred\x1b[0m\nfour\nlast", "", 0)
    assert names("/follow/") == []


def test_ctrl_c_ends_following_and_cancels_nothing(running: tuple[SweepCommand, Running]) -> None:
    sweep, program = running
    with sweep.start("logs", "art", "x=0", "--follow", "--both") as follower:
        assert follower.stdout is not None and follower.stdout.readline() == "one\n"
        sweep.wait_for(lambda: names("/follow/"), "request for output")
        follower.send_signal(signal.SIGINT)
        _, told = rest_of(follower)
    assert follower.returncode == 130 and "the sweep goes on" in told
    assert names("/follow/") == []
    program.gate.set()
    sweep("run", "art.yaml")
    assert sweep("logs", "art", "x=0").stdout.endswith("four\nlast")
    assert names("/live/") == [], "what was delivered while they ran is deleted once the rest is here"


def test_a_closed_pipe_leaves_no_request_for_output(running: tuple[SweepCommand, Running]) -> None:
    sweep, program = running
    with sweep.start("logs", "art", "x=0", "--follow") as follower:
        assert follower.stdout is not None and follower.stdout.readline() == "one\n"
        sweep.wait_for(lambda: names("/follow/"), "request for output")
        follower.stdout.close()
        program.gate.set()
        follower.wait(180)
    assert follower.returncode == 1 and names("/follow/") == []


def test_attempts_follow_each_other_and_a_lost_one_is_said_to_be_so(on_machines: Start, tmp_path: Path) -> None:
    gate = threading.Event()

    def program(task: Mapping[str, Any], attempt: int) -> Answer:
        if task["argv"][-1] == "0":
            return Answer()
        if attempt == 0:
            return Answer(live=["a line\nlast wo", "rds\n"], container_exit=EXIT_RETRY_EXCEPTION)
        return Answer(stdout="again\nend\n", live=["again\n"], gate=gate)

    machines = on_machines(program)
    sweep = made(tmp_path / "a", more="retry_on: [9]")
    sweep("run", "art.yaml", "--detach")
    sweep.wait_for(lambda: len(names("/live/")) == 3, "second attempt")
    with sweep.start("logs", "art", "x=1", "--follow") as follower:
        assert follower.stdout is not None
        assert [follower.stdout.readline() for _ in range(3)] == ["a line\n", "last words\n", "again\n"]
        gate.set()
        rest, told = rest_of(follower)
    assert (rest, follower.returncode) == ("end\n", 0)
    assert told.startswith("covalent-parallel: x=1: attempt 0: lost: ") and told.count("\n") == 1
    machines.wait_for_jobs()
    sweep("gather", "art")
    assert (tmp_path / "a" / "art" / "x=1" / "attempt-0" / "stdout.txt").read_text() == "a line\nlast words\n"
    assert sweep("logs", "art", "x=1").stdout == "again\nend\n"


def test_a_lost_task_has_its_last_words_before_the_message(on_machines: Start, tmp_path: Path) -> None:
    on_machines(by_value({"1": Answer(live=["last words\n"], container_exit=KILLED)}))
    sweep = made(tmp_path / "a", retries=0)
    run = sweep.start("run", "art.yaml")
    sweep.wait_for(lambda: names("/live/"), "output")
    with sweep.start("logs", "art", "x=1", "--follow") as follower:
        printed, told = rest_of(follower)
    run.communicate(timeout=60)
    assert (printed, follower.returncode) == ("last words\n", 0), told
    assert "x=1: attempt 0: lost: " in told or told == ""
    assert (tmp_path / "a" / "art" / "x=1" / "stdout.txt").read_text() == "last words\n"


QUICK = FollowPauses(look=0.1, job=0.2, next_round=0.5)


def followed(found: object) -> tuple[str, str]:
    """What following a task prints, and what it tells, with shorter pauses than the command's."""
    assert isinstance(found, FollowedTask)
    stdout, stderr = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n") for _ in range(2))
    TaskOnBatch(found, TaskPrinter("art", "x=1", ["stdout"], stdout, stderr), QUICK).follow()
    return tuple(stream.buffer.getvalue().decode() for stream in (stdout, stderr))  # type: ignore[attr-defined]


def test_a_task_is_followed_into_the_next_round(on_machines: Start, tmp_path: Path) -> None:
    lost = Answer(live=["lost\n"], container_exit=50001)
    found = iter([lost, lost, Answer(stdout="again\nend\n", live=["again\n"], seconds=1.0)])
    gate = threading.Event()

    def program(task: Mapping[str, Any], attempt: int) -> Answer:
        gate.wait(180)
        return Answer() if task["argv"][-1] == "0" else next(found)

    on_machines(program)
    sweep = made(tmp_path / "a", retries=1)
    with sweep.start("run", "art.yaml") as run:
        sweep.wait_for(lambda: names("/setup"), "round")
        wanted = search_here(OutFolder(tmp_path / "a" / "art"), "x=1", 60)
        gate.set()
        printed, stderr = followed(wanted)
        run.communicate(timeout=60)
    assert printed == "lost\nlost\nagain\nend\n"
    told = [
        line.partition(": its container")[0] for line in stderr.splitlines() if "its machine is at work" not in line
    ]
    assert [line for line in told if "waits for its turn" not in line] == [
        "covalent-parallel: x=1: attempt 0: lost",
        "covalent-parallel: x=1: attempt 1: lost",
        "covalent-parallel: x=1: runs again, in round 1",
    ]
    folder = tmp_path / "a" / "art" / "x=1"
    assert [(folder / f"attempt-{number}" / "stdout.txt").read_text() for number in (0, 1)] == ["lost\n"] * 2


def test_a_task_that_never_reports_is_said_to_be_lost(on_machines: Start, tmp_path: Path) -> None:
    machines = on_machines(by_value({"1": Answer(live=["last words\n"], container_exit=KILLED)}))
    sweep = made(tmp_path / "a", retries=0)
    sweep("run", "art.yaml", "--detach")
    machines.wait_for_jobs()
    place = dict(zip(("project_id", "bucket_name"), ("local", "covalent"), strict=True))
    printed, told = followed(search_elsewhere("art", "x=1", place, UnknownSweepError("none here"), 60))
    assert printed == "last words\n"
    assert "attempt 0: lost: " in told and told.endswith("`covalent-parallel sweep run` runs it again\n")


def test_output_of_somebody_else_is_skipped_with_a_warning(running: tuple[SweepCommand, Running]) -> None:
    sweep, _ = running
    mine = next(name for name in names("/live/0000001-") if name.endswith("-0000002"))
    bucket = storage.Client(project="local").bucket("covalent")
    bucket.blob(mine[:-1] + "3").upload_from_string(b"theirs")
    bucket.blob(mine[:-1] + "4").upload_from_string(bucket.blob(mine).download_as_bytes())
    shown = sweep("logs", "art", "x=1")
    assert shown.stdout == "one\ntwo\nthree\n\x1b[31mred\x1b[0m\n"
    assert shown.stderr.count("warning: some output of a task") == 2 and "is refused" in shown.stderr


def test_a_task_that_waits_says_for_what(on_machines: Start, tmp_path: Path) -> None:
    gate = threading.Event()
    machines = on_machines(lambda task, attempt: Answer(gate=gate), tasks_at_once=1)
    sweep = made(tmp_path / "a")
    sweep("run", "art.yaml", "--detach")
    sweep.wait_for(lambda: machines.started.total(), "start")
    waiting = next(name for name in ("x=0", "x=1") if name not in machines.started)
    told = sweep("logs", "art", waiting)
    assert told.stdout == "" and f"{waiting}: waits for its turn: its job is running" in told.stderr
    gate.set()
    machines.wait_for_jobs()
