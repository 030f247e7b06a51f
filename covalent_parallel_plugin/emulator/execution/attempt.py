"""Run one attempt of a task: its runnables one after another, and beside them those in the background."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Sequence

from ...containers.run_command import STOP_SECONDS, stop_timeout_seconds
from ..model.job_states import TIME_LIMIT_EXIT_CODE
from ..model.runtime_interface import Command, StartFailed, Workspace
from ..model.task_plan import Step
from .barriers import Arrival, Barriers
from .running_step import RunningStep

_BROKEN_BARRIER = 1
_SIGTERM_EXIT_CODE = 143
# How long background runnables continue after the foreground, and after SIGTERM:
# "a short time after all foreground runnables have completed" they are killed, says google.cloud.batch.v1.Runnable
_BACKGROUND_SECONDS = 2.0


class Attempt:
    """Runs the steps on an event loop; all methods are called on its thread.

    `write(number, severity, line)` gets the output, with the number of the runnable, `noted(text)` the events of
    those with a display name. `on_end(exit_code)` is called once, when nothing runs any more. Past `max_run_seconds`
    (None: no limit) the attempt is ended with exit code 50005. It is the attempt of the task `index` at `barriers`.
    `grace_seconds` is between SIGTERM and SIGKILL; None: the --stop-timeout of its container, else `docker stop`'s.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        workspace: Workspace,
        steps: Sequence[Step],
        *,
        index: int,
        barriers: Barriers,
        max_run_seconds: float | None,
        grace_seconds: float | None,
        write: Callable[[int, str, str], None],
        noted: Callable[[str], None],
        on_end: Callable[[int], None],
    ) -> None:
        self._loop = loop
        self._workspace = workspace
        self._steps = deque(enumerate(steps))
        self._index = index
        self._barriers = barriers
        self._grace_seconds = grace_seconds
        self._write = write
        self._noted = noted
        self._on_end = on_end
        self._exit_code = 0
        self._is_stopping = False
        self._foreground: RunningStep | None = None
        self._background: list[RunningStep] = []
        self._waiting: tuple[Step, Arrival] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        if max_run_seconds is not None:
            self._deadline = loop.call_later(max_run_seconds, self.stop, TIME_LIMIT_EXIT_CODE)

    def start(self) -> None:
        """Start the first runnable."""
        self._next()

    def stop(self, exit_code: int | None = None, notice_seconds: float | None = None) -> None:
        """End the attempt: SIGTERM, after the notice SIGKILL; with this exit code instead of the process's own.

        The notice is the grace where none is given; 0 is SIGKILL at once. Called again, an attempt may only end sooner.
        """
        is_first, self._is_stopping = not self._is_stopping, True
        self._steps.clear()
        if self._foreground is None and self._waiting is None and exit_code and is_first:
            self._exit_code = self._exit_code or exit_code
        for running in [*self._background, *filter(None, [self._foreground])]:
            running.end(exit_code if is_first else None, notice_seconds)
        self._leave_barrier(_SIGTERM_EXIT_CODE if exit_code is None else exit_code)

    def _grace(self, command: Command) -> float:
        if self._grace_seconds is not None:
            return self._grace_seconds
        # A script has no option of its own: docker's default stands for what the agent gives it.
        seconds = stop_timeout_seconds(command.options) if command.image else None
        return STOP_SECONDS if seconds is None else seconds

    def _next(self) -> None:
        while self._steps:
            number, step = self._steps.popleft()
            if self._exit_code and not step.always_runs:
                continue
            if step.barrier is not None:
                self._wait_at_barrier(number, step)
                return
            running = self._started(number, step)
            if running is None:
                continue
            if not step.is_background:
                self._foreground = running
                return
            self._background.append(running)
        if self._deadline is not None:
            self._deadline.cancel()
        if not self._background:
            self._workspace.close()
            self._on_end(self._exit_code)
        elif not self._is_stopping:
            seconds = _BACKGROUND_SECONDS if self._grace_seconds is None else self._grace_seconds
            self._timer = self._loop.call_later(seconds, self._end_background, seconds)

    def _started(self, number: int, step: Step) -> RunningStep | None:
        self._note(step, "started")
        try:
            process = self._workspace.start(step.command)
        except StartFailed as error:
            self._write(number, "ERROR", str(error))
            self._settle(step, error.exit_code)
            return None
        return RunningStep(
            self._loop,
            step,
            process,
            grace_seconds=self._grace(step.command),
            write=functools.partial(self._write, number),
            on_end=self._step_ended,
        )

    def _step_ended(self, running: RunningStep, exit_code: int) -> None:
        self._settle(running.step, exit_code)
        if running is self._foreground:
            self._foreground = None
            self._next()
            return
        self._background.remove(running)
        if self._foreground is None and self._waiting is None and not self._background:
            self._cancel_timer()
            self._next()

    def _end_background(self, notice_seconds: float) -> None:
        for running in self._background:
            running.end(None, notice_seconds)

    def _note(self, step: Step, what: str) -> None:
        if step.display_name:
            self._noted(f"Runnable {step.display_name!r} {what}.")

    def _settle(self, step: Step, exit_code: int) -> None:
        if step.barrier is None:
            self._note(step, f"finished with exit code {exit_code}")
        is_counted = not step.is_background and (self._is_stopping or not step.ignores_exit_status)
        if exit_code and not self._exit_code and is_counted:
            self._exit_code = exit_code

    def _wait_at_barrier(self, number: int, step: Step) -> None:
        def go_on(why_not: str) -> None:
            self._loop.call_soon(self._pass_barrier, number, arrival, why_not)

        arrival = Arrival(self._index, go_on)
        if step.display_name:
            self._noted(f"Barrier {step.display_name!r} reached.")
        self._waiting = (step, arrival)
        if step.timeout_seconds is not None:
            self._timer = self._loop.call_later(step.timeout_seconds, self._leave_barrier, TIME_LIMIT_EXIT_CODE)
        self._barriers.reach(number, step.barrier or "", arrival)

    def _pass_barrier(self, number: int, arrival: Arrival, why_not: str) -> None:
        # it may have been left meanwhile
        if self._waiting is not None and self._waiting[1] is arrival:
            if why_not:
                self._write(number, "ERROR", why_not)
            self._leave_barrier(_BROKEN_BARRIER if why_not else 0)

    def _leave_barrier(self, exit_code: int) -> None:
        if self._waiting is None:
            return
        (step, arrival), self._waiting = self._waiting, None
        self._cancel_timer()
        self._barriers.leave(arrival)
        self._settle(step, exit_code)
        self._next()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
