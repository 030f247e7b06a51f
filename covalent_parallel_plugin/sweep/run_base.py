"""A run of a sweep, wherever its tasks run: what they stand on is pinned, the run planned, entered, and ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..programs.kept_output import StreamName
from ..programs.verdict import TaskEnd
from .local.observer import RunObserver
from .mistakes import Mistake, SweepFileError
from .opened_sweep import OpenedSweep
from .plan import HoursBound, Plan, Planner, RunRequest
from .preceding_sweeps import unfinished_sweeps
from .records.journal import Journal, RecordedEnd, State, drain_event, pinned_event
from .records.out_folder import COPY, STAGED_FILES, STANDARD_INPUT_COPY
from .records.record import Record
from .records.sweep_trace import SweepTrace
from .records.sweeps_index import SweepsIndex
from .records.table import make_record, parameter_names, read_records, write_tables
from .result_changes import has_changed, read_again, result_text
from .tasks import Pinned, PinnedImage, SweepTask, SweepTasks

TABLE_EVERY_SECONDS = 5.0
# Tables of many tasks are written less often, so that they take at most this share of the time
TABLE_SHARE = 0.05


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


class RunBase:
    """A run of a sweep whose folder this process holds; what is particular to where tasks run is its subclasses'.

    Args:
        mistakes: beside those of the sweeps that this one comes after.

    Attributes:
        pinned: image and inputs.
        moved: a sentence for each of them that has moved since the last run.
        plan: what runs.
        bound: on the plan's machine-hours.
    """

    bound: HoursBound

    def __init__(
        self, opened: OpenedSweep, journal: Journal, environment: Mapping[str, str], mistakes: Iterator[Mistake]
    ) -> None:
        self._opened = opened
        self._file, self._out, self._journal = opened.file, opened.out, journal
        self._index = SweepsIndex.of(environment)
        self._environment = environment
        self._began = time.time()
        self._trace: SweepTrace | None = None
        missing = [*mistakes, *unfinished_sweeps(opened.file, self._index)]
        if missing:
            raise SweepFileError(opened.shown_path, missing)
        self._all: list[SweepTask] = []
        self._wanted: list[SweepTask] = []
        self._request = RunRequest()
        # Of those: what runs again, and counts as done no longer
        self._done_before: dict[str, RecordedEnd] = {}
        # Has what runs the tasks start nothing more
        self._drain: Callable[[], None] | None = None
        self.pinned = Pinned()
        self.moved: list[str] = []
        self.plan = Plan()

    @property
    def trace(self) -> SweepTrace:
        """The sweep's trace."""
        if self._trace is None:
            settings = self._file.settings
            options = {"trace": settings.trace, "trace_days": settings.trace_days}
            self._trace = SweepTrace.of(self.state.sweep_id, options, self._environment, self._began)
        return self._trace

    @property
    def state(self) -> State:
        """What the journal says."""
        return self._journal.state

    def prepare(self, request: RunRequest, keep_image: bool) -> None:
        """Find the image and the inputs, see to what an earlier run has left, and plan.

        Raises:
            ParallelError: see its message; nothing was started.
        """
        self._request = request
        before = Pinned(self._opened.last_image(self.state), self.state.pinned.inputs)
        self.pinned = Pinned(self._pin_image(before.image, keep_image), self._opened.versions())
        self._note_moves(before)
        file = self._file
        self._make_ready()
        self._tasks = self._opened.pinned_tasks(self.pinned)
        self._all = list(self._tasks)
        self._take_over()
        if self._has_other_results():
            self._read_results_again()
        planner = Planner(self._out, self.state, request, self._tasks.parts)
        self.plan = planner.plan(self._all, self._wanted)
        ends = self.state.ends
        self._done_before = {
            task.name: ends[task.name]
            for task in self._wanted
            if task.name in ends and ends[task.name].status == "done"
        }
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
            there = self._out.task_folders()
            self._out.rename_folders({new: old for new, old in self.plan.moved.items() if old in there})
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
                "trace": self._file.settings.trace,
                "trace_days": self._file.settings.trace_days,
                **self._place(),
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

    def take_drain(self) -> None:
        """Stop the run from starting tasks if `cancel --waiting` asks for it. Raises OSError."""
        if self._drain is not None and self._out.take_drain():
            self._drain()
            self._journal.append(drain_event())

    def finish(
        self, is_interrupted: bool, stopped: str, is_detached: bool = False, is_over_budget: bool = False
    ) -> RunOutcome:
        """Write the tables, and the run's end into the journal and the trace. Raises OSError.

        `is_detached`: its job on Batch continues. `is_over_budget`: the machine-hours are used up.
        """
        self._close()
        self.write_tables()
        event = {"event": "finish", "counts": dict(+self.state.counts()), "stopped": stopped}
        self._journal.append(event | ({"detached": True} if is_detached else {}))
        not_done = sum(not self._is_done(task) for task in self._wanted)
        kinds = {"interrupted": is_interrupted, "budget": is_over_budget, "detached": is_detached, "failed": not_done}
        verdict = next((name for name, holds in kinds.items() if holds), "done")
        self.trace.ended(verdict, stopped, +self.state.counts())
        return RunOutcome(is_interrupted, stopped, not_done)

    def records(self) -> list[Record]:
        """Return the records of the tasks that are asked for, in order."""
        asked = self._request.selected(self._all)
        return list(read_records(self._out, asked, parameter_names(self._file.grids), self.state))

    def done_before(self) -> list[Record]:
        """Return the records of those that are done already, in the order in which they have ended."""
        wanted = {task.name for task in self._wanted}
        done = [task for task in self._request.selected(self._all) if task.name not in wanted]
        ends = self.state.ends
        done.sort(key=lambda task: ends[task.name].offset)
        return list(read_records(self._out, done, parameter_names(self._file.grids), self.state))

    def record(self, task: SweepTask, end: TaskEnd) -> Record:
        """Return the record of a task that has ended now."""
        return make_record(self._out, task, parameter_names(self._file.grids), end)

    def _is_done(self, task: SweepTask) -> bool:
        """Return whether a task is done by this run."""
        end = self.state.ends.get(task.name)
        return end is not None and end.status == "done" and end is not self._done_before.get(task.name)

    def write_tables(self) -> None:
        """Write the tables as they are now. Raises OSError."""
        write_tables(self._out, self._all, parameter_names(self._file.grids), self.state)

    def _pin_image(self, before: PinnedImage | None, keep: bool) -> PinnedImage | None:
        """Return the image; with `keep` that of the last run. Raises ParallelError."""
        raise NotImplementedError

    def _make_ready(self) -> None:
        """Make ready what tasks run on. Raises ParallelError."""

    def _take_over(self) -> None:
        """Take into the journal what an earlier run has left elsewhere, before it is planned. Raises ParallelError."""

    def _has_other_results(self) -> bool:
        """Return whether results that the journal has were read elsewhere than the file says."""
        return has_changed(self._file, self.state)

    def _read_results_again(self) -> None:
        """Read the results of all tasks that have some, as the file says. Raises OSError, CloudError."""
        read_again(self._file, self._out, self._journal)

    def _place(self) -> Mapping[str, Any]:
        """Return where tasks run, for the run's event."""
        raise NotImplementedError

    def _close(self) -> None:
        """Remove what the run has needed."""

    def _note_moves(self, before: Pinned) -> None:
        old, new = before.image, self.pinned.image
        if old is not None and new is not None and old.digest != new.digest:
            self.moved.append(
                f"{self._file.image} has moved: it was {old.digest} and is {new.digest}; to keep the old one, give"
                " --keep-image"
            )
        for name, version in self.pinned.inputs.items():
            if before.inputs.get(name, version) != version:
                self.moved.append(f"the input {name}, {self._file.inputs[name]}, has changed since the last run")


class TableWriter:
    """Passes on what a run reports, and writes the tables now and then."""

    def __init__(self, observer: RunObserver, run: RunBase) -> None:
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
        """Pass it on, start nothing more if that is asked for, and write the tables if it is time."""
        self._observer.tick()
        self._run.take_drain()
        began = time.monotonic()
        if self._is_new and began >= self._next:
            self._is_new = False
            self._run.write_tables()
            now = time.monotonic()
            self._next = now + max(TABLE_EVERY_SECONDS, (now - began) / TABLE_SHARE)
