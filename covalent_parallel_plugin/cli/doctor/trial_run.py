"""Send one small electron through `GCPBatchExecutor.run`, without a server, and time its phases."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import cloudpickle

from ...batch.job_names import LABEL_DISPATCH
from ...cloud import Services, shared_services
from ...cloud.batch import JobStatus
from ...cloud.storage import StoredObject
from ...cloud.threads import run_in_thread
from ...errors import CloudError, ParallelError
from ...protocol.object_names import PREFIX
from ...settings import Settings
from .phases import Phase, phases, read_timestamps
from .results import CheckResult, error, ok

CHECK_NAME = "run.electron"
# Checks without which an electron cannot be sent
RESTS_ON = (
    "versions.covalent",
    "config.file",
    "config.mistakes",
    "config.cache_dir",
    "services.stand_in",
    "credentials.found",
    "project.exists",
    "region.known",
    "batch.usable",
    "bucket.exists",
    "bucket.writable",
)
# The electron takes no time; what is waited for is a machine
TIME_LIMIT_SECONDS = 120
QUEUE_LIMIT_SECONDS = 900
POLL_SECONDS = 1.0


def report_environment() -> str:
    """Return when the electron started and ended, and where, as JSON; times in seconds since 1970.

    It travels by value, so that the container needs nothing of this package.
    """
    import time

    started = time.time()
    import json
    import os
    import platform

    seen = {
        "python": platform.python_version(),
        "machine": platform.node(),
        "cpus": os.cpu_count(),
        "started": started,
        "ended": time.time(),
    }
    return json.dumps(seen)


async def trial_run(
    given: Mapping[str, object], settings: Settings, clock: Callable[[], float] = time.time
) -> tuple[CheckResult, list[Phase]]:
    """Run the electron, return the result and how long each phase took, and clean up, also when this is cancelled.

    The objects are kept until the executor is done, since their times say when things were staged and delivered.
    """
    dispatch_id = f"doctor-{secrets.token_hex(6)}"
    services = shared_services(settings.project_id, settings.bucket_name)
    import_module("covalent_parallel_plugin.gcpbatch")  # and Covalent, which takes a second
    began, collected = clock(), None
    seen: Mapping[str, Any] = {}
    failure: ParallelError | None = None
    try:
        try:
            seen = json.loads(await _send(given, settings, dispatch_id))
        except ParallelError as problem:
            failure = problem
        collected = clock()
        job, objects = await _left(services, settings, dispatch_id)
    finally:
        try:
            await asyncio.shield(_remove(services, dispatch_id))
        finally:
            await services.batch.close()
    took = phases(read_timestamps(began, job, objects, seen, None if failure else collected, clock()))
    if failure is not None:
        return error(f"the electron failed: {failure}", "see what the text says, and the checks above"), took
    where = f"Python {seen.get('python')} on {seen.get('machine')} with {seen.get('cpus')} CPUs"
    return ok(f"an electron ran in {clock() - began:.1f} s: {where}"), took


async def _send(given: Mapping[str, object], settings: Settings, dispatch_id: str) -> str:
    from ...gcpbatch import GCPBatchExecutor

    own: dict[str, Any] = {
        "keep_objects": True,
        "time_limit": min(settings.time_limit, TIME_LIMIT_SECONDS),
        "queue_limit": min(settings.queue_limit, QUEUE_LIMIT_SECONDS),
        "poll_freq": min(settings.poll_freq, POLL_SECONDS),
    }
    executor = GCPBatchExecutor(**{**given, **own})
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        task = {"dispatch_id": dispatch_id, "node_id": 0}
        value = await executor.run(report_environment, [], {}, task)
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    return str(value.object_string)


async def _left(
    services: Services, settings: Settings, dispatch_id: str
) -> tuple[JobStatus | None, list[StoredObject]]:
    """Return the job and the objects; none where they cannot be listed, since only their times are wanted."""
    try:
        jobs = await services.batch.list(settings.parent, f'labels."{LABEL_DISPATCH}"="{dispatch_id}"')
        objects = await run_in_thread(services.objects.list, f"{PREFIX}/{dispatch_id}/")
    except CloudError:
        return None, []
    return (jobs[0] if jobs else None), objects


async def _remove(services: Services, dispatch_id: str) -> None:
    def remove() -> None:
        for name in services.objects.names(f"{PREFIX}/{dispatch_id}/"):
            services.objects.delete(name)

    await run_in_thread(remove)
