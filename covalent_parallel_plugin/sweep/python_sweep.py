"""A sweep in Python: an image or a command over a table of parameters, planned, run, and its results at hand."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

from ..errors import MistakeError, ParallelError
from ..protocol.value_text import shortened
from ..settings.own_frames import hide_own_frames
from .display.records_table import records_html, records_text
from .mistakes import Mistake, SweepFileError
from .near_names import NearNames
from .opened_sweep import FileRequest, OpenedSweep
from .plan import RunRequest
from .planned_sweep import PlannedSweep
from .python_file import TITLE
from .python_run import PythonRun
from .python_source import NextRows, PythonSource, SweepSource, make_preparation
from .records.journal import State, reading_ends
from .records.record import Record
from .records.table import parameter_names, read_records
from .run_cancellation import CancellationError, cancel_sweep
from .run_thread import RunOptions
from .staging.preparation import Prepare
from .tasks import Pinned, SweepTasks

Parameters = Mapping[str, Any] | Iterable[Mapping[str, Any]] | NextRows
# The parts of a task's key that the sweep itself defines
OWN_PARTS = ("command", "environment", "config")
TABLES_MISSING = "to_pandas needs pandas: pip install 'covalent-parallel-plugin[tables]'"


class Sweep:
    """Any image, or a command of this machine, over a table of parameters.

    Nothing is started, and no folder made, before `run` or `run_iter`. A sweep that is made again in the same way goes
    on where it was: what is done does not run again.

    Args:
        image: the image; None: `command` is a program of this machine, for `local=True`.
        command: a list of words, or one line, with `{name}` for a parameter.
        parameters: rows, as `grid` makes them; a mapping of names and values, as in a file; or a function that is
            called with all records so far when a round has ended, and returns the rows of the next one, [] for none.
        prepare: called with a task (`name`, `index`, `parameters`) and its folder, a Path, on this machine, before
            the task starts.
        name: else the image's last part, or the command's first word.
        out: the folder to write to; else `./NAME`.
        more: every other key of a sweep's file: flags, files, inputs, result, resources, retries …

    Raises:
        SweepFileError: an argument has values that no file holds. Other mistakes are raised by `plan` and `run`.
    """

    @hide_own_frames
    def __init__(
        self,
        image: str | None = None,
        command: str | Sequence[str | os.PathLike[str]] | None = None,
        parameters: Parameters | None = None,
        prepare: Prepare | None = None,
        name: str | None = None,
        out: str | os.PathLike[str] | None = None,
        **more: Any,
    ) -> None:
        fields = {"name": name, "image": image, "command": command, **more}
        self._source: SweepSource = PythonSource(fields, parameters, prepare, out)

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        out: str | os.PathLike[str] | None = None,
        overrides: Mapping[str, Any] | None = None,
        prepare: Prepare | None = None,
    ) -> Sweep:
        """Return the sweep of a file.

        Args:
            path: the file's.
            out: the folder to write to; else `./NAME`.
            overrides: in place of the file's values, as `--set` has them: {"resources.memory": 1024}.
            prepare: as in Python.
        """
        sweep = cls.__new__(cls)
        sets = [f"{key}={json.dumps(value)}" for key, value in (overrides or {}).items()]
        mistakes: list[Mistake] = []
        preparation = make_preparation(prepare, mistakes)
        if mistakes:
            raise SweepFileError(TITLE, mistakes)
        folder = None if out is None else Path.cwd() / out
        sweep._source = SweepSource(FileRequest(Path(path), sets, folder, preparation=preparation))
        return sweep

    def plan(
        self, local: bool = False, only: str | Iterable[str] = (), first: int | None = None, again: bool = False
    ) -> PlannedSweep:
        """Return what a run would do, which prints as `sweep plan` does; nothing is started.

        Raises:
            SweepFileError: all mistakes. ParallelError: no task is asked for, or the folder cannot be used.
        """
        source = self._source
        with source.in_python():
            source.take_up(begins=True)
            opened, found = source.open_for_plan(local)
            planned = PlannedSweep.of(opened, _request(only, first, again), os.environ, found)
        warnings = tuple(map(source.warning, planned.warnings))
        return replace(planned, warnings=warnings, document={**planned.document, "warnings": list(warnings)})

    def run(
        self,
        local: bool = False,
        only: str | Iterable[str] = (),
        first: int | None = None,
        again: bool = False,
        download: bool = True,
        keep_image: bool = False,
        follow: bool = False,
        show: bool = True,
    ) -> list[Record]:
        """Run what is missing or failed; return the records of all tasks that are asked for, in order.

        Args:
            local: on this machine, not on Google Batch.
            only: a task's name or a pattern, or `name=value` of a parameter; or several of them.
            first: only so many of these.
            again: also what is done.
            download: on Batch False leaves outputs in the bucket.
            keep_image: stay with the image of the last run, wherever its tag has moved.
            follow: print every line of output, after its task's name; with `local` only.
            show: the run, as it runs.

        Raises:
            SweepStoppedError: it ended before all tasks had; its `records` are those so far.
            KeyboardInterrupt: by Ctrl-C, once nothing runs any more. SweepFileError: all mistakes.
            ParallelError: nothing was started.
        """
        run = self._run(local, only, first, again, download, keep_image, follow, show)
        for _ in run.iterate():
            pass
        return run.result

    def run_iter(
        self,
        local: bool = False,
        only: str | Iterable[str] = (),
        first: int | None = None,
        again: bool = False,
        download: bool = True,
        keep_image: bool = False,
        follow: bool = False,
        show: bool = False,
    ) -> Iterator[Record]:
        """Run as `run` does, and yield each record once: of what is done already, then of each task as it ends.

        Closing the iterator, as a `break` does, cancels what runs, and waits until it has ended.

        Raises:
            SweepStoppedError, KeyboardInterrupt, SweepFileError, ParallelError: as `run`.
        """
        return self._run(local, only, first, again, download, keep_image, follow, show).iterate()

    @property
    def records(self) -> list[Record]:
        """The records of all tasks, in order, also those of a folder that was run before.

        What has ended with another command, environment or config waits; whether files, inputs or the image have
        changed since, `plan` says.
        """
        with self._source.in_python():
            if not self._source.take_up(begins=False):
                return []
            opened = self._source.look().opened
            state = opened.out.state(opened.file.name)
            tasks = opened.pinned_tasks(Pinned(opened.last_image(state), state.pinned.inputs))
            state.stale |= _ended_otherwise(opened, tasks, state)
            return list(read_records(opened.out, tasks, parameter_names(opened.file.grids), state))

    def __repr__(self) -> str:
        return records_text(self._title, self._known_records())

    def _repr_html_(self) -> str:
        return records_html(self._title, self._known_records())

    @property
    def _title(self) -> str:
        try:
            return f"sweep {self._source.place()[1]}"
        except (ParallelError, OSError):
            return "sweep"

    def _known_records(self) -> list[Record]:
        """The records, for a text that has to be shown whatever the sweep's folder is like: none where it is broken."""
        try:
            return self.records
        except (ParallelError, OSError):
            return []

    @property
    def results(self) -> list[Mapping[str, Any] | None]:
        """The results of all tasks, in order; None where there is none."""
        return [record.result for record in self.records]

    def to_pandas(self) -> Any:
        """Return the table as a DataFrame. Raises ParallelError: pandas is not installed."""
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise ParallelError(TABLES_MISSING) from error
        from .records.parquet import encodable

        def clean(value: Any) -> Any:
            return encodable(value) if isinstance(value, str) else value

        rows = [{clean(name): clean(value) for name, value in record.row.items()} for record in self.records]
        return pandas.DataFrame.from_records(rows)

    @overload
    def best(self, by: str, max: bool = False, n: None = None) -> Record: ...

    @overload
    def best(self, by: str, max: bool = False, *, n: int) -> list[Record]: ...

    def best(self, by: str, max: bool = False, n: int | None = None) -> Record | list[Record]:
        """Return the record of what is done with the smallest number in a column, with `max` the largest.

        Args:
            by: the column, such as one of the result's.
            max: whether the largest is the best.
            n: return a list of so many, the best first.

        Raises:
            ParallelError: there is no such column, or no number in it; or `n` is not a number of records.
        """
        from .records.best import best_records, no_number

        if n is not None:
            _check_count("n", n, "records")
        found = best_records(self.records, by, max, 1 if n is None else n)
        if n is not None:
            return found
        if not found:
            raise ParallelError(no_number(by))
        return found[0]

    def folder(self, task: Record | str | int) -> Path:
        """Return the folder of a task's outputs; `task` is its record, name or index. Raises ParallelError."""
        if isinstance(task, Record):
            return task.folder
        with self._source.in_python():
            view = self._source.look() if self._source.take_up(begins=False) else None
        names = view.names if view is not None else []
        if view is not None and isinstance(task, int) and 0 <= task < len(names):
            task = names[task]
        if view is not None and task in names:
            return view.opened.out.task_folder(str(task))
        near = NearNames().near(str(task), names)
        hint = f"did you mean {near!r}?" if near else f"there are {len(names)}, from 0 on"
        raise ParallelError(f"there is no task {task!r}: {hint}")

    @property
    def id(self) -> str:
        """What `{sweep.id}` stands for, made by the first run; "" before it."""
        out, name = self._source.place()
        return out.state(name).sweep_id

    def cancel(self) -> None:
        """End the run of this sweep, whoever started it, or its jobs on Batch; return once nothing runs.

        Raises:
            CancellationError: something has not ended in time. CloudError: Batch refused, or could not be reached.
        """
        out, name = self._source.place()
        run = PythonRun.find(out.path)
        if run is not None:
            run.cancel()
            if not run.wait():
                raise CancellationError(f"the run that writes to {out.path} has not ended yet: try again later")
        elif out.journal_path.exists():
            out.state(name)
            for _ in cancel_sweep(out):
                pass

    def _run(
        self,
        local: bool,
        only: str | Iterable[str],
        first: int | None,
        again: bool,
        download: bool,
        keep_image: bool,
        follow: bool,
        show: bool,
    ) -> PythonRun:
        if follow and not local:
            raise MistakeError("follow=True prints what tasks on this machine write: leave it out, or give local=True")
        request = _request(only, first, again)
        return PythonRun(self._source, RunOptions(request, local, keep_image, download, follow, show))


def _ended_otherwise(opened: OpenedSweep, tasks: SweepTasks, state: State) -> set[str]:
    """Name the tasks that have ended under another key, of whose parts more than what is on a disk is another."""
    found: set[str] = set()
    if not state.ends:
        return found
    with reading_ends(opened.out.journal_path) as reader:
        for task in tasks:
            end = state.ends.get(task.name)
            if end is None or end.key == task.key:
                continue
            before, now = reader.event(end).get("parts") or {}, tasks.parts(task)
            if any(before.get(part, now[part]) != now[part] for part in OWN_PARTS):
                found.add(task.name)
    return found


def _request(only: str | Iterable[str], first: int | None, again: bool) -> RunRequest:
    if first is not None:
        _check_count("first", first, "tasks")
    names = (only,) if isinstance(only, str) or not isinstance(only, Iterable) else tuple(only)
    for name in names:
        if not isinstance(name, str):
            raise MistakeError(f"only = {shortened(only)}: give a task's name, a pattern, or name=value; or several")
    return RunRequest(names, first, again)


def _check_count(name: str, count: Any, what: str) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise MistakeError(f"{name} = {count!r} is not a number of {what}: give 1 or more, or leave it out")
