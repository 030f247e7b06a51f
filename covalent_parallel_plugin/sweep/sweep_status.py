"""How far a sweep is, from its journal alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .combinations import Combination
from .display.run_progress import TaskFailure, duration, hours_text, rate_text
from .records.journal import State, is_held, reading_ends, task_end
from .records.out_folder import OutFolder
from .records.pace import Pace
from .tasks import SweepTask


@dataclass(frozen=True)
class PaceReport:
    """How fast tasks end, how long the rest may take, and what was used; None where that is not known."""

    tasks_per_minute: float | None
    left_seconds: float | None
    machine_hours: float

    @classmethod
    def of(cls, pace: Pace, rest: int, machine_hours: float, now: float | None, running: int = 0) -> PaceReport:
        """Report a pace.

        Args:
            rest: tasks that have not ended.
            now: s since 1970, None where nothing runs.
            running: how many of them run, 0 where that is not known.
        """
        left = None if now is None else pace.left_seconds(max(rest, 0), now, running)
        return cls(pace.per_minute(now), left, machine_hours)

    def texts(self) -> tuple[str, str, str]:
        """Write them for a terminal; "" for what is not known."""
        left = "" if self.left_seconds is None else f"{duration(self.left_seconds)} left"
        return rate_text(self.tasks_per_minute), left, hours_text(self.machine_hours)


@dataclass(frozen=True)
class SweepStatus:
    """How far a sweep is.

    Attributes:
        state: "running", "on Batch" (by what is known here a job continues that no run waits for), "done", "not done",
            "killed" (its run ended without saying so) or "not run".
        pid: of the process that runs it, 0 if none does.
        total: tasks of the last run's file.
        counts: tasks by status, of those that there are.
        running: names of the tasks that run now.
        failures: the tasks that ended and are not done.
        jobs: on Batch, full names of those that are not known to have ended.
        pace: of the last run; of one on Batch that no run waits for as far as it was gathered.
    """

    name: str
    sweep_id: str
    folder: str
    state: str
    pid: int
    total: int
    counts: Mapping[str, int]
    running: Sequence[str]
    failures: Sequence[TaskFailure]
    jobs: Sequence[str]
    pace: PaceReport

    @classmethod
    def read(cls, out: OutFolder) -> SweepStatus:
        """Read it. Raises JournalError."""
        # Asked first: what ends in between is then in the journal
        runs = is_running(out)
        return cls.of(out, State.read(out.journal_path), runs)

    @classmethod
    def of(cls, out: OutFolder, state: State, runs: bool) -> SweepStatus:
        """Return it by the journal's state; `runs` is whether a process held the folder before that was read."""
        counts = state.counts()
        if not runs:
            counts["waiting"] += counts.pop("running", 0)
        total = int(state.run["count"]) if state.run else 0
        waiting = int(state.run.get("to_run", total)) - state.pace.tasks if state.run else 0
        return cls(
            name=state.name,
            sweep_id=state.sweep_id,
            folder=str(out.path),
            state=_state(state, runs, counts, total),
            pid=state.pid if runs else 0,
            total=total,
            counts={status: count for status, count in counts.items() if count},
            running=list(state.running) if runs else [],
            failures=_failures(out, state),
            jobs=[event["job"] for event in state.rounds.values()],
            pace=PaceReport.of(
                state.pace, waiting, state.used_hours, time.time() if runs else None, len(state.running)
            ),
        )

    def document(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "name": self.name,
            "id": self.sweep_id,
            "folder": self.folder,
            "state": self.state,
            "pid": self.pid or None,
            "tasks": self.total,
            "counts": dict(self.counts),
            "running": list(self.running),
            "failed": [asdict(failure) for failure in self.failures],
            "jobs": list(self.jobs),
            **asdict(self.pace),
        }


def is_running(out: OutFolder) -> bool:
    """Return whether a process holds the sweep's folder. Raises JournalError."""
    try:
        return is_held(out.journal_path)
    except OSError:
        return False


def _state(state: State, runs: bool, counts: Mapping[str, int], total: int) -> str:
    if runs:
        return "running"
    if state.run is None:
        return "not run"
    if state.rounds:
        return "on Batch"
    if state.finish is None:
        return "killed"
    return "done" if counts.get("done", 0) == total else "not done"


def _failures(out: OutFolder, state: State) -> list[TaskFailure]:
    failures = []
    with reading_ends(out.journal_path) as reader:
        for name, recorded in state.ends.items():
            if recorded.status != "done" and name not in state.stale | state.running.keys():
                event = reader.event(recorded)
                task = SweepTask(Combination(event["index"], 0, {}, None), name, recorded.key)
                failures.append(TaskFailure.of(task, task_end(event), out.task_folder(name)))
    return failures
