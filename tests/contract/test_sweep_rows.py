"""Rows of a sweep's outcomes as they lie in the bucket: a thousand in one list, and refused where they are wrong."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest
from delivered_tasks import DeliveredTask, counted_requests, fill, put

from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.protocol.sweep_identity import SweepIdentity
from covalent_parallel_plugin.protocol.sweep_objects import outcome_name, outcomes_prefix, sweep_folder
from covalent_parallel_plugin.sweep.batch.rows import RowReader

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

KEY = bytes(range(32))


@pytest.fixture
def identity() -> SweepIdentity:
    sweep_id = uuid.uuid4().hex[:12]
    return SweepIdentity(sweep_id, KEY, sweep_folder("faces", sweep_id))


def test_a_row_is_read_as_it_was_written(store: ObjectStore, identity: SweepIdentity) -> None:
    left = {"status": "killed", "exit": 139, "signal": 11, "reason": "killed by signal 11 (SIGSEGV)"}
    task = DeliveredTask(identity, 7, attempt=2, stdout=b"a\xff\n", files={"a": b"1"}, fields=left)
    task.deliver(store)
    (delivery,) = RowReader(store, identity, 0).read()
    assert (delivery.index, delivery.name, delivery.key, delivery.round) == (7, "x=7", task.key, 0)
    end = delivery.end
    assert (end.status, end.exit, end.signal, end.attempts, end.machine) == ("killed", 139, 11, 3, "vm-1")
    assert (end.seconds, end.started, end.ended, end.result, end.peak_mb) == (1.5, 1000.0, 1001.5, None, None)
    assert delivery.row.output == {"stdout": "a\udcff\n", "stderr": ""}
    assert not delivery.is_whole


@pytest.mark.parametrize(
    ("result", "is_elsewhere"), [(None, False), ({"loss": 0.5}, False), ({"text": "x" * 5000}, True)], ids=str
)
def test_a_small_result_is_in_the_row(
    store: ObjectStore, identity: SweepIdentity, result: dict[str, Any] | None, is_elsewhere: bool
) -> None:
    DeliveredTask(identity, 0, result=result).deliver(store)
    (delivery,) = RowReader(store, identity, 0).read()
    assert delivery.is_result_elsewhere is is_elsewhere
    assert delivery.is_whole is not is_elsewhere
    assert delivery.end.result == (None if is_elsewhere else result)


def test_what_was_read_is_not_given_again(store: ObjectStore, identity: SweepIdentity) -> None:
    reader = RowReader(store, identity, 0)
    seen = []
    for index in (5, 0, 3, 1, 2, 4):
        DeliveredTask(identity, index).deliver(store)
        seen.append([delivery.index for delivery in reader.read()])
    assert seen == [[5], [0], [3], [1], [2], [4]]
    assert reader.read() == []


@pytest.mark.parametrize("with_keys", [False, True])
def test_a_list_begins_with_the_first_task_that_is_missing(
    store: ObjectStore, identity: SweepIdentity, with_keys: bool
) -> None:
    tasks = [DeliveredTask(identity, index) for index in range(6)]
    reader = RowReader(store, identity, 0, {task.index: task.key for task in tasks} if with_keys else None)
    for task in tasks[:3] + tasks[4:]:
        task.deliver(store)
    assert len(reader.read()) == 5
    with counted_requests(store) as asked:
        assert reader.read() == []
        tasks[3].deliver(store)
        assert [delivery.index for delivery in reader.read()] == [3]
    assert all("startOffset" in url and "outcomes%2F0000003" in url for url in asked if "startOffset" in url)
    assert sum("startOffset" in url for url in asked) == 2


def test_ten_thousand_rows_take_eleven_lists_at_most(
    on_emulator: Emulator, store: ObjectStore, identity: SweepIdentity
) -> None:
    made = [DeliveredTask(identity, index, result={"x": index}) for index in range(10_000)]
    fill(on_emulator, {task.address.outcome_name: (b"", task.metadata()) for task in made})
    with counted_requests(store) as asked:
        found = RowReader(store, identity, 0, {task.index: task.key for task in made}).read()
    assert [delivery.index for delivery in found] == list(range(10_000))
    assert [delivery.end.result for delivery in found] == [{"x": index} for index in range(10_000)]
    assert len(asked) <= 12


def refused_by(
    store: ObjectStore, identity: SweepIdentity, metadata: Mapping[str, str], index: int = 0, keys: Any = None
) -> list[str]:
    """Why a task's outcome with this metadata is refused."""
    put(store, outcome_name(identity.folder, 0, index), b"", metadata)
    reader = RowReader(store, identity, 0, keys)
    assert reader.read() == [] == reader.read()
    return reader.refused


def test_a_row_under_another_key_than_the_tasks_is_refused(store: ObjectStore, identity: SweepIdentity) -> None:
    task = DeliveredTask(identity, 0)
    (text,) = refused_by(store, identity, task.metadata(), keys={0: "another"})
    assert text.startswith(f"gs://covalent/{task.address.outcome_name} is refused: ") and "another key" in text


def test_a_row_of_a_task_that_the_round_does_not_have_is_refused(store: ObjectStore, identity: SweepIdentity) -> None:
    (text,) = refused_by(store, identity, DeliveredTask(identity, 5).metadata(), index=5, keys={0: "some"})
    assert "another key" in text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("index", 1),
        ("round", 1),
        ("key", None),
        ("name", 7),
        ("attempt", -1),
        ("attempt", True),
        ("token", "short"),
        ("status", "waiting"),
        ("status", "fine"),
        ("status", ["done"]),
        ("exit", "0"),
        ("signal", 1.5),
        ("seconds", None),
        ("seconds", "long"),
        ("started", [1]),
        ("peak_mb", "much"),
        ("machine", {}),
        ("reason", None),
        ("files", "many"),
        ("left", -1),
    ],
)
def test_a_sealed_row_with_an_impossible_field_is_refused(
    store: ObjectStore, identity: SweepIdentity, name: str, value: object
) -> None:
    (text,) = refused_by(store, identity, DeliveredTask(identity, 0, fields={name: value}).metadata())
    assert name in text or "of task" in text


@pytest.mark.parametrize("result", [[1], "text", 5])
def test_a_sealed_result_that_is_no_object_is_refused(store: ObjectStore, identity: SweepIdentity, result: Any) -> None:
    (text,) = refused_by(store, identity, DeliveredTask(identity, 0, result=result).metadata())
    assert "no result as it should be" in text


def test_an_object_that_is_no_outcome_is_refused_and_named(store: ObjectStore, identity: SweepIdentity) -> None:
    task = DeliveredTask(identity, 3)
    prefix = outcomes_prefix(identity.folder, 0)
    for name in ("00000003", "0000003x", "0000003/x"):
        put(store, prefix + name, b"", task.metadata())
    task.deliver(store)
    reader = RowReader(store, identity, 0)
    assert [delivery.index for delivery in reader.read()] == [3]
    assert len(reader.refused) == 3 and all("no task's outcome has such a name" in text for text in reader.refused)


def test_an_outcome_that_takes_the_place_of_a_refused_one_is_read(store: ObjectStore, identity: SweepIdentity) -> None:
    task = DeliveredTask(identity, 0)
    reader = RowReader(store, identity, 0)
    put(store, task.address.outcome_name, task.body())
    assert reader.read() == []
    task.deliver(store)
    assert [delivery.index for delivery in reader.read()] == [0]


# -- a thousand wrong rows: each kind changes what a machine wrote, or puts it in another place


def forged(task: DeliveredTask, draw: random.Random) -> dict[str, str]:
    """Sealed with another key."""
    other = SweepIdentity(task.identity.sweep_id, draw.randbytes(32), task.identity.folder)
    return DeliveredTask(other, task.index, task.round, result=task.result).metadata()


def changed(task: DeliveredTask, draw: random.Random) -> dict[str, str]:
    """A character of a value is another one."""
    made = task.metadata()
    name = draw.choice([name for name in made if made[name]])
    place = draw.randrange(len(made[name]))
    other = draw.choice([letter for letter in "0123456789abcdef{}," if letter != made[name][place]])
    return {**made, name: made[name][:place] + other + made[name][place + 1 :]}


def cut(task: DeliveredTask, draw: random.Random) -> dict[str, str]:
    """A value ends early, or is not there."""
    made = task.metadata()
    name = draw.choice([name for name in made if made[name]])
    left = {**made, name: made[name][: draw.randrange(len(made[name]))]}
    return left if draw.random() < 0.5 else {key: value for key, value in made.items() if key != name}


def swapped(task: DeliveredTask, draw: random.Random) -> dict[str, str]:
    """The row of another task, or a value of one with the rest of this one's."""
    other = DeliveredTask(task.identity, task.index + draw.randrange(1, 50), task.round, result={"loss": -1.0})
    if draw.random() < 0.5:
        return other.metadata()
    return {**task.metadata(), "result": other.metadata()["result"]}


def replayed(task: DeliveredTask, draw: random.Random) -> dict[str, str]:
    """The row of the same task in another round or another sweep."""
    if draw.random() < 0.5:
        return DeliveredTask(task.identity, task.index, task.round + 1 + draw.randrange(3), result={}).metadata()
    other = SweepIdentity(uuid.UUID(int=draw.getrandbits(128)).hex[:12], task.identity.key, task.identity.folder)
    return DeliveredTask(other, task.index, task.round, result={"loss": 1.0}).metadata()


KINDS: Sequence[Callable[[DeliveredTask, random.Random], dict[str, str]]] = (forged, changed, cut, swapped, replayed)


def test_of_a_thousand_wrong_rows_none_is_taken(
    on_emulator: Emulator, store: ObjectStore, identity: SweepIdentity
) -> None:
    draw = random.Random(14)
    objects, keys = {}, {}
    for index in range(1100):
        task = DeliveredTask(identity, index, result={"loss": index / 7}, stdout=b"epoch 1\n")
        keys[index] = task.key
        # Every eleventh is right
        metadata = task.metadata() if index % 11 == 10 else KINDS[index % len(KINDS)](task, draw)
        objects[task.address.outcome_name] = (task.body(), metadata)
    fill(on_emulator, objects)
    reader = RowReader(store, identity, 0, keys)
    found = reader.read() + reader.read()
    assert [delivery.index for delivery in found] == list(range(10, 1100, 11))
    assert [delivery.end.result for delivery in found] == [{"loss": index / 7} for index in range(10, 1100, 11)]
    wrong = [name for name in sorted(objects) if int(name[-7:]) % 11 != 10]
    assert [text.split(" is refused: ")[0] for text in reader.refused] == [f"gs://covalent/{name}" for name in wrong]
    assert len(reader.refused) == 1000
