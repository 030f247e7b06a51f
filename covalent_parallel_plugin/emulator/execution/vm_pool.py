"""Model the VMs that tasks run on: how many there are, when they can take tasks, and what they would cost."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ..model.task_plan import TaskPlan
from .placement import Placement
from .scheduled_job import ScheduledJob
from .vm_times import Vm, VmTimes


@dataclass(frozen=True)
class VmModel:
    """The model of VMs.

    A VM takes tasks `boot_seconds` after it was started, and where they run in containers `pull_seconds` later: it
    pulls the image once. At most `vms` exist at a time (None: as many as the jobs ask for); a job that gets none waits
    in its state, and an event says that the quota is exceeded. Raises ValueError.
    """

    vms: int | None = None
    boot_seconds: float = 0.0
    pull_seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.vms is not None and self.vms < 1:
            raise ValueError(f"vms must be at least 1, not {self.vms}")
        for name in ("boot_seconds", "pull_seconds"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a number of seconds that is not negative, not {getattr(self, name)}")


@dataclass(eq=False)
class _Share:
    """The VMs of a job; `room` is the number of tasks that all of them, booting ones included, could still take."""

    scheduled: ScheduledJob
    proceed: Callable[[ScheduledJob], None] | None
    vms: dict[int, Vm] = field(default_factory=dict)
    ready: deque[Vm] = field(default_factory=deque)
    places: dict[int, Vm] = field(default_factory=dict)
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    room: int = 0
    was_refused: bool = False
    is_waiting: bool = False


class VmPool(Placement):
    """VMs as the jobs in flight need them: jobs that came first get theirs first, and never another job's.

    `later(seconds, call)` calls back on the same thread, `clock` gives seconds, `ready` gets a job one of whose
    VMs can take tasks, `refused` of one that waits because of the quota. A VM ends when its job has no task left to
    start. It is billed from its start, since Compute Engine's state RUNNING includes the boot, to its end.
    """

    def __init__(
        self,
        machines: VmModel,
        later: Callable[[float, Callable[[], None]], object],
        clock: Callable[[], float],
        ready: Callable[[ScheduledJob], None],
        refused: Callable[[ScheduledJob], None],
    ) -> None:
        self._machines = machines
        self._later = later
        self._times = VmTimes(clock)
        self._ready = ready
        self._refused = refused
        self._shares: dict[str, _Share] = {}
        self._waiting: deque[_Share] = deque()

    def admit(self, scheduled: ScheduledJob, proceed: Callable[[ScheduledJob], None]) -> None:
        share = self._shares[scheduled.plan.uid] = _Share(scheduled, proceed)
        self._rebalance(share)

    def has_room(self, scheduled: ScheduledJob) -> bool:
        share = self._shares.get(scheduled.plan.uid)
        return share is not None and bool(share.ready)

    def instance(self, scheduled: ScheduledJob) -> str:
        return scheduled.plan.instance(self._shares[scheduled.plan.uid].ready[0].number)

    def assign(self, scheduled: ScheduledJob, index: int) -> None:
        share = self._shares[scheduled.plan.uid]
        vm = share.places[index] = share.ready[0]
        vm.tasks.add(index)
        share.room -= 1
        if len(vm.tasks) == scheduled.plan.tasks_per_vm:
            share.ready.popleft()
        self._rebalance(share)

    def vm_name(self, scheduled: ScheduledJob, index: int) -> str:
        return str(self._shares[scheduled.plan.uid].places[index].number)

    def release(self, scheduled: ScheduledJob, index: int) -> None:
        share = self._shares.get(scheduled.plan.uid)
        vm = None if share is None else share.places.pop(index, None)
        if share is None or vm is None:
            return
        vm.tasks.discard(index)
        if not vm.is_lost:
            share.room += 1
            if len(vm.tasks) == scheduled.plan.tasks_per_vm - 1:
                share.ready.append(vm)
        elif not vm.tasks:
            self._end(share, vm)
        self._rebalance(share)

    def rebalance(self, scheduled: ScheduledJob) -> None:
        share = self._shares.get(scheduled.plan.uid)
        if share is not None:
            self._rebalance(share)

    def fail_vm(self, scheduled: ScheduledJob, index: int) -> list[int]:
        share = self._shares.get(scheduled.plan.uid)
        vm = None if share is None else share.places.get(index)
        if share is None or vm is None or vm.is_lost:
            return []
        vm.is_lost = True
        share.room -= scheduled.plan.tasks_per_vm - len(vm.tasks)
        if vm in share.ready:
            share.ready.remove(vm)
        return sorted(vm.tasks - {index})

    def end_all(self) -> None:
        self._waiting.clear()
        for share in self._shares.values():
            for vm in list(share.vms.values()):
                self._end(share, vm)
        self._shares.clear()

    def counts(self) -> dict[str, float]:
        return self._times.counts()

    def _rebalance(self, share: _Share) -> None:
        """Start the VMs that a job lacks, as far as the quota goes, or end those that it has no tasks for."""
        job, size = share.scheduled.job, share.scheduled.plan.tasks_per_vm
        if job.waiting == 0:
            for vm in [vm for vm in share.vms.values() if not vm.tasks]:
                self._end(share, vm)
            if not share.vms and (job.has_ended or job.is_stopping):
                self._shares.pop(share.scheduled.plan.uid, None)
            return
        while share.room < job.startable:
            if self._machines.vms is not None and len(self._times) >= self._machines.vms:
                self._wait(share)
                return
            share.room += size
            self._start(share)

    def _start(self, share: _Share) -> None:
        vm = self._times.start(next(share.numbers))
        share.vms[vm.number] = vm
        pulls = any(step.command.image for step in share.scheduled.plan.steps)
        seconds = self._machines.boot_seconds + self._machines.pull_seconds * pulls
        self._later(seconds, lambda: self._boot(share, vm))
        if share.proceed is not None:
            proceed, share.proceed = share.proceed, None
            proceed(share.scheduled)

    def _boot(self, share: _Share, vm: Vm) -> None:
        # it may have been ended while it booted
        if share.vms.get(vm.number) is vm:
            vm.is_ready = True
            share.ready.append(vm)
            self._ready(share.scheduled)

    def _wait(self, share: _Share) -> None:
        if not share.is_waiting:
            share.is_waiting = True
            self._waiting.append(share)
        if not share.vms and not share.was_refused:
            share.was_refused = True
            self._refused(share.scheduled)

    def _end(self, share: _Share, vm: Vm) -> None:
        del share.vms[vm.number]
        if not vm.is_lost:
            share.room -= share.scheduled.plan.tasks_per_vm - len(vm.tasks)
        if vm in share.ready:
            share.ready.remove(vm)
        self._times.end(vm)
        if self._waiting:
            # in a turn of its own: the job that this one made room for may be in the middle of something
            self._later(0, self._grant)

    def _grant(self) -> None:
        while self._waiting and (self._machines.vms is None or len(self._times) < self._machines.vms):
            share = self._waiting.popleft()
            share.is_waiting = False
            self._rebalance(share)
            if share.is_waiting:
                # it keeps its place
                self._waiting.pop()
                self._waiting.appendleft(share)


def quota_text(vms: int | None, zone: str) -> str:
    """Return Batch's message for a job that gets no VM, in the words that it has been seen to use."""
    region = zone.rpartition("-")[0]
    return (
        "VM in Managed Instance Group meets error: Batch Error: code - CODE_GCE_QUOTA_EXCEEDED, description - "
        f"Quota 'INSTANCES' exceeded. Limit: {vms}.0 in region {region}."
    )


def barrier_refusal(machines: VmModel | None, plan: TaskPlan) -> str:
    """Return why a job's tasks cannot wait for one another, "" if there may be VMs for all of them at a time."""
    needed = math.ceil(plan.task_count / plan.tasks_per_vm)
    if machines is None or machines.vms is None or needed <= machines.vms:
        return ""
    return (
        f"A barrier waits for all {plan.task_count} tasks: they need {needed} VMs at a time, at {plan.tasks_per_vm} a "
        f"VM, and at most {machines.vms} exist here. Run fewer tasks, or more on each VM, or start the emulator with "
        f"--vms {needed}."
    )
