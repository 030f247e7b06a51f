"""Run a sweep on this machine: pin what tasks stand on, plan, run, and write the tables."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..containers.engine import ENGINES, ContainerEngine
from ..containers.engine_check import why_not
from ..errors import ParallelError
from ..programs.kept_output import StreamName
from ..programs.verdict import TaskEnd
from .local.container_backend import TaskContainers
from .local.image import pin_image
from .local.observer import RunObserver
from .local.plain_command import PlainCommands, end_groups
from .local.run import LocalRun
from .mistakes import Mistake, SweepFileError
from .opened_sweep import OpenedSweep
from .plan import HoursBound, Plan, Planner, RunRequest
from .preceding_sweeps import unfinished_sweeps
from .records.journal import Journal, State, pinned_event
from .records.out_folder import COPY, DOWNLOADS, STAGED_FILES, STANDARD_INPUT_COPY
from .records.sweeps_index import SweepsIndex
from .records.table import parameter_names, write_tables
from .result_changes import has_changed, read_again, result_text
from .staging.inputs import stage_inputs
from .sweep_file import SweepFile
from .tasks import Pinned, PinnedImage, SweepTask, SweepTasks

TABLE_EVERY_SECONDS = 5.0
# Tables of many tasks are written less often, so that they take at most this share of the time
TABLE_SHARE = 0.05


def choose_engine() -> ContainerEngine:
    """Return podman, or else docker; where both are installed, the first that can run a container.

    Raises:
        ParallelError: neither is installed.
    """
    installed = [name for name in ENGINES if shutil.which(name)]
    if not installed:
        raise ParallelError("an image needs podman or docker, and neither is installed, or on the PATH: install one")
    if len(installed) > 1:
        installed = [name for name in installed if not why_not(name)] or installed
    return ContainerEngine(installed[0])


def missing_secrets(file: SweepFile, environment: Mapping[str, str]) -> Iterator[Mistake]:
    """Yield the secrets of a file that are no variable of this machine."""
    for name in file.secrets:
        if name not in environment:
            text = f"secrets: with --local {name} is this machine's variable, which is not set: export {name}"
            yield Mistake(text, file.locations.get("secrets"))


def check_bound(opened: OpenedSweep, plan: Plan, used_hours: float) -> HoursBound:
    """Return the bound on a plan's machine-hours.

    Raises:
        SweepFileError: it is above `max_machine_hours`.
    """
    file, bound = opened.file, HoursBound.of(opened.file, plan.to_run)
    limit = file.max_machine_hours
    if limit is not None and plan.to_run and bound.hours + used_hours > limit:
        used = f", and {used_hours:.4g} are used" if used_hours >= 0.005 else ""
        text = f"max_machine_hours = {limit:g} is too little: {bound}{used}; raise it, or lower time_limit or retries"
        raise SweepFileError(opened.shown_path, [Mistake(text, file.locations.get("max_machine_hours"))])
    return bound


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended: interrupted or not, why it stopped early, and how many of its tasks are not done."""

    is_interrupted: bool
    stopped: str
    not_done: int


class SweepRun:
    """A run of a sweep whose folder this process holds.

    Attributes:
        pinned: image and inputs.
        moved: a sentence for each of them that has moved since the last run.
        plan: what runs.
    """

    def __init__(self, opened: OpenedSweep, journal: Journal, environment: Mapping[str, str]) -> None:
        self._opened = opened
        self._file, self._out, self._journal = opened.file, opened.out, journal
        self._index = SweepsIndex.of(environment)
        missing = [*missing_secrets(opened.file, environment), *unfinished_sweeps(opened.file, self._index)]
        if missing:
            raise SweepFileError(opened.shown_path, missing)
        self._secrets = {name: environment[name] for name in opened.file.secrets}
        self._engine = choose_engine() if opened.file.image else None
        self._wanted: list[SweepTask] = []
        self.pinned = Pinned()
        self.moved: list[str] = []
        self.plan = Plan()

    @property
    def state(self) -> State:
        """What the journal says."""
        return self._journal.state

    def prepare(self, request: RunRequest, keep_image: bool) -> None:
        """Find the image and the inputs, end what a killed run has left, and plan.

        Raises:
            ParallelError: see its message; nothing was started.
        """
        before = Pinned(self._opened.last_image(self.state), self.state.pinned.inputs)
        self.pinned = Pinned(self._pin_image(before.image, keep_image), self._opened.versions())
        self._note_moves(before)
        file = self._file
        inputs = stage_inputs(file.inputs, self.pinned.inputs, self._out.path / DOWNLOADS, file.settings.project_id)
        self._backend = self._make_backend(inputs)
        self._remove_leftovers()
        if has_changed(file, self.state):
            read_again(file, self._out, self._journal)
        self._tasks = self._opened.pinned_tasks(self.pinned)
        self._all = list(self._tasks)
        planner = Planner(self._out, self.state, request, self._tasks.parts)
        self.plan = planner.plan(self._all, self._wanted)
        self.bound = check_bound(self._opened, self.plan, self.state.used_hours)
        if self.plan.to_run:
            # whoever edits files meanwhile changes nothing in this run
            self._tasks = SweepTasks(file, self.pinned, self._tasks.files.staged(self._out.path / STAGED_FILES))

    def begin(self) -> str:
        """Enter the run in the journal and the index, with a copy of the file; return a warning, or "".

        Raises:
            OSError: OUT cannot be written to.
        """
        if self.plan.moved:
            self._out.rename_folders(self.plan.moved)
            self._journal.append({"event": "moved", "names": self.plan.moved})
        self._journal.append(
            {
                "event": "run",
                "count": self.plan.total,
                "to_run": self.plan.to_run,
                "pinned": pinned_event(self.pinned),
                "stale": self.plan.stale,
                "image": self._file.image,
                "result": result_text(self._file.result),
                "file": str(self._file.path),
                "overrides": list(self._opened.overrides),
                "engine": self._engine.name if self._engine else "",
            }
        )
        copies = {COPY: self._file.text, STANDARD_INPUT_COPY: self._opened.stdin.data}
        for name, data in copies.items():
            if data is not None:
                with self._out.written_aside(name) as file:
                    file.write(data)
        try:
            self._index.add(self.state.sweep_id, self._file.name, self._out)
        except OSError as error:
            return f"{error.filename}: {error.strerror}: commands find this sweep by its folder only"
        return ""

    def local_run(self, observer: RunObserver) -> LocalRun:
        """Return what runs the tasks."""
        return LocalRun(
            self._file,
            self._wanted,
            lambda task, paths, attempt: self._tasks.launch(
                task, paths, sweep_id=self.state.sweep_id, count=self.plan.total, attempt=attempt - 1
            ),
            self._tasks.lay_out,
            self._out,
            self._journal,
            self._backend,
            _TableObserver(observer, self),
            self._secrets,
            earlier_attempts=lambda task: self.state.attempts(task.name, task.key),
            parts=self._tasks.parts,
            count=self.plan.total,
            used_machine_hours=self.state.used_hours,
        )

    def finish(self, is_interrupted: bool, stopped: str) -> RunOutcome:
        """Write the tables, and the run's end into the journal. Raises OSError."""
        if isinstance(self._backend, TaskContainers):
            self._backend.close()
        self.write_tables()
        self._journal.append({"event": "finish", "counts": dict(+self.state.counts()), "stopped": stopped})
        ends = self.state.ends
        not_done = sum(1 for task in self._wanted if task.name not in ends or ends[task.name].status != "done")
        return RunOutcome(is_interrupted, stopped, not_done)

    def write_tables(self) -> None:
        """Write the tables as they are now. Raises OSError."""
        write_tables(self._out, self._all, parameter_names(self._file.grids), self.state)

    def _pin_image(self, before: PinnedImage | None, keep: bool) -> PinnedImage | None:
        if self._engine is None:
            return None
        if not keep or before is None:
            return pin_image(self._engine, self._file.image, self._file.pull)
        if self._engine.call("image", "inspect", before.reference).returncode:
            raise ParallelError(
                f"--keep-image: the image of the last run, {before.reference}, is not on this machine any more: run"
                " without --keep-image"
            )
        return before

    def _note_moves(self, before: Pinned) -> None:
        old, new = before.image, self.pinned.image
        if old is not None and new is not None and old.digest != new.digest:
            self.moved.append(
                f"{self._file.image} has moved: it was {old.digest} and is {new.digest}; stay with the old one by"
                " --keep-image"
            )
        for name, version in self.pinned.inputs.items():
            if before.inputs.get(name, version) != version:
                self.moved.append(f"the input {name}, {self._file.inputs[name]}, has changed since the last run")

    def _make_backend(self, inputs: Mapping[str, Path]) -> TaskContainers | PlainCommands:
        file = self._file
        if self._engine is None or self.pinned.image is None:
            return PlainCommands(inputs, file.config, file.result.file if file.result else "")
        return TaskContainers(self._engine, file, self.pinned.image, self.state.sweep_id, self._out.path, inputs)

    def _remove_leftovers(self) -> None:
        if isinstance(self._backend, TaskContainers):
            self._backend.remove_leftovers(map(self._out.task_folder, self.state.running))
        groups = {event["pid"]: event["started_ticks"] for event in self.state.running.values() if "pid" in event}
        end_groups(groups, self.state.sweep_id)


class _TableObserver:
    """Passes on what a run reports, and writes the tables now and then."""

    def __init__(self, observer: RunObserver, run: SweepRun) -> None:
        self._observer = observer
        self._run = run
        self._is_new = False
        self._next = time.monotonic() + TABLE_EVERY_SECONDS

    def started(self, task: SweepTask) -> None:
        """Pass it on."""
        self._observer.started(task)

    def printed(self, task: SweepTask, stream: StreamName, data: bytes) -> None:
        """Pass it on."""
        self._observer.printed(task, stream, data)

    def ended(self, task: SweepTask, end: TaskEnd) -> None:
        """Pass it on; the tables are old then."""
        self._is_new = True
        self._observer.ended(task, end)

    def tick(self) -> None:
        """Pass it on, and write the tables if it is time."""
        self._observer.tick()
        began = time.monotonic()
        if self._is_new and began >= self._next:
            self._is_new = False
            self._run.write_tables()
            now = time.monotonic()
            self._next = now + max(TABLE_EVERY_SECONDS, (now - began) / TABLE_SHARE)
