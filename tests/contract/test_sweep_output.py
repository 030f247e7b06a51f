"""What a task of a sweep prints, read from whatever it is in: each byte once, and in order."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from delivered_tasks import DeliveredTask, put

from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.cloud.timed_calls import Deadline
from covalent_parallel_plugin.programs.kept_output import KeptOutput
from covalent_parallel_plugin.protocol.live_part import LiveStream
from covalent_parallel_plugin.protocol.sweep_identity import ATTEMPT, SweepIdentity
from covalent_parallel_plugin.protocol.sweep_objects import sweep_folder
from covalent_parallel_plugin.sweep.batch.task_output import PrintedOutput, RoundTask
from covalent_parallel_plugin.sweep.printed_piece import AttemptEnd, PrintedPiece

LIMIT = 1000


@pytest.fixture
def identity() -> SweepIdentity:
    sweep_id = uuid.uuid4().hex[:12]
    return SweepIdentity(sweep_id, bytes(range(32)), sweep_folder("faces", sweep_id))


def output_of(store: ObjectStore, task: DeliveredTask) -> PrintedOutput:
    return PrintedOutput(store, RoundTask(task.address, task.name, task.key, 0, LIMIT))


def look(output: PrintedOutput) -> list[object]:
    """What a look gives: an attempt's bytes of stdout joined, and ends."""
    found: list[object] = []
    for each in output.look(Deadline(60)):
        if isinstance(each, AttemptEnd):
            found.append((each.attempt, each.status, each.is_last))
        elif each.stream == "stdout":
            if found and isinstance(found[-1], bytes):
                found[-1] += each.output.data
            else:
                found.append(each.output.data)
    return found


def test_parts_are_given_once_and_the_outcome_has_the_rest(store: ObjectStore, identity: SweepIdentity) -> None:
    task = DeliveredTask(identity, 3, stdout=b"one\ntwo\nthree\n", stderr=b"trouble")
    output = output_of(store, task)
    assert look(output) == [] and not output.has_begun
    task.print(store, 0, LiveStream(0, b"one\nt"))
    assert look(output) == [b"one\nt"] and output.has_begun
    assert look(output) == []
    task.print(store, 1, LiveStream(5, b"wo\n"), LiveStream(0, b"trou"))
    DeliveredTask(identity, 4).print(store, 0, LiveStream(0, b"another task's"))
    assert look(output) == [b"wo\n"]
    task.deliver(store)
    found = list(output.look(Deadline(60)))
    assert [(each.stream, each.output.data) for each in found if isinstance(each, PrintedPiece)] == [
        ("stdout", b"three\n"),
        ("stderr", b"ble"),
    ]
    assert found[-1] == AttemptEnd(0, "done", "", True)
    assert look(output) == []


@pytest.mark.parametrize("size", [3, 5000], ids=["in its row", "in its body"])
def test_of_a_task_that_has_ended_the_outcome_alone_is_read(
    store: ObjectStore, identity: SweepIdentity, size: int
) -> None:
    DeliveredTask(identity, 0, stdout=b"earlier", fields={"status": "failed"}).leave(store)
    task = DeliveredTask(identity, 0, attempt=1, stdout=b"x" * size)
    task.print(store, 0, LiveStream(0, b"xx"))
    task.deliver(store)
    assert look(output_of(store, task)) == [b"x" * size, (1, "done", True)]


def test_attempts_come_one_after_the_other_with_what_each_has_left(store: ObjectStore, identity: SweepIdentity) -> None:
    retried = DeliveredTask(identity, 0, stdout=b"first try", fields={"status": "failed", "reason": "exit status 9"})
    killed = DeliveredTask(identity, 0, attempt=1)
    last = DeliveredTask(identity, 0, attempt=2, stdout=b"third")
    retried.print(store, 0, LiveStream(0, b"first"))
    output = output_of(store, last)
    assert look(output) == [b"first"]
    retried.leave(store)
    killed.print(store, 0, LiveStream(0, b"second"))
    assert look(output) == [b" try", (0, "failed", False), b"second"]
    last.print(store, 0, LiveStream(0, b"thi"))
    assert look(output) == [(1, "lost", False), b"thi"]
    last.deliver(store)
    assert look(output) == [b"rd", (2, "done", True)]


def test_what_nothing_more_came_of_is_lost_once_its_job_has_ended(store: ObjectStore, identity: SweepIdentity) -> None:
    task = DeliveredTask(identity, 0)
    task.print(store, 0, LiveStream(0, b"last words"))
    output = output_of(store, task)
    assert look(output) == [b"last words"]
    assert [(end.attempt, end.status, end.is_last) for end in output.give_up()] == [(0, "lost", False)]
    assert list(output.give_up()) == []


@pytest.mark.parametrize("seen", [0, 300, 700, 4900, 5000])
def test_of_more_output_than_is_kept_the_end_comes_after_what_was_seen(
    store: ObjectStore, identity: SweepIdentity, tmp_path: Path, seen: int
) -> None:
    whole = b"".join(b"line %03d\n" % number for number in range(556))[:5000]
    with KeptOutput(tmp_path / "stdout.txt", LIMIT) as kept:
        kept.write(whole)
    task = DeliveredTask(identity, 0, stdout=(tmp_path / "stdout.txt").read_bytes())
    task.print(store, 0, LiveStream(0, whole[:seen]))
    output = output_of(store, task)
    before = look(output)
    task.deliver(store)
    rest, _ = look(output) if seen < len(whole) else (b"", None)
    shown = b"".join(part for part in before if isinstance(part, bytes))
    assert shown == whole[:seen] and isinstance(rest, bytes)
    assert rest.endswith(whole[max(seen, 4500) :])
    assert (b"bytes are left out here: log_limit is" in rest) == (seen < 4500)


def test_what_is_not_the_tasks_own_is_named_and_skipped(store: ObjectStore, identity: SweepIdentity) -> None:
    task = DeliveredTask(identity, 0, stdout=b"mine")
    execution = task.address.execution(task.token)
    name = task.print(store, 0, LiveStream(0, b"mi"))
    put(store, execution.live_name(0, 1), b"theirs")
    other = DeliveredTask(identity, 1, token=task.token)
    put(store, execution.live_name(0, 2), b"")
    store.delete(name)
    put(store, execution.live_name(0, 0), b"x" * 5_000_000)
    output = output_of(store, task)
    assert look(output) == []
    assert len(output.refused) == 3 and all("is refused" in text for text in output.refused)
    put(store, task.address.outcome_name, other.body(), other.metadata())
    assert look(output) == [] and "outcomes/0000000 is refused" in output.refused[-1]
    put(store, task.address.outcome_name, task.body(), task.metadata())
    assert look(output) == [b"mine", (0, "done", True)]


def test_a_part_that_is_deleted_meanwhile_is_in_what_was_reported(store: ObjectStore, identity: SweepIdentity) -> None:
    task = DeliveredTask(identity, 0, stdout=b"onetwo")
    task.print(store, 0, LiveStream(0, b"one"))
    output = output_of(store, task)
    assert look(output) == [b"one"]
    put(store, task.address.attempt_name(0, task.token), task.body(ATTEMPT))
    store.delete(task.address.execution(task.token).live_name(0, 0))
    assert look(output) == [b"two", (0, "done", False)]
