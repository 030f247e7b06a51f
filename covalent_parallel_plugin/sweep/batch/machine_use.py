"""The machine-hours of all rounds and runs of a sweep on Batch, from its journal and looks at its jobs."""

from __future__ import annotations

import time
from collections.abc import Callable

from ...batch.job_definition import tasks_per_node
from ...batch.machine_hours import JobUse
from ...cloud.batch import JobStatus
from ..local.run import Overrun
from ..records.journal import State
from ..sweep_file import SweepFile


class MachineUse:
    """Counts what the jobs of one run use, beside what the journal has of the others.

    Args:
        wall_clock: s since 1970.
    """

    def __init__(self, file: SweepFile, state: State, wall_clock: Callable[[], float] = time.time) -> None:
        self._limit = file.most_machine_hours
        self._per_machine = file.tasks_per_machine or tasks_per_node(file.settings)
        self._state = state
        self._wall_clock = wall_clock
        # Of rounds that go on
        self._jobs: dict[int, JobUse] = {}

    @property
    def hours(self) -> float:
        """What was used so far."""
        return self._state.used_hours + sum(map(self._more_seconds, self._jobs)) / 3600

    def note(self, round: int, job: JobStatus) -> None:
        """Record the status of a round's job."""
        use = self._jobs.get(round, JobUse())
        self._jobs[round] = use.seen(job, job.tasks_per_machine(self._per_machine), self._wall_clock())

    def end(self, round: int) -> float:
        """Return the machine-seconds of a round that has ended: the journal has them from here on."""
        return self._jobs.pop(round, JobUse()).seconds

    def seconds_left(self) -> float | None:
        """Return how long the machines of the last looks may continue; None without a limit, or where none runs."""
        machines = sum(use.machines for use in self._jobs.values())
        return None if self._limit is None or not machines else (self._limit - self.hours) * 3600 / machines

    def overrun(self, pause_seconds: float) -> Overrun | None:
        """Return what was used once that is all there is; `pause_seconds` until the machines may have stopped."""
        if self._limit is None or self.hours < self._limit:
            return None
        machines = sum(use.machines for use in self._jobs.values())
        return Overrun(self._limit, self.hours, machines * pause_seconds / 3600)

    def _more_seconds(self, round: int) -> float:
        """Return what a round that continues has used beyond what the journal knows of its tasks."""
        return max(self._jobs[round].seconds - self._state.round_seconds(round), 0.0)
