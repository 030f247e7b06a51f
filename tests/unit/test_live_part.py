"""Parts of the output of a task that runs, and requests for them: what is made is read, and nothing else is."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.protocol.envelope import WireError, envelope_chunks, seal_envelope
from covalent_parallel_plugin.protocol.identity import CallIdentity, TaskAddress
from covalent_parallel_plugin.protocol.live_part import (
    LARGEST_LIVE_BYTES,
    LIVE_BYTES,
    MOST_SPANS,
    MOST_TIMES,
    FollowRequest,
    ItemSpan,
    LivePart,
    LiveStream,
    read_follow,
    read_live_part,
    seal_follow,
    seal_live_part,
)

CALL = CallIdentity("0" * 16, b"k" * 32, "covalent-parallel/d/1/" + "0" * 16)
TASK = CALL.task(3, 1)
PART = LivePart(
    2,
    5,
    LiveStream(100, b"out\n", ((100, 1.5), (102, 3.0))),
    LiveStream(7, b"", ()),
    (ItemSpan(4, 100, 102, 7, 7), ItemSpan(8, 102, 104, 7, 7)),
    8,
    "abc",
)


def read(data: bytes, address: TaskAddress = TASK, attempt: int = 2, number: int = 5) -> LivePart:
    return read_live_part(io.BytesIO(data), address, attempt, number)


@given(st.integers(0, 2**40), st.binary(max_size=300), st.integers(0, 2**40), st.binary(max_size=300))
def test_a_part_comes_back(out_start: int, stdout: bytes, err_start: int, stderr: bytes) -> None:
    part = PART._replace(
        stdout=LiveStream(out_start, stdout, ((out_start, 1e9),)), stderr=LiveStream(err_start, stderr), items=()
    )
    found = read(seal_live_part(TASK, part))
    assert found == part
    assert (found.stdout.end - out_start, found.stderr.end - err_start) == (len(stdout), len(stderr))


def test_items_and_times_come_back() -> None:
    assert read(seal_live_part(TASK, PART)) == PART


def test_the_largest_part_comes_back() -> None:
    start = 2**50
    streams = [
        LiveStream(start, b"x" * LIVE_BYTES, tuple((start + n, 1764277783.123456) for n in range(MOST_TIMES)))
    ] * 2
    spans = tuple(ItemSpan(n, start, start, start, start) for n in range(MOST_SPANS))
    part = PART._replace(stdout=streams[0], stderr=streams[1], items=spans)
    data = seal_live_part(TASK, part)
    assert len(data) <= LARGEST_LIVE_BYTES
    assert read(data) == part


@pytest.mark.parametrize(
    ("address", "attempt", "number"),
    [
        (CALL._replace(key=b"l" * 32).task(3, 1), 2, 5),
        (CALL._replace(call_id="1" * 16).task(3, 1), 2, 5),
        (CALL.task(4, 1), 2, 5),
        (CALL.task(3, 0), 2, 5),
        (TASK, 1, 5),
        (TASK, 2, 6),
    ],
)
def test_a_part_for_another_place_is_refused(address: TaskAddress, attempt: int, number: int) -> None:
    with pytest.raises(WireError, match="seal"):
        read(seal_live_part(TASK, PART), address, attempt, number)


def test_a_part_that_is_cut_lengthened_or_changed_is_refused() -> None:
    data = seal_live_part(TASK, PART)
    for size in range(len(data)):
        with pytest.raises(WireError):
            read(data[:size])
    for changed in (data + b"x", data[:-1] + b"x", b"x" + data, b"x" * (LARGEST_LIVE_BYTES + 1)):
        with pytest.raises(WireError):
            read(changed)


HEADER: dict[str, Any] = {
    "stdout": [100, 104],
    "stderr": [7, 7],
    "times": {"stdout": [[100, 1.5]], "stderr": []},
    "items": [[4, 100, 102, 7, 7]],
    "running": None,
}


def of_header(header: dict[str, Any], **parts: bytes) -> bytes:
    there = parts or {"stdout": b"out\n", "stderr": b""}
    return b"".join(envelope_chunks(seal_envelope(header, there, CALL.key, TASK.live_binding(2, 5)), there))


def test_what_a_task_need_not_tell_may_be_missing() -> None:
    assert read(of_header(HEADER)).stdout == LiveStream(100, b"out\n", ((100, 1.5),))


@pytest.mark.parametrize(
    "changed",
    [
        {"stdout": None}, {"stdout": [100]}, {"stdout": [100, 104, 5]}, {"stdout": "ab"}, {"stdout": [100.0, 104]},
        {"stdout": [104, 100]}, {"stdout": [-4, 0]}, {"stdout": [0, 5]}, {"stdout": [False, 4]},
        {"stderr": [2**70] * 2},
        {"times": None}, {"times": {}}, {"times": []}, {"times": {"stdout": [[100]], "stderr": []}},
        {"times": {"stdout": [[99, 1.0]], "stderr": []}}, {"times": {"stdout": [[105, 1.0]], "stderr": []}},
        {"times": {"stdout": [[102, 1.0], [101, 2.0]], "stderr": []}},
        {"times": {"stdout": [[100, math.nan]], "stderr": []}}, {"times": {"stdout": [[100, math.inf]], "stderr": []}},
        {"times": {"stdout": [[100, "now"]], "stderr": []}}, {"times": {"stdout": [[100, 10**400]], "stderr": []}},
        {"times": {"stdout": [[100, 1.0]] * (MOST_TIMES + 1), "stderr": []}},
        {"items": None}, {"items": {}}, {"items": [[4]]}, {"items": [4]}, {"items": ["abcde"]},
        {"items": [[4.0, 100, 102, 7, 7]]},
        {"items": [[4, 99, 102, 7, 7]]}, {"items": [[4, 100, 105, 7, 7]]}, {"items": [[4, 102, 100, 7, 7]]},
        {"items": [[4, 100, 100, 6, 7]]}, {"items": [[-4, 100, 102, 7, 7]]},
        {"items": [[4, 100, 102, 7, 7]] * (MOST_SPANS + 1)},
        {"running": "4"}, {"running": -1}, {"running": True}, {"run": 5}, {"run": "x" * 101},
    ],
)  # fmt: skip
def test_a_sealed_part_that_makes_no_sense_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        read(of_header({**HEADER, **changed}))


@pytest.mark.parametrize("missing", list(HEADER))
def test_a_sealed_part_without_one_of_its_fields_is_refused(missing: str) -> None:
    with pytest.raises(WireError):
        read(of_header({key: value for key, value in HEADER.items() if key != missing}))


def test_a_sealed_part_without_a_stream_or_with_too_much_of_one_is_refused() -> None:
    with pytest.raises(WireError):
        read(of_header(HEADER, stdout=b"out\n"))
    long = {**HEADER, "stdout": [0, LIVE_BYTES + 1], "items": [], "times": {"stdout": [], "stderr": []}}
    with pytest.raises(WireError):
        read(of_header(long, stdout=b"x" * (LIVE_BYTES + 1), stderr=b""))


@pytest.mark.parametrize(
    "request_", [FollowRequest("n"), FollowRequest("n", 30, 0.25, (1, 2, 700)), FollowRequest("", 1.5, 8.0, ())]
)
def test_a_request_comes_back(request_: FollowRequest) -> None:
    assert read_follow(io.BytesIO(seal_follow(CALL, request_)), CALL) == request_


@pytest.mark.parametrize("other", [CALL._replace(key=b"l" * 32), CALL._replace(call_id="1" * 16)])
def test_a_request_for_another_call_is_refused(other: CallIdentity) -> None:
    with pytest.raises(WireError, match="seal"):
        read_follow(io.BytesIO(seal_follow(CALL, FollowRequest("n"))), other)


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header.pop("nonce"), lambda header: header.pop("seconds"), lambda header: header.pop("tasks"),
        lambda header: header.update(nonce=5), lambda header: header.update(nonce="x" * 101),
        lambda header: header.update(seconds=0), lambda header: header.update(seconds=-1),
        lambda header: header.update(seconds=1e9), lambda header: header.update(seconds=math.nan),
        lambda header: header.update(seconds="60"), lambda header: header.update(pause_seconds=0),
        lambda header: header.update(pause_seconds=None), lambda header: header.update(tasks=5),
        lambda header: header.update(tasks=[-1]), lambda header: header.update(tasks=["1"]),
    ],
)  # fmt: skip
def test_a_sealed_request_that_makes_no_sense_is_refused(change: Callable[[dict[str, Any]], Any]) -> None:
    header: dict[str, Any] = {"nonce": "n", "seconds": 60, "pause_seconds": 2.0, "tasks": None}
    assert read_follow(io.BytesIO(seal_envelope(header, {}, CALL.key, CALL.follow_binding)), CALL).nonce == "n"
    change(header)
    with pytest.raises(WireError):
        read_follow(io.BytesIO(seal_envelope(header, {}, CALL.key, CALL.follow_binding)), CALL)


def test_a_request_that_is_cut_or_lengthened_is_refused() -> None:
    data = seal_follow(CALL, FollowRequest("n"))
    for changed in (b"", data[:5], data[:-1], data + b"x", b"x" * 2**21):
        with pytest.raises(WireError):
            read_follow(io.BytesIO(changed), CALL)
