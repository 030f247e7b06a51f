"""Start a task's program in its container, and see how it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...containers.container import NOT_EXECUTABLE, StartFailed
from ...containers.local_process import LocalProcess
from ...programs.command_line import find_program, refuse_zero_bytes
from ...programs.kept_output import KeptOutput, StreamName
from ...programs.program_watch import DEATH_SECONDS, AttemptLimits, ProgramWatch
from ...programs.task_folder import STDERR_FILE, STDOUT_FILE
from ...programs.verdict import AttemptVerdict, ProgramEnd, judge_end, stop_text
from ..outcome_report import out_of_memory_kills
from ..output_capture import ShownStream
from .image_user import ImageUser
from .live_task import LiveTask
from .task_measures import TaskMeasures

# The first that the kernel kills for want of memory: not the supervisor, which reports it
_OOM_SCORE = "1000"
_LINGER_SECONDS = 2.0
# Homes that an engine gives to root; another one is the image's own choice
_ROOTS_HOMES = ("", "/", "/root")


@dataclass(frozen=True)
class ProgramStart:
    """What is started, where, as whom (None: as this process), how long it may run, and what is measured of it."""

    words: Sequence[str]
    environment: Mapping[str, str]
    cwd: str
    user: ImageUser | None
    limits: AttemptLimits
    log_limit: int
    measured: TaskMeasures = field(default_factory=TaskMeasures)


def run_program(start: ProgramStart, folder: Path, cancelled: int, live: LiveTask) -> AttemptVerdict:
    """Run a program to its end, its output kept in a folder's files.

    Args:
        folder: the task's, with no output in it.
        cancelled: a descriptor that becomes readable when the program is to end.
        live: delivers its output meanwhile.

    Raises:
        OSError: the folder cannot be written to.
    """
    with (
        KeptOutput(folder / STDOUT_FILE, start.log_limit) as stdout,
        KeptOutput(folder / STDERR_FILE, start.log_limit) as stderr,
    ):
        shown: dict[StreamName, ShownStream] = {"stdout": ShownStream(1), "stderr": ShownStream(2)}
        outputs: dict[StreamName, KeptOutput] = {"stdout": stdout, "stderr": stderr}
        live.attach(outputs)

        def printed(stream: StreamName, data: bytes) -> None:
            live.note(stream, len(data))
            shown[stream].write(data)

        kills = out_of_memory_kills() or 0
        start.measured.note("ran_from")
        try:
            process = _start(start)
        except StartFailed as error:
            return judge_end(ProgramEnd(error.exit_code, refused=str(error)), None)
        with contextlib.closing(process):
            watch = ProgramWatch(process, outputs, printed, start.limits, cancelled, live.tick)
            watched = watch.run(lambda: None)
            start.measured.note_program(process.cpu_seconds, process.peak_mib)
            _end_others()
    _show_the_rest(list(shown.values()))
    if watched.exit_code is None:
        return judge_end(ProgramEnd(-1, lost=f"it did not end within {DEATH_SECONDS:g} s after SIGKILL"), None)
    is_out_of_memory = (out_of_memory_kills() or 0) > kills
    why = stop_text(watched.stopped, start.limits.time, start.limits.idle)
    return judge_end(ProgramEnd(watched.exit_code, is_out_of_memory=is_out_of_memory), watched.stopped, why)


def _start(start: ProgramStart) -> LocalProcess:
    environment, user = dict(start.environment), start.user
    if user is not None and environment.get("HOME", "") in _ROOTS_HOMES:
        environment["HOME"] = user.home
    refuse_zero_bytes(start.words, environment)
    program = find_program(start.words, Path(start.cwd), environment)
    try:
        child = subprocess.Popen(
            start.words,
            executable=program,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=start.cwd,
            env=environment,
            start_new_session=True,
            user=None if user is None else user.user,
            group=None if user is None else user.group,
            extra_groups=None if user is None else user.groups,
        )
    except OSError as error:
        raise StartFailed(NOT_EXECUTABLE, f"{start.words[0]}: cannot be run: {error.strerror}") from error
    with contextlib.suppress(OSError), open(f"/proc/{child.pid}/oom_score_adj", "w") as file:
        file.write(_OOM_SCORE)
    return LocalProcess(child)


def _end_others() -> None:
    """End what the program has left in this container, where this is its first process."""
    if os.getpid() != 1:
        return
    give_up_at = time.monotonic() + _LINGER_SECONDS
    with contextlib.suppress(ProcessLookupError, PermissionError, ChildProcessError):
        while time.monotonic() < give_up_at:
            os.kill(-1, signal.SIGKILL)
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)


def _show_the_rest(streams: Sequence[ShownStream]) -> None:
    give_up_at = time.monotonic() + _LINGER_SECONDS
    while [stream for stream in streams if stream.flush()] and time.monotonic() < give_up_at:
        time.sleep(0.01)
    for stream in streams:
        stream.give_up()
