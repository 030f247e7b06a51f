"""Define where the tasks of jobs run, and when there is room for them: the seam between scheduler and machines."""

from __future__ import annotations

from collections.abc import Callable

from .scheduled_job import ScheduledJob


class Placement:
    """Where tasks run; its methods are called on the scheduler's thread.

    This one models no machines: every job has all the room there is, and each of its tasks a VM with the number of
    tasks that run.
    """

    def admit(self, scheduled: ScheduledJob, proceed: Callable[[ScheduledJob], None]) -> None:
        """Have a queued job proceed, as soon as there is a VM for it."""
        proceed(scheduled)

    def has_room(self, scheduled: ScheduledJob) -> bool:
        """Tell whether a task of the job's can start now."""
        return True

    def instance(self, scheduled: ScheduledJob) -> str:
        """Name the VM that the job's next task is to run on."""
        return scheduled.plan.instance(scheduled.job.active)

    def assign(self, scheduled: ScheduledJob, index: int) -> None:
        """The task runs there now."""

    def vm_name(self, scheduled: ScheduledJob, index: int) -> str:
        """Name the VM whose disk and volumes a task has; "" where all tasks of a job share them."""
        return ""

    def release(self, scheduled: ScheduledJob, index: int) -> None:
        """The task runs no more; its job may have ended."""

    def rebalance(self, scheduled: ScheduledJob) -> None:
        """The job's tasks have become fewer: it is being ended, or was."""

    def fail_vm(self, scheduled: ScheduledJob, index: int) -> list[int]:
        """The VM that a task runs on is taken away; give the other tasks on it."""
        return []

    def end_all(self) -> None:
        """No VM is needed any more."""

    def counts(self) -> dict[str, float]:
        """Give the counters, from any thread."""
        return {}
