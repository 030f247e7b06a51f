"""Run one attempt of a task: its runnables one after another, with their clocks and their output."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from ...containers.run_command import STOP_SECONDS, stop_timeout_seconds
from ..model.job_states import TIME_LIMIT_EXIT_CODE
from ..model.runtime_interface import Process, StartFailed, Workspace
from ..model.task_plan import Step

LINE_BYTES = 200_000
"""A longer line becomes several entries: Cloud Logging takes 256 KB for one."""
_CHUNK_BYTES = 1 << 16
_DRAIN_BYTES = 1 << 22
_POLL_SECONDS = 0.02


class LineSplitter:
    """Cuts what a process wrote into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """Give the lines that are complete with this data."""
        *complete, self._rest = (self._rest + data).split(b"\n")
        for line in complete:
            yield from self._cut(line)
        if len(self._rest) >= LINE_BYTES:
            yield from self.flush()

    def flush(self) -> Iterator[str]:
        """Give the line that no newline ended, if there is one."""
        rest, self._rest = self._rest, b""
        if rest:
            yield from self._cut(rest)

    @staticmethod
    def _cut(line: bytes) -> Iterator[str]:
        for start in range(0, max(len(line), 1), LINE_BYTES):
            yield line[start : start + LINE_BYTES].decode("utf-8", errors="replace")


class Attempt:
    """Runs the steps on an event loop; all methods are called on its thread.

    `write(severity, line)` gets the output. `ended(exit_code)` is called once, when nothing runs any more. Past
    `max_run_seconds` (None: no limit) the attempt is ended with exit code 50005. `grace_seconds` is between SIGTERM and
    SIGKILL; where it is None, it is the container's own --stop-timeout, else that of `docker stop`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        workspace: Workspace,
        steps: Sequence[Step],
        *,
        max_run_seconds: float | None,
        grace_seconds: float | None,
        write: Callable[[str, str], None],
        ended: Callable[[int], None],
    ) -> None:
        self._loop = loop
        self._workspace = workspace
        self._steps = deque(steps)
        self._grace_seconds = grace_seconds
        self._write = write
        self._ended = ended
        self._exit_code = 0
        self._is_stopping = False
        self._step: Step | None = None
        self._step_exit_code: int | None = None
        self._process: Process | None = None
        self._outputs: dict[int, tuple[str, LineSplitter]] = {}
        self._timers: list[asyncio.TimerHandle] = []
        self._deadline: asyncio.TimerHandle | None = None
        if max_run_seconds is not None:
            self._deadline = loop.call_later(max_run_seconds, self.stop, TIME_LIMIT_EXIT_CODE)

    def start(self) -> None:
        """Start the first runnable."""
        self._next()

    def stop(self, exit_code: int | None = None, notice_seconds: float | None = None) -> None:
        """End the attempt: SIGTERM, after the notice SIGKILL; with this exit code instead of the process's own.

        The notice is the grace where none is given; 0 is SIGKILL at once. Told again, an attempt may only end sooner.
        """
        notice = self._grace() if notice_seconds is None else notice_seconds
        if self._is_stopping:
            if self._process is not None:
                self._timers.append(self._loop.call_later(notice, self._process.kill))
            return
        self._is_stopping = True
        self._steps.clear()
        self._end_step(exit_code, notice)

    def _grace(self) -> float:
        if self._grace_seconds is not None:
            return self._grace_seconds
        command = None if self._step is None else self._step.command
        # A script has no option of its own: docker's default stands for what the agent gives it.
        seconds = None if command is None or not command.image else stop_timeout_seconds(command.options)
        return STOP_SECONDS if seconds is None else seconds

    def _end_step(self, exit_code: int | None, notice_seconds: float | None = None) -> None:
        if self._process is None or self._step_exit_code is not None:
            return
        notice_seconds = self._grace() if notice_seconds is None else notice_seconds
        self._step_exit_code = exit_code
        if notice_seconds:
            self._process.terminate()
            self._timers.append(self._loop.call_later(notice_seconds, self._process.kill))
        else:
            self._process.kill()

    def _next(self) -> None:
        while self._steps:
            step = self._steps.popleft()
            if self._exit_code and not step.always_runs:
                continue
            try:
                process = self._workspace.start(step.command)
            except StartFailed as error:
                self._write("ERROR", str(error))
                self._settle(step, error.exit_code)
                continue
            self._watch(step, process)
            return
        if self._deadline is not None:
            self._deadline.cancel()
        self._workspace.close()
        self._ended(self._exit_code)

    def _settle(self, step: Step, exit_code: int) -> None:
        if exit_code and not self._exit_code and (self._is_stopping or not step.ignores_exit_status):
            self._exit_code = exit_code

    def _watch(self, step: Step, process: Process) -> None:
        self._step, self._process, self._step_exit_code = step, process, None
        self._outputs = {process.stdout: ("INFO", LineSplitter()), process.stderr: ("ERROR", LineSplitter())}
        for descriptor in self._outputs:
            self._loop.add_reader(descriptor, self._read, descriptor)
        if process.ending is not None:
            self._loop.add_reader(process.ending, self._finish)
        else:
            self._poll()
        if step.timeout_seconds is not None:
            self._timers.append(self._loop.call_later(step.timeout_seconds, self._end_step, TIME_LIMIT_EXIT_CODE))

    def _poll(self) -> None:
        if self._process is not None and not self._finish():
            self._timers[:] = [timer for timer in self._timers if timer.when() > self._loop.time()]
            self._timers.append(self._loop.call_later(_POLL_SECONDS, self._poll))

    def _read(self, descriptor: int) -> int:
        """Pass on what can be read now; return the number of bytes, 0 at the end or when there is nothing."""
        severity, lines = self._outputs[descriptor]
        try:
            data = os.read(descriptor, _CHUNK_BYTES)
        except BlockingIOError:
            return 0
        if not data:
            self._loop.remove_reader(descriptor)
        for line in lines.feed(data):
            self._write(severity, line)
        return len(data)

    def _finish(self) -> bool:
        process, step = self._process, self._step
        if process is None or step is None:
            return True
        exit_code = process.poll()
        if exit_code is None:
            return False
        for descriptor, (severity, lines) in self._outputs.items():
            # bounded: a process that left the group may hold the pipe and write for ever
            left = _DRAIN_BYTES
            while left > 0 and (count := self._read(descriptor)):
                left -= count
            self._loop.remove_reader(descriptor)
            for line in lines.flush():
                self._write(severity, line)
        if process.ending is not None:
            self._loop.remove_reader(process.ending)
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        process.close()
        self._process = None
        self._settle(step, exit_code if self._step_exit_code is None else self._step_exit_code)
        self._next()
        return True
