"""The trace of a sweep: its jobs, the attempts of its tasks and the ends of its runs, as dispatches have one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from ...batch.attempt_times import TIMES, rounded
from ...batch.trace import ATTEMPT, DAYS, ENDED, SUBMITTED, WAITED, TraceFile, shortened_message, traces_folder
from ...programs.verdict import TaskEnd
from ..tasks import SweepTask

# On this machine there are no jobs, and no machines of Google's
NO_MACHINE = {"type": None, "zone": None, "instance": None, "spot": None}


class SweepTrace:
    """Writes a sweep's trace; where there is none, nothing of it is kept.

    Args:
        entered: when the run began; None: now.
        clock: s since 1970.
    """

    def __init__(
        self, file: TraceFile | None = None, entered: float | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._file = file
        self._clock = clock
        self.entered = clock() if entered is None else entered

    @classmethod
    def of(
        cls, sweep_id: str, options: Mapping[str, Any], environment: Mapping[str, str], entered: float | None = None
    ) -> SweepTrace:
        """Return the trace of a sweep with the options `trace` and `trace_days`, where these are given."""
        if options.get("trace") is False:
            return cls()
        days = options.get("trace_days")
        return cls(TraceFile(traces_folder(environment), sweep_id, DAYS if days is None else days), entered)

    @property
    def is_on(self) -> bool:
        """Whether there is a trace."""
        return self._file is not None

    def now(self) -> float:
        """Return the time, s since 1970."""
        return self._clock()

    def submitted(
        self, job: str | None, round: int, tasks: int, requested: Mapping[str, object], **times: float
    ) -> None:
        """Record that a round was submitted; `job` is its full name."""
        more = {"tasks": tasks, "items": None, "asked": dict(requested), "t": rounded(times)}
        self._write(SUBMITTED, job=job, round=round, **more)

    def waited(self, round: int, fields: Mapping[str, object]) -> None:
        """Record why a round's job waits, or waited, for machines."""
        self._write(WAITED, round=round, **fields)

    def attempt(self, fields: Mapping[str, object]) -> None:
        """Record an attempt of a task."""
        self._write(ATTEMPT, **fields)

    def local_attempt(self, task: SweepTask, number: int, end: TaskEnd, cpu_seconds: float | None) -> None:
        """Record an attempt on this machine, from 1 on."""
        times = {"began": end.started, "ran_from": end.started, "ran_to": end.ended, "collected": self._clock()}
        peak = None if end.peak_mb is None else round(end.peak_mb * 2**20)
        self.attempt(
            {
                "task": task.index,
                "name": task.name,
                "round": 0,
                "attempt": number - 1,
                "end": end.status,
                "exit_code": end.exit,
                "t": rounded({**dict.fromkeys(TIMES), **times}),
                "peak_memory_bytes": peak,
                "cpu_seconds": cpu_seconds,
                "machine": NO_MACHINE,
            }
        )

    def ended(self, verdict: str, message: str, counts: Mapping[str, int]) -> None:
        """Record a run's end: done, failed, interrupted, budget or detached."""
        text = shortened_message(message) or None
        error = "SweepBudgetError" if verdict == "budget" else "SweepStoppedError" if text else None
        times = {"entered": self.entered, "ended": self._clock()}
        self._write(ENDED, verdict=verdict, error=error, message=text, counts=dict(counts), t=rounded(times))

    def _write(self, kind: str, **fields: object) -> None:
        if self._file is not None:
            self._file.write(kind, None, **fields)
