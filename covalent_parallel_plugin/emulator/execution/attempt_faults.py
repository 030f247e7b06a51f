"""Apply faults to a task's attempt: preempted, lost, run twice, never started, stuck."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from ..faults.fault import Fault
from ..faults.plan import ArmedFault, FaultPlan, FaultTarget
from ..model.job import Task
from ..model.runtime_interface import CANNOT_START
from ..model.task_plan import TaskPlan
from .awaited_line import AwaitedLine

EXIT_CODES = {
    "attempt.preempt": 50001,
    "attempt.lost": 50002,
    "attempt.reboot": 50003,
    "attempt.unresponsive": 50004,
    "attempt.recreate": 50006,
    "attempt.no_image": CANNOT_START,
}
"""Batch's reserved exit codes ("Troubleshooting: exit codes"), and docker's own."""
_KINDS = (*EXIT_CODES, "attempt.exit", "attempt.twice", "attempt.stuck", "attempt.late")
_SIGTERM_EXIT_CODE = 143
_TAKES_VM = ("attempt.preempt", "attempt.lost", "attempt.recreate")


class RunningAttempt(Protocol):
    """An attempt that runs."""

    def start(self) -> None:
        """Begin."""

    def stop(self, exit_code: int | None = None, notice_seconds: float | None = None) -> None:
        """End it."""


Make = Callable[[Callable[[int], None], Callable[[str], None]], RunningAttempt | None]
"""Creates the real attempt, which calls `on_end(exit_code)` and `heard(line)`; None if it has failed to start."""


def draw_for_attempt(plan: FaultPlan, job: TaskPlan, task: Task) -> ArmedFault | None:
    """Return the fault that strikes a task's present attempt."""
    if not plan.has("attempt"):
        return None
    target = FaultTarget(
        job=job.job_id, labels=job.labels, provisioning=job.provisioning, task=task.index, attempt=task.attempt
    )
    return plan.draw(_KINDS, target)


def is_before_run(fault: Fault) -> bool:
    """Return whether the attempt ends without its task ever having been RUNNING."""
    return bool(fault.value("before_run"))


def takes_vm(fault: Fault) -> bool:
    """Return whether what is struck is the task's VM: then all tasks on it end so, where VMs are modelled."""
    return fault.kind in _TAKES_VM


def exit_code_of(fault: Fault) -> int:
    """Return the exit code of an attempt that the fault ends."""
    return int(fault.value("exit_code") or EXIT_CODES[fault.kind])


class FaultyAttempt:
    """An attempt that a fault strikes; it is used as an attempt is, on the loop's thread.

    `struck` is called when the fault takes place, `on_end` once. What the fault leaves running then (a VM that does not
    report any more, the first of two copies) continues unseen until it ends by itself or is stopped by whoever made it.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        drawn: ArmedFault,
        make: Make,
        *,
        image: str,
        write: Callable[[str, str], None],
        on_end: Callable[[int], None],
        struck: Callable[[Fault], None] = lambda fault: None,
    ) -> None:
        self._loop = loop
        self._struck = struck
        self._drawn = drawn
        self._fault = drawn.fault
        self._make = make
        self._image = image
        self._write = write
        self._on_end = on_end
        self._seen: RunningAttempt | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._awaited_line = AwaitedLine(drawn.fault.value("after_output") or "", self._set_timer)
        self._is_stopping = False
        self._has_struck = False
        self._has_ended = False

    def start(self) -> None:
        """Start the attempt, or have it end before it starts."""
        kind, fault = self._fault.kind, self._fault
        if kind == "attempt.no_image":
            self._consume()
            for line in (fault.value("message") or _no_image(self._image)).splitlines():
                self._write("ERROR", line)
            self._report(CANNOT_START)
        elif is_before_run(fault):
            self._consume()
            self._report(exit_code_of(self._fault))
        elif kind == "attempt.stuck":
            self._consume()
            if fault.value("seconds") is not None:
                self._timer = self._loop.call_later(fault.value("seconds"), self._get_unstuck)
        else:
            if kind != "attempt.late":
                self._awaited_line.start()
            self._run(self._report_first)

    def stop(self, exit_code: int | None = None, notice_seconds: float | None = None) -> None:
        """End what is seen of the attempt."""
        self._is_stopping = True
        self._cancel_timer()
        if self._seen is not None:
            self._seen.stop(exit_code, notice_seconds)
        elif not self._has_ended:
            self._report(_SIGTERM_EXIT_CODE if exit_code is None else exit_code)

    def _set_timer(self) -> None:
        if not self._is_stopping:
            self._timer = self._loop.call_later(self._fault.value("after_seconds"), self._strike)

    def _strike(self) -> None:
        self._consume()
        first = self._seen
        if self._fault.kind == "attempt.twice":
            if self._fault.value("concurrent"):
                self._run(self._report)
            elif first is not None:
                first.stop(None, 0)
        elif self._fault.value("goes_on"):
            self._seen = None
            self._report(exit_code_of(self._fault))
        elif first is not None:
            first.stop(exit_code_of(self._fault), self._fault.value("notice_seconds") or 0)

    def _report_first(self, exit_code: int) -> None:
        fault = self._fault
        if fault.kind == "attempt.late" and not self._is_stopping:
            self._consume()
            self._seen = None
            self._timer = self._loop.call_later(fault.value("seconds"), self._report, exit_code)
        elif not self._has_struck:
            self._drawn.give_back()
            self._report(exit_code)
        elif fault.kind != "attempt.twice":
            self._report(exit_code)
        elif not fault.value("concurrent"):
            if self._is_stopping:
                self._report(exit_code)
            else:
                self._run(self._report)

    def _run(self, on_end: Callable[[int], None]) -> None:
        self._seen = self._make(on_end, self._awaited_line.hear)
        if self._seen is not None:
            self._seen.start()

    def _get_unstuck(self) -> None:
        exit_code = self._fault.value("exit_code")
        if exit_code is None:
            self._run(self._report)
        else:
            self._report(exit_code)

    def _report(self, exit_code: int) -> None:
        self._cancel_timer()
        if not self._has_ended:
            self._has_ended = True
            self._on_end(exit_code)

    def _consume(self) -> None:
        self._has_struck = True
        self._struck(self._drawn.consume())

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _no_image(image: str) -> str:
    return (
        f"Unable to find image '{image}' locally\n"
        f"docker: Error response from daemon: manifest for {image} not found: manifest unknown."
    )
