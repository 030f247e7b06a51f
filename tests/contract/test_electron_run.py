"""One call's way through services that fail: the proxy stands before the emulator's Batch."""

from __future__ import annotations

import asyncio
import os
import platform
import re
import signal
import sys
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import grpc
import pytest

from covalent_parallel_plugin.batch.cancellation import Cancellation, CancelledCall
from covalent_parallel_plugin.batch.job_names import job_id_for
from covalent_parallel_plugin.cloud import Services
from covalent_parallel_plugin.cloud.batch import BatchApi, connect
from covalent_parallel_plugin.cloud.logging import LogReader
from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.electron.call import Call, new_identity
from covalent_parallel_plugin.electron.electron_run import ElectronRun
from covalent_parallel_plugin.electron.server_secret import ServerSecret
from covalent_parallel_plugin.electron.traceback_source import SourceText
from covalent_parallel_plugin.electron.verdict import Failure, Value
from covalent_parallel_plugin.emulator import Fault as Struck
from covalent_parallel_plugin.emulator import Faults
from covalent_parallel_plugin.errors import (
    CloudError,
    JobCancelledError,
    MachineLostError,
    NoCapacityError,
    OutcomeError,
    PermissionDeniedError,
    TaskKilledError,
)
from covalent_parallel_plugin.protocol.envelope import DELIVERED, KILLED, LATE, OUTCOME, seal_envelope
from covalent_parallel_plugin.protocol.environment import ENV_LIVE
from covalent_parallel_plugin.protocol.live_part import LivePart, LiveStream, seal_live_part
from covalent_parallel_plugin.settings import Settings

if TYPE_CHECKING:
    from conftest import BatchProxy, Fault

    from covalent_parallel_plugin.emulator import Emulator

# The tasks cannot import the tests
cloudpickle.register_pickle_by_value(sys.modules[__name__])

PARENT = "projects/local/locations/us-east1"
# The name of the asyncio task in which a call is run
RUN = "the call"


class Way:
    """A call of a function, with what is needed to bring it to its end."""

    def __init__(self, address: str, store: ObjectStore, cache_dir: Path) -> None:
        self.address = address
        self.store = store
        self.settings = Settings(
            bucket_name="covalent", project_id="local", poll_freq=0.1, retries=0, cache_dir=str(cache_dir)
        )
        self.call = Call(str(uuid.uuid4()), 0, "electron", platform.python_version(), "0.240.0")
        self.identity = new_identity(self.call, (), ServerSecret.random())
        self.cancelled: Cancellation
        # How long Batch, and what is in the bucket, may be out of reach or refused
        self.borne_seconds = 20.0

    def go(self, function: Callable[[], Any], aside: Callable[[Way, BatchApi], Any] | None = None) -> Any:
        """Run it; `aside` runs beside it."""

        async def source() -> SourceText:
            return SourceText()

        async def run() -> Any:
            main = asyncio.current_task()
            assert main is not None
            main.set_name(RUN)
            self.cancelled = Cancellation()
            batch = BatchApi(connect(self.address), patience_seconds=5)
            batch.outage_seconds = batch.refusal_seconds = self.borne_seconds
            services = Services(batch, self.store, LogReader.shared("local"))
            lifecycle = ElectronRun(
                self.call,
                self.identity,
                self.settings,
                services,
                self.cancelled,
                source,
            )
            try:
                beside = asyncio.ensure_future(aside(self, batch)) if aside else None
                ended = await lifecycle.run({"function": cloudpickle.dumps(function)})
                if beside:
                    await beside
                return ended
            finally:
                await batch.close()
                # Another run is another submission.
                self.identity = new_identity(self.call, (), ServerSecret.random())

        return asyncio.run(run())

    def value(self, function: Callable[[], Any]) -> Any:
        ended = self.go(function)
        assert isinstance(ended, Value), ended
        return cloudpickle.loads(ended.outcome.pickle)

    @property
    def job_name(self) -> str:
        return f"{PARENT}/jobs/{job_id_for(self.call.dispatch_id, 0)}"

    @property
    def left(self) -> list[str]:
        """The objects that are left of it."""
        return list(self.store.names(f"covalent-parallel/{self.call.dispatch_id}/"))

    async def until_delivered(self) -> None:
        for _ in range(1200):
            if any(name.endswith("/outcome-0") for name in self.left):
                return
            await asyncio.sleep(0.1)
        pytest.fail("no outcome came")

    async def until_running(self, batch: BatchApi) -> None:
        await self.until(batch, "RUNNING")

    async def until(self, batch: BatchApi, state: str) -> None:
        for _ in range(1200):
            job = await batch.get(self.job_name)
            if job is not None and job.state == state:
                return
            await asyncio.sleep(0.1)
        pytest.fail(f"the job was not {state}")


@pytest.fixture
def way(proxy: BatchProxy, store: ObjectStore, tmp_path: Path) -> Way:
    return Way(proxy.address, store, tmp_path)


def sleeps() -> None:
    import time

    time.sleep(600)


def jobs_of(way: Way) -> list[str]:
    async def listed() -> list[str]:
        batch = BatchApi(connect(way.address))
        found = [job.name for job in await batch.list(PARENT) if way.call.dispatch_id in job.name]
        await batch.close()
        return found

    return asyncio.run(listed())


def test_a_call_comes_back_and_leaves_nothing(way: Way) -> None:
    assert way.value(lambda: 7) == 7
    assert way.left == []


def raises() -> None:
    raise ValueError("no such thing\nat all")


def leaves() -> None:
    import os

    os._exit(4)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda: 7, "returned a value"),
        (raises, "raised ValueError: no such thing"),
        (leaves, "left Python with exit status 4"),
    ],
)
def test_the_history_of_its_task_says_how_the_electron_ended(way: Way, function: Callable[[], Any], told: str) -> None:
    way.go(function)

    async def history() -> list[str]:
        batch = BatchApi(connect(way.address))
        try:
            task = await batch.task(way.job_name)
            return [event.description for event in task.events] if task is not None else []
        finally:
            await batch.close()

    assert f"electron 'electron' (node 0) {told}" in asyncio.run(history())


def test_a_creation_whose_answer_was_lost_makes_one_job(way: Way, proxy: BatchProxy, fault: type[Fault]) -> None:
    proxy.faults = [
        fault("CreateJob", grpc.StatusCode.UNAVAILABLE, after=True),
        fault("CreateJob", grpc.StatusCode.ALREADY_EXISTS),
    ]
    assert way.value(lambda: 7) == 7
    assert jobs_of(way) == [way.job_name]


# What a proxy, or a stream that was reset, may answer in Batch's place
ODD = ("CANCELLED", "UNAUTHENTICATED", "PERMISSION_DENIED", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "NOT_FOUND")
ODD += ("DATA_LOSS", "OUT_OF_RANGE", "UNIMPLEMENTED", "UNKNOWN", "DEADLINE_EXCEEDED")


@pytest.mark.parametrize("code", ODD)
def test_a_job_that_was_made_although_the_answer_is_an_error_is_adopted(
    way: Way, proxy: BatchProxy, fault: type[Fault], code: str
) -> None:
    proxy.faults = [fault("CreateJob", grpc.StatusCode[code], after=True)]
    assert way.value(lambda: 7) == 7
    assert jobs_of(way) == [way.job_name]


@pytest.mark.parametrize("code", ["CANCELLED", "PERMISSION_DENIED"])
def test_a_job_that_cannot_be_looked_for_at_once_is_adopted_too(
    way: Way, proxy: BatchProxy, fault: type[Fault], code: str
) -> None:
    proxy.faults = [
        fault("CreateJob", grpc.StatusCode[code], after=True),
        fault("GetJob", grpc.StatusCode.UNAUTHENTICATED),
        fault("GetJob", grpc.StatusCode.DATA_LOSS),
    ]
    assert way.value(lambda: 7) == 7
    assert jobs_of(way) == [way.job_name]


def test_a_job_that_cannot_be_looked_for_is_ended(way: Way, proxy: BatchProxy, fault: type[Fault]) -> None:
    proxy.faults = [
        fault("CreateJob", grpc.StatusCode.PERMISSION_DENIED, after=True),
        fault("GetJob", grpc.StatusCode.INTERNAL, times=8),
    ]
    with pytest.raises(PermissionDeniedError, match="could not be submitted"):
        way.value(sleeps)
    assert set(states_of(way)) <= {"CANCELLED", "FAILED"}
    assert way.left == []


def test_a_job_of_another_call_that_holds_the_name_is_left_alone(way: Way) -> None:
    earlier = replace(way.call)
    first = Way(way.address, way.store, Path(way.settings.cache_dir))
    first.call = earlier
    assert first.value(lambda: 1) == 1
    assert way.value(lambda: 2) == 2
    mine, second = sorted(jobs_of(way))
    assert mine == way.job_name
    assert re.fullmatch(rf"{re.escape(mine)}r[0-9a-f]{{8}}", second)


def test_too_many_jobs_that_hold_the_names_are_told(way: Way, proxy: BatchProxy, fault: type[Fault]) -> None:
    proxy.faults = [fault("CreateJob", grpc.StatusCode.ALREADY_EXISTS, times=100)]
    with pytest.raises(CloudError, match="hold its names"):
        way.value(lambda: 7)
    assert way.left == []


def test_a_job_that_is_not_found_after_its_creation_is_waited_for(
    way: Way, proxy: BatchProxy, fault: type[Fault]
) -> None:
    proxy.faults = [fault("GetJob", grpc.StatusCode.NOT_FOUND, times=4)]
    assert way.value(lambda: 7) == 7


def test_an_outage_while_the_job_runs_does_not_end_it(way: Way, proxy: BatchProxy, fault: type[Fault]) -> None:
    proxy.faults = [fault("GetJob", grpc.StatusCode.UNAVAILABLE, times=8)]
    assert way.value(lambda: 7) == 7


def test_a_refused_creation_is_told_and_leaves_nothing(way: Way, proxy: BatchProxy, fault: type[Fault]) -> None:
    proxy.faults = [fault("CreateJob", grpc.StatusCode.PERMISSION_DENIED)]
    with pytest.raises(PermissionDeniedError, match=r"electron 'electron' .* could not be submitted"):
        way.value(lambda: 7)
    assert way.left == []


def test_refusals_to_look_at_a_job_cancel_it_in_the_end(way: Way, proxy: BatchProxy, fault: type[Fault]) -> None:
    way.borne_seconds = 2
    proxy.faults = [fault("GetJob", grpc.StatusCode.PERMISSION_DENIED, times=10_000)]
    with pytest.raises(PermissionDeniedError, match=r"electron 'electron' .* was lost sight of"):
        way.value(sleeps)
    assert proxy.calls["CancelJob"] >= 1
    assert way.left == []


def test_a_value_that_is_there_wins_over_a_job_that_was_lost_sight_of(
    way: Way, proxy: BatchProxy, fault: type[Fault]
) -> None:
    way.borne_seconds = 3
    proxy.faults = [fault("GetJob", grpc.StatusCode.UNAUTHENTICATED, times=10_000)]
    assert way.value(lambda: 7) == 7
    assert way.left == []


def test_a_value_that_is_there_wins_over_a_job_that_somebody_deleted(way: Way) -> None:
    async def delete(way: Way, batch: BatchApi) -> None:
        await way.until_running(batch)
        await asyncio.sleep(1)
        await way.until_delivered()
        await batch.delete(way.job_name)

    def waits() -> int:
        import time

        time.sleep(4)
        return 7

    # One look while it runs, and the next after the deletion
    way.settings = replace(way.settings, poll_freq=3)
    ended = way.go(waits, delete)
    assert isinstance(ended, Value), ended
    assert way.left == []


@pytest.mark.parametrize(("code", "times"), [(403, 2), (404, 5)])
def test_an_outcome_whose_download_is_refused_for_a_while_is_fetched(
    way: Way, emulator: Emulator, code: int, times: int
) -> None:
    emulator.faults.set(
        Faults((Struck("storage.error", request="objects.download", object="*/outcome-0", code=code, first=times),))
    )
    try:
        assert way.value(lambda: 7) == 7
    finally:
        emulator.faults.set(Faults())


UNREADABLE = Struck("storage.error", request="objects.download", object="*/outcome-0", code=403)


def test_an_outcome_that_cannot_be_fetched_stays_and_the_message_says_where(way: Way, emulator: Emulator) -> None:
    way.borne_seconds = 1
    emulator.faults.set(Faults((UNREADABLE,)))
    try:
        with pytest.raises(PermissionDeniedError) as raised:
            way.value(lambda: 7)
    finally:
        emulator.faults.set(Faults())
    (outcome,) = way.left
    folder = outcome.removesuffix("/outcome-0")
    assert f"stays in gs://covalent/{folder}/ for 7 days, by the bucket's lifecycle rule" in str(raised.value)
    assert f"`covalent-parallel fetch {way.call.dispatch_id} 0`" in str(raised.value)


def test_the_users_cancellation_ends_the_fetching_and_leaves_nothing(way: Way, emulator: Emulator) -> None:
    async def cancel(way: Way, batch: BatchApi) -> None:
        await way.until_delivered()
        # By then it was asked for in vain.
        await asyncio.sleep(1)
        way.cancelled.set()

    emulator.faults.set(Faults((UNREADABLE,)))
    try:
        with pytest.raises(CancelledCall):
            way.go(lambda: 7, cancel)
    finally:
        emulator.faults.set(Faults())
    assert way.left == []


def test_a_server_that_stops_leaves_an_outcome_that_it_has_not_fetched(way: Way, emulator: Emulator) -> None:
    async def stop(way: Way, batch: BatchApi) -> None:
        await way.until_delivered()
        await asyncio.sleep(1)
        for task in asyncio.all_tasks():
            if task.get_name() == RUN:
                task.cancel()

    emulator.faults.set(Faults((UNREADABLE,)))
    try:
        with pytest.raises(asyncio.CancelledError):
            way.go(lambda: 7, stop)
    finally:
        emulator.faults.set(Faults())
    assert [name.rsplit("/", 1)[1] for name in way.left] == ["outcome-0"]


@pytest.mark.parametrize("is_users", [True, False])
def test_deletions_that_hang_do_not_hold_up_an_end_and_a_server_that_stops_deletes_no_outcome(
    way: Way, emulator: Emulator, caplog: pytest.LogCaptureFixture, is_users: bool
) -> None:
    async def end(way: Way, batch: BatchApi) -> None:
        for _ in range(1200):
            # Twice: by then the outcome was read, and the call's deletion failed.
            if sum(emulator.faults.consumed.values()) - before >= 2:
                break
            await asyncio.sleep(0.1)
        if is_users:
            way.cancelled.set()
        for task in asyncio.all_tasks():
            if task.get_name() == RUN and not is_users:
                task.cancel()

    before = sum(emulator.faults.consumed.values())
    emulator.faults.set(Faults((Struck("storage.error", request="objects.delete", object="*/call", code=503),)))
    try:
        if is_users:
            assert isinstance(way.go(lambda: 7, end), Value)
        else:
            with pytest.raises(asyncio.CancelledError):
                way.go(lambda: 7, end)
        # The deletion was still tried again when the end came.
        assert "however often it was asked" not in caplog.text
    finally:
        emulator.faults.set(Faults())
    if not is_users:
        assert [name.rsplit("/", 1)[1] for name in way.left] == ["call", "outcome-0"]


def test_a_folder_that_a_file_has_replaced_costs_no_small_value(way: Way) -> None:
    async def replace_folder(way: Way, batch: BatchApi) -> None:
        await way.until_running(batch)
        cache_dir.rmdir()
        cache_dir.touch()

    def waits() -> int:
        import time

        time.sleep(2)
        return 7

    cache_dir = Path(way.settings.cache_dir) / "cache"
    cache_dir.mkdir()
    way.settings = replace(way.settings, cache_dir=str(cache_dir))
    ended = way.go(waits, replace_folder)
    assert isinstance(ended, Value), ended


def test_an_object_whose_deletion_is_refused_does_not_keep_the_others(
    way: Way, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.faults.set(Faults((Struck("storage.error", request="objects.delete", object="*/call", code=403),)))
    try:
        assert way.value(lambda: 7) == 7
    finally:
        emulator.faults.set(Faults())
    (call,) = way.left
    assert call.endswith("/call")
    assert f"{call} is left in the bucket" in caplog.text


def test_the_users_cancellation_cancels_the_job(way: Way, proxy: BatchProxy) -> None:
    async def cancel(way: Way, batch: BatchApi) -> None:
        await way.until_running(batch)
        way.cancelled.set()

    with pytest.raises(CancelledCall):
        way.go(sleeps, cancel)
    assert proxy.calls["CancelJob"] == 1
    assert way.left == []


def answers_sigterm(begun: Path) -> None:
    import os
    import signal
    import sys
    import time

    def save(number: int, frame: object) -> None:
        # Longer than a job was once given
        time.sleep(3)
        os.write(1, b"saved\n")
        sys.exit(3)

    signal.signal(signal.SIGTERM, save)
    print("begun")
    begun.touch()
    time.sleep(600)


@pytest.mark.parametrize("keeps_results", [False, True])
def test_what_a_cancelled_electron_prints_until_its_end_comes_back(
    way: Way, tmp_path: Path, keeps_results: bool
) -> None:
    begun = tmp_path / "begun"

    async def cancel(way: Way, batch: BatchApi) -> None:
        for _ in range(600):
            if await asyncio.to_thread(begun.exists):
                break
            await asyncio.sleep(0.1)
        way.cancelled.set(keeps_results)

    with pytest.raises(CancelledCall) as caught:
        way.go(partial(answers_sigterm, begun), cancel)
    assert caught.value.stdout == "begun\nsaved\n"
    assert "it answered SIGTERM with exit status 3" in caught.value.stderr
    assert way.left == []


def test_a_cancellation_whose_request_fails_is_tried_again(way: Way, proxy: BatchProxy, fault: type[Fault]) -> None:
    proxy.faults = [fault("CancelJob", grpc.StatusCode.UNAVAILABLE, times=2)]

    async def cancel(way: Way, batch: BatchApi) -> None:
        await way.until_running(batch)
        way.cancelled.set()

    with pytest.raises(CancelledCall):
        way.go(sleeps, cancel)
    assert proxy.calls["CancelJob"] == 3


@pytest.mark.parametrize("method", ["CancelJob", "GetJob"])
@pytest.mark.parametrize("code", ["CANCELLED", "UNAUTHENTICATED", "FAILED_PRECONDITION", "INTERNAL"])
def test_a_cancellation_that_is_answered_oddly_leaves_no_job_that_runs(
    way: Way, proxy: BatchProxy, fault: type[Fault], method: str, code: str
) -> None:
    async def cancel(way: Way, batch: BatchApi) -> None:
        await way.until_running(batch)
        way.cancelled.set()
        proxy.faults = [fault(method, grpc.StatusCode[code])]

    with pytest.raises(CancelledCall):
        way.go(sleeps, cancel)
    # A task that finds its call deleted may end the job sooner.
    assert set(states_of(way)) <= {"CANCELLED", "FAILED"}
    assert way.left == []


@pytest.mark.parametrize("how", ["cancel", "delete"])
def test_a_job_that_somebody_else_ends_is_told(way: Way, how: str) -> None:
    async def end(way: Way, batch: BatchApi) -> None:
        await way.until_running(batch)
        # A job that nobody has seen yet may be one that Batch does not find yet: it has to be looked at before.
        await asyncio.sleep(3)
        await getattr(batch, how)(way.job_name)

    ended = way.go(sleeps, end)
    assert isinstance(ended, Failure)
    assert isinstance(ended.error, JobCancelledError)
    assert way.left == []


def test_a_task_that_never_reports_back_shows_exit_code_and_last_lines(way: Way) -> None:
    def kills_its_supervisor() -> None:
        import os
        import signal
        import time

        print("the last words", flush=True)
        time.sleep(0.5)
        os.kill(os.getppid(), signal.SIGKILL)

    ended = way.go(kills_its_supervisor)
    assert isinstance(ended, Failure)
    assert type(ended.error) is TaskKilledError
    assert "exit code 137" in str(ended.error)
    assert "the last words" in str(ended.error)


def test_a_forged_outcome_is_refused(way: Way) -> None:
    async def forge(way: Way, batch: BatchApi) -> None:
        await way.until_running(batch)
        (call,) = way.left
        way.store.put(call.replace("/call", "/outcome-0"), b"forged")

    def waits() -> None:
        import time

        time.sleep(2)

    ended = way.go(waits, forge)
    assert isinstance(ended, Failure)
    assert isinstance(ended.error, OutcomeError)
    # It may as well have been changed on its way.
    assert [name.rsplit("/", 1)[1] for name in way.left] == ["outcome-0"]
    assert "stays in gs://" in str(ended.error)


def test_a_large_call_leaves_nothing_in_cache_dir(way: Way) -> None:
    data = b"x" * 9_000_000
    assert way.value(lambda: len(data)) == 9_000_000
    assert list(Path(way.settings.cache_dir).iterdir()) == []


def has_lost_its_machines(way: Way, emulator: Emulator, *faults: Struck) -> Any:
    """Run a call that prints its attempt and returns the job's provisioning model."""
    emulator.faults.set(Faults(faults))
    try:
        return way.go(says_where)
    finally:
        emulator.faults.set(Faults())


def says_where() -> str:
    import os
    import time

    print("attempt", os.environ["BATCH_TASK_RETRY_ATTEMPT"], flush=True)
    time.sleep(3)
    return "done"


PREEMPTED = Struck("attempt.preempt", provisioning="SPOT", after_output="attempt", notice_seconds=5)


def test_spot_machines_that_are_lost_too_often_are_told_with_the_last_attempts_output(
    way: Way, emulator: Emulator
) -> None:
    way.settings = replace(way.settings, spot=True, retries=1)
    ended = has_lost_its_machines(way, emulator, PREEMPTED)
    assert isinstance(ended, Failure)
    assert type(ended.error) is MachineLostError
    assert "exit code 50001" in str(ended.error)
    assert "spot_fallback=True" in str(ended.error)
    assert ended.stdout == "attempt 1\n"
    assert way.left == []


def test_a_preempted_attempt_is_tried_again_and_leaves_nothing(way: Way, emulator: Emulator) -> None:
    way.settings = replace(way.settings, spot=True, retries=1)
    ended = has_lost_its_machines(way, emulator, replace(PREEMPTED, first=1))
    assert isinstance(ended, Value)
    assert ended.outcome.attempt == 1
    assert way.left == []


def test_lost_spot_machines_are_followed_by_one_standard_one_and_nothing_is_left(way: Way, emulator: Emulator) -> None:
    """The second job's first attempt has number 0 again, and the first job's has left its output."""
    way.settings = replace(way.settings, spot=True, retries=0, spot_fallback=True)
    ended = has_lost_its_machines(way, emulator, PREEMPTED)
    assert isinstance(ended, Value)
    assert ended.outcome.attempt == 0
    assert len(jobs_of(way)) == 2
    assert way.left == []


def test_a_job_that_finds_no_machine_within_queue_limit_is_cancelled_and_told(way: Way, emulator: Emulator) -> None:
    way.settings = replace(way.settings, queue_limit=0.5)
    ended = has_lost_its_machines(way, emulator, Struck("job.quota"))
    assert isinstance(ended, Failure)
    assert type(ended.error) is NoCapacityError
    for part in ("queue_limit of 0.5 s", "quota", "CODE_GCE_QUOTA_EXCEEDED", "give the emulator more --vms"):
        assert part in str(ended.error)
    assert way.left == []
    assert states_of(way) == ["CANCELLED"]


def states_of(way: Way) -> list[str]:
    async def listed() -> list[str]:
        batch = BatchApi(connect(way.address))
        found = [job.state for job in await batch.list(PARENT) if way.call.dispatch_id in job.name]
        await batch.close()
        return found

    return asyncio.run(listed())


def test_forged_output_of_a_later_attempt_does_not_hide_the_real_one(way: Way, emulator: Emulator) -> None:
    async def forge(way: Way, batch: BatchApi) -> None:
        await way.until_running(batch)
        folder = way.left[0].rsplit("/", 1)[0]
        for name in ("attempt-1/partial-0", "attempt-9/partial-0", "attempt-999999/partial-0", "attempt-0/x"):
            way.store.put(f"{folder}/{name}", b"forged")

    way.settings = replace(way.settings, spot=True, retries=1)
    emulator.faults.set(Faults((replace(PREEMPTED, attempt=0), Struck("attempt.lost", attempt=1))))
    try:
        ended = way.go(says_where, forge)
    finally:
        emulator.faults.set(Faults())
    assert isinstance(ended, Failure)
    assert ended.stdout == "attempt 0\n"
    assert way.left == []


def test_a_task_that_cannot_be_asked_for_does_not_delay_the_verdict_for_minutes(
    way: Way, proxy: BatchProxy, fault: type[Fault]
) -> None:
    proxy.faults = [fault("GetTask", grpc.StatusCode.UNAVAILABLE, times=10_000)]

    def kills_its_supervisor() -> None:
        import os
        import signal

        os.kill(os.getppid(), signal.SIGKILL)

    ended = way.go(kills_its_supervisor)
    assert type(ended.error) is TaskKilledError, "the job's own event has the exit code too"
    assert proxy.calls["GetTask"] < 10


# --- what was delivered while it ran

PRINTED = LivePart(0, 0, LiveStream(0, b"begun, "), LiveStream(0, b"careful\n"))


def has_live_parts(way: Way, *parts: LivePart) -> None:
    """Have in the bucket what an attempt delivered before it was lost."""
    for part in parts:
        address = way.identity.task()
        way.store.put(address.live_name(part.attempt, part.number), seal_live_part(address, part))


def test_what_an_electron_had_printed_that_is_killed_with_its_supervisor_is_shown(
    way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_LIVE, "0.01")
    supervisor = tmp_path / "supervisor"

    def prints(path: str) -> None:
        import os
        import time
        from pathlib import Path

        print("half done", flush=True)
        with open(f"{path}.new", "w") as file:
            file.write(str(os.getppid()))
        Path(f"{path}.new").rename(path)
        time.sleep(600)

    async def kill(way: Way, batch: BatchApi) -> None:
        for _ in range(600):
            if supervisor.exists() and any("/live/" in name for name in way.left):
                os.killpg(os.getpgid(int(supervisor.read_text())), signal.SIGKILL)
                return
            await asyncio.sleep(0.05)

    ended = way.go(partial(prints, str(supervisor)), kill)
    assert isinstance(ended, Failure)
    assert ended.stdout == "half done\n"
    assert "ended with exit code 137" in str(ended.error)
    assert way.left == []


def test_what_attempts_delivered_while_they_ran_precedes_the_message_that_they_were_lost(
    way: Way, emulator: Emulator
) -> None:
    second = LivePart(0, 1, LiveStream(7, b"more\n"), LiveStream(5008, b"end\n"))
    has_live_parts(way, PRINTED, second)
    ended = has_lost_its_machines(way, emulator, Struck("attempt.lost", before_run=True))
    assert isinstance(ended, Failure)
    assert ended.stdout == "begun, more\n"
    assert ended.stderr.startswith("careful\n\n... 5000 bytes left out ...\nend\n")
    assert "exit code 50002" in ended.stderr.split("end\n")[1]
    assert way.left == []


def test_what_a_lost_attempt_delivered_while_it_ran_precedes_the_next_ones_output(way: Way, emulator: Emulator) -> None:
    way.settings = replace(way.settings, retries=1)
    has_live_parts(way, PRINTED)
    ended = has_lost_its_machines(way, emulator, Struck("attempt.lost", attempt=0, before_run=True))
    assert isinstance(ended, Value)
    titles = "--- attempt 0, which was run again ---\nbegun, \n--- attempt 1 ---\nattempt 1\n"
    assert ended.outcome.stdout == titles
    assert way.left == []


def test_what_a_later_attempt_delivered_while_it_ran_wins_over_what_an_earlier_one_was_given_time_for(
    way: Way, emulator: Emulator
) -> None:
    way.settings = replace(way.settings, spot=True, retries=1)
    has_live_parts(way, PRINTED._replace(attempt=1))
    preempted = replace(PREEMPTED, attempt=0)
    ended = has_lost_its_machines(way, emulator, preempted, Struck("attempt.lost", attempt=1, before_run=True))
    assert isinstance(ended, Failure)
    assert ended.stdout == "begun, "
    assert way.left == []


def test_objects_that_somebody_else_wrote_under_live_names_are_skipped_with_one_warning(
    way: Way, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    has_live_parts(way, PRINTED)
    folder = way.identity.folder
    other = seal_live_part(way.identity._replace(key=b"l" * 32).task(), PRINTED)
    objects = {
        "0-0-1-0": b"forged",
        "0-0-2-0": other,
        "0-0-3-0": b"x" * 3_000_000,
        "0-7-0-0": b"",
        "1-0-0-0": b"",
        "x": b"",
    }
    for name, data in objects.items():
        way.store.put(f"{folder}/live/{name}", data)
    ended = has_lost_its_machines(way, emulator, Struck("attempt.lost", before_run=True))
    assert isinstance(ended, Failure)
    assert ended.stdout == "begun, "
    warnings = [record.getMessage() for record in caplog.records if "did not write them" in record.getMessage()]
    assert len(warnings) == 1 and warnings[0].startswith("2 objects")
    assert way.left == []


def test_a_cancelled_electron_shows_what_it_had_delivered_while_it_ran(way: Way, emulator: Emulator) -> None:
    """Its machine is not there to report any more."""

    async def cancel(way: Way, batch: BatchApi) -> None:
        await way.until(batch, "QUEUED")
        way.cancelled.set()

    has_live_parts(way, PRINTED)
    emulator.faults.set(Faults((Struck("job.quota"),)))
    try:
        with pytest.raises(CancelledCall) as caught:
            way.go(says_where, cancel)
    finally:
        emulator.faults.set(Faults())
    assert (caught.value.stdout, caught.value.stderr) == ("begun, ", "careful\n")
    assert way.left == []


def test_live_parts_of_an_electron_that_ended_well_are_deleted_with_the_others(
    way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENV_LIVE, "0.01")
    gate = tmp_path / "gate"

    def waits(path: str) -> str:
        import time
        from pathlib import Path

        print("half done", flush=True)
        for _ in range(600):
            if Path(path).exists():
                return "done"
            time.sleep(0.05)
        return "late"

    async def let_go(way: Way, batch: BatchApi) -> None:
        for _ in range(600):
            if any("/live/" in name for name in way.left):
                break
            await asyncio.sleep(0.05)
        gate.touch()

    ended = way.go(partial(waits, str(gate)), let_go)
    assert isinstance(ended, Value)
    assert ended.outcome.stdout == "half done\n"
    assert ended.outcome.live == DELIVERED
    assert way.left == []


def test_a_great_many_live_parts_are_deleted_with_the_others(way: Way, emulator: Emulator) -> None:
    way.settings = replace(way.settings, retries=1)
    has_live_parts(way, *(LivePart(0, number, LiveStream(2 * number, b"x\n")) for number in range(60)))
    ended = has_lost_its_machines(way, emulator, Struck("attempt.lost", attempt=0, before_run=True))
    assert isinstance(ended, Value)
    assert ended.outcome.stdout.count("x\n") == 60
    assert way.left == []


class Noting:
    """A bucket, and which of its folders were listed."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.listed: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def names(self, prefix: str) -> list[str]:
        self.listed.append(prefix)
        return self._store.names(prefix)


@pytest.mark.parametrize(("live", "listings"), [("", 0), (DELIVERED, 1), (LATE, 2)])
def test_objects_are_listed_only_where_live_parts_may_be_there_and_again_where_one_may_come_late(
    way: Way, live: str, listings: int
) -> None:
    address = way.identity.task()
    header = {"outcome": KILLED, "signal": 9, "exit_status": None, "attempt": 0, "python": "3.11.7", "live": live}
    prefix = seal_envelope(header, {}, address.call.key, address.binding(OUTCOME))
    way.store.put(address.outcome_name, prefix)
    store = way.store
    noting = way.store = Noting(store)  # type: ignore[assignment]  # it has what is needed
    ended = way.go(lambda: None)
    way.store = store
    assert noting.listed.count(f"{address.call.folder}/") == listings
    assert isinstance(ended, Failure)
    assert type(ended.error) is TaskKilledError
    assert way.left == []
