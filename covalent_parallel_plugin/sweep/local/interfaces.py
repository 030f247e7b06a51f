"""What a local run is given: the folder and the journal of the sweep, files for its tasks, and what starts programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ...containers.container import Process
from ...programs.verdict import ProgramEnd
from ..tasks import Launch, LocalPaths, SweepTask


class TaskFolders(Protocol):
    """The sweep's folder, OUT."""

    @property
    def path(self) -> Path:
        """Its path, absolute."""

    def task_folder(self, name: str) -> Path:
        """Return the path of a task's folder, which need not be there."""


class EventLog(Protocol):
    """The journal."""

    def append(self, event: Mapping[str, Any]) -> None:
        """Append an event. Raises OSError."""


@dataclass(frozen=True)
class TaskStart:
    """One attempt of a task that is about to start.

    Attributes:
        folder: OUT/TASK.
        attempt: from 1 on.
        environment: the launch's, with the secrets.
    """

    task: SweepTask
    attempt: int
    launch: Launch
    folder: Path
    environment: Mapping[str, str]

    @property
    def files(self) -> Path:
        """The folder in which the program works, or which its container sees."""
        return self.folder / "files"


class Backend(Protocol):
    """Starts the programs of tasks: as containers, or as processes of this machine."""

    def paths(self, folder: Path) -> LocalPaths:
        """Return where the program of the task with this folder finds things."""

    def start(self, start: TaskStart) -> Process:
        """Start an attempt. Raises StartFailed, OSError."""

    def event(self, process: Process) -> Mapping[str, int]:
        """Return what the journal keeps of a program, so that it can be found after a crash."""

    def end(self, start: TaskStart, process: Process, exit_code: int, errors: Sequence[str]) -> ProgramEnd:
        """Clear up after a program that has ended, whose outputs belong to the caller then.

        `errors` are the last lines of its standard error. Raises OSError.
        """
