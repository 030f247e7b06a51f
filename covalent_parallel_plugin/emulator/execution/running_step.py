"""Run one runnable of a task: its process, its clocks and its output."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator

from ..model.job_states import TIME_LIMIT_EXIT_CODE
from ..model.runtime_interface import Process
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
        """Yield the lines that are complete with this data."""
        *complete, self._rest = (self._rest + data).split(b"\n")
        for line in complete:
            yield from self._cut(line)
        if len(self._rest) >= LINE_BYTES:
            yield from self.flush()

    def flush(self) -> Iterator[str]:
        """Yield the line that no newline ended, if there is one."""
        rest, self._rest = self._rest, b""
        if rest:
            yield from self._cut(rest)

    @staticmethod
    def _cut(line: bytes) -> Iterator[str]:
        for start in range(0, max(len(line), 1), LINE_BYTES):
            yield line[start : start + LINE_BYTES].decode("utf-8", errors="replace")


class RunningStep:
    """A step whose process has been started; all methods are called on the loop's thread.

    `write(severity, line)` gets the output, `on_end(step, exit_code)` is called once, when nothing of it runs any more.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        step: Step,
        process: Process,
        *,
        grace_seconds: float,
        write: Callable[[str, str], None],
        on_end: Callable[[RunningStep, int], None],
    ) -> None:
        self.step = step
        self._loop = loop
        self._process = process
        self._grace_seconds = grace_seconds
        self._write = write
        self._on_end = on_end
        self._exit_code: int | None = None
        self._is_ending = self._has_ended = False
        self._timers: list[asyncio.TimerHandle] = []
        self._outputs = {process.stdout: ("INFO", LineSplitter()), process.stderr: ("ERROR", LineSplitter())}
        for descriptor in self._outputs:
            loop.add_reader(descriptor, self._read, descriptor)
        if process.ending is not None:
            loop.add_reader(process.ending, self._finish)
        else:
            self._timers.append(loop.call_later(0, self._poll))
        if step.timeout_seconds is not None:
            self._timers.append(loop.call_later(step.timeout_seconds, self.end, TIME_LIMIT_EXIT_CODE))

    def end(self, exit_code: int | None, notice_seconds: float | None = None) -> None:
        """End it: SIGTERM, after the notice SIGKILL; with this exit code instead of the process's own.

        The notice is the grace where none is given. Called again, it may only end sooner.
        """
        if self._has_ended:
            return
        if notice_seconds is None:
            notice_seconds = self._grace_seconds
        if not self._is_ending:
            self._exit_code = exit_code
            if notice_seconds:
                self._process.terminate()
        self._is_ending = True
        self._timers.append(self._loop.call_later(notice_seconds, self._process.kill))

    def _poll(self) -> None:
        if not self._has_ended and not self._finish():
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
        process = self._process
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
        self._has_ended = True
        self._on_end(self, exit_code if self._exit_code is None else self._exit_code)
        return True
