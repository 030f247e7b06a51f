"""The tasks of a round as objects: written once, read back in order, refused where they are not the ones written."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from delivered_tasks import put

from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.errors import MissingResourceError, OutcomeError
from covalent_parallel_plugin.protocol.envelope import envelope_chunks, seal_envelope
from covalent_parallel_plugin.protocol.sweep_identity import SHARD, SweepIdentity
from covalent_parallel_plugin.protocol.sweep_objects import drain_name, shard_name, shards_prefix, sweep_folder
from covalent_parallel_plugin.sweep.batch.shards import (
    PART,
    ShardError,
    ShardTask,
    drain_round,
    read_shards,
    write_shards,
)


@pytest.fixture
def identity() -> SweepIdentity:
    sweep_id = uuid.uuid4().hex[:12]
    return SweepIdentity(sweep_id, bytes(range(32)), sweep_folder("faces", sweep_id))


def some(count: int, text: str = "é\udcff\n") -> list[ShardTask]:
    template = {"text": text, "mode": 0o644, "mtime_ns": 5, "keep": True}
    return [
        ShardTask(
            index * 3, f"x={index}", f"{index:064x}", ("/bin/é", text, str(index)), {"A": text}, text, {"t": template}
        )
        for index in range(count)
    ]


@pytest.mark.parametrize(("count", "size", "shards"), [(0, 5, 0), (1, 5, 1), (5, 5, 1), (6, 5, 2), (473, 20, 24)])
def test_tasks_are_read_back_in_order(
    store: ObjectStore, identity: SweepIdentity, count: int, size: int, shards: int
) -> None:
    tasks = some(count)
    assert write_shards(store, identity, 2, size, iter(tasks)) == shards
    assert list(read_shards(store, identity, 2, count, size)) == tasks
    names = [f"{identity.folder}/round-2/shards/{number}" for number in range(shards)]
    assert sorted(store.names(identity.folder)) == sorted(names)


def test_a_task_without_configuration_and_templates(store: ObjectStore, identity: SweepIdentity) -> None:
    write_shards(store, identity, 0, 1, [ShardTask(0, "a", "k", ("true",), {})])
    assert list(read_shards(store, identity, 0, 1, 1)) == [ShardTask(0, "a", "k", ("true",), {}, None, {})]


def test_the_same_tasks_may_be_written_again_and_others_may_not(store: ObjectStore, identity: SweepIdentity) -> None:
    tasks = some(7)
    for _ in range(2):
        assert write_shards(store, identity, 0, 3, tasks) == 3
    with pytest.raises(ShardError, match="shards/2 holds other tasks than these"):
        write_shards(store, identity, 0, 3, some(8))
    assert list(read_shards(store, identity, 0, 7, 3)) == tasks


def test_no_more_tasks_are_made_than_are_on_their_way(store: ObjectStore, identity: SweepIdentity) -> None:
    class Refused(Exception):
        pass

    made = 0

    def tasks() -> Iterator[ShardTask]:
        nonlocal made
        for task in some(1000):
            made += 1
            yield task

    put(store, shard_name(identity.folder, 0, 0), b"something else")
    with pytest.raises(ShardError):
        write_shards(store, identity, 0, 1, tasks())
    assert made < 50


def test_a_shard_that_is_gone_is_named(store: ObjectStore, identity: SweepIdentity) -> None:
    write_shards(store, identity, 0, 2, some(5))
    store.delete(shard_name(identity.folder, 0, 1))
    with pytest.raises(MissingResourceError, match="shards/1 is gone"):
        list(read_shards(store, identity, 0, 5, 2))


def test_tasks_that_are_taken_back_are_where_no_machine_finds_them_and_still_read(
    store: ObjectStore, identity: SweepIdentity
) -> None:
    for number in (0, 1):
        write_shards(store, identity, number, 2, some(5))
    for _ in range(2):
        drain_round(store, identity.folder, 0)
    assert store.names(shards_prefix(identity.folder, 0)) == []
    assert store.names(drain_name(identity.folder, 0)) == [drain_name(identity.folder, 0)]
    assert len(store.names(shards_prefix(identity.folder, 1))) == 3
    for number in (0, 1):
        assert list(read_shards(store, identity, number, 5, 2)) == some(5)


@pytest.mark.parametrize("total", [4, 6])
def test_a_shard_with_another_number_of_tasks_is_refused(
    store: ObjectStore, identity: SweepIdentity, total: int
) -> None:
    write_shards(store, identity, 0, 2, some(5))
    reading = read_shards(store, identity, 0, total, 2)
    if total == 4:
        assert list(reading) == some(5)[:4]
        return
    with pytest.raises(OutcomeError, match=r"shards/2.* holds 1 tasks instead of 2"):
        list(reading)


@pytest.mark.parametrize("wrong", ["key", "round", "shard", "sweep", "cut", "changed", "longer"])
def test_a_wrong_shard_is_refused_and_named(store: ObjectStore, identity: SweepIdentity, wrong: str) -> None:
    write_shards(store, identity, 0, 2, some(4))
    others = {"key": identity._replace(key=b"k" * 32), "sweep": identity._replace(sweep_id="other")}
    other = others.get(wrong, identity)
    binding = other.shard_binding(1 if wrong == "round" else 0, 0 if wrong == "shard" else 1)
    parts = {PART: b"[]"}
    data = b"".join(envelope_chunks(seal_envelope({"kind": SHARD}, parts, other.key, binding), parts))
    data = {"cut": data[:-1], "changed": data[:-1] + b"}", "longer": data + b" "}.get(wrong, data)
    put(store, shard_name(identity.folder, 0, 1), data)
    with pytest.raises(OutcomeError, match=r"shards/1, some of the sweep's tasks, .*is refused"):
        list(read_shards(store, identity, 0, 4, 2))


@pytest.mark.parametrize("text", [b"", b"{}", b"[1, 2]", b'[{"index": 1}, {}]', b'[{"argv": 5}]'])
def test_tasks_that_cannot_be_read_are_refused(store: ObjectStore, identity: SweepIdentity, text: bytes) -> None:
    parts = {PART: text}
    prefix = seal_envelope({"kind": SHARD}, parts, identity.key, identity.shard_binding(0, 0))
    put(store, shard_name(identity.folder, 0, 0), b"".join(envelope_chunks(prefix, parts)))
    with pytest.raises(OutcomeError, match="is refused"):
        list(read_shards(store, identity, 0, 2, 2))
