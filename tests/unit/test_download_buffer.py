"""An envelope that is copied into memory or a file: what is hashed on the way is the last part's, or nothing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from covalent_parallel_plugin.electron.download_buffer import DownloadBuffer
from covalent_parallel_plugin.electron.outcome import read_outcome
from covalent_parallel_plugin.errors import OutcomeError
from covalent_parallel_plugin.protocol import envelope
from covalent_parallel_plugin.protocol.envelope import MAPPED_BYTES, OUTCOME, Part, envelope_chunks, seal_envelope
from covalent_parallel_plugin.protocol.identity import CallIdentity, task_binding

KEY = b"k" * 32
CALL_ID = "call-1"
ADDRESS = CallIdentity(CALL_ID, KEY, "").task()
BOUND_TO = task_binding(OUTCOME, CALL_ID)
VALUE = os.urandom(MAPPED_BYTES + 100_000)
PIECE = 1024 * 1024


@pytest.fixture(params=[2**30, MAPPED_BYTES, 0], ids=["in memory", "moved to a file", "in a file"])
def arrival(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DownloadBuffer]:
    with DownloadBuffer(str(tmp_path), KEY, BOUND_TO, most_in_memory=request.param) as arrival:
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
    with DownloadBuffer(str(tmp_path), KEY, BOUND_TO, most_in_memory) as arrival:
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


@pytest.mark.parametrize("data", [sealed(value=b"small"), b"x" * len(VALUE), sealed(value=VALUE)[:-PIECE]])
def test_what_is_small_or_no_envelope_is_left_to_the_reader(arrival: DownloadBuffer, data: bytes) -> None:
    copy(data, arrival)
    assert arrival.sha256 != hashlib.sha256(VALUE).hexdigest()
    assert content(arrival) == data


def test_a_forged_header_is_not_believed(arrival: DownloadBuffer) -> None:
    parts: dict[str, Part] = {"value": VALUE}
    prefix = seal_envelope({"outcome": envelope.VALUE}, parts, b"another key", BOUND_TO)
    copy(b"".join(envelope_chunks(prefix, parts)), arrival)
    assert arrival.sha256 == ""
