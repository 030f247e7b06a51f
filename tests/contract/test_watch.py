"""dispatch/watch.py against a Batch server that is in trouble; the clock is the test's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from covalent_parallel_plugin.cloud.batch import BatchApi, connect
from covalent_parallel_plugin.dispatch import watch
from covalent_parallel_plugin.errors import PermissionDeniedError, UnavailableError

if TYPE_CHECKING:
    from conftest import BatchProxy, Fault

NAME = "projects/local/locations/us-east1/jobs/not-there"


def watched(address: str, pause_counts_for_seconds: float) -> tuple[Any, int]:
    """What the watching ends with, and how often it slept."""
    now = 0.0
    sleeps = 0

    async def sleep(seconds: float) -> None:
        nonlocal now, sleeps
        now += pause_counts_for_seconds
        sleeps += 1
        await asyncio.sleep(0)

    async def run() -> Any:
        batch = BatchApi(connect(address))
        try:
            return await watch.until_ended(batch, NAME, 0.05, sleep, lambda: now)
        finally:
            await batch.close()

    return asyncio.run(run()), sleeps


def test_a_job_that_is_not_found_for_minutes_is_gone(proxy: BatchProxy) -> None:
    job, sleeps = watched(proxy.address, watch.UNSEEN_SECONDS / 4)
    assert job is None
    assert sleeps == 5


def test_there_is_a_sleep_before_every_look(proxy: BatchProxy) -> None:
    _, sleeps = watched(proxy.address, watch.UNSEEN_SECONDS / 10)
    assert proxy.calls["GetJob"] == sleeps


def test_an_outage_is_borne_for_half_an_hour_and_then_told(proxy: BatchProxy, fault: type[Fault]) -> None:
    proxy.faults = [fault("GetJob", grpc.StatusCode.UNAVAILABLE, times=10_000)]
    with pytest.raises(UnavailableError):
        watched(proxy.address, watch.OUTAGE_SECONDS / 3)
    assert proxy.calls["GetJob"] >= 4


def test_a_refusal_ends_the_watching_at_once(proxy: BatchProxy, fault: type[Fault]) -> None:
    proxy.faults = [fault("GetJob", grpc.StatusCode.PERMISSION_DENIED)]
    with pytest.raises(PermissionDeniedError):
        watched(proxy.address, 1)
    assert proxy.calls["GetJob"] == 1
