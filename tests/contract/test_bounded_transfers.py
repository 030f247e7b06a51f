"""Every request to Cloud Storage ends: with what it asked for, by a bound, or because nobody wants it any more."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # type: ignore[attr-defined]  # the package has no types
from odd_storage import Answer, OddStorage, head, page, status, whole

from covalent_parallel_plugin.cloud.bounded_pool import Bounds
from covalent_parallel_plugin.cloud.session import LeanSession
from covalent_parallel_plugin.cloud.storage import QUIET_VARIABLE, CorruptObjectError, ObjectStore
from covalent_parallel_plugin.cloud.threads import TransferStoppedError, run_stoppable
from covalent_parallel_plugin.errors import CacheDirError, CloudError

SECONDS = 60
DATA = bytes(range(256)) * 40
BOUNDS = Bounds(least_bytes=2000, least_seconds=0.3)

Serve = Callable[..., tuple[ObjectStore, OddStorage]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    running: list[OddStorage] = []

    def start(*answers: Answer, bounds: Bounds = BOUNDS) -> tuple[ObjectStore, OddStorage]:
        running.append(OddStorage(*answers))
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", running[0].url)
        monkeypatch.setenv(QUIET_VARIABLE, "1")
        session = LeanSession(AnonymousCredentials(), 1, bounds)
        client = storage.Client(project="local", credentials=AnonymousCredentials(), _http=session)
        return ObjectStore(client, "covalent"), running[0]

    yield start
    for server in running:
        server.close()


def trickling(text: bytes) -> Answer:
    def answer(connection: socket.socket, _: int) -> None:
        for offset in range(len(text)):
            connection.sendall(text[offset : offset + 1])
            time.sleep(0.05)

    return answer


def endless(connection: socket.socket, _: int) -> None:
    connection.sendall(head(DATA))
    while True:
        connection.sendall(bytes(64 * 1024))
        time.sleep(0.001)


def silent(connection: socket.socket, _: int) -> None:
    while connection.recv(1024):
        pass
    raise ConnectionError


def half(connection: socket.socket, _: int) -> None:
    connection.sendall(head(DATA, length=len(DATA)) + DATA[: len(DATA) // 2])
    connection.shutdown(socket.SHUT_WR)


def too_long(connection: socket.socket, start: int) -> None:
    connection.sendall(head(DATA, length=len(DATA) + 50) + DATA)
    connection.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize(
    ("first", "bounds"),
    [
        (trickling(head(DATA, length=len(DATA)) + DATA), BOUNDS),
        (trickling(b"HTTP/1.1 200 " + bytes(5000)), BOUNDS),
        (endless, Bounds(longest_seconds=0.5)),
        (half, Bounds()),
    ],
    ids=["a byte now and then", "a head without end", "a body without end", "half of it"],
)
def test_a_download_that_does_not_come_is_abandoned_and_tried_again(
    serve: Serve, first: Answer, bounds: Bounds
) -> None:
    store, server = serve(first, whole(DATA), bounds=bounds)
    with io.BytesIO() as stream:
        assert store.get("x", stream) is True
        assert stream.getvalue() == DATA
    assert len(server.heads) >= 2


def test_a_download_whose_length_was_wrong_begins_anew(serve: Serve) -> None:
    store, server = serve(too_long, whole(DATA))
    with io.BytesIO() as stream:
        assert store.get("x", stream) is True
        assert stream.getvalue() == DATA
    assert ["range" in head.lower() for head in server.heads] == [False, True, False]


def test_a_page_of_somebody_else_is_no_object(serve: Serve) -> None:
    store, _ = serve(page(b"<html>please log in</html>"), whole(DATA))
    with io.BytesIO() as stream:
        assert store.get("x", stream) is True
        assert stream.getvalue() == DATA


def test_a_page_of_somebody_else_is_no_answer_to_a_write_or_a_list(serve: Serve) -> None:
    login = page(b"<html>please log in</html>")
    store, server = serve(login, page(b'{"name": "x"}'), login, page(b'{"items": [{"name": "x"}]}'))
    assert store.put("x", b"data") is True
    assert store.names("x") == ["x"]
    assert len(server.heads) == 4


def test_an_object_that_never_has_a_checksum_is_not_believed(serve: Serve) -> None:
    store, _ = serve(page(b"<html>please log in</html>"))
    with pytest.raises(CorruptObjectError, match=r"gs://covalent/x arrived changed 3 times"):
        store.get("x", io.BytesIO())


class Full:
    """A target that raises after its first bytes."""

    def __init__(self, error: Exception) -> None:
        self._error = error
        self._size = 0

    def write(self, data: bytes, /) -> int:
        self._size += len(data)
        if self._size > 3_000_000:
            raise self._error
        return len(data)

    def seek(self, offset: int, /) -> int:
        return offset

    def truncate(self) -> int:
        return 0


class EnoughError(Exception):
    pass


@pytest.mark.parametrize("error", [EnoughError("enough"), MemoryError(), CloudError("no")], ids=repr)
def test_what_a_target_raises_ends_the_transfer_and_comes_out(serve: Serve, error: Exception) -> None:
    store, server = serve(endless, bounds=Bounds())
    with pytest.raises(type(error)) as raised:
        store.get("x", Full(error))
    assert raised.value is error
    assert server.closed.wait(SECONDS)
    assert len(server.heads) == 1


@pytest.mark.parametrize(
    "error", [ConnectionResetError("of a network disk"), OSError(5, "Input/output error")], ids=repr
)
def test_a_target_on_a_broken_disk_is_not_blamed_on_google(serve: Serve, error: OSError) -> None:
    store, server = serve(endless, bounds=Bounds())
    with pytest.raises(CacheDirError, match=r"gs://covalent/x cannot be written to cache_dir \(.+\): name another"):
        store.get("x", Full(error))
    assert len(server.heads) == 1


@pytest.mark.parametrize(
    "answer",
    [endless, silent, trickling(head(DATA) + DATA), status(503)],
    ids=["amid a body", "before an answer", "amid a trickle", "between two attempts"],
)
def test_a_download_is_stopped_at_once(serve: Serve, answer: Answer) -> None:
    store, server = serve(answer, bounds=Bounds())
    returned: list[BaseException] = []
    has_returned = threading.Event()

    def read() -> None:
        try:
            store.get("x", io.BytesIO())
        except BaseException as error:
            returned.append(error)
        has_returned.set()

    async def stop() -> None:
        reading = asyncio.create_task(run_stoppable(read))
        await asyncio.to_thread(server.asked.wait, SECONDS)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    asyncio.run(asyncio.wait_for(stop(), SECONDS))
    assert has_returned.wait(SECONDS)
    assert [type(error) for error in returned] == [TransferStoppedError]
    assert answer not in (endless, silent) or server.closed.wait(SECONDS)


def test_a_function_that_was_stopped_before_it_began_never_runs() -> None:
    ran: list[int] = []

    async def stop() -> None:
        release = threading.Event()
        busy = [asyncio.create_task(run_stoppable(release.wait)) for _ in range(20)]
        waiting = asyncio.create_task(run_stoppable(ran.append, 1))
        await asyncio.sleep(0.1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        release.set()
        await asyncio.gather(*busy)

    asyncio.run(asyncio.wait_for(stop(), SECONDS))
    assert ran == []


def test_a_list_that_repeats_itself_is_abandoned(serve: Serve) -> None:
    store, _ = serve(page(b'{"items": [{"name": "a"}], "nextPageToken": "again"}'))
    with pytest.raises(CloudError, match=r"could not list gs://covalent/\*: the list repeats itself"):
        store.names("")
