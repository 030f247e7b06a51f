"""Output of tasks that run, read from the bucket, and requests for it: on the emulator, with tasks' own objects."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.cloud.timed_calls import Deadline
from covalent_parallel_plugin.electron.server_secret import ServerSecret
from covalent_parallel_plugin.protocol.envelope import ITEMS, OUTCOME, Part, envelope_chunks, seal_envelope
from covalent_parallel_plugin.protocol.identity import CallIdentity, TaskAddress
from covalent_parallel_plugin.protocol.live_part import (
    LARGEST_LIVE_BYTES,
    FollowRequest,
    LivePart,
    LiveStream,
    read_follow,
    seal_live_part,
)
from covalent_parallel_plugin.results.ended_tasks import read_ended_task
from covalent_parallel_plugin.results.follow_requests import FollowRequests, pause_for
from covalent_parallel_plugin.results.live_reader import PARTS_AT_ONCE, LiveLook, LiveReader, tasks_by_call

NODES = range(100)


@dataclass
class Dispatch:
    """A dispatch with objects in the bucket."""

    store: ObjectStore
    dispatch_id: str
    secret: ServerSecret

    def call(self, node: int = 0) -> CallIdentity:
        return self.secret.identity(self.dispatch_id, node, f"{node:016x}")

    def put(self, address: TaskAddress, part: LivePart, done: int = 0) -> str:
        name = address.live_name(part.attempt, part.number, done)
        assert self.store.put(name, seal_live_part(address, part))
        return name

    def put_items(
        self, address: TaskAddress, texts: Iterable[bytes], first: int, chunk: int | None, chunks: int
    ) -> None:
        """An outcome of a map's task, or a chunk, with items from `first` on, each with a value of a megabyte."""
        texts = list(texts)
        ends = [sum(map(len, texts[: number + 1])) for number in range(len(texts))]
        spots = [spot for text, end in zip(texts, ends, strict=True) for spot in (end - len(text), end, 0, 0)]
        header: dict[str, object] = {
            "kind": ITEMS if chunk is not None else OUTCOME, "outcome": ITEMS, "count": 9, "chunks": chunks,
            "python": "3.11", "attempt": 0,
            "table": {
                "index": list(range(first, first + len(texts))), "size": [2**20] * len(texts), "output": spots,
                "raised": [], "shown": [],
            },
            "outside": [[], []], "streams": [ends[-1] if ends else 0, 0],
        }  # fmt: skip
        parts: dict[str, Part] = {"stdout": b"".join(texts), "stderr": b"", "values": b"v" * 2**20 * len(texts)}
        name = address.outcome_name if chunk is None else address.chunk_name(chunk)
        binding = address.binding(OUTCOME) if chunk is None else address.chunk_binding(chunk)
        prefix = seal_envelope(header, parts, address.call.key, binding)
        assert self.store.put(name, list(envelope_chunks(prefix, parts)))

    def reader(self, secret: ServerSecret | None = None) -> LiveReader:
        return LiveReader(self.store, secret or self.secret, (self.dispatch_id,))


@pytest.fixture
def dispatch(store: ObjectStore) -> Dispatch:
    return Dispatch(store, str(uuid.uuid4()), ServerSecret.random())


def part(number: int, text: bytes = b"line\n", attempt: int = 0) -> LivePart:
    return LivePart(attempt, number, LiveStream(0, text), LiveStream(), (), None, "r")


def deadline() -> Deadline:
    return Deadline(60)


def numbers(look: LiveLook) -> list[tuple[int, int, int]]:
    return [(name.node_id, name.attempt, name.number) for name, _ in look.parts]


def test_each_part_comes_once_and_in_order(dispatch: Dispatch) -> None:
    reader, address = dispatch.reader(), dispatch.call().task()
    for number in (1, 0, 10, 9):
        dispatch.put(address, part(number))
    assert numbers(reader.look(NODES, deadline())) == [(0, 0, 0), (0, 0, 1), (0, 0, 9), (0, 0, 10)]
    dispatch.put(address, part(0, attempt=1))
    assert numbers(reader.look(NODES, deadline())) == [(0, 1, 0)]
    assert numbers(reader.look(NODES, deadline())) == []


@pytest.mark.parametrize("wanted", [[1], [0, 1], [1, 2, 5]])
def test_only_nodes_that_are_wanted_are_read(dispatch: Dispatch, wanted: list[int]) -> None:
    for node in range(6):
        dispatch.put(dispatch.call(node).task(), part(0))
    assert [node for node, _, _ in numbers(dispatch.reader().look(wanted, deadline()))] == wanted


def test_nodes_are_known_of_which_no_part_is_wanted(dispatch: Dispatch) -> None:
    dispatch.put(dispatch.call(3).task(), part(0))
    look = dispatch.reader().look(NODES, deadline(), lambda stored: False)
    assert (look.parts, look.passed_over) == ([], {3})


def test_objects_of_others_are_skipped_with_one_warning(dispatch: Dispatch) -> None:
    address = dispatch.call().task()
    dispatch.put(address, part(0))
    sealed = seal_live_part(address, part(1))
    for number, data in enumerate([b"", b"x" * 100, sealed[:-1], sealed[:-1] + b"?", sealed + b"more", sealed], 2):
        dispatch.store.put(address.live_name(0, number), data)
    dispatch.store.put(address.live_name(0, 90), b"x" * (LARGEST_LIVE_BYTES + 1))
    reader = dispatch.reader()
    look = reader.look(NODES, deadline())
    assert numbers(look) == [(0, 0, 0)]
    assert len(look.warnings) == 1
    assert address.live_name(0, 2) in look.warnings[0]
    assert reader.look(NODES, deadline()).warnings == []


def test_with_another_servers_secret_nothing_is_read(dispatch: Dispatch) -> None:
    dispatch.put(dispatch.call().task(), part(0))
    look = dispatch.reader(ServerSecret.random()).look(NODES, deadline())
    assert (look.parts, len(look.warnings)) == ([], 1)


def test_of_very_many_parts_the_others_come_at_the_next_look(dispatch: Dispatch) -> None:
    address, count = dispatch.call().task(), PARTS_AT_ONCE + 3
    for number in range(count):
        dispatch.put(address, part(number, b""))
    reader = dispatch.reader()
    first = reader.look(NODES, deadline())
    assert (len(first.parts), first.unread) == (PARTS_AT_ONCE, 3)
    assert [number for _, _, number in numbers(reader.look(NODES, deadline()))] == list(range(PARTS_AT_ONCE, count))
    assert len(dispatch.reader().look(NODES, deadline(), is_only=True).parts) == count


def test_tasks_are_counted_until_they_have_ended(dispatch: Dispatch) -> None:
    reader = dispatch.reader()
    for task in range(3):
        dispatch.put(dispatch.call().task(task), part(0))
    dispatch.store.put(dispatch.call(1).object_name, b"")
    look = reader.look(NODES, deadline(), maps={0})
    assert tasks_by_call(look) == {dispatch.call(0).call_id: 3, dispatch.call(1).call_id: 1}
    dispatch.put_items(dispatch.call().task(1), [b"two\n"], 2, chunk=None, chunks=0)
    assert tasks_by_call(reader.look(NODES, deadline(), maps={0}))[dispatch.call(0).call_id] == 2
    dispatch.put(dispatch.call().task(1), part(1))
    assert tasks_by_call(reader.look(NODES, deadline(), maps={0}))[dispatch.call(0).call_id] == 2


def test_names_that_somebody_else_has_written_slow_nobody_down_and_hide_no_call(dispatch: Dispatch) -> None:
    dispatch.put(dispatch.call().task(), part(0))
    forged = dispatch.secret.identity(dispatch.dispatch_id, 0, "f" * 16)
    dispatch.store.put(forged.object_name, b"not sealed")
    for task in range(60):
        dispatch.store.put(dispatch.call().task(task).live_name(0, 7), b"not sealed")
        dispatch.store.put(forged.task(task).live_name(0, 0), b"not sealed")
    look = dispatch.reader().look(NODES, deadline())
    assert tasks_by_call(look) == {dispatch.call().call_id: 1}


def test_before_a_call_has_delivered_all_with_its_node_are_asked(dispatch: Dispatch) -> None:
    calls = [dispatch.secret.identity(dispatch.dispatch_id, 0, digit * 16) for digit in "0f"]
    for call in calls:
        dispatch.store.put(call.object_name, b"")
    assert dispatch.reader().look(NODES, deadline()).calls == {0: calls}


# --- tasks of a map that have ended


def test_what_a_task_printed_is_read_without_its_values(dispatch: Dispatch) -> None:
    address = dispatch.call().task(3)
    dispatch.put_items(address, [b"two\n", b"three\n"], 2, chunk=0, chunks=0)
    dispatch.put_items(address, [b"four\n"], 4, chunk=1, chunks=0)
    dispatch.put_items(address, [b"five\n"], 5, chunk=None, chunks=2)
    printed = read_ended_task(dispatch.store, address)
    assert printed is not None
    assert {item: out for item, (out, _) in printed.items.items()} == {
        2: "two\n",
        3: "three\n",
        4: "four\n",
        5: "five\n",
    }
    reader = dispatch.reader()
    assert reader.look(NODES, deadline()).ended == []
    assert [name.task for name, _ in reader.look(NODES, deadline(), maps={0}).ended] == [3]
    assert reader.look(NODES, deadline(), maps={0}).ended == []


def test_an_outcome_of_somebody_elses_is_skipped(dispatch: Dispatch) -> None:
    address = dispatch.call().task()
    dispatch.store.put(address.outcome_name, b"CVPARLL\x01 not sealed at all")
    look = dispatch.reader().look(NODES, deadline(), maps={0})
    assert (look.ended, len(look.warnings)) == ([], 1)


# --- requests


def request_of(store: ObjectStore, call: CallIdentity) -> FollowRequest | None:
    with io.BytesIO() as file:
        return read_follow(file, call) if store.get(call.follow_name, file) else None


def test_a_request_is_written_renewed_and_deleted(dispatch: Dispatch) -> None:
    now = 0.0
    requests, call = FollowRequests(dispatch.store, lambda: now), dispatch.call()
    requests.renew({call.call_id: call}, 1)
    first = request_of(dispatch.store, call)
    assert first is not None
    assert first[1:] == (60.0, 2.0, None)
    requests.renew({call.call_id: call}, 1)
    assert request_of(dispatch.store, call) == first
    now = 30.0
    requests.renew({call.call_id: call}, 1)
    second = request_of(dispatch.store, call)
    assert second is not None
    assert second.nonce != first.nonce
    requests.renew({call.call_id: call}, 100)
    slower = request_of(dispatch.store, call)
    assert slower is not None
    assert slower.pause_seconds == 4.0
    requests.renew({}, 1)
    assert request_of(dispatch.store, call) is None
    requests.renew({call.call_id: call}, 1)
    requests.end()
    assert request_of(dispatch.store, call) is None


def test_what_somebody_else_wrote_there_is_replaced(dispatch: Dispatch) -> None:
    call = dispatch.call()
    dispatch.store.put(call.follow_name, b"not sealed")
    FollowRequests(dispatch.store).renew({call.call_id: call}, 1)
    assert request_of(dispatch.store, call) is not None


@pytest.mark.parametrize(("tasks", "pause"), [(1, 2.0), (50, 2.0), (100, 4.0), (200, 8.0)])
def test_of_many_tasks_each_delivers_less_often(dispatch: Dispatch, tasks: int, pause: float) -> None:
    call = dispatch.call()
    FollowRequests(dispatch.store).renew({call.call_id: call}, tasks)
    request = request_of(dispatch.store, call)
    assert request is not None
    assert (request.pause_seconds, pause_for(tasks)) == (pause, pause)
    assert request.seconds == 30 * pause
