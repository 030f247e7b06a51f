"""Bring the lines that a task's attempt prints to the log, to files, and of custom status events to its history."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence

from ..model.custom_events import KIND, read_custom_event
from ..model.job import Task
from ..model.job_states import StatusEvent
from ..model.log_store import LogStore
from ..model.runtime_interface import LogFolder, Workspace
from .log_files import TaskLogFiles
from .scheduled_job import ScheduledJob

_log = logging.getLogger(__name__)
_FAILED = 1


class TaskOutput:
    """Where the output of one attempt goes; `noted` gets status events of its task."""

    def __init__(
        self, scheduled: ScheduledJob, task: Task, logs: LogStore | None, noted: Callable[[StatusEvent], None]
    ) -> None:
        self._plan = scheduled.plan
        self._task_id, self._attempt = scheduled.plan.task_id(task.index), task.attempt
        self._write_entry = scheduled.line_writer(logs, task.index)
        self._noted = noted
        self._files: TaskLogFiles | None = None
        self._folder: LogFolder | None = None

    def open_files(self, workspace: Workspace, services: Mapping[str, str]) -> None:
        """Open the log files that the job wants, if it does. Raises StartFailed, OSError."""
        if self._plan.logs_path:
            self._folder = workspace.log_folder(self._plan.logs_path, services)
            self._files = TaskLogFiles(self._folder.path, self._task_id, self._attempt)

    def write(self, number: int, severity: str, line: str) -> None:
        """Take a line of the runnable with this number."""
        self._write_entry(severity, line)
        if self._files is not None:
            try:
                self._files.write(number, severity, line)
            except OSError as error:
                self._stop_files(str(error))
        event = read_custom_event(line, time.time()) if self._plan.keeps_logs else None
        if event is not None:
            self._noted(event)

    def note(self, text: str) -> None:
        """Write a custom status event into the task's history."""
        self._noted(StatusEvent(time.time(), text, kind=KIND))

    def close(self, loop: asyncio.AbstractEventLoop, exit_code: int, on_end: Callable[[int], None]) -> None:
        """Deliver the files, then report the attempt's end: with a failure if they cannot be delivered."""
        if self._files is None or self._folder is None:
            on_end(exit_code)
            return
        self._files.close()

        def delivered(delivery: asyncio.Future[Sequence[str]]) -> None:
            try:
                problems = delivery.result()
            except Exception as error:
                _log.exception("the log files of a task could not be delivered")
                problems = [str(error)]
            for problem in problems:
                self.note(f"Logs cannot be written to {self._plan.logs_path}: {problem}")
            on_end(exit_code or (_FAILED if problems else 0))

        loop.run_in_executor(None, self._folder.deliver).add_done_callback(delivered)

    def _stop_files(self, why: str) -> None:
        self.note(f"Logs cannot be written to {self._plan.logs_path} any more: {why}")
        if self._files is not None:
            self._files.close()
            self._files = None
