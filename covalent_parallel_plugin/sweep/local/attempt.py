"""Run one attempt of a task: its folder is made, its program started and watched, and what it left is put in order."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ...containers.container import CANNOT_START, Process, StartFailed
from ...errors import ParallelError
from ...programs.command_line import refuse_zero_bytes
from ...programs.kept_output import KeptOutput, StreamName, last_lines
from ...programs.program_watch import DEATH_SECONDS, AttemptLimits, ProgramWatch, WatchedEnd
from ...programs.result_values import MissingResult, read_result
from ...programs.task_folder import (
    STDERR_FILE,
    STDOUT_FILE,
    TASK_FILE,
    LaidFile,
    is_full,
    make_folder,
    names_left,
    open_folder,
    restore_folder,
    tidy_files,
    write_json,
)
from ...programs.verdict import AttemptVerdict, ProgramEnd, StopReason, TaskEnd, judge_end, stop_text
from ..sweep_file import SweepFile
from ..tasks import Launch, LocalPaths, SweepTask, describe_task
from .interfaces import Backend, TaskFolders, TaskStart

_ERROR_LINES = 5


@dataclass(frozen=True)
class AttemptSeams:
    """What every attempt of a run is given.

    Attributes:
        launcher: fills in a task's command for its paths and its attempt.
        lay_out: puts files into a task's folder. Raises ParallelError, OSError.
        secrets: variables and their values.
        cancelled: a descriptor that becomes readable when all programs are to end.
    """

    file: SweepFile
    launcher: Callable[[SweepTask, LocalPaths, int], Launch]
    lay_out: Callable[[SweepTask, Launch, Path], Iterable[LaidFile]]
    out: TaskFolders
    backend: Backend
    secrets: Mapping[str, str]
    cancelled: int


class LocalAttempt:
    """One attempt, from 1 on; `started` gets what the journal keeps of the program, `printed` what it prints."""

    def __init__(
        self,
        seams: AttemptSeams,
        task: SweepTask,
        number: int,
        started: Callable[[Mapping[str, int]], None],
        printed: Callable[[StreamName, bytes], None],
    ) -> None:
        self._seams = seams
        self._task = task
        self._number = number
        self._started = started
        self._printed = printed
        self._folder = seams.out.task_folder(task.name)
        self._laid: Sequence[LaidFile] = ()
        self.cpu_seconds: float | None = None
        """That of its program, once it has ended; None if it is not known."""
        self._clock = time.monotonic()

    def run(self) -> TaskEnd:
        """Return how it ended, with all of its files written; where they cannot be, it is lost.

        Raises:
            OSError: the disk is full. Exception: what `launcher`, `started` or `printed` raised.
        """
        began = time.time()
        try:
            return self._run(began)
        except OSError as error:
            if is_full(error):
                raise
            verdict = AttemptVerdict("lost", None, None, f"its folder cannot be used: {error}")
            return self._task_end(verdict, began, None)

    def _run(self, began: float) -> TaskEnd:
        file, files = self._seams.file, make_folder(self._folder)
        launch = self._seams.launcher(self._task, self._seams.backend.paths(self._folder), self._number)
        environment = {**launch.environment, **self._seams.secrets}
        program, stopped = self._run_program(
            TaskStart(self._task, self._number, launch, self._folder, environment), files
        )
        verdict = judge_end(program, stopped, stop_text(stopped, file.settings.time_limit, file.idle_limit_seconds))
        end = self._task_end(verdict, began, program.peak_mb)
        self.cpu_seconds = program.cpu_seconds
        restore_folder(self._folder)
        tidy_files(files, self._laid)
        end = self._with_result(replace(end, left=names_left(files)), files)
        write_json(self._folder / TASK_FILE, self._description(launch, end))
        open_folder(self._folder)
        return end

    def _task_end(self, verdict: AttemptVerdict, began: float, peak_mb: float | None) -> TaskEnd:
        return TaskEnd(
            **asdict(verdict),
            seconds=round(time.monotonic() - self._clock, 3),
            attempts=self._number,
            peak_mb=None if peak_mb is None else round(peak_mb, 1),
            machine=socket.gethostname(),
            started=began,
            ended=time.time(),
        )

    def _run_program(self, start: TaskStart, files: Path) -> tuple[ProgramEnd, StopReason | None]:
        limit = self._seams.file.log_limit_bytes
        with (
            KeptOutput(self._folder / STDOUT_FILE, limit) as stdout,
            KeptOutput(self._folder / STDERR_FILE, limit) as stderr,
        ):
            try:
                words = (*(start.launch.entrypoint or ()), *start.launch.arguments)
                refuse_zero_bytes(words, start.environment)
                self._laid = self._bring_files(start, files)
                process = self._seams.backend.start(start)
            except StartFailed as error:
                return ProgramEnd(error.exit_code, refused=str(error)), None
            with contextlib.closing(process):
                watched = self._watch(process, {"stdout": stdout, "stderr": stderr})
        if watched.exit_code is None:
            lost = f"it did not end within {DEATH_SECONDS:g} s after SIGKILL"
            return ProgramEnd(-1, lost=lost), None
        errors = last_lines(self._folder / STDERR_FILE, _ERROR_LINES)
        return self._seams.backend.end(start, process, watched.exit_code, errors), watched.stopped

    def _bring_files(self, start: TaskStart, files: Path) -> Sequence[LaidFile]:
        try:
            return list(self._seams.lay_out(self._task, start.launch, files))
        except (ParallelError, OSError) as error:
            if isinstance(error, OSError) and is_full(error):
                raise
            raise StartFailed(CANNOT_START, str(error)) from error

    def _watch(self, process: Process, outputs: dict[StreamName, KeptOutput]) -> WatchedEnd:
        file = self._seams.file
        limits = AttemptLimits(file.settings.time_limit, file.idle_limit_seconds)
        watch = ProgramWatch(process, outputs, self._printed, limits, self._seams.cancelled)
        return watch.run(lambda: self._started(self._seams.backend.event(process)))

    def _with_result(self, end: TaskEnd, files: Path) -> TaskEnd:
        source = self._seams.file.result
        if end.status != "done" or source is None:
            return end
        try:
            return replace(end, result=read_result(source, files, self._folder / STDOUT_FILE))
        except MissingResult as error:
            return replace(end, status="no-result", reason=str(error))

    def _description(self, launch: Launch, end: TaskEnd) -> dict[str, object]:
        return {**describe_task(self._seams.file, self._task, launch), **asdict(end)}
