"""Run a sweep's tasks on this machine: the image and the inputs as they are here, and what a killed run has left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .local.container_backend import TaskContainers
from .local.image import check_is_here, choose_engine, pin_image
from .local.observer import RunObserver
from .local.plain_command import PlainCommands, end_groups
from .local.run import LocalRun
from .mistakes import Mistake
from .opened_sweep import OpenedSweep
from .records.journal import Journal
from .records.out_folder import DOWNLOADS
from .run_base import RunBase, TableWriter
from .staging.inputs import stage_inputs
from .sweep_file import SweepFile
from .tasks import PinnedImage


def missing_secrets(file: SweepFile, environment: Mapping[str, str]) -> Iterator[Mistake]:
    """Yield the secrets of a file that this machine has no variable of."""
    for name in file.secrets:
        if name not in environment:
            text = f"secrets: with --local {name} is this machine's variable, which is not set: export {name}"
            yield Mistake(text, file.locations.get("secrets"))


class SweepRun(RunBase):
    """A run on this machine."""

    def __init__(self, opened: OpenedSweep, journal: Journal, environment: Mapping[str, str]) -> None:
        super().__init__(opened, journal, environment, missing_secrets(opened.file, environment))
        self._secrets = {name: environment[name] for name in opened.file.secrets}
        self._engine = choose_engine() if opened.file.image else None

    def local_run(self, observer: RunObserver) -> LocalRun:
        """Return what runs the tasks."""
        run = LocalRun(
            self._file,
            self._wanted,
            lambda task, paths, attempt: self._tasks.launch(
                task, paths, sweep_id=self.state.sweep_id, count=self.plan.total, attempt=attempt - 1
            ),
            self._tasks.lay_out,
            self._out,
            self._journal,
            self._backend,
            TableWriter(observer, self),
            self._secrets,
            earlier_attempts=lambda task: self.state.attempts(task.name, task.key),
            parts=self._tasks.parts,
            count=self.plan.total,
            used_machine_hours=self.state.used_hours,
            traced=self.trace.local_attempt,
        )
        self._drain = run.drain
        return run

    def _pin_image(self, before: PinnedImage | None, keep: bool) -> PinnedImage | None:
        if self._engine is None:
            return None
        if not keep or before is None:
            return pin_image(self._engine, self._file.image, self._file.pull)
        check_is_here(self._engine, before)
        return before

    def _make_ready(self) -> None:
        file = self._file
        inputs = stage_inputs(file.inputs, self.pinned.inputs, self._out.path / DOWNLOADS, file.settings.project_id)
        self._backend = self._make_backend(inputs)
        if isinstance(self._backend, TaskContainers):
            self._backend.remove_leftovers(map(self._out.task_folder, self.state.running))
        groups = {event["pid"]: event["started_ticks"] for event in self.state.running.values() if "pid" in event}
        end_groups(groups, self.state.sweep_id)

    def _make_backend(self, inputs: Mapping[str, Path]) -> TaskContainers | PlainCommands:
        file = self._file
        if self._engine is None or self.pinned.image is None:
            return PlainCommands(inputs, file.config, file.result.file if file.result else "")
        return TaskContainers(self._engine, file, self.pinned.image, self.state.sweep_id, self._out.path, inputs)

    def _place(self) -> Mapping[str, Any]:
        return {"engine": self._engine.name if self._engine else ""}

    def _close(self) -> None:
        if isinstance(self._backend, TaskContainers):
            self._backend.close()
