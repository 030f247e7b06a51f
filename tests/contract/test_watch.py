"""job_watch.py against Batch servers in trouble, or that tell what a test has written; the clock is the test's."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import pytest

from covalent_parallel_plugin.batch import job_watch
from covalent_parallel_plugin.batch.job_watch import WatchResult, never_delivered, wait_for_end
from covalent_parallel_plugin.batch.trouble import LONGEST_PAUSE_SECONDS
from covalent_parallel_plugin.cloud.batch import BatchApi, JobStatus, connect
from covalent_parallel_plugin.errors import PermissionDeniedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conftest import BatchProxy, BatchScript, Fault, Told

NAME = "projects/local/locations/us-east1/jobs/not-there"
NOT_FOUND = grpc.StatusCode.NOT_FOUND
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
OUTAGE_SECONDS = 1800
REFUSAL_SECONDS = 300
FOR_EVER = job_watch.WatchLimits(
    queue_seconds=1e9, run_seconds=1e9, outage_seconds=OUTAGE_SECONDS, refusal_seconds=REFUSAL_SECONDS
)
# What no outage is answered with, and no job either
ODD_CODES = [
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.ALREADY_EXISTS,
    b"\xff no protobuf at all",
]
POLL_SECONDS = 0.05
MOST_LOOKS = 500
QUOTA = "CODE_GCE_QUOTA_EXCEEDED: Quota 'N2_CPUS' exceeded."
CAPACITY = "CODE_GCE_ZONE_RESOURCE_POOL_EXHAUSTED"


@dataclass(frozen=True)
class Seen:
    """How a watching ended: its result, how long it slept each time, and the clock's seconds at the end."""

    watched: WatchResult
    pauses: list[float]
    seconds: float

    @property
    def sleeps(self) -> int:
        return len(self.pauses)

    @property
    def state(self) -> str | None:
        return self.watched.job.state if self.watched.job is not None else None


def watched(
    address: str,
    pause_counts_for_seconds: float,
    limits: job_watch.WatchLimits = FOR_EVER,
    is_delivered: Callable[[], Awaitable[bool]] = never_delivered,
) -> Seen:
    """Watch to the end, with a clock that each sleep moves on by so much."""
    now = 0.0
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        nonlocal now
        assert 0 < seconds <= LONGEST_PAUSE_SECONDS
        now += pause_counts_for_seconds
        pauses.append(seconds)
        assert len(pauses) < MOST_LOOKS, "the watching has no end"
        await asyncio.sleep(0)

    async def run() -> WatchResult:
        batch = BatchApi(connect(address))

        async def look(seconds: float) -> JobStatus | None:
            await sleep(seconds)
            return await batch.get(NAME, patience_seconds=POLL_SECONDS)

        try:
            return await wait_for_end(look, NAME, POLL_SECONDS, limits, lambda: now, is_delivered)
        finally:
            await batch.close()

    result = asyncio.run(run())
    return Seen(result, pauses, now)


def test_a_job_that_is_not_found_for_minutes_is_gone(proxy: BatchProxy) -> None:
    seen = watched(proxy.address, job_watch.UNSEEN_SECONDS / 4)
    assert seen.watched == WatchResult(None, job_watch.GONE)
    assert seen.sleeps == 5


def test_there_is_a_sleep_before_every_look(proxy: BatchProxy) -> None:
    seen = watched(proxy.address, job_watch.UNSEEN_SECONDS / 10)
    assert proxy.calls["GetJob"] == seen.sleeps


@pytest.mark.parametrize("state", ["SUCCEEDED", "FAILED", "CANCELLED"])
def test_the_jobs_own_end_has_no_other_reason(script: BatchScript, state: str) -> None:
    script.lines = ["QUEUED", "SCHEDULED", "RUNNING", "RUNNING", state]
    seen = watched(script.address, 1)
    assert (seen.state, seen.watched.reason) == (state, "")
    assert seen.sleeps == script.looks == 5


def test_a_job_that_ended_before_the_first_look_is_seen_with_it(script: BatchScript) -> None:
    script.lines = ["SUCCEEDED"]
    assert watched(script.address, 1).sleeps == 1


def test_a_job_that_is_not_found_after_its_creation_is_waited_for(script: BatchScript) -> None:
    script.lines = [*[NOT_FOUND] * 10, "QUEUED", "SUCCEEDED"]
    seen = watched(script.address, job_watch.UNSEEN_SECONDS / 11)
    assert (seen.state, seen.watched.reason) == ("SUCCEEDED", "")


def test_a_job_that_vanishes_is_gone_and_its_last_status_is_kept(script: BatchScript) -> None:
    script.lines = ["RUNNING", NOT_FOUND]
    seen = watched(script.address, 1)
    assert (seen.state, seen.watched.reason) == ("RUNNING", job_watch.GONE)
    assert seen.seconds <= 15


def test_one_answer_that_lags_behind_does_not_make_a_job_vanish(script: BatchScript) -> None:
    script.lines = ["QUEUED", NOT_FOUND, "QUEUED", "RUNNING", NOT_FOUND, NOT_FOUND, "RUNNING", NOT_FOUND, "SUCCEEDED"]
    seen = watched(script.address, 1)
    assert (seen.state, seen.watched.reason) == ("SUCCEEDED", "")


@pytest.mark.parametrize("state", ["QUEUED", "SCHEDULED", "STATE_UNSPECIFIED"])
def test_a_job_that_waits_longer_than_queue_limit_is_given_up(script: BatchScript, state: str) -> None:
    script.lines = [state]
    seen = watched(script.address, 10, job_watch.WatchLimits(queue_seconds=100, run_seconds=1e9))
    assert (seen.state, seen.watched.reason) == (state, job_watch.QUEUE_LIMIT)
    assert seen.seconds == 110


def test_the_time_in_the_queue_is_counted_from_the_submission(script: BatchScript) -> None:
    script.lines = [*[NOT_FOUND] * 5, "QUEUED", "SCHEDULED"]
    seen = watched(script.address, 10, job_watch.WatchLimits(queue_seconds=100, run_seconds=1e9))
    assert (seen.watched.reason, seen.seconds) == (job_watch.QUEUE_LIMIT, 110)


def test_a_job_that_runs_is_not_given_up_for_its_queue(script: BatchScript) -> None:
    script.lines = ["QUEUED", *["RUNNING"] * 50, "SUCCEEDED"]
    seen = watched(script.address, 10, job_watch.WatchLimits(queue_seconds=100, run_seconds=1000))
    assert (seen.state, seen.watched.reason) == ("SUCCEEDED", "")


def test_a_job_that_has_run_and_waits_for_another_machine_is_not_given_up_for_its_queue(script: BatchScript) -> None:
    script.lines = ["QUEUED", *["RUNNING"] * 50, *["SCHEDULED"] * 3, "RUNNING", "SUCCEEDED"]
    seen = watched(script.address, 10, job_watch.WatchLimits(queue_seconds=100, run_seconds=1000))
    assert (seen.state, seen.watched.reason) == ("SUCCEEDED", "")


def test_a_job_that_runs_longer_than_all_its_attempts_is_overdue(script: BatchScript) -> None:
    script.lines = [*["QUEUED"] * 9, "RUNNING"]
    seen = watched(script.address, 10, job_watch.WatchLimits(queue_seconds=1e9, run_seconds=100))
    assert (seen.state, seen.watched.reason) == ("RUNNING", job_watch.OVERDUE)
    assert seen.seconds == 100 + 110, "the queue does not eat the run"


def test_a_job_that_flickers_between_waiting_and_running_is_overdue_in_the_end(script: BatchScript) -> None:
    script.lines = ["RUNNING", "SCHEDULED"] * 200
    seen = watched(script.address, 10, job_watch.WatchLimits(queue_seconds=1e9, run_seconds=100))
    assert seen.watched.reason == job_watch.OVERDUE


def test_a_job_that_waits_on_after_it_ran_is_overdue_in_the_end(script: BatchScript) -> None:
    script.lines = ["RUNNING", "SCHEDULED"]
    seen = watched(script.address, 10, job_watch.WatchLimits(queue_seconds=100, run_seconds=1000))
    assert (seen.watched.reason, seen.seconds) == (job_watch.OVERDUE, 1020)


@pytest.mark.parametrize("state", sorted(job_watch.ENDING_STATES))
def test_a_job_that_somebody_ends_is_watched_a_moment_longer(script: BatchScript, state: str) -> None:
    script.lines = ["RUNNING", state]
    seen = watched(script.address, job_watch.ENDING_SECONDS / 2)
    assert (seen.state, seen.watched.reason) == (state, "")
    assert seen.sleeps == 4


def test_an_end_that_comes_in_that_moment_is_seen(script: BatchScript) -> None:
    script.lines = ["RUNNING", "CANCELLATION_IN_PROGRESS", "SUCCEEDED"]
    assert watched(script.address, 1).state == "SUCCEEDED"


def test_a_deletion_ends_as_gone_or_as_being_deleted(script: BatchScript) -> None:
    script.lines = ["RUNNING", "DELETION_IN_PROGRESS", NOT_FOUND]
    seen = watched(script.address, 1)
    assert (seen.state, seen.watched.reason) == ("DELETION_IN_PROGRESS", job_watch.GONE)


def test_an_outage_is_borne_for_as_long_as_allowed_and_then_told(proxy: BatchProxy, fault: type[Fault]) -> None:
    proxy.faults = [fault("GetJob", UNAVAILABLE, times=10_000)]
    seen = watched(proxy.address, OUTAGE_SECONDS / 3)
    assert (seen.watched.reason, type(seen.watched.error)) == (job_watch.LOST, UnavailableError)
    assert proxy.calls["GetJob"] >= 4
    assert set(seen.pauses) == {POLL_SECONDS}


def test_outages_with_an_answer_between_them_are_not_added_up(
    script: BatchScript, caplog: pytest.LogCaptureFixture
) -> None:
    script.lines = ["QUEUED", *[UNAVAILABLE] * 2, "RUNNING", *[UNAVAILABLE] * 2, "SUCCEEDED"]
    seen = watched(script.address, OUTAGE_SECONDS / 3)
    assert (seen.state, seen.watched.reason) == ("SUCCEEDED", "")
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 2, "one for each outage"


def test_one_look_that_fails_after_a_long_pause_is_no_outage(script: BatchScript) -> None:
    script.lines = ["RUNNING", UNAVAILABLE, "SUCCEEDED"]
    assert watched(script.address, 2 * OUTAGE_SECONDS).state == "SUCCEEDED"


def test_a_limit_that_passes_during_an_outage_is_seen_with_the_next_answer(script: BatchScript) -> None:
    script.lines = ["RUNNING", UNAVAILABLE, "RUNNING"]
    seen = watched(script.address, 100, job_watch.WatchLimits(queue_seconds=1e9, run_seconds=150))
    assert (seen.watched.reason, seen.sleeps) == (job_watch.OVERDUE, 3)


@pytest.mark.parametrize("odd", ODD_CODES, ids=str)
def test_an_odd_answer_does_not_end_the_watching(
    script: BatchScript, caplog: pytest.LogCaptureFixture, odd: grpc.StatusCode | bytes
) -> None:
    # Twice, since what may be the field mask's fault is asked for again at once without it
    script.lines = ["RUNNING", *[odd] * 4, "SUCCEEDED"]
    seen = watched(script.address, 1)
    assert (seen.state, seen.watched.reason) == ("SUCCEEDED", "")
    warnings = [record for record in caplog.records if record.name == job_watch.logger.name]
    assert len(warnings) == 1


def test_refusals_are_believed_after_minutes_with_pauses_that_grow(script: BatchScript) -> None:
    script.lines = ["RUNNING", grpc.StatusCode.PERMISSION_DENIED]
    seen = watched(script.address, REFUSAL_SECONDS / 4)
    assert (seen.state, seen.watched.reason) == ("RUNNING", job_watch.LOST)
    assert type(seen.watched.error) is PermissionDeniedError
    assert seen.sleeps == 7
    assert seen.pauses == [POLL_SECONDS * factor for factor in (1, 1, 1, 2, 4, 8, 16)]


def test_refusals_with_an_answer_between_them_are_not_added_up(script: BatchScript) -> None:
    refused = [grpc.StatusCode.PERMISSION_DENIED] * 2
    script.lines = ["QUEUED", *refused, "RUNNING", *refused, UNAVAILABLE, *refused, "SUCCEEDED"]
    seen = watched(script.address, REFUSAL_SECONDS * 0.6)
    assert (seen.state, seen.watched.reason) == ("SUCCEEDED", "")


def test_refusals_between_outages_do_not_go_on_for_ever(script: BatchScript) -> None:
    script.lines = ["RUNNING", *[UNAVAILABLE, grpc.StatusCode.CANCELLED] * 200]
    assert watched(script.address, REFUSAL_SECONDS / 2).watched.reason == job_watch.LOST


@pytest.mark.parametrize("trouble", [UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED])
def test_what_is_delivered_ends_the_watching_of_a_job_that_batch_does_not_tell_of(
    script: BatchScript, trouble: grpc.StatusCode
) -> None:
    script.lines = ["RUNNING", trouble]
    asked = 0

    async def is_delivered() -> bool:
        nonlocal asked
        asked += 1
        return asked == 3

    seen = watched(script.address, job_watch.DELIVERY_SECONDS / 2, is_delivered=is_delivered)
    assert (seen.state, seen.watched.reason, asked) == ("RUNNING", job_watch.DELIVERED, 3)
    assert seen.sleeps == 8, "the first failure, and three times a minute"


def test_what_is_delivered_ends_the_watching_of_a_job_that_is_not_found(proxy: BatchProxy) -> None:
    async def is_delivered() -> bool:
        return True

    seen = watched(proxy.address, job_watch.DELIVERY_SECONDS / 2, is_delivered=is_delivered)
    assert seen.watched == WatchResult(None, job_watch.DELIVERED)
    assert seen.sleeps == 2


def test_nobody_asks_for_what_is_delivered_while_batch_answers(script: BatchScript) -> None:
    async def is_delivered() -> bool:
        pytest.fail("the bucket was asked")

    script.lines = ["RUNNING", UNAVAILABLE, *["RUNNING"] * 9, UNAVAILABLE, "SUCCEEDED"]
    assert watched(script.address, job_watch.DELIVERY_SECONDS, is_delivered=is_delivered).state == "SUCCEEDED"


def test_why_a_job_waits_is_told_once_for_each_kind(
    script: BatchScript, told: type[Told], caplog: pytest.LogCaptureFixture
) -> None:
    script.lines = [
        told("QUEUED", ["Job is created"]),
        told("QUEUED", [QUOTA]),
        told("QUEUED", [QUOTA, QUOTA]),
        told("SCHEDULED", [QUOTA, QUOTA, CAPACITY]),
        told("SCHEDULED", [QUOTA, QUOTA, CAPACITY, "something else"]),
        told("SUCCEEDED", [QUOTA]),
    ]
    watched(script.address, 1)
    texts = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(texts) == 2
    assert "quota" in texts[0]
    assert QUOTA in texts[0]
    assert "no such machine free" in texts[1]
    assert all(NAME in text for text in texts)


def test_the_users_cancellation_ends_the_watching_from_within_the_sleep(script: BatchScript) -> None:
    script.lines = ["QUEUED"]

    class Cancelled(Exception):
        pass

    async def run() -> None:
        batch = BatchApi(connect(script.address))

        async def look(seconds: float) -> JobStatus | None:
            if script.looks == 2:
                raise Cancelled
            return await batch.get(NAME)

        try:
            await wait_for_end(look, NAME, POLL_SECONDS, FOR_EVER, lambda: 0.0)
        finally:
            await batch.close()

    with pytest.raises(Cancelled):
        asyncio.run(run())
    assert script.looks == 2
