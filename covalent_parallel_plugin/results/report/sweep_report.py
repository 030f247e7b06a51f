"""The report of a sweep, from its folder and its trace: no service is asked, and Covalent is not needed."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...batch.trace import read_trace, trace_path, traces_folder
from ...errors import ParallelError
from ...sweep.display.printable import last_lines, shown_command
from ...sweep.display.run_progress import TaskFailure
from ...sweep.records.journal import State
from ...sweep.records.out_folder import OutFolder
from ...sweep.records.record import Record
from ...sweep.records.sweeps_index import SweepsIndex
from ...sweep.records.table import AFTER, BEFORE
from ...sweep.stored_records import stored_records
from ...sweep.sweep_status import SweepStatus, is_running
from .charts.words import counted
from .gaps import gaps_of
from .machine_use import machine_hours, with_shares
from .model import (
    CANCELLED,
    COMPLETED,
    FAILED,
    NOT_RUN,
    RUNNING,
    SWEEP,
    Electron,
    ElectronFailure,
    FailedTask,
    Report,
    ResultTable,
    TaskAttempt,
)  # fmt: skip
from .traced_sweep import TracedSweep, attempts_of

# How long a task took is a column of results like others
SECONDS = "task.seconds"
SHOWN_FAILURES = 20
SHOWN_LINES = 12
STATES = {"running": RUNNING, "on Batch": RUNNING, "done": COMPLETED, "not run": NOT_RUN}
OPEN_STATES = ("running", "on Batch")


def is_sweep(name: str, environment: Mapping[str, str] = os.environ, here: Path | None = None) -> bool:
    """Return whether a sweep of this machine has this name, folder or id; several of one name are some, too."""
    return SweepsIndex.of(environment).has(name, here or Path.cwd())


def sweep_report(
    name: str, now: float | None = None, environment: Mapping[str, str] = os.environ, here: Path | None = None
) -> Report:
    """Return the report of a sweep, by its name, folder or id, as far as this machine knows it.

    Args:
        now: in seconds since 1970.

    Raises:
        UnknownSweepError: there is no such sweep here, or several.
        JournalError: its journal cannot be read.
    """
    out = SweepsIndex.of(environment).find(name, here or Path.cwd())
    made = time.time() if now is None else now
    runs = is_running(out)
    journal = State.read(out.journal_path)
    status = SweepStatus.of(out, journal, runs)
    missing: list[str] = []
    traced = _traced(status.sweep_id, environment, missing)
    records = _records(out, environment, journal, missing)
    _add_rows(traced, records, missing)
    state = _state(status, traced)
    times = [each for run in traced.runs for each in run if each is not None]
    times += [seconds for each in traced.rounds.values() for job in each.jobs for seconds in job.times.values()]
    attempts = attempts_of(traced, made if state == RUNNING else max(times, default=made))
    times += [seconds for attempt in attempts for span in attempt.spans for seconds in (span.begin, span.end)]
    began, ended = min(times, default=None), None if state == RUNNING else max(times, default=None)
    failed = _failed_tasks(out, status)
    electron = Electron(
        node=0,
        name=status.name,
        kind=SWEEP,
        state=state,
        entered=began,
        ended=ended,
        attempts=attempts,
        asked=traced.asked,
        failure=_failure(status) if state == FAILED else None,
        machine_wait=traced.machine_wait,
        job=traced.job,
    )
    electrons = with_shares((electron,))
    return Report(
        kind="sweep",
        id=status.sweep_id,
        name=status.name,
        state=state,
        made=made,
        began=began,
        ended=ended,
        electrons=electrons,
        machines=machine_hours(electrons),
        results=_table(records, out) if records else None,
        missing=(
            *missing,
            *_open_ends(status, records),
            *_unknown_machines(attempts),
            *gaps_of(traced.electrons, electrons),
        ),
        facts={
            "tasks": status.total,
            "counts": dict(status.counts),
            "failed_tasks": len(status.failures),
            "folder": str(out.path),
            "runs": len(traced.runs),
        },
        failed_tasks=failed,
    )


def _traced(sweep_id: str, environment: Mapping[str, str], missing: list[str]) -> TracedSweep:
    traced, folder = TracedSweep(), traces_folder(environment)
    if folder is not None and sweep_id:
        path = trace_path(folder, sweep_id)
        try:
            trace = read_trace(path)
            for record in trace.records:
                traced.add(record)
            traced.left_out += trace.skipped
        except OSError as error:
            missing.append(f"The trace {path} cannot be read: {error.strerror or error}.")
    return traced


def _records(out: OutFolder, environment: Mapping[str, str], journal: State, missing: list[str]) -> Sequence[Record]:
    try:
        return list(stored_records(out, environment, journal))
    except (ParallelError, OSError) as error:
        missing.append(f"The table of results cannot be made: {error}")
        return ()


def _add_rows(traced: TracedSweep, records: Sequence[Record], missing: list[str]) -> None:
    """Take from the table what the trace lacks, and note that."""
    counts = traced.attempt_counts
    untraced = [record for record in records if record.attempts and record.name not in counts]
    earlier = sum(max(record.attempts - max(counts.get(record.name, 0), 1), 0) for record in records)
    for record in untraced:
        traced.add_row(record.row)
    if untraced:
        missing.append(
            f"The trace has no attempt of {counted(len(untraced), 'task')}, as with `trace: false` or where another"
            " machine ran the sweep: of these there is the last attempt's time from the table, and no machine."
        )
    if earlier:
        missing.append(
            f"Of {counted(earlier, 'earlier attempt')} nothing is known but the number: the trace has lost attempts of"
            " 20 tasks in a round, at most."
        )


def _state(status: SweepStatus, traced: TracedSweep) -> str:
    if status.state in STATES:
        return STATES[status.state]
    bad = [name for name, count in status.counts.items() if count and name not in ("done", "waiting", "cancelled")]
    return CANCELLED if traced.verdict == "interrupted" or (not bad and status.counts.get("cancelled")) else FAILED


def _open_ends(status: SweepStatus, records: Sequence[Record]) -> Iterator[str]:
    waiting = sum(record.status == "waiting" for record in records)
    if status.state in OPEN_STATES and waiting:
        yield f"{counted(waiting, 'task')} had not ended when this was made: their attempts are not in the trace yet."
    if status.state == "on Batch":
        yield (
            "Its job may have ended on Batch since it was looked at:"
            f" `covalent-parallel sweep gather {status.name}` brings what it delivered."
        )
    if status.state == "killed":
        yield "Its last run ended without a report, as when its process is killed: what ran then is not in the trace."


def _unknown_machines(attempts: Sequence[TaskAttempt]) -> Iterator[str]:
    unknown = sum(each.on_machine is not None and not each.machine.instance for each in attempts)
    if unknown:
        yield f"Which machine {counted(unknown, 'attempt')} ran on was not reported: each counts as one of its own."


def _table(records: Sequence[Record], out: OutFolder) -> ResultTable:
    parameters = tuple(dict.fromkeys(name for record in records for name in record.parameters))
    known = {*parameters, *BEFORE, *AFTER}
    results = tuple(dict.fromkeys(name for record in records for name in record.row if name not in known))
    columns = (*parameters, *results)
    rows = [{name: record.row.get(name) for name in columns} | {SECONDS: _seconds(record)} for record in records]
    names, statuses = (tuple(getattr(each, what) for each in records) for what in ("name", "status"))
    return ResultTable(parameters, (*results, SECONDS), tuple(rows), names, statuses, str(out.path))


def _seconds(record: Record) -> Any:
    # What failed took no time that could be compared
    return record.row[SECONDS] if record.status == "done" else None


def _failed_tasks(out: OutFolder, status: SweepStatus) -> tuple[FailedTask, ...]:
    alike: dict[tuple[str, str], list[TaskFailure]] = defaultdict(list)
    for failure in status.failures:
        alike[failure.ending, failure.line].append(failure)
    return tuple(
        FailedTask(
            name=each.task,
            ending=each.ending,
            message=each.line,
            command=shown_command(["covalent-parallel", "sweep", "logs", status.name, each.task, "--both"]),
            last_lines="\n".join(last_lines(out.task_folder(each.task), SHOWN_LINES)),
            alike=len(others),
        )
        for each, *others in list(alike.values())[:SHOWN_FAILURES]
    )


def _failure(status: SweepStatus) -> ElectronFailure:
    first = f"; the first one: {status.failures[0]}" if status.failures else ""
    not_done = status.total - status.counts.get("done", 0)
    return ElectronFailure("", f"{not_done:,} of {counted(status.total, 'task')} are not done{first}")
