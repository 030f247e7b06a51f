"""Watch a program until its end: its output is kept and shown, its limits are enforced."""

from __future__ import annotations

import math
import os
import selectors
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..containers.container import Process
from .kept_output import KeptOutput, StreamName
from .verdict import StopReason

GRACE_SECONDS = 10.0
# After SIGKILL; whatever does not end then never will
DEATH_SECONDS = 120.0
# Where no descriptor says that a program has ended
_POLL_SECONDS = 0.05
_READ_BYTES = 1 << 16
# What a pipe may hold when its program has ended
_PIPE_BYTES = 1 << 20


@dataclass(frozen=True)
class AttemptLimits:
    """Limits in seconds; `idle` is the longest silence, None for any, `grace` what is between SIGTERM and SIGKILL."""

    time: float
    idle: float | None
    grace: float = GRACE_SECONDS


@dataclass(frozen=True)
class WatchedEnd:
    """How watching ended: the exit code (None: it survived SIGKILL), and why the program was ended, if it was."""

    exit_code: int | None
    stopped: StopReason | None


class ProgramWatch:
    """Watches one program.

    Args:
        cancelled: a descriptor that becomes readable when all programs are to end.
        tick: called now and then; returns in how many seconds to call it again, if nothing happens before.
    """

    def __init__(
        self,
        process: Process,
        outputs: dict[StreamName, KeptOutput],
        printed: Callable[[StreamName, bytes], None],
        limits: AttemptLimits,
        cancelled: int,
        tick: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self._tick = tick
        self._process = process
        self._outputs = outputs
        self._printed = printed
        self._limits = limits
        self._cancelled = cancelled
        self._streams: dict[int, StreamName] = {process.stdout: "stdout", process.stderr: "stderr"}
        self._started = self._heard = time.monotonic()
        self._stopped: StopReason | None = None
        self._kill_at: float | None = None
        self._give_up_at: float | None = None

    def run(self, begin: Callable[[], None]) -> WatchedEnd:
        """Return once the program has ended and all that it printed is read.

        Raises:
            Exception: what `begin` or `printed` raised, or an OSError of what it printed; the program is dead by then.
        """
        with selectors.DefaultSelector() as selector:
            for descriptor in (*self._streams, self._cancelled):
                selector.register(descriptor, selectors.EVENT_READ)
            if self._process.ending is not None:
                selector.register(self._process.ending, selectors.EVENT_READ)
            try:
                begin()
                return self._watch(selector)
            except BaseException:
                self._process.kill()
                give_up_at = time.monotonic() + DEATH_SECONDS
                while self._process.poll() is None and time.monotonic() < give_up_at:
                    time.sleep(_POLL_SECONDS)
                raise

    def _watch(self, selector: selectors.BaseSelector) -> WatchedEnd:
        while (code := self._process.poll()) is None:
            now = time.monotonic()
            if self._give_up_at is not None and now > self._give_up_at:
                return WatchedEnd(None, self._stopped)
            self._enforce(now)
            for key, _ in selector.select(min(self._pause(now), self._tick())):
                if key.fd in self._streams:
                    if self._read(key.fd) == b"":
                        selector.unregister(key.fd)
                elif key.fd == self._cancelled:
                    selector.unregister(key.fd)
                    self._stop("cancelled")
                elif self._process.poll() is None:  # it says that it ends, and has not quite
                    time.sleep(_POLL_SECONDS / 10)
        for descriptor in self._streams:
            count = 0
            # a process that left the group may print on for ever
            while count < _PIPE_BYTES and (data := self._read(descriptor)):
                count += len(data)
        return WatchedEnd(code, self._stopped)

    def _read(self, descriptor: int) -> bytes | None:
        """Read what is there; None if nothing is, b"" at the end."""
        try:
            data = os.read(descriptor, _READ_BYTES)
        except BlockingIOError:
            return None
        if data:
            self._heard = time.monotonic()
            stream = self._streams[descriptor]
            self._outputs[stream].write(data)
            self._printed(stream, data)
        return data

    def _enforce(self, now: float) -> None:
        if self._stopped is None:
            if now >= self._started + self._limits.time:
                self._stop("timeout")
            elif self._limits.idle is not None and now >= self._heard + self._limits.idle:
                self._stop("idle")
        elif self._kill_at is not None and now >= self._kill_at:
            self._process.kill()
            self._kill_at = None
            self._give_up_at = now + DEATH_SECONDS

    def _stop(self, reason: StopReason) -> None:
        if self._stopped is None:
            self._stopped = reason
            self._process.terminate()
            self._kill_at = time.monotonic() + self._limits.grace

    def _pause(self, now: float) -> float:
        if self._process.ending is None:
            return _POLL_SECONDS
        if self._stopped is not None:
            return max(0.0, (self._kill_at or self._give_up_at or now) - now)
        ends = [self._started + self._limits.time]
        if self._limits.idle is not None:
            ends.append(self._heard + self._limits.idle)
        return max(0.0, min(ends) - now)
