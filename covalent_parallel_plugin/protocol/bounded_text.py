"""Text that foreign code makes, in a process of its own: bounded in time, memory and length.

The `str()` of a value may run for ever, take all memory, or end its process: neither value nor electron is lost by it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import select
import signal
import time
import warnings
from typing import Callable, Iterator

try:
    import resource as resource
except ImportError:  # Python without it has no limits to set
    resource = None  # type: ignore[assignment]

LENGTH_BYTES = 8
READ_BYTES = 64 * 1024
MADE, RAISED, NO_MEMORY = b"m", b"r", b"n"
# Taken now: the electron may put something else in their places.
_pipe, _fork, _close, _write, _read = os.pipe, os.fork, os.close, os.write, os.read
_kill, _waitpid, _exit, _monotonic, _poll = os.kill, os.waitpid, os._exit, time.monotonic, select.poll


class NoText(Exception):
    """No text was made; the message continues from "its str()"."""


class TextRaised(NoText):
    """Making the text raised an exception."""


def text_in_child(make: Callable[[], str], seconds: float, extra_bytes: int) -> str:
    """Return what `make` does, called in a forked process that has so much time, and so much more memory.

    Raises:
        TextRaised: `make` raised.
        NoText: it took too long or too much memory, or ended its process.
        OSError: there can be no more processes, or files.
    """
    ours, theirs = _pipe()
    try:
        with _no_fork_warnings():
            child = _fork()
        if child == 0:
            _answer(make, theirs, seconds, extra_bytes)
        _close(theirs)
        theirs = -1
        try:
            return _text_from(ours, _monotonic() + seconds, seconds, extra_bytes)
        finally:
            with contextlib.suppress(ProcessLookupError):
                _kill(child, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                # Gone where the user's own code waits for every process.
                _waitpid(child, 0)
    finally:
        for descriptor in (ours, theirs):
            if descriptor >= 0:
                _close(descriptor)


@contextlib.contextmanager
def _no_fork_warnings() -> Iterator[None]:
    """Have no library warn of a fork beside threads: the child runs a few lines, and its deadline ends it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _answer(make: Callable[[], str], descriptor: int, seconds: float, extra_bytes: int) -> None:
    """In the child: write the text, or why there is none; never returns."""
    try:
        try:
            _limit_child(seconds, extra_bytes)
        except BaseException:
            # Patched by the user: the parent's deadline is left.
            pass
        try:
            kind, text = MADE, make()
        except MemoryError:
            kind, text = NO_MEMORY, ""
        except BaseException as error:
            # Whatever the value's class raises, SystemExit too
            kind, text = RAISED, type(error).__name__
        data = kind + text.encode("utf-8", "backslashreplace")
        view = memoryview(len(data).to_bytes(LENGTH_BYTES, "big") + data)
        while view:
            view = view[_write(descriptor, view) :]
    finally:
        _exit(0)


def _limit_child(seconds: float, extra_bytes: int) -> None:
    # What the electron has left to its finalizers and signal handlers is not done here as well.
    gc.disable()
    faulthandler.disable()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    # In case the parent is killed
    signal.setitimer(signal.ITIMER_REAL, seconds + 1)
    with contextlib.suppress(OSError, ValueError, AttributeError, IndexError):
        # Where there is no memory left, the kernel is to end this process rather than the electron's.
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        with open("/proc/self/statm") as file:
            held = int(file.read().split()[5]) * resource.getpagesize()
        most = held + extra_bytes
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _text_from(descriptor: int, deadline: float, seconds: float, extra_bytes: int) -> str:
    poll = _poll()
    poll.register(descriptor, select.POLLIN)
    data = bytearray()
    while len(data) < LENGTH_BYTES or len(data) < LENGTH_BYTES + int.from_bytes(data[:LENGTH_BYTES], "big"):
        left = deadline - _monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise NoText("took more than %g s" % seconds)
        piece = _read(descriptor, READ_BYTES)
        if not piece:
            raise NoText("ended its process")
        data += piece
    kind, text = bytes(data[LENGTH_BYTES : LENGTH_BYTES + 1]), data[LENGTH_BYTES + 1 :].decode()
    if kind == NO_MEMORY:
        raise NoText("took more than %d MB" % (extra_bytes // 2**20))
    if kind == RAISED:
        raise TextRaised("raised %s" % text)
    return text
