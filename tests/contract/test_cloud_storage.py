"""cloud/storage.py through Google's client."""

from __future__ import annotations

import errno
import io
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.emulator import Fault, Faults
from covalent_parallel_plugin.errors import CacheDirError, CloudError, MissingResourceError

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator


@pytest.fixture
def name() -> str:
    return f"contract/{uuid.uuid4()}"


def content(store: ObjectStore, name: str) -> bytes | None:
    stream = io.BytesIO()
    return stream.getvalue() if store.get(name, stream) else None


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 1000], ids=len)
def test_what_was_put_is_what_one_gets(store: ObjectStore, name: str, data: bytes) -> None:
    assert store.put(name, data) is True
    assert content(store, name) == data


@pytest.mark.parametrize("size", [0, 1, 8 * 2**20, 8 * 2**20 + 1, 101 * 2**20])
def test_pieces_arrive_as_one_object_whatever_their_sizes(store: ObjectStore, name: str, size: int) -> None:
    data = os.urandom(size)
    pieces = [data[:10], b"", data[10:1000], data[1000:]]
    assert store.put(name, pieces) is True
    assert content(store, name) == data


def test_an_object_is_written_once(store: ObjectStore, name: str) -> None:
    assert store.put(name, b"first") is True
    assert store.put(name, b"second") is False
    assert content(store, name) == b"first"


class FullDisk:
    """A file on a disk that has no room."""

    def write(self, data: bytes, /) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def seek(self, offset: int, /) -> int:
        return offset

    def truncate(self) -> int:
        return 0


def test_a_disk_without_room_is_not_blamed_on_google(store: ObjectStore, name: str) -> None:
    store.put(name, b"data")
    with pytest.raises(CacheDirError, match=r"does not fit into cache_dir \(No space left on device\): make room"):
        store.get(name, FullDisk())


@pytest.fixture
def strike(on_emulator: Emulator) -> Iterator[Callable[..., None]]:
    yield lambda *faults: on_emulator.faults.set(Faults(faults))
    on_emulator.faults.set(Faults())


FAILED_UPLOADS = pytest.mark.parametrize(
    "fault",
    [
        Fault("storage.error", request="uploads.chunk", code=503, first=1),
        Fault("storage.drop", request="uploads.chunk", first=1),
        Fault("storage.lost", request="uploads.chunk", first=1),
        Fault("storage.drop", request="uploads.start", first=1),
        Fault("storage.error", request="uploads.chunk", code=404, first=1),
        Fault("storage.error", request="uploads.chunk", code=410, first=2),
        Fault("storage.error", request="uploads.start", code=410, first=1),
    ],
    ids=str,
)


@FAILED_UPLOADS
def test_pieces_arrive_although_a_request_failed(
    store: ObjectStore, name: str, strike: Callable[..., None], fault: Fault
) -> None:
    data = os.urandom(9_000_000)
    strike(fault)
    store.put(name, [data[:1000], data[1000:]])
    assert content(store, name) == data


@FAILED_UPLOADS
def test_a_file_arrives_although_a_request_failed(
    store: ObjectStore, name: str, tmp_path: Path, strike: Callable[..., None], fault: Fault
) -> None:
    data = os.urandom(20_000_000)
    (tmp_path / "file").write_bytes(data)
    strike(fault)
    store.put_file(name, tmp_path / "file")
    assert content(store, name) == data


@pytest.mark.parametrize("size", [0, 6, 9_000_000])
def test_a_file_is_written_once(store: ObjectStore, name: str, tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(bytes(size))
    assert store.put_file(name, tmp_path / "file") is True
    assert content(store, name) == bytes(size)
    (tmp_path / "file").write_bytes(b"x" * size)
    assert store.put_file(name, tmp_path / "file") is False
    assert content(store, name) == bytes(size)
    with pytest.raises(FileNotFoundError):
        store.put_file(name, tmp_path / "gone")


@pytest.mark.parametrize("code", [404, 410])
def test_an_upload_whose_session_stays_gone_is_given_up(
    store: ObjectStore, name: str, strike: Callable[..., None], code: int
) -> None:
    strike(Fault("storage.error", request="uploads.chunk", code=code))
    with pytest.raises(CloudError, match=f"write gs://covalent/{name}"):
        store.put(name, [os.urandom(9_000_000)])


def test_an_upload_that_starts_anew_writes_nothing_twice(
    store: ObjectStore, name: str, strike: Callable[..., None]
) -> None:
    store.put(name, b"first")
    strike(Fault("storage.error", request="uploads.chunk", code=410, first=1))
    assert store.put(name, [os.urandom(9_000_000)]) is False
    assert content(store, name) == b"first"


@pytest.mark.parametrize("size", [6, 9_000_000])
def test_pieces_are_written_once_too(store: ObjectStore, name: str, size: int) -> None:
    store.put(name, b"first")
    assert store.put(name, [b"second"[:6], bytes(size - 6)]) is False
    assert content(store, name) == b"first"


def test_an_object_that_is_not_there_is_told(store: ObjectStore, name: str) -> None:
    assert content(store, name) is None


def test_deleting_is_done_once_and_may_be_repeated(store: ObjectStore, name: str) -> None:
    store.put(name, b"x")
    assert store.delete(name) is True
    assert store.delete(name) is False
    assert content(store, name) is None


def test_names_are_those_with_the_prefix(store: ObjectStore, name: str) -> None:
    for suffix in ("/a", "/b/c", "x"):
        store.put(name + suffix, b"")
    assert sorted(store.names(f"{name}/")) == [f"{name}/a", f"{name}/b/c"]
    assert list(store.names(f"{name}/nothing")) == []


@pytest.mark.parametrize("odd", ["a b", "ä/ö", "100%", "q?x=1&y", "a#b", "a+b"])
def test_any_name_can_be_used(store: ObjectStore, name: str, odd: str) -> None:
    store.put(f"{name}/{odd}", b"odd")
    assert content(store, f"{name}/{odd}") == b"odd"
    assert list(store.names(f"{name}/")) == [f"{name}/{odd}"]
    assert store.delete(f"{name}/{odd}") is True


@pytest.mark.parametrize("action", ["put", "get", "names"])
def test_a_missing_bucket_is_named_with_what_to_do(on_emulator: Emulator, action: str) -> None:
    store = ObjectStore.shared("local", "not-there")
    actions = {
        "put": lambda: store.put("x", b""),
        "get": lambda: store.get("x", io.BytesIO()),
        "names": lambda: store.names("x"),
    }
    with pytest.raises(MissingResourceError, match=r"'not-there' .*start the emulator with --bucket not-there"):
        actions[action]()


def test_one_client_serves_all_buckets_of_a_project(on_emulator: Emulator) -> None:
    assert ObjectStore.shared("local", "covalent")._client is ObjectStore.shared("local", "another")._client
