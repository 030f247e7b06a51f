"""job_watch.py against Batch servers in trouble, or that tell what a test has written; the clock is the test's."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import pytest

from covalent_parallel_plugin.batch import job_watch
from covalent_parallel_plugin.batch.job_watch import WatchResult, wait_for_end
from covalent_parallel_plugin.cloud.batch import BatchApi, JobStatus, connect
from covalent_parallel_plugin.errors import PermissionDeniedError, UnavailableError

if TYPE_CHECKING:
    from conftest import BatchProxy, BatchScript, Fault, Told

NAME = "projects/local/locations/us-east1/jobs/not-there"
NOT_FOUND = grpc.StatusCode.NOT_FOUND
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
OUTAGE_SECONDS = 1800
FOR_EVER = job_watch.WatchLimits(queue_seconds=1e9, run_seconds=1e9, outage_seconds=OUTAGE_SECONDS)
POLL_SECONDS = 0.05
MOST_LOOKS = 500
QUOTA = "CODE_GCE_QUOTA_EXCEEDED: Quota 'N2_CPUS' exceeded."
CAPACITY = "CODE_GCE_ZONE_RESOURCE_POOL_EXHAUSTED"


@dataclass(frozen=True)
class Seen:
    """How a watching ended: its result, how often it slept, and the clock's seconds at the end."""

    watched: WatchResult
    sleeps: int
    seconds: float

    @property
    def state(self) -> str | None:
        return self.watched.job.state if self.watched.job is not None else None


def watched(address: str, pause_counts_for_seconds: float, limits: job_watch.WatchLimits = FOR_EVER) -> Seen:
    """Watch to the end, with a clock that each sleep moves on by so much."""
    now = 0.0
    sleeps = 0

    async def sleep(seconds: float) -> None:
        nonlocal now, sleeps
        assert 0 < seconds <= POLL_SECONDS
        now += pause_counts_for_seconds
        sleeps += 1
        assert sleeps < MOST_LOOKS, "the watching has no end"
        await asyncio.sleep(0)

    async def run() -> WatchResult:
        batch = BatchApi(connect(address))

        async def look(seconds: float) -> JobStatus | None:
            await sleep(seconds)
            return await batch.get(NAME, patience_seconds=POLL_SECONDS)

        try:
            return await wait_for_end(look, NAME, POLL_SECONDS, limits, lambda: now)
        finally:
            await batch.close()

    result = asyncio.run(run())
    return Seen(result, sleeps, now)


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
    with pytest.raises(UnavailableError):
        watched(proxy.address, OUTAGE_SECONDS / 3)
    assert proxy.calls["GetJob"] >= 4


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


def test_a_refusal_ends_the_watching_at_once(proxy: BatchProxy, fault: type[Fault]) -> None:
    proxy.faults = [fault("GetJob", grpc.StatusCode.PERMISSION_DENIED)]
    with pytest.raises(PermissionDeniedError):
        watched(proxy.address, 1)
    assert proxy.calls["GetJob"] == 1


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
