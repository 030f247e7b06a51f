"""A sweep from Python on the emulator's Batch, with machines that are threads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from batch_sweeps import IMAGE, Answer, FakeMachines, by_value, on_emulator
from python_sweeps import enter, events

from covalent_parallel_plugin import ParallelError, Sweep, grid
from covalent_parallel_plugin.errors import SweepStoppedError

Start = Callable[..., FakeMachines]


@pytest.fixture
def on_machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    enter(tmp_path, monkeypatch.setenv, monkeypatch.chdir)
    with on_emulator(monkeypatch.setenv) as start:
        yield start


def art(parameters: Any = None, **more: Any) -> Sweep:
    return Sweep(
        image=IMAGE,
        # No registry has the image, and so the sweep says what it begins with
        entrypoint=["prog"],
        command=["-x", "{x}"],
        parameters=grid(x=range(5)) if parameters is None else parameters,
        resources={"project_id": "local", "bucket_name": "covalent", "poll_freq": 0.5, "vcpus": 1},
        **{"retries": 1, **more},
    )


def test_a_sweep_runs_on_batch_and_the_second_run_submits_nothing(on_machines: Start) -> None:
    machines = on_machines(by_value({"3": Answer(exit=4)}))
    records = art().run(show=False)
    assert [(record.name, record.status) for record in records] == [
        *((f"x={x}", "done") for x in range(3)), ("x=3", "failed"), ("x=4", "done"),
    ]  # fmt: skip
    assert records[2].result == {"x": 2}
    assert (records[2].folder / "stdout.txt").read_text() == "x is 2\n"
    machines.program = by_value({})
    seen = [record.index for record in art().run_iter()]
    assert sorted(seen) == list(range(5))
    # What was done comes first
    assert seen[-1] == 3
    assert machines.started.total() == 6
    assert art().results[3] == {"x": 3}
    assert art().plan().plan.done == 5


def test_outputs_are_left_in_the_bucket_where_that_is_asked_for(on_machines: Start) -> None:
    on_machines()
    records = art().run(show=False, download=False)
    assert [record.status for record in records] == ["done"] * 5
    assert not records[0].folder.exists()


def test_a_break_cancels_the_job(on_machines: Start) -> None:
    machines = on_machines(by_value({"0": Answer()}, Answer(seconds=600)))
    for record in art().run_iter():
        assert record.name == "x=0"
        break
    assert set(machines.job_states()) == {"CANCELLED"}
    assert {record.status for record in art().records[1:]} <= {"cancelled", "waiting"}


def test_an_image_that_does_not_start_stops_the_run(on_machines: Start) -> None:
    on_machines(by_value({}, Answer(container_exit=127)))
    with pytest.raises(SweepStoppedError, match="the container could not be started") as raised:
        art().run(show=False)
    assert [record.status for record in raised.value.records] == ["waiting"] * 5


def test_rounds_of_a_function_are_jobs(on_machines: Start) -> None:
    machines = on_machines()

    def rows(records: list[Any]) -> list[dict[str, int]]:
        return [{"x": len(records) + more} for more in range(2)] if len(records) < 4 else []

    records = art(rows).run(show=False)
    assert [record["result.x"] for record in records] == [0, 1, 2, 3]
    assert machines.rpcs["CreateJob"] == 2


def test_what_prepares_a_task_travels_with_it(on_machines: Start, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("plain\n")
    (tmp_path / "run.sh.template").write_text("echo {x}\n")
    seen: dict[str, Any] = {}

    def program(task: Mapping[str, Any], attempt: int) -> Answer:
        seen[task["name"]] = task["templates"]
        return Answer()

    def prepare(task: Any, folder: Path) -> None:
        assert (folder / "run.sh").read_text() == f"echo {task.parameters['x']}\n"
        assert json.loads((folder / "config.json").read_text()) == task.parameters
        (folder / "words.txt").write_text(f"changed for {task.name}\n")
        (folder / "more").mkdir()
        (folder / "more" / "bytes").write_bytes(b"\xff\x00")
        (folder / "more" / "bytes").chmod(0o750)

    machines = on_machines(program)
    sweep = art(grid(x=[1, 2]), files=["words.txt", "run.sh.template"], config="json", prepare=prepare)
    assert [record.status for record in sweep.run(show=False)] == ["done"] * 2
    assert {name: made["text"] for name, made in seen["x=2"].items()} == {
        "run.sh": "echo 2\n", "words.txt": "changed for x=2\n", "more/bytes": "\udcff\0",
    }  # fmt: skip
    assert seen["x=1"]["more/bytes"]["mode"] == 0o750
    assert sweep.plan().plan.to_run == 0
    assert machines.rpcs["CreateJob"] == 1


def test_what_cannot_be_prepared_stops_the_run_before_it_is_submitted(on_machines: Start, tmp_path: Path) -> None:
    machines = on_machines()
    (tmp_path / "words.txt").write_text("plain\n")

    def raises(task: Any, folder: Path) -> None:
        raise RuntimeError(f"not {task.name}")

    def removes(task: Any, folder: Path) -> None:
        (folder / "words.txt").unlink()

    def links(task: Any, folder: Path) -> None:
        (folder / "link").symlink_to("words.txt")

    def empties(task: Any, folder: Path) -> None:
        (folder / "empty").mkdir()

    def fills(task: Any, folder: Path) -> None:
        (folder / "large").write_bytes(bytes(1_000_001))

    for prepare, why in {
        raises: r"prepare: RuntimeError: not x=0 \(test_python_batch.py, line ",
        removes: "prepare: it removed words.txt, which tasks on Batch still get",
        links: "prepare: it made link, which is not a file: only files are uploaded to Batch",
        empties: "prepare: it made the empty folder empty: only files are uploaded to Batch",
        fills: "prepare: it made 1,000,001 bytes for one task, and at most 1,000,000 are uploaded to Batch: name",
    }.items():
        with pytest.raises(SweepStoppedError, match=why):
            art(files=["words.txt"], prepare=prepare).run(show=False)
    assert machines.rpcs["CreateJob"] == 0
    assert len(events(tmp_path / "art", "round-end")) == 5


def test_options_that_mean_nothing_together_are_refused(on_machines: Start) -> None:
    on_machines()
    with pytest.raises(ParallelError, match="follow=True prints what tasks on this machine write"):
        art().run(follow=True)
