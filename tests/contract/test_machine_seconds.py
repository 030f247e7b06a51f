"""The machine-seconds of a trace and of its report, and the emulator's own count, over what can happen to machines."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from covalent_parallel_plugin.batch.cancellation import Cancellation, CancelledCall
from covalent_parallel_plugin.batch.machine_hours import machine_seconds
from covalent_parallel_plugin.batch.trace import TraceFile, read_trace
from covalent_parallel_plugin.batch.trace_recorder import TraceRecorder
from covalent_parallel_plugin.batch.trace_writer import WRITER
from covalent_parallel_plugin.cloud import Services
from covalent_parallel_plugin.cloud.batch import BatchApi, connect
from covalent_parallel_plugin.cloud.logging import LogReader
from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.electron.call import Call, Map, new_identity
from covalent_parallel_plugin.electron.electron_run import ElectronRun
from covalent_parallel_plugin.electron.map.map_run import MapRun
from covalent_parallel_plugin.electron.server_secret import ServerSecret
from covalent_parallel_plugin.electron.traceback_source import SourceText
from covalent_parallel_plugin.emulator import Emulator, Fault, Faults, ProcessRuntime, VmModel
from covalent_parallel_plugin.results.report.traced_report import report_of
from covalent_parallel_plugin.settings import Settings

# The tasks cannot import the tests
cloudpickle.register_pickle_by_value(sys.modules[__name__])

# How long a task runs: what it takes to start and to end one is the same whatever it does
SECONDS = 5.0


@dataclass(frozen=True)
class Happening:
    """An electron, or a map with `items`, and what happens to its machines, of which it has `machines` in all.

    `make` gives the function, with a folder that it may use. `cancel_seconds` count from when its
    machine runs, if it has one.
    """

    make: Callable[[Path], Callable[..., Any]]
    machines: int
    items: Sequence[float] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    faults: Sequence[Fault] = ()
    model: VmModel | None = None
    cancel_seconds: float | None = None


def sleeps(folder: Path, seconds: float = SECONDS) -> Callable[..., Any]:
    def electron(own_seconds: float = seconds) -> None:
        time.sleep(own_seconds)

    return electron


def sleeps_on(folder: Path) -> Callable[..., Any]:
    return sleeps(folder, 600)


def is_killed(folder: Path) -> Callable[..., Any]:
    def electron() -> None:
        time.sleep(SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    return electron


def one_is_killed(folder: Path) -> Callable[..., Any]:
    path = folder / "killed"

    def item(seconds: float) -> None:
        time.sleep(seconds)
        try:
            path.mkdir()
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    return item


HALF = SECONDS / 2
# Of a map whose tasks all delivered Batch is not asked when they began: their own processes tell, a moment later
LONG = 2 * SECONDS
TAKEN = Fault("attempt.preempt", provisioning="SPOT", attempt=0, after_seconds=HALF, notice_seconds=0)
SPOT = {"spot": True, "retries": 1}
SHARED = {"max_parallel": 3, "machine_type": "n2-standard-8", "vcpus": 2, "memory": 4096}

HAPPENINGS = {
    "a value": Happening(sleeps, 1),
    "a kill": Happening(is_killed, 1),
    "a time limit": Happening(sleeps_on, 1, options={"time_limit": SECONDS}),
    "preemption with notice": Happening(sleeps, 2, options=SPOT, faults=[replace(TAKEN, notice_seconds=5)]),
    "preemption without notice": Happening(sleeps, 2, options=SPOT, faults=[TAKEN]),
    "a lost machine": Happening(
        sleeps, 2, options={"retries": 1}, faults=[Fault("attempt.lost", attempt=0, after_seconds=HALF)]
    ),
    "retries that are used up": Happening(sleeps_on, 2, options=SPOT, faults=[replace(TAKEN, attempt=None)]),
    "spot_fallback": Happening(sleeps, 2, options={**SPOT, "spot_fallback": True, "retries": 0}, faults=[TAKEN]),
    "a map": Happening(sleeps, 2, items=[SECONDS] * 4, options={"max_parallel": 2}),
    "a map of two rounds": Happening(one_is_killed, 3, items=[LONG] * 2, options={"retries": 1, "max_parallel": 2}),
    "a map that loses a machine": Happening(
        sleeps, 3, items=[SECONDS] * 2, options={**SPOT, "max_parallel": 2}, faults=[replace(TAKEN, task=1)]
    ),
    "tasks that share a machine": Happening(sleeps, 1, items=[LONG] * 3, options=SHARED),
    "modelled VMs": Happening(sleeps, 2, options=SPOT, faults=[TAKEN], model=VmModel()),
    "modelled VMs that are shared": Happening(sleeps, 1, items=[LONG] * 3, options=SHARED, model=VmModel()),
    "no capacity": Happening(sleeps, 0, options={"queue_limit": 1.0}, faults=[Fault("job.no_capacity")]),
    "cancelled in the queue": Happening(sleeps, 0, faults=[Fault("job.quota")], cancel_seconds=1.0),
    "over its budget": Happening(sleeps_on, 1, options={"max_machine_hours": SECONDS / 3600}),
    "a map over its budget": Happening(
        sleeps, 2, items=[SECONDS / 4] * 200, options={"max_machine_hours": 2 * SECONDS / 3600, "max_parallel": 2}
    ),
    "cancelled as it runs": Happening(sleeps_on, 1, cancel_seconds=SECONDS),
}


async def counted(happening: Happening, folder: Path) -> tuple[Sequence[Mapping[str, Any]], dict[str, float]]:
    """Run it on an emulator of its own; give the trace's records, and the emulator's counters."""
    dispatch = str(uuid.uuid4())
    emulator = Emulator(
        runtime=ProcessRuntime(site_packages=True),
        tasks_at_once=4,
        faults=Faults(tuple(happening.faults)),
        machines=happening.model,
    )
    with emulator:
        batch = BatchApi(connect(emulator.environment["BATCH_EMULATOR_HOST"]), patience_seconds=5)
        client = storage.Client(
            project="local",
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": emulator.environment["STORAGE_EMULATOR_HOST"]},
        )
        services = Services(batch, ObjectStore(client, "covalent"), LogReader.shared("local"))
        options = {"retries": 0, **happening.options}
        settings = Settings(
            bucket_name="covalent", project_id="local", poll_freq=0.3, cache_dir=str(folder / "cache"), **options
        )
        call = Call(
            dispatch, 0, "electron", platform.python_version(), "0.240.0", args=int(happening.items is not None),
            map=None if happening.items is None else Map(len(happening.items), False),
        )  # fmt: skip
        pickles = {"function": cloudpickle.dumps(happening.make(folder))}
        if happening.items is not None:
            pickles["arg0"] = cloudpickle.dumps(happening.items)
        cancelled = Cancellation()

        async def cancel(seconds: float) -> None:
            for _ in range(1200):
                if emulator.counts["attempts"] >= happening.machines:
                    break
                await asyncio.sleep(0.1)
            await asyncio.sleep(seconds)
            cancelled.set()

        async def source() -> SourceText:
            return SourceText()

        trace = TraceRecorder(TraceFile(folder, dispatch), 0)
        kind = ElectronRun if happening.items is None else MapRun
        run = kind(call, new_identity(call, (), ServerSecret.random()), settings, services, cancelled, source, trace)
        trace.begin("electron")
        aside = [] if happening.cancel_seconds is None else [cancel(happening.cancel_seconds)]
        try:
            await asyncio.gather(run.run(pickles), *aside)
        except CancelledCall:
            pass
        await trace.end(None)
        await batch.close()
        assert WRITER.flush(20)
    return read_trace(folder / f"{dispatch}.jsonl").records, emulator.counts


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Sequence[Mapping[str, Any]], dict[str, float]]]:
    """All of them at a time, which takes as long as the longest."""

    async def all_of_them() -> Any:
        runs = []
        for number, happening in enumerate(HAPPENINGS.values()):
            runs.append(asyncio.ensure_future(counted(happening, tmp_path_factory.mktemp(f"h{number}"))))
            await asyncio.sleep(0.3)
        return await asyncio.gather(*runs)

    return dict(zip(HAPPENINGS, asyncio.run(all_of_them()), strict=True))


@pytest.mark.parametrize("name", HAPPENINGS)
def test_the_trace_its_report_and_the_emulator_count_the_same(
    name: str, counts: Mapping[str, tuple[Sequence[Mapping[str, Any]], Mapping[str, float]]]
) -> None:
    records, emulated = counts[name]
    traced, report = machine_seconds(records), report_of("d", records, None)
    assert emulated["vms"] == HAPPENINGS[name].machines
    # A process takes a moment from when Batch starts it to its first line, more where many start at once
    moments = 1.5 * HAPPENINGS[name].machines
    assert traced == pytest.approx(emulated["vm_seconds"], rel=0.05, abs=moments)
    assert bool(traced) == bool(HAPPENINGS[name].machines)
    assert sum(row.seconds for row in report.machines) == pytest.approx(traced, abs=0.01)
    assert sum(electron.machine_seconds for electron in report.electrons) == pytest.approx(traced, abs=0.01)
    assert sum(row.lost_seconds for row in report.machines) <= traced
