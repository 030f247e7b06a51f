"""Define where the tasks of jobs run, and when there is room for them: the seam between scheduler and machines."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

from .scheduled_job import ScheduledJob
from .vm_times import Vm, VmTimes


class Placement(ABC):
    """Where tasks run; its methods are called on the scheduler's thread."""

    def admit(self, scheduled: ScheduledJob, proceed: Callable[[ScheduledJob], None]) -> None:
        """Let a queued job proceed, as soon as there is a VM for it."""
        proceed(scheduled)

    def has_room(self, scheduled: ScheduledJob) -> bool:
        """Return whether a task of the job's can start now."""
        return True

    @abstractmethod
    def instance(self, scheduled: ScheduledJob) -> str:
        """Name the VM that the job's next task is to run on."""

    @abstractmethod
    def assign(self, scheduled: ScheduledJob, index: int) -> None:
        """Record that the task runs there now."""

    def vm_name(self, scheduled: ScheduledJob, index: int) -> str:
        """Name the VM whose disk and volumes a task has; "" where all tasks of a job share them."""
        return ""

    @abstractmethod
    def release(self, scheduled: ScheduledJob, index: int) -> None:
        """Record that the task runs no more; its job may have ended."""

    @abstractmethod
    def rebalance(self, scheduled: ScheduledJob) -> None:
        """Record that the job's tasks have become fewer: it is being ended, or was."""

    @abstractmethod
    def fail_vm(self, scheduled: ScheduledJob, index: int) -> list[int]:
        """Take away the VM that a task runs on; return the other tasks on it."""

    @abstractmethod
    def end_all(self) -> None:
        """No VM is needed any more."""

    @abstractmethod
    def counts(self) -> dict[str, float]:
        """Return the counters, from any thread."""


@dataclass(eq=False)
class _JobVms:
    """The VMs of a job; `places` has that of each task that runs."""

    vms: dict[int, Vm] = field(default_factory=dict)
    places: dict[int, Vm] = field(default_factory=dict)
    next_number: int = 0


class InstantVms(Placement):
    """No model of machines: each job has all the room that there is.

    A task that starts has a VM of its own, which lives as long as it, or goes to one of its job that has room for it.
    A VM that is taken away takes the one task along that was struck.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._times = VmTimes(clock)
        self._jobs: dict[str, _JobVms] = {}

    def instance(self, scheduled: ScheduledJob) -> str:
        job = self._jobs.setdefault(scheduled.plan.uid, _JobVms())
        shared = self._with_room(scheduled, job)
        return scheduled.plan.instance(job.next_number if shared is None else shared.number)

    def assign(self, scheduled: ScheduledJob, index: int) -> None:
        job = self._jobs[scheduled.plan.uid]
        vm = self._with_room(scheduled, job)
        if vm is None:
            vm = job.vms[job.next_number] = self._times.start(job.next_number)
            job.next_number += 1
        vm.tasks.add(index)
        job.places[index] = vm

    def release(self, scheduled: ScheduledJob, index: int) -> None:
        job = self._jobs.get(scheduled.plan.uid)
        vm = None if job is None else job.places.pop(index, None)
        if job is None or vm is None:
            return
        vm.tasks.discard(index)
        if not vm.tasks:
            self._times.end(job.vms.pop(vm.number))
        if not job.vms and scheduled.job.waiting == 0:
            del self._jobs[scheduled.plan.uid]

    def rebalance(self, scheduled: ScheduledJob) -> None:
        """Do nothing: no VM waits for tasks."""

    def fail_vm(self, scheduled: ScheduledJob, index: int) -> list[int]:
        job = self._jobs.get(scheduled.plan.uid)
        if job is not None and index in job.places:
            job.places[index].is_lost = True
        return []

    def end_all(self) -> None:
        for job in self._jobs.values():
            for vm in job.vms.values():
                self._times.end(vm)
        self._jobs.clear()

    def counts(self) -> dict[str, float]:
        """Return "vms" (started) and "vm_seconds"."""
        counts = self._times.counts()
        return {name: counts[name] for name in ("vms", "vm_seconds")}

    def _with_room(self, scheduled: ScheduledJob, job: _JobVms) -> Vm | None:
        most = scheduled.plan.tasks_per_vm
        return (
            next((vm for vm in job.vms.values() if len(vm.tasks) < most and not vm.is_lost), None) if most > 1 else None
        )
