"""What ends a run early: at a terminal Ctrl-C asks, and a second one cancels; other signals and lost output cancel.

A run on Batch can also be left to itself.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any

QUESTION = "Cancel everything (c) or go on (g)? A second Ctrl-C cancels."
QUESTION_ON_BATCH = "Cancel everything (c), go on (g) or detach (d)? A second Ctrl-C cancels."
CANCELLING = "Cancelling: what runs is being ended."
DETACHING = "Detaching: what is on Batch goes on."
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def discard_output() -> None:
    """Lead standard output nowhere: what is still printed, and flushed at the end, has to go somewhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


class Interruption:
    """Takes the signals while it is entered.

    Attributes:
        note: what is to be shown now: the question, that all is being cancelled or left to itself, or "".
        cancel: ends the run, safely from a signal's handler; None before there is one.
        detach: leaves the run to itself; None where it would not continue.
        heard: the last signal that came, 0 for none.
    """

    def __init__(self, can_ask: bool) -> None:
        self.note = ""
        self.cancel: Callable[[], None] | None = None
        self.detach: Callable[[], None] | None = None
        self.heard = 0
        self._can_ask = can_ask
        self._handlers: dict[int, Any] = {}
        # Left in a thread that may not restore the handlers: the next signal does
        self._is_left = False
        self._terminal: Any = None

    def __enter__(self) -> Interruption:
        for number in _SIGNALS:
            # Whoever started this in the background, or with nohup, wants them ignored
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_question("")
        self._is_left = not is_main()
        if not self._is_left:
            self._restore()

    @contextlib.contextmanager
    def leaving(self, number: int) -> Iterator[None]:
        """Leave a signal to whoever had it before, as long as this is entered."""
        handler = self._handlers.get(number)
        if handler is None or not is_main():
            yield
            return
        signal.signal(number, handler)
        try:
            yield
        finally:
            if is_main():
                signal.signal(number, self._handle)

    def poll(self) -> None:
        """Take the answer, if there is one."""
        if not self._is_asking:
            return
        self._take_keys()
        if select.select([sys.stdin], [], [], 0)[0]:
            answer = os.read(sys.stdin.fileno(), 1).lower()
            if answer in (b"c", b"y", b""):
                self._end()
            elif answer in (b"g", b"n", b"\n"):
                self._end_question("")
            elif answer == b"d" and self.detach is not None:
                self._end_question(DETACHING)
                self.detach()

    @contextlib.contextmanager
    def showing(self) -> Iterator[None]:
        """Print in here: where standard output is gone, a pipe or a terminal that was closed, the run is cancelled."""
        try:
            yield
        except OSError as error:
            discard_output()
            with contextlib.suppress(OSError):
                print(f"standard output cannot be written to: {error.strerror}. {CANCELLING}", file=sys.stderr)
            self._end()

    @property
    def _is_asking(self) -> bool:
        return self.note in (QUESTION, QUESTION_ON_BATCH)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._is_left:
            self._restore()
            signal.raise_signal(number)
            return
        self.heard = number
        if number == signal.SIGINT and self._can_ask and not self.note:
            self.note = QUESTION if self.detach is None else QUESTION_ON_BATCH
        else:
            self._end()

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _end(self) -> None:
        self._end_question(CANCELLING)
        if self.cancel is None:
            raise KeyboardInterrupt
        self.cancel()

    def _take_keys(self) -> None:
        """Let the terminal pass on single keys without showing them."""
        if self._terminal is None:
            import termios
            import tty

            self._terminal = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin, termios.TCSADRAIN)

    def _end_question(self, note: str) -> None:
        self.note = note
        if self._terminal is not None:
            import termios

            terminal, self._terminal = self._terminal, None
            # It may be gone
            with contextlib.suppress(termios.error):
                termios.tcsetattr(sys.stdin, termios.TCSADRAIN, terminal)


def is_main() -> bool:
    """Return whether this is the main thread, which alone hears signals and sets their handlers."""
    return threading.current_thread() is threading.main_thread()
