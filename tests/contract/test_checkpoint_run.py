"""Checkpoints seen from the dispatcher: what stays, what is deleted, and who continues from them."""

from __future__ import annotations

import asyncio
import os
import platform
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_parallel_plugin.batch.cancellation import Cancellation, CancelledCall
from covalent_parallel_plugin.batch.leftovers import delete_leftovers, find_leftovers
from covalent_parallel_plugin.cloud import Services
from covalent_parallel_plugin.cloud.batch import BatchApi, connect
from covalent_parallel_plugin.cloud.logging import LogReader
from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.electron.call import Call, Map, new_identity
from covalent_parallel_plugin.electron.electron_job import electron_job
from covalent_parallel_plugin.electron.electron_run import ElectronRun
from covalent_parallel_plugin.electron.server_secret import ServerSecret
from covalent_parallel_plugin.electron.traceback_source import SourceText
from covalent_parallel_plugin.electron.verdict import Failure, Value
from covalent_parallel_plugin.emulator import Emulator, Fault, Faults, ProcessRuntime
from covalent_parallel_plugin.errors import MachineLostError, SettingsError, TimeLimitError
from covalent_parallel_plugin.protocol.environment import ENV_CHECKPOINT_PACE
from covalent_parallel_plugin.protocol.identity import CallIdentity
from covalent_parallel_plugin.settings import Settings

cloudpickle.register_pickle_by_value(sys.modules[__name__])

SECRET = ServerSecret.random()
SECONDS = 120


def count(until: int, log: str, seconds: float = 0.05) -> int:
    path = Path(os.environ["COVALENT_PARALLEL_CHECKPOINT"], "state")
    number = int(path.read_text()) if path.exists() else 0
    print("begins at", number, flush=True)
    while number < until:
        time.sleep(seconds)
        if Path(log).with_name("enough").exists():
            print("enough", flush=True)
        number += 1
        with open(log, "a") as file:
            file.write(f"{os.environ['BATCH_TASK_RETRY_ATTEMPT']} {number}\n")
        new = path.with_suffix(".new")
        new.write_text(str(number))
        new.replace(path)
    return number


class Way:
    """Runs of an electron through an emulator whose checkpoints come each 0.6 seconds."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self.folder = folder
        self.dispatch_id = str(uuid.uuid4())
        self.services: Services
        self.emulator = emulator
        self.cancelled: Cancellation
        self.options: dict[str, Any] = {"retries": 3, "time_limit": 60.0}

    def identity(self, call: Call) -> CallIdentity:
        return new_identity(call, (), SECRET)

    def go(
        self,
        function: Callable[[], Any],
        beside: Callable[[], Any] | None = None,
        checkpoint: CallIdentity | None = None,
    ) -> Any:
        settings = Settings(
            bucket_name="covalent", project_id="local", poll_freq=0.1, cache_dir=str(self.folder / "cache"),
            checkpoint=True, environment={ENV_CHECKPOINT_PACE: "0.01"}, **self.options,
        )  # fmt: skip
        call = Call(self.dispatch_id, 0, "electron", platform.python_version(), "0.240.0")

        async def source() -> SourceText:
            return SourceText()

        async def run() -> Any:
            self.cancelled = Cancellation()
            batch = BatchApi(connect(self.emulator.environment["BATCH_EMULATOR_HOST"]), patience_seconds=5)
            self.services = Services(batch, ObjectStore.shared("local", "covalent"), LogReader.shared("local"))
            self.last = self.identity(call)
            run = ElectronRun(call, self.last, settings, self.services, self.cancelled, source, checkpoint=checkpoint)
            try:
                aside = asyncio.ensure_future(beside()) if beside is not None else None
                ended = await run.run({"function": cloudpickle.dumps(function)})
                if aside is not None:
                    await aside
                return ended
            finally:
                await batch.close()

        return asyncio.run(run())

    @property
    def left(self) -> list[str]:
        return ObjectStore.shared("local", "covalent").names(f"covalent-parallel/{self.dispatch_id}/")

    async def until_checkpoints(self, count: int) -> None:
        for _ in range(SECONDS * 20):
            if sum("/checkpoint-" in name for name in self.left) >= count:
                return
            await asyncio.sleep(0.05)
        pytest.fail("no checkpoints came")

    def steps(self) -> dict[int, list[int]]:
        """What each attempt has counted."""
        found: dict[int, list[int]] = {}
        for line in self.log.read_text().splitlines():
            attempt, number = map(int, line.split())
            found.setdefault(attempt, []).append(number)
        return found

    @property
    def log(self) -> Path:
        return self.folder / "log"


@pytest.fixture
def make_way(tmp_path: Path) -> Iterator[Callable[..., Way]]:
    emulators: list[Emulator] = []

    def make(*faults: Fault) -> Way:
        emulator = Emulator(runtime=ProcessRuntime(site_packages=True), faults=Faults(faults))
        emulator.__enter__()
        emulators.append(emulator)
        patch = pytest.MonkeyPatch()
        patches.append(patch)
        for name, address in emulator.environment.items():
            patch.setenv(name, address)
        return Way(emulator, tmp_path)

    patches: list[pytest.MonkeyPatch] = []
    yield make
    for patch in patches:
        patch.undo()
    for emulator in emulators:
        emulator.__exit__(None, None, None)


def test_three_preemptions_cost_no_more_than_what_no_checkpoint_had(make_way: Callable[..., Way]) -> None:
    way = make_way(Fault("attempt.preempt", attempt="0-2", after_output="begins", after_seconds=2))
    way.options["spot"] = True
    ended = way.go(partial(count, 100, str(way.log), 0.1))
    assert isinstance(ended, Value), ended
    assert cloudpickle.loads(ended.outcome.pickle) == 100
    begins = [int(line.split()[2]) for line in ended.outcome.stdout.splitlines() if line.startswith("begins")]
    assert len(begins) == 4 and begins[0] == 0
    steps = way.steps()
    # Each attempt does again what came after the checkpoint that it begins with, and nothing else.
    for attempt, begin in enumerate(begins):
        assert steps[attempt] == list(range(begin + 1, steps[attempt][-1] + 1))
        assert attempt == 0 or begins[attempt - 1] < begin <= steps[attempt - 1][-1]
    # Nothing stays of what returned.
    assert way.left == []


def test_a_standard_machine_continues_where_the_last_spot_machine_was(make_way: Callable[..., Way]) -> None:
    way = make_way(Fault("attempt.preempt", provisioning="SPOT", after_output="begins", after_seconds=2))
    way.options.update(spot=True, spot_fallback=True, retries=0)
    ended = way.go(partial(count, 80, str(way.log)))
    assert isinstance(ended, Value), ended
    begins = [line for line in ended.outcome.stdout.splitlines() if line.startswith("begins")]
    assert begins[-1] != "begins at 0" and way.left == []


def test_what_an_electron_leaves_that_failed_is_named_and_a_later_call_continues_from_it(
    make_way: Callable[..., Way],
) -> None:
    way = make_way()
    way.options.update(retries=0, time_limit=8.0)
    ended = way.go(partial(count, 10_000, str(way.log)), partial(way.until_checkpoints, 2))
    assert isinstance(ended, Failure) and isinstance(ended.error, TimeLimitError)
    checkpoints = way.left
    assert len(checkpoints) == 2 and all("/checkpoint-0-" in name for name in checkpoints)
    message = str(ended.error)
    assert f"stays in gs://covalent/{max(checkpoints, key=number_of)} until" in message
    assert f"`covalent-parallel resume {way.dispatch_id}` runs the electron again from there." in message
    assert message.splitlines()[-1] in ended.stderr
    earlier = way.last
    first = way.dispatch_id
    # A new dispatch with the checkpoints of the earlier one
    way.dispatch_id = str(uuid.uuid4())
    way.options["time_limit"] = 60.0
    ended = way.go(partial(count, max(way.steps()[0]) + 5, str(way.log)), checkpoint=earlier)
    assert isinstance(ended, Value), ended
    assert int(ended.outcome.stdout.split()[2]) > 0
    assert way.left == []
    way.dispatch_id = first
    assert way.left == []


def number_of(name: str) -> int:
    return int(name.rsplit("-", 2)[1])


def test_older_ones_are_deleted_while_the_electron_runs_and_clean_deletes_what_is_left(
    make_way: Callable[..., Way],
) -> None:
    way = make_way(Fault("attempt.lost", after_output="enough"))
    way.options.update(retries=0)
    most = 0

    async def watch() -> None:
        nonlocal most
        for _ in range(SECONDS * 20):
            numbers = [number_of(name) for name in way.left if "/checkpoint-" in name]
            most = max(most, len(numbers))
            if numbers and min(numbers) >= 2:
                way.log.with_name("enough").touch()
                return
            await asyncio.sleep(0.05)
        pytest.fail("no checkpoint was deleted")

    ended = way.go(partial(count, 10_000, str(way.log)), watch)
    assert isinstance(ended, Failure) and isinstance(ended.error, MachineLostError)
    assert 2 <= most <= 6 and len(way.left) == 2

    async def clean() -> None:
        batch = BatchApi(connect(way.emulator.environment["BATCH_EMULATOR_HOST"]))
        services = Services(batch, way.services.objects, way.services.logs)
        found = await find_leftovers(
            services, "projects/local/locations/us-east1", float("-inf"), time.time(), way.dispatch_id
        )
        assert [stored.name for stored in found.objects] == way.left
        assert await delete_leftovers(services, found) == []
        await batch.close()

    asyncio.run(clean())
    assert way.left == []


def test_a_cancelled_electron_leaves_none(make_way: Callable[..., Way]) -> None:
    way = make_way()

    async def cancel() -> None:
        await way.until_checkpoints(1)
        way.cancelled.set()

    with pytest.raises(CancelledCall):
        way.go(partial(count, 10_000, str(way.log)), cancel)
    assert way.left == []


def test_a_bucket_that_takes_no_checkpoints_costs_the_electron_nothing(make_way: Callable[..., Way]) -> None:
    way = make_way(
        Fault("storage.error", request="objects.insert", object="*/checkpoint-0-0-*", code=403),
        Fault("storage.error", request="objects.list", object="*", code=503, first=1),
    )
    ended = way.go(partial(count, 30, str(way.log)))
    assert isinstance(ended, Value), ended
    assert way.left == []


def test_a_map_with_checkpoints_is_refused_with_the_remedy() -> None:
    call = Call("d", 0, "train", platform.python_version(), "0.240.0", map=Map())
    settings = Settings(bucket_name="covalent", project_id="local", checkpoint=True)
    with pytest.raises(SettingsError, match=r"is a map, .*: give its executor checkpoint=False, or make a lone"):
        electron_job(settings, call, new_identity(call, (), SECRET))
