"""Start a process and keep hold of it, whenever Ctrl-C comes."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Hold signals that end this process until the block's end, where they arrive.

    An exception of a signal's handler within `Popen` loses the process that was just started. Python calls handlers on
    the main thread alone, so on others this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    for number, handler in handlers.items():
        # A started process inherits that a signal is ignored
        if handler is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: held.append(number))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for received in held:
        signal.raise_signal(received)
