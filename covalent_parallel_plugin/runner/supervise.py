"""The electron's process seen from outside: fork it, read its output, keep the clock, see how it ended."""

from __future__ import annotations

import gc
import os
import selectors
import signal
import sys
import time
from typing import TYPE_CHECKING, BinaryIO, Callable, List, NamedTuple, Optional, Sequence, Set, Tuple

from ..protocol.envelope import Envelope
from .electron_files import ElectronFiles, leave_shared
from .left_behind import ending_note, running_processes
from .outcome_report import Ending, exit_status
from .output_capture import Stream

if TYPE_CHECKING:
    import resource

DRAIN_SECONDS = 2.0
# Processes of the electron that still run when it has ended are waited for this long
LEFT_BEHIND_SECONDS = 5.0
LEFT_BEHIND_TICK_SECONDS = 0.05
# Compute Engine gives a Spot VM 30 seconds ("Spot VMs", preemption process): 10 of them are for the report
TERMINATION_SECONDS = 20.0
STACK_DUMP_SECONDS = 0.5
# Of processes that the electron has left behind, if it leaves them faster than they can be reaped
REAPS_PER_TURN = 100
PR_SET_PDEATHSIG = 1

# Called now and then while the electron runs; in how many seconds it is to be called again, if nothing happens before
Tick = Callable[[Sequence[Stream]], float]


class Supervised(NamedTuple):
    """How the electron's process ended, and its stdout and stderr."""

    ending: Ending
    streams: Tuple[Stream, Stream]


def supervise(
    call: BinaryIO,
    envelope: Envelope,
    files: ElectronFiles,
    time_limit_seconds: float,
    marker: bytes = b"",
    tick: Tick = lambda streams: float("inf"),
    release: Callable[[], None] = lambda: None,
    beside: Callable[[], None] = lambda: None,
) -> Supervised:
    """Fork the electron and stay with it until it has ended, whichever way; what it left is in `files` then.

    `marker` begins the lines between items. `release` closes in the electron's process what else it has of its
    supervisor's: by its end the numbers may be those of its own files. `beside` is called once in the supervisor's, as
    soon as the electron's runs.
    """
    stdout, stdout_write = os.pipe()
    stderr, stderr_write = os.pipe()
    notice, notice_write = os.pipe()
    for descriptor in (stdout, stderr, notice, notice_write):
        os.set_blocking(descriptor, False)
    terminated: List[int] = []
    signal.set_wakeup_fd(notice_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)

    def terminate(number: int, frame: object) -> None:
        # Before the electron has the signal: a map's items that it ends are not their own failures.
        files.terminated.set()
        files.terminated_at = files.terminated_at or time.monotonic()
        terminated.append(number)

    signal.signal(signal.SIGTERM, terminate)
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _become_electron(parent, stdout_write, stderr_write, (stdout, stderr, notice, notice_write),
                         call, envelope, files, release)  # fmt: skip
    gc.enable()
    beside()
    os.close(stdout_write)
    os.close(stderr_write)
    # Unbuffered: what a map delivers on the way is read from these files while they are written.
    with open(files.stdout.path, "wb", 0) as out, open(files.stderr.path, "wb", 0) as err:
        streams = (Stream(stdout, out, 1, marker), Stream(stderr, err, 2, marker))
        ending = _watch(child, streams, notice, time_limit_seconds, terminated, tick)
        if ending.left_behind or ending.reason or ending.signal is not None:
            streams[1].add(ending_note(ending, files.report.read(), time_limit_seconds))
    signal.set_wakeup_fd(-1)
    for descriptor in (stdout, stderr, notice, notice_write):
        os.close(descriptor)
    return Supervised(ending, streams)


def _watch(
    child: int,
    streams: Sequence[Stream],
    notice: int,
    time_limit_seconds: float,
    terminated: List[int],
    tick: Tick,
) -> Ending:
    output = _OutputPump(streams, notice)
    reason = ""
    left: Tuple[str, ...] = ()
    deadline = time.monotonic() + time_limit_seconds
    status = usage = ended = None
    while True:
        wait = max(0.0, deadline - time.monotonic())
        output.turn(min(wait, tick(streams) if status is None else LEFT_BEHIND_TICK_SECONDS))
        if status is None:
            status, usage = _reap(child)
            if status is not None:
                ended = time.time()
                # What the electron left in the pipes is read, and shown; what a process it left behind writes is
                # waited for this long only, as is whoever reads the task's own streams.
                seconds = DRAIN_SECONDS if reason or not _left_behind(child) else LEFT_BEHIND_SECONDS
                deadline = time.monotonic() + seconds
        if status is not None:
            _reap(-1)
            if time.monotonic() >= deadline or (output.is_done and not _left_behind(child)):
                break
        elif terminated and not reason:
            # The electron may have a handler for it, and is given the time to save what it has.
            reason = "terminated"
            _send(child, signal.SIGTERM)
            deadline = min(deadline, time.monotonic() + TERMINATION_SECONDS)
        elif time.monotonic() >= deadline:
            # First the electron shows where it stands (faulthandler is registered for SIGUSR2), then it is killed.
            reason = reason or "time_limit"
            _send(child, signal.SIGUSR2)
            until = time.monotonic() + STACK_DUMP_SECONDS
            while time.monotonic() < until:
                output.turn(max(0.0, until - time.monotonic()))
            left = left or _left_behind(child)
            _kill_group(child)
            deadline = time.monotonic() + DRAIN_SECONDS
    left = left or _left_behind(child)
    _kill_group(child)
    output.close()
    killed_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    exit_status = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
    if usage is None:
        return Ending(exit_status, killed_by, reason, 0, left, ended=ended)
    cpu_seconds = round(usage.ru_utime + usage.ru_stime, 3)
    return Ending(exit_status, killed_by, reason, usage.ru_maxrss * 1024, left, cpu_seconds, ended)


class _OutputPump:
    """Moves the electron's output, a bounded amount at a time; `notice` is readable when a signal has come."""

    def __init__(self, streams: Sequence[Stream], notice: int):
        self._streams = streams
        self._notice = notice
        self._selector = selectors.DefaultSelector()
        self._open = {stream.read: stream for stream in streams}
        self._full: "Set[int]" = set()
        for descriptor in (notice, *self._open):
            self._selector.register(descriptor, selectors.EVENT_READ)

    @property
    def is_done(self) -> bool:
        """Whether the pipes have no writer any more, and all that was in them is shown."""
        return not self._open and not self._full

    def turn(self, seconds: float) -> None:
        """Wait so long at most for something to move, and move it."""
        for key, _ in self._selector.select(seconds):
            if key.fd == self._notice:
                _empty(self._notice)
            elif key.fd in self._open and not self._open[key.fd].pump():
                self._selector.unregister(key.fd)
                del self._open[key.fd]
        for stream in self._streams:
            self._watch_reader(stream, stream.shown.flush())

    def _watch_reader(self, stream: Stream, is_full: bool) -> None:
        """Notice when there is room again where a stream is shown, as long as something waits for that."""
        shown = stream.shown.descriptor
        if is_full and shown not in self._full:
            self._full.add(shown)
            self._selector.register(shown, selectors.EVENT_WRITE)
        elif not is_full and shown in self._full:
            self._full.remove(shown)
            self._selector.unregister(shown)

    def close(self) -> None:
        """Move what is left in the pipes, as far as it can be shown at once."""
        for stream in self._streams:
            stream.pump()
            stream.finish()
            stream.shown.give_up()
        self._selector.close()


def _reap(child: int) -> Tuple[Optional[int], Optional[resource.struct_rusage]]:
    """The electron's wait status and resource usage once it has ended; as process 1, orphans are reaped as well."""
    process = child
    for _ in range(REAPS_PER_TURN):
        try:
            pid, status, usage = os.wait4(process, os.WNOHANG)
        except ChildProcessError:
            return None, None
        if pid == child:
            return status, usage
        if pid == 0 and process == -1:
            return None, None
        process = -1
    return None, None


def _left_behind(child: int) -> Tuple[str, ...]:
    """The processes of the electron's group that still run, beside itself, such as "123 (sleep 45)"."""
    try:
        os.killpg(child, 0)
    except (ProcessLookupError, PermissionError):
        return ()
    return running_processes(child)


def _empty(descriptor: int) -> None:
    try:
        while os.read(descriptor, 512):
            pass
    except BlockingIOError:
        return


def _kill_group(child: int) -> None:
    try:
        os.killpg(child, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _send(child: int, number: int) -> None:
    try:
        os.kill(child, number)
    except ProcessLookupError:
        return


def _become_electron(
    parent: int, stdout: int, stderr: int, unneeded: "tuple[int, ...]",
    call: BinaryIO, envelope: Envelope, files: ElectronFiles, release: Callable[[], None],
) -> None:  # fmt: skip
    """In the forked child: own process group, streams into the pipes, then the electron.

    Raises:
        SystemExit: always, so that the interpreter ends as a program's does: threads are waited for, handlers of
            `atexit` are called, and open files are written out.
    """
    status = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for descriptor in unneeded:
            os.close(descriptor)
        release()
        leave_shared(files.scratch)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(stdout, 1)
        os.dup2(stderr, 2)
        os.close(stdout)
        os.close(stderr)
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
        _die_with(parent)
        import faulthandler

        faulthandler.enable()
        faulthandler.register(signal.SIGUSR2, all_threads=True)
        sys.argv = [sys.argv[0]]
        from .electron_main import run

        status = run(call, envelope, files)
    except SystemExit as end:
        # Of a copy of this process that the electron has forked
        status = exit_status(end)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    leave_shared(call)
    # Not in a handler above: the exception would keep the electron's frames, and what they hold, until the very end.
    raise SystemExit(status)


def _die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent dies (Linux; prctl(2), PR_SET_PDEATHSIG)."""
    try:
        import ctypes

        prctl: Callable[..., int] = ctypes.CDLL(None).prctl
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        return
    if os.getppid() != parent:
        os._exit(1)
