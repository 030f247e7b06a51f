"""The signals that end a command which has started others: as exceptions, and only the first of them."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Terminated(BaseException):
    """SIGTERM or SIGHUP came; `number` says which."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def status(self) -> int:
        """What a shell reports for a program that the signal ended."""
        return 128 + self.number


class Signals:
    """Raises KeyboardInterrupt for Ctrl-C and Terminated for others, once in `quiet_seconds`; a context manager.

    Args:
        quiet_seconds: so long all that was started may take to end.
    """

    def __init__(self, quiet_seconds: float) -> None:
        self._quiet_seconds = quiet_seconds
        self._quiet_until = 0.0
        self._passes_interrupts = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        for number in _NUMBERS:
            # What nohup has it ignore stays ignored
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def interrupts_left_to_the_program(self) -> Iterator[None]:
        """Leave Ctrl-C to a program in the foreground, which the terminal sends it to as well."""
        self._passes_interrupts = True
        try:
            yield
        finally:
            self._passes_interrupts = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self._passes_interrupts:
            return
        if time.monotonic() < self._quiet_until:
            return
        self._quiet_until = time.monotonic() + self._quiet_seconds
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated(number)
