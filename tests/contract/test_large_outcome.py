"""A large outcome on its way from the bucket through Google's client, which begins anew where a download broke off."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from covalent_parallel_plugin.batch.download_buffer import DownloadBuffer
from covalent_parallel_plugin.cloud.session import READ_BYTES
from covalent_parallel_plugin.cloud.storage import CorruptObjectError, ObjectStore
from covalent_parallel_plugin.electron.outcome import read_outcome
from covalent_parallel_plugin.emulator import Fault, Faults
from covalent_parallel_plugin.errors import OutcomeError
from covalent_parallel_plugin.protocol import envelope
from covalent_parallel_plugin.protocol.envelope import MAGIC, OUTCOME, Part, envelope_chunks, seal_envelope
from covalent_parallel_plugin.protocol.identity import CallIdentity, task_binding

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

KEY = b"k" * 32
CALL_ID = "call-1"
BOUND_TO = task_binding(OUTCOME, CALL_ID)
VALUE = os.urandom(9_000_000)


def put(store: ObjectStore, parts: dict[str, Part], more: bytes = b"") -> str:
    """The name of a new object that holds an outcome, and more behind it."""
    name = f"contract/{uuid.uuid4()}"
    prefix = seal_envelope({"outcome": envelope.VALUE, "attempt": 0, "python": "3.11.7"}, parts, KEY, BOUND_TO)
    store.put(name, [*envelope_chunks(prefix, parts), more])
    return name


@pytest.fixture
def name(store: ObjectStore) -> str:
    """An object that holds an outcome with a large value."""
    return put(store, {"stdout": b"out", "value": VALUE})


@pytest.fixture
def struck(on_emulator: Emulator) -> Iterator[Emulator]:
    yield on_emulator
    on_emulator.faults.set(Faults())


def fetched(store: ObjectStore, name: str, folder: Path, most_in_memory: int = 2**30) -> bytes:
    with DownloadBuffer(str(folder), KEY, BOUND_TO, "the outcome", most_in_memory) as arrival:
        assert arrival.fetch(store, name)
        assert arrival.sha256
        return bytes(read_outcome(arrival.file, CallIdentity(CALL_ID, KEY, "").task(), arrival.sha256).pickle)


@pytest.mark.parametrize("kind", ["storage.truncate", "storage.corrupt", "storage.drop"])
@pytest.mark.parametrize("most_in_memory", [2**30, 4_000_000])
def test_it_arrives_although_the_way_was_bad_twice(
    struck: Emulator, store: ObjectStore, name: str, tmp_path: Path, kind: str, most_in_memory: int
) -> None:
    struck.faults.set(Faults((Fault(kind, request="objects.download", object=name, first=2),)))
    assert fetched(store, name, tmp_path, most_in_memory) == VALUE
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_changed_every_time_is_refused(
    struck: Emulator, store: ObjectStore, name: str, tmp_path: Path
) -> None:
    struck.faults.set(Faults((Fault("storage.corrupt", request="objects.download", object=name),)))
    with pytest.raises(CorruptObjectError, match="arrived changed 3 times"):
        fetched(store, name, tmp_path)


@pytest.mark.parametrize("times", [1, 2])
def test_a_small_one_whose_header_is_changed_on_its_way_is_fetched_again(
    struck: Emulator, store: ObjectStore, tmp_path: Path, times: int
) -> None:
    """A header is judged before the client can compare checksums."""
    name = put(store, {"value": b"small"})
    struck.faults.set(Faults((Fault("storage.corrupt", request="objects.download", object=name, first=times),)))
    with DownloadBuffer(str(tmp_path), KEY, BOUND_TO, "the outcome") as arrival:
        assert arrival.fetch(store, name)
        assert read_outcome(arrival.file, CallIdentity(CALL_ID, KEY, "").task()).pickle == b"small"


class Counting(DownloadBuffer):
    """Knows how much was downloaded."""

    came = 0

    def write(self, data: bytes) -> int:
        self.came += len(data)
        return super().write(data)


@pytest.mark.parametrize("start", [b"", MAGIC + b"\0\0\xff\xff"], ids=["noise", "a header"])
def test_a_forged_one_is_not_downloaded(store: ObjectStore, tmp_path: Path, start: bytes) -> None:
    name = f"contract/{uuid.uuid4()}"
    store.put(name, [start, bytes(40_000_000)])
    with Counting(str(tmp_path), KEY, BOUND_TO, "the outcome", most_in_memory=0) as arrival:
        with pytest.raises(OutcomeError, match="the outcome in the bucket is refused: "):
            arrival.fetch(store, name)
        assert arrival.file.seek(0, 2) == 0
    assert arrival.came <= 3 * READ_BYTES
    assert list(tmp_path.iterdir()) == []


def test_what_goes_on_behind_what_was_sealed_is_not_downloaded(store: ObjectStore, tmp_path: Path) -> None:
    name = put(store, {"value": b"small"}, bytes(40_000_000))
    with Counting(str(tmp_path), KEY, BOUND_TO, "the outcome") as arrival:
        with pytest.raises(OutcomeError, match="longer than the"):
            arrival.fetch(store, name)
        assert arrival.file.seek(0, 2) == 0
    assert arrival.came <= READ_BYTES
