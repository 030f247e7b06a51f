"""What a user hears of a service that is out of reach, and for how long it is waited for."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.api_core.exceptions import ServiceUnavailable

from covalent_parallel_plugin.cloud.batch import BatchApi, connect
from covalent_parallel_plugin.cloud.errors import is_transient
from covalent_parallel_plugin.cloud.outage_tracker import SHORT_PATIENCE_SECONDS, RetryBudget, ServiceHealth
from covalent_parallel_plugin.cloud.retry import BlockingRetry, retry_transient
from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.emulator import Emulator

SECONDS = 60
LOGGER = "covalent_parallel_plugin.cloud.outage_tracker"


class Warnings(logging.Handler):
    """The warnings about services out of reach; `came` is set by the first."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []
        self.came = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self.came.set()


@pytest.fixture
def warned() -> Iterator[Warnings]:
    handler = Warnings()
    logging.getLogger(LOGGER).addHandler(handler)
    yield handler
    logging.getLogger(LOGGER).removeHandler(handler)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def test_a_stand_in_that_comes_back_is_waited_for_and_its_absence_is_told_once(
    warned: Warnings, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage_port, batch_port = free_port(), free_port()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{storage_port}")
    store = ObjectStore.shared("local", "covalent")

    async def jobs() -> int:
        batch = BatchApi(connect(address := f"127.0.0.1:{batch_port}"), 20.0, address)
        try:
            return len(await batch.list("projects/local/locations/us-east1"))
        finally:
            await batch.close()

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(store.names, f"{uuid.uuid4()}/") for _ in range(2)] + [
            pool.submit(asyncio.run, jobs()) for _ in range(2)
        ]
        until = time.monotonic() + SECONDS
        while len(warned.texts) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        with Emulator(storage_port, batch_port, None):
            answers = [waiting.result(SECONDS) for waiting in asked]
    assert answers == [[], [], 0, 0]
    of_storage = [text for text in warned.texts if f"Cloud Storage at http://127.0.0.1:{storage_port} " in text]
    of_batch = [text for text in warned.texts if f"Google Batch at 127.0.0.1:{batch_port} " in text]
    assert (len(of_storage), len(of_batch), len(warned.texts)) == (1, 1, 2)
    assert all("Connection refused" in text and "covalent-parallel emulator" in text for text in warned.texts)
    assert all(re.search(r"is tried for another \d+ s;", text) for text in warned.texts)


def test_a_short_trouble_is_not_worth_a_word(warned: Warnings, clock: Clock) -> None:
    service = ServiceHealth("Batch", "there", False, clock)
    tries = RetryBudget(service, 300)
    for _ in range(4):
        tries.allows_another(ServiceUnavailable("busy"), 1.0)
        clock.now += 1
    assert warned.texts == []


def test_a_long_outage_is_told_again_every_minute_however_many_requests_wait(warned: Warnings, clock: Clock) -> None:
    service = ServiceHealth("Batch", "there", False, clock)
    waiting = [RetryBudget(service, 300) for _ in range(50)]
    for _ in range(15):
        for tries in waiting:
            tries.allows_another(ServiceUnavailable("No route: host is down"), 10.0)
        clock.now += 10
    assert [text.partition("another ")[2] for text in warned.texts] == ["300 s", "240 s", "180 s"]
    assert all("(host is down)" in text for text in warned.texts)


def test_an_outage_of_a_local_server_is_waited_for_once_by_all_requests_together(clock: Clock) -> None:
    service = ServiceHealth("Batch", "here", True, clock)
    first = RetryBudget(service, 20)
    first.allows_another(ServiceUnavailable("refused"))
    clock.now += 15
    first.allows_another(ServiceUnavailable("refused"))
    assert RetryBudget(service, 20).seconds == 5
    clock.now += 10
    assert RetryBudget(service, 20).seconds == SHORT_PATIENCE_SECONDS


def test_an_answer_ends_the_outage_of_a_local_server(clock: Clock) -> None:
    service = ServiceHealth("Batch", "here", True, clock)
    RetryBudget(service, 20).allows_another(ServiceUnavailable("refused"))
    clock.now += 15
    service.answered()
    assert RetryBudget(service, 20).seconds == 20


def test_an_outage_that_nobody_saw_the_end_of_is_forgotten(clock: Clock) -> None:
    service = ServiceHealth("Batch", "here", True, clock)
    RetryBudget(service, 20).allows_another(ServiceUnavailable("refused"))
    clock.now += 3600
    assert RetryBudget(service, 20).seconds == 20


def test_google_is_waited_for_by_each_request_in_full(clock: Clock) -> None:
    service = ServiceHealth("Batch", "there", False, clock)
    RetryBudget(service, 300).allows_another(ServiceUnavailable("refused"))
    clock.now += 10
    assert RetryBudget(service, 300).seconds == 300


def stalling(clock: Clock) -> Callable[[], str]:
    """A request whose first attempt takes far longer than a service is waited for."""
    attempts = iter((ServiceUnavailable("no answer in time"), None))

    def request() -> str:
        clock.now += 60
        error = next(attempts)
        if error is not None:
            raise error
        return "done"

    return request


@pytest.mark.parametrize("is_local", [True, False], ids=["the emulator", "Google"])
def test_a_request_that_stalled_is_made_again(clock: Clock, is_local: bool) -> None:
    retry = BlockingRetry(ServiceHealth("Storage", "here", is_local, clock), 20, is_transient)
    assert retry(stalling(clock))() == "done"

    async def asked(request: Callable[[], str]) -> str:
        async def attempt() -> str:
            return request()

        return await retry_transient(attempt, 20, ServiceHealth("Batch", "here", is_local, clock))

    assert asyncio.run(asked(stalling(clock))) == "done"
