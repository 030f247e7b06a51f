"""An envelope that is copied into memory or a file: hashed on its way, refused as soon as it is not the sealed one."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from covalent_parallel_plugin.batch.download_buffer import DownloadBuffer
from covalent_parallel_plugin.electron.outcome import read_outcome
from covalent_parallel_plugin.errors import OutcomeError
from covalent_parallel_plugin.protocol import envelope
from covalent_parallel_plugin.protocol.envelope import (
    MAGIC,
    MAPPED_BYTES,
    OUTCOME,
    Part,
    envelope_chunks,
    seal_envelope,
)
from covalent_parallel_plugin.protocol.identity import CallIdentity, task_binding
from covalent_parallel_plugin.protocol.limits import MAX_HEADER_BYTES

KEY = b"k" * 32
CALL_ID = "call-1"
ADDRESS = CallIdentity(CALL_ID, KEY, "").task()
BOUND_TO = task_binding(OUTCOME, CALL_ID)
VALUE = os.urandom(MAPPED_BYTES + 100_000)
PIECE = 1024 * 1024


@pytest.fixture(params=[2**30, MAPPED_BYTES, 0], ids=["in memory", "moved to a file", "in a file"])
def arrival(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DownloadBuffer]:
    with DownloadBuffer(str(tmp_path), KEY, BOUND_TO, "the outcome", most_in_memory=request.param) as arrival:
        yield arrival
    assert list(tmp_path.iterdir()) == []


def sealed(**parts: Part) -> bytes:
    header = {"outcome": envelope.VALUE, "attempt": 0, "python": "3.11.7"}
    return b"".join(envelope_chunks(seal_envelope(header, parts, KEY, BOUND_TO), parts))


def copy(data: bytes, arrival: DownloadBuffer, piece: int = PIECE) -> None:
    for offset in range(0, len(data), piece):
        arrival.write(data[offset : offset + piece])


def content(arrival: DownloadBuffer) -> bytes:
    arrival.file.seek(0)
    return arrival.file.read()


@pytest.mark.parametrize("piece", [997, 64 * 1024, PIECE, 100 * PIECE])
@pytest.mark.parametrize("before", [0, 5 * PIECE])
def test_the_last_part_is_hashed_however_it_comes(arrival: DownloadBuffer, piece: int, before: int) -> None:
    data = sealed(stdout=bytes(before), value=VALUE)
    copy(data, arrival, piece)
    assert arrival.sha256 == hashlib.sha256(VALUE).hexdigest()
    assert content(arrival) == data


def test_a_large_value_is_read_with_the_hash_that_was_made_on_the_way(arrival: DownloadBuffer) -> None:
    copy(sealed(stdout=b"out", value=VALUE), arrival)
    outcome = read_outcome(arrival.file, ADDRESS, sha256=arrival.sha256)
    assert (bytes(outcome.pickle), outcome.stdout) == (VALUE, "out")


@pytest.mark.parametrize("most_in_memory", [0, 2**30])
def test_a_large_value_outlives_where_it_came(tmp_path: Path, most_in_memory: int) -> None:
    with DownloadBuffer(str(tmp_path), KEY, BOUND_TO, "the outcome", most_in_memory) as arrival:
        copy(sealed(value=VALUE), arrival)
        outcome = read_outcome(arrival.file, ADDRESS)
    del arrival
    assert bytes(outcome.pickle) == VALUE


@pytest.mark.parametrize("place", [-1, -len(VALUE), -len(VALUE) // 2])
@pytest.mark.parametrize("is_hashed", [True, False])
def test_a_changed_large_value_is_refused(arrival: DownloadBuffer, place: int, is_hashed: bool) -> None:
    data = bytearray(sealed(stdout=b"out", value=VALUE))
    data[place] ^= 1
    copy(bytes(data), arrival)
    with pytest.raises(OutcomeError, match="'value' is not the one that was sealed"):
        read_outcome(arrival.file, ADDRESS, sha256=arrival.sha256 if is_hashed else "")


def test_what_comes_after_a_new_beginning_counts_alone(arrival: DownloadBuffer) -> None:
    data = sealed(value=VALUE)
    copy(data[: 5 * PIECE], arrival)
    arrival.seek(0)
    arrival.truncate()
    assert arrival.sha256 == ""
    copy(data, arrival)
    assert arrival.sha256 == hashlib.sha256(VALUE).hexdigest()


@pytest.mark.parametrize("data", [sealed(value=b"small"), sealed(value=VALUE)[:-PIECE], sealed()[:40], b"forg", b""])
@pytest.mark.parametrize("piece", [7, PIECE])
def test_what_is_cut_short_is_left_to_the_reader(arrival: DownloadBuffer, data: bytes, piece: int) -> None:
    copy(data, arrival, max(piece, len(data) // 1000))
    assert arrival.sha256 != hashlib.sha256(VALUE).hexdigest()
    assert content(arrival) == data


def endless(start: bytes, piece: int = 100_000) -> Iterator[bytes]:
    """An object that never ends, in pieces; some of the first are as short as a byte."""
    for offset in range(60):
        yield start[offset : offset + 1] or b"x"
    yield start[60:]
    yield from itertools.repeat(b"x" * piece, 10_000)


SMALL = sealed(stdout=b"out", value=b"small")
FOREIGN = b"".join(envelope_chunks(seal_envelope({"outcome": "value"}, {}, b"another key", BOUND_TO), {}))


@pytest.mark.parametrize(
    ("start", "most_bytes", "reason"),
    [
        pytest.param(b"noise", 12, "does not start as version 1", id="no envelope"),
        pytest.param(MAGIC[:-1] + b"\x02" + SMALL[8:], 12, "does not start as version 1", id="another version"),
        pytest.param(MAGIC + b"\xff" * 4, 12, "names a header of", id="a header of 4 GB"),
        pytest.param(FOREIGN, len(FOREIGN), "seal does not fit", id="another key"),
        pytest.param(SMALL.replace(b'"attempt":0', b'"attempt":1'), len(SMALL), "seal does not fit", id="changed"),
        pytest.param(
            MAGIC + MAX_HEADER_BYTES.to_bytes(4, "big"), MAX_HEADER_BYTES + 200_000, "seal does not fit", id="long"
        ),
        pytest.param(SMALL, len(SMALL) + 200_000, "longer than the", id="more than the header says"),
    ],
)
def test_what_is_not_the_sealed_object_costs_its_header_and_no_more(
    arrival: DownloadBuffer, start: bytes, most_bytes: int, reason: str
) -> None:
    written = 0
    with pytest.raises(OutcomeError, match=f"the outcome in the bucket is refused: .*{reason}"):
        for piece in endless(start):
            written += len(piece)
            arrival.write(piece)
    assert written <= most_bytes
    assert content(arrival) == b""


def test_a_refused_object_is_let_go_though_its_error_is_kept(tmp_path: Path) -> None:
    data = bytearray(sealed(value=VALUE))
    data[-1] ^= 1
    with DownloadBuffer(str(tmp_path), KEY, BOUND_TO, "the outcome") as arrival:
        copy(bytes(data), arrival)
        with pytest.raises(OutcomeError) as caught:
            read_outcome(arrival.file, ADDRESS, arrival.sha256, arrival.envelope)
    assert arrival.file.closed
    assert "not the one that was sealed" in str(caught.value)
