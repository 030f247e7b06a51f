"""status_poller.py with a Batch that is scripted here: which requests are made, when, and who is answered what."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from covalent_parallel_plugin.batch.status_poller import (
    ANSWERED_AT_ONCE,
    FAILED_LISTS,
    FEW,
    NO_LISTS_SECONDS,
    StatusPoller,
)
from covalent_parallel_plugin.cloud.batch import BatchApi, JobStatus
from covalent_parallel_plugin.errors import CloudError, PermissionDeniedError, UnavailableError

PARENT = "projects/p/locations/us-east1"
PAUSE_SECONDS = 0.05
MANY = [f"{PARENT}/jobs/job-{number}" for number in range(3 * FEW)]


class ScriptedBatch:
    """Jobs by name with their states; what it is asked is counted, and what `fails` names is refused."""

    def __init__(self, states: dict[str, str]):
        self.states = states
        self.calls: Counter[str] = Counter()
        self.filters: list[str] = []
        self.fails: dict[str, Exception] = {}
        self.unlisted: set[str] = set()

    async def get(self, name: str, patience_seconds: float | None = None) -> JobStatus | None:
        self._count("get")
        return JobStatus(name, "uid", self.states[name]) if name in self.states else None

    async def list(self, parent: str, filter: str = "", patience_seconds: float | None = None) -> list[JobStatus]:
        self._count("list")
        self.filters.append(filter)
        # Batch may tell the project's number in place of its id
        return [
            JobStatus(name.replace("projects/p/", "projects/123/"), "uid", state)
            for name, state in self.states.items()
            if name not in self.unlisted
        ]

    def _count(self, method: str) -> None:
        self.calls[method] += 1
        if method in self.fails:
            raise self.fails[method]


def looked(batch: ScriptedBatch, names: list[str]) -> list[Any]:
    """One look at each, all at once; exceptions in their places."""

    async def run() -> list[Any]:
        poller = StatusPoller(cast(BatchApi, batch), PARENT)
        return await asyncio.gather(*(poller.look(name, PAUSE_SECONDS) for name in names), return_exceptions=True)

    return run_for_a_while(run())


def run_for_a_while(coroutine: Coroutine[Any, Any, Any]) -> Any:
    async def bounded() -> Any:
        return await asyncio.wait_for(coroutine, 120)

    return asyncio.run(bounded())


def test_a_few_jobs_are_asked_for_one_by_one() -> None:
    batch = ScriptedBatch(dict.fromkeys(MANY[: FEW - 1], "RUNNING"))
    assert [status.state for status in looked(batch, MANY[: FEW - 1])] == ["RUNNING"] * (FEW - 1)
    assert batch.calls == {"get": FEW - 1}


def test_many_jobs_are_asked_for_with_one_list_of_this_servers_own() -> None:
    batch = ScriptedBatch({name: f"S{number}" for number, name in enumerate(MANY)})
    assert [status.state for status in looked(batch, MANY)] == [f"S{number}" for number in range(len(MANY))]
    assert batch.calls == {"list": 1}
    assert 'labels."covalent-server"="' in batch.filters[0]
    assert "create_time>=" in batch.filters[0]


def test_jobs_of_another_server_are_asked_for_with_one_list_from_the_first_one_s_creation_on() -> None:
    batch = ScriptedBatch(dict.fromkeys(MANY, "RUNNING"))

    async def run() -> None:
        poller = StatusPoller.shared(cast(BatchApi, batch), PARENT, "a1b2")
        assert poller is StatusPoller.shared(cast(BatchApi, batch), PARENT, "a1b2")
        for number, name in enumerate(MANY):
            poller.begin(name, 3600.0 * (len(MANY) - number if number % 2 else number + 1))
        await asyncio.gather(*(poller.look(name, PAUSE_SECONDS) for name in MANY))

    run_for_a_while(run())
    assert batch.calls == {"list": 1}
    (asked,) = batch.filters
    assert 'labels."covalent-server"="a1b2"' in asked
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3600.0 * (len(MANY) - 1)))
    assert asked.rpartition('"')[0].rpartition('"')[2] < since


def test_what_the_list_lacks_is_asked_for_by_itself() -> None:
    batch = ScriptedBatch(dict.fromkeys(MANY[1:], "RUNNING"))
    batch.unlisted = {MANY[1]}
    found = looked(batch, MANY)
    assert found[0] is None
    assert found[1].state == "RUNNING"
    assert batch.calls == {"list": 1, "get": 2}


def test_who_may_not_list_is_told_by_single_looks() -> None:
    batch = ScriptedBatch(dict.fromkeys(MANY, "RUNNING"))
    batch.fails = {"list": PermissionDeniedError("no")}
    assert {status.state for status in looked(batch, MANY)} == {"RUNNING"}
    assert batch.calls == {"list": 1, "get": len(MANY)}


def looked_again_and_again(batch: ScriptedBatch, clock: Callable[[], float], times: int) -> list[list[Any]]:
    async def run() -> list[list[Any]]:
        poller = StatusPoller(cast(BatchApi, batch), PARENT, clock)
        return [
            await asyncio.gather(*(poller.look(name, PAUSE_SECONDS) for name in MANY), return_exceptions=True)
            for _ in range(times)
        ]

    return cast("list[list[Any]]", run_for_a_while(run()))


def test_lists_that_keep_failing_are_replaced_by_single_looks() -> None:
    batch = ScriptedBatch(dict.fromkeys(MANY, "RUNNING"))
    batch.fails["list"] = UnavailableError("too long a list")
    first, *others = looked_again_and_again(batch, time.monotonic, 4)
    assert all(isinstance(answer, UnavailableError) for answer in first)
    assert all(answer.state == "RUNNING" for answers in others for answer in answers)
    assert batch.calls == {"list": FAILED_LISTS, "get": 3 * len(MANY)}


@pytest.mark.parametrize("kind", [UnavailableError, PermissionDeniedError, CloudError])
def test_lists_are_tried_again_after_a_while(kind: type[Exception]) -> None:
    batch = ScriptedBatch(dict.fromkeys(MANY, "RUNNING"))
    batch.fails["list"] = kind("no")
    passed = 0.0

    async def run() -> None:
        nonlocal passed
        poller = StatusPoller(cast(BatchApi, batch), PARENT, lambda: time.monotonic() + passed)
        for _ in range(FAILED_LISTS):
            await asyncio.gather(*(poller.look(name, PAUSE_SECONDS) for name in MANY), return_exceptions=True)
        batch.fails.clear()
        before = batch.calls["list"]
        await asyncio.gather(*(poller.look(name, PAUSE_SECONDS) for name in MANY))
        assert batch.calls["list"] == before
        passed = NO_LISTS_SECONDS
        await asyncio.gather(*(poller.look(name, PAUSE_SECONDS) for name in MANY))
        assert batch.calls["list"] == before + 1

    run_for_a_while(run())


def test_a_batch_out_of_reach_is_told_to_all_who_wait() -> None:
    batch = ScriptedBatch(dict.fromkeys(MANY, "RUNNING"))
    batch.fails = {"list": UnavailableError("away")}
    assert all(isinstance(found, UnavailableError) for found in looked(batch, MANY))


def test_a_defect_of_the_poller_is_told_to_all_who_wait() -> None:
    batch = ScriptedBatch(dict.fromkeys(MANY, "RUNNING"))
    batch.fails = {"list": ZeroDivisionError("a defect")}
    assert all(isinstance(found, ZeroDivisionError) for found in looked(batch, MANY))


def test_a_job_that_has_ended_is_told_before_its_look_is_due() -> None:
    batch = ScriptedBatch(dict.fromkeys(MANY, "RUNNING") | {MANY[0]: "SUCCEEDED"})

    async def run() -> str:
        poller = StatusPoller(cast(BatchApi, batch), PARENT)
        early = asyncio.ensure_future(poller.look(MANY[0], 3600))
        others = [poller.look(name, PAUSE_SECONDS) for name in MANY[1:]]
        await asyncio.gather(*others)
        return (await early).state  # type: ignore[union-attr]  # it is there

    assert run_for_a_while(run()) == "SUCCEEDED"


def test_it_rests_when_nobody_waits_and_starts_again() -> None:
    batch = ScriptedBatch({MANY[0]: "RUNNING"})

    async def run() -> tuple[int, int, int]:
        poller = StatusPoller(cast(BatchApi, batch), PARENT)
        await poller.look(MANY[0], PAUSE_SECONDS)
        await asyncio.sleep(6 * PAUSE_SECONDS)
        resting = batch.calls["get"]
        tasks = len(asyncio.all_tasks())
        await poller.look(MANY[0], PAUSE_SECONDS)
        return resting, tasks, batch.calls["get"]

    # wait_for's own task is the second
    resting, tasks, after = run_for_a_while(run())
    assert (resting, after) == (1, 2)
    assert tasks <= 2


def test_who_waits_no_longer_is_not_looked_for() -> None:
    batch = ScriptedBatch(dict.fromkeys(MANY[:2], "RUNNING"))

    async def run() -> None:
        poller = StatusPoller(cast(BatchApi, batch), PARENT)
        given_up = asyncio.ensure_future(poller.look(MANY[0], PAUSE_SECONDS))
        await asyncio.sleep(0)
        given_up.cancel()
        await poller.look(MANY[1], PAUSE_SECONDS)

    run_for_a_while(run())
    assert batch.calls == {"get": 1}


def test_a_few_old_jobs_do_not_make_the_list_long() -> None:
    """Hundreds came and went since the oldest began: it is asked for by itself, and the list begins later."""
    batch = ScriptedBatch(dict.fromkeys(MANY, "RUNNING"))
    gone = {f"{PARENT}/jobs/gone-{number}": "SUCCEEDED" for number in range(300)}
    now = 0.0

    async def run() -> None:
        nonlocal now
        poller = StatusPoller(cast(BatchApi, batch), PARENT, clock=lambda: now)
        await poller.look(MANY[0], 0)
        now = 3600
        batch.states.update(gone)
        for name in gone:
            await poller.look(name, 0)
            poller.forget(name)
        now = 7200
        batch.calls.clear()
        await asyncio.gather(*(poller.look(name, 0) for name in MANY))

    run_for_a_while(run())
    assert batch.calls == {"get": 1, "list": 1}


@pytest.mark.parametrize("count", [1, len(MANY)])
def test_a_look_comes_no_sooner_than_asked_where_nobody_else_looks(count: int) -> None:
    batch = ScriptedBatch(dict.fromkeys(MANY, "RUNNING"))

    async def run() -> float:
        loop = asyncio.get_running_loop()
        poller = StatusPoller(cast(BatchApi, batch), PARENT)
        started = loop.time()
        await asyncio.gather(*(poller.look(name, PAUSE_SECONDS) for name in MANY[:count]))
        return loop.time() - started

    # The event loop's own clock may be off by its resolution.
    assert run_for_a_while(run()) >= PAUSE_SECONDS * 0.9


def test_hundreds_that_are_answered_leave_the_loops_others_their_turn() -> None:
    """Each of them goes on at once when it is answered; never more than a few between two turns of somebody else."""
    names = [f"{PARENT}/jobs/job-{number}" for number in range(300)]
    batch = ScriptedBatch(dict.fromkeys(names, "SUCCEEDED"))
    answered = 0
    between: list[int] = []

    async def run() -> None:
        poller = StatusPoller(cast(BatchApi, batch), PARENT)

        async def electron(name: str) -> None:
            nonlocal answered
            await poller.look(name, PAUSE_SECONDS)
            answered += 1

        electrons = [asyncio.ensure_future(electron(name)) for name in names]
        before = 0
        while answered < len(names):
            await asyncio.sleep(0)
            between.append(answered - before)
            before = answered
        await asyncio.gather(*electrons)

    run_for_a_while(run())
    assert sum(between) == len(names)
    assert max(between) <= 2 * ANSWERED_AT_ONCE
