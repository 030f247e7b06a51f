"""Try a task by hand: its command line, and a folder beside the tasks' with what its own one held at first."""

from __future__ import annotations

import shlex
import shutil

from ..containers.engine import ENGINES
from ..errors import ParallelError
from ..programs.task_folder import share_files
from ..settings import nearest
from .local.hand_command import hand_command
from .opened_sweep import OpenedSweep, last_run
from .plan_document import task_paths
from .records.journal import State
from .records.out_folder import DOWNLOADS, TRIALS
from .staging.inputs import stage_inputs
from .tasks import SweepTask

OWNER_ONLY = 0o700


class HandTrial:
    """A task of the last run, found by its name. Raises ParallelError where there is none."""

    def __init__(self, opened: OpenedSweep, name: str) -> None:
        self._opened = opened
        self._state = State.read(opened.out.journal_path)
        self._run = last_run(self._state, opened.out)
        self._tasks = opened.pinned_tasks(self._state.pinned)
        self._task = self._find(name)
        self.folder = opened.out.path / TRIALS / self._task.name
        file, versions = opened.file, self._state.pinned.inputs
        self._inputs = stage_inputs(file.inputs, versions, opened.out.path / DOWNLOADS, file.settings.project_id)
        paths = task_paths(file, self.folder, self._inputs)
        self._launch = self._tasks.launch(
            self._task, paths, sweep_id=self._state.sweep_id, count=self._run["count"], attempt=0
        )

    def lay_out(self) -> None:
        """Make the folder, which is not there. Raises OSError, LayOutError."""
        self.folder.parent.mkdir(mode=OWNER_ONLY, exist_ok=True)
        self.folder.mkdir()
        self._tasks.lay_out(self._task, self._launch, self.folder)
        if self._opened.file.image:
            share_files(self.folder)

    def line(self) -> str:
        """Return the command line for a shell."""
        file, image, launch = self._opened.file, self._state.pinned.image, self._launch
        if image is not None:
            # After a run on Batch whichever is here will do
            engine = self._run["engine"] or next(filter(shutil.which, ENGINES), "docker")
            words = hand_command(engine, file, image.reference, launch, self.folder, self._inputs)
            return shlex.join(words)
        variables = [f"{name}={value}" for name, value in launch.environment.items()]
        words = ["env", *variables, *(launch.entrypoint or ()), *launch.arguments]
        return f"cd {shlex.quote(str(self.folder))} && {shlex.join(words)}"

    def _find(self, name: str) -> SweepTask:
        for task in self._tasks:
            if task.name == name:
                return task
        near = nearest(name, [task.name for task in self._tasks])
        raise ParallelError(f"there is no task {name!r}" + (f": did you mean {near}?" if near else ""))
