"""Row: a map and as many electrons under the emulator's model of VMs, of which there are 16, with 10 s to boot.

A thousand electrons of the replaced plugin would take a quarter of an hour, so some waves of them are measured and the
rest is computed. A wave is one electron on each VM: a VM takes one task (2 vCPUs, no machine type: both plugins'
default), ends with its job, and is never another job's. With T, how long an electron holds its VM:

    T             = boot + CPU seconds of its container + 50 ms
    makespan      = 63 * T
    VM-seconds    = 1,000 * T
    billed        = 1,000 * max(T, one minute)
    Batch calls   = 1,000 * (1 + 1.5 + mean wave * T / poll_freq)
    storage       = 1,000 * requests per electron

16 tasks at once wait for the CPUs of a smaller machine, each of them for more than a second of imports. T is without
that wait, as if each had a CPU of its own; what was measured with it is shown as well. An electron is created once,
looked at when it begins and every `poll_freq` until its wave has ended, at half a pause too late on average. "The model
alone" is the least that they could take: T is a boot and the 50 ms, as if containers started in no time. This plugin's
column is what was measured, its tasks' wait for the CPUs included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from covalent_parallel_plugin.emulator.execution.vm_times import billed_seconds

from .contenders import OURS, REPLACED, Contender, Measured, measure
from .pmap_scale import POLL_SECONDS, SLOW
from .services import running_services, storage_by_kind
from .tables import Bound, Line, Table

VMS = 16
BOOT_SECONDS = 10.0
# Of the replaced plugin's
MEASURED_WAVES = (3, 6)
LOOKS_BESIDES = 1.5
# The bound, of the makespan and of the VM-seconds
MOST_RATIO = 1 / 20


@dataclass(frozen=True)
class Point:
    """What so many waves of electrons took."""

    waves: int
    run: Measured

    @property
    def electrons(self) -> int:
        """One for each VM and wave."""
        return VMS * self.waves

    @property
    def wave_seconds(self) -> float:
        """VM-seconds per electron, had each its own CPU."""
        return BOOT_SECONDS + self.run.counts.tasks["cpu_seconds"] / self.electrons + SLOW.seconds

    @property
    def slowed_seconds(self) -> float:
        """VM-seconds per electron, as they were."""
        return self.run.counts.tasks["vm_seconds"] / self.electrons

    @property
    def requests(self) -> float:
        """Storage requests per electron, without deletions."""
        return _requests(self.run) / self.electrons


@dataclass(frozen=True)
class Computed:
    """What electrons come to, a job and a VM each, where one holds its VM for `wave_seconds`."""

    electrons: int
    vms: int
    wave_seconds: float

    @property
    def makespan(self) -> float:
        """Seconds until the last wave has ended."""
        return math.ceil(self.electrons / self.vms) * self.wave_seconds

    @property
    def vm_seconds(self) -> float:
        """Seconds that VMs lived, together."""
        return self.electrons * self.wave_seconds

    @property
    def billed(self) -> int:
        """Seconds that are billed."""
        return self.electrons * billed_seconds(self.wave_seconds)

    @property
    def batch_calls(self) -> float:
        """Calls to create the jobs and to look at all of them until each has ended."""
        waves = sum(number // self.vms + 1 for number in range(self.electrons))
        return self.electrons * (1 + LOOKS_BESIDES) + waves * self.wave_seconds / POLL_SECONDS


def vm_model_table(
    compared: Iterable[Contender], images: Mapping[str, Sequence[str]], tell: Callable[[str], None]
) -> Table:
    """Measure the map and a few waves of electrons, one after the other, with services of their own."""
    by_name = {contender.name: contender for contender in compared}
    tell(f"vm-model: {SLOW.title}, {OURS}")
    points = []
    with running_services(images, machines={"vms": VMS, "boot_seconds": BOOT_SECONDS}) as services:
        ours = measure(
            by_name[OURS],
            services,
            measure="map",
            poll_seconds=POLL_SECONDS,
            items=SLOW.items,
            item_seconds=SLOW.seconds,
            item_bytes=None,
        )
        for waves in MEASURED_WAVES:
            tell(f"vm-model: {waves} waves of {VMS} electrons, {REPLACED}")
            run = measure(
                by_name[REPLACED],
                services,
                measure="electrons",
                poll_seconds=POLL_SECONDS,
                electrons=VMS * waves,
                electron_seconds=SLOW.seconds,
            )
            points.append(Point(waves, run))
    return Table(
        f"{SLOW.title}, at most {VMS} VMs with {BOOT_SECONDS:g} s to boot, polled every {POLL_SECONDS} s",
        [OURS, REPLACED],
        (OURS, REPLACED),
        [*_compared(ours, points), *_measured(points)],
    )


def _compared(ours: Measured, points: Sequence[Point]) -> list[Line]:
    likely = Computed(SLOW.items, VMS, min(point.wave_seconds for point in points))
    least = Computed(SLOW.items, VMS, BOOT_SECONDS + SLOW.seconds)
    makespan, machines = ours.results["wall"], ours.counts.tasks

    def line(what: str, own: float, replaced: float, bound: Bound | None = None) -> Line:
        return Line(what, {OURS: [own], REPLACED: [replaced]}, bound)

    bound = Bound(MOST_RATIO, is_ratio=True)
    return [
        line("makespan, s", makespan, likely.makespan, bound),
        line("makespan, s, against the model alone", makespan, least.makespan, bound),
        line("VM-seconds", machines["vm_seconds"], likely.vm_seconds, bound),
        line("VM-seconds, against the model alone", machines["vm_seconds"], least.vm_seconds, bound),
        line("VM-seconds billed", machines["vm_billed_seconds"], likely.billed),
        line("VMs started", machines["vms"], likely.electrons),
        line("Batch calls", ours.counts.batch.total(), likely.batch_calls),
        line("Batch calls, against the model alone", ours.counts.batch.total(), least.batch_calls),
        line("storage requests, without deletions", _requests(ours), likely.electrons * points[-1].requests),
    ]


def _measured(points: Sequence[Point]) -> list[Line]:
    lines = []
    for point in points:
        title = f"measured, {point.electrons} electrons ({point.waves} waves)"
        values = {
            "makespan, s": point.run.results["wall"],
            "VM-seconds per electron": point.slowed_seconds,
            "VM-seconds per electron, had each its CPU (T)": point.wave_seconds,
            "Batch calls": point.run.counts.batch.total(),
            "Batch calls by the formula, T as it was": Computed(point.electrons, VMS, point.slowed_seconds).batch_calls,
        }
        lines += [Line(f"{title}: {what}", {REPLACED: [value]}) for what, value in values.items()]
    return lines


def _requests(run: Measured) -> int:
    storage = storage_by_kind(run.counts.storage)
    return sum(storage.values()) - storage["deletions"]
