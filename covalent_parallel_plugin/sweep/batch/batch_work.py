"""What a run on Batch is to do, and what may end it early."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..local.run import Overrun
from ..sweep_file import SweepFile
from ..tasks import SweepTask
from .gathering import GatherSeams, RoundGathering
from .round_staging import RoundStaging
from .round_tasks import RoundTasks


class RunStopped(Exception):
    """The run ends before all of its tasks have; the text says why.

    `keeps_job`: what runs on Batch is left there. `overrun`: the machine-hours are used up.
    """

    def __init__(self, reason: str, keeps_job: bool = False, overrun: Overrun | None = None) -> None:
        super().__init__(reason)
        self.keeps_job = keeps_job
        self.overrun = overrun


@dataclass(frozen=True)
class BatchWork:
    """What a run is to do.

    Attributes:
        wanted: tasks that are to be done, those of open rounds among them.
        open_rounds: whose jobs an earlier run has made, and that may still run.
        image_uri: what jobs name.
        count: how many tasks the sweep has.
        seams: where deliveries go; the run adds its observers.
    """

    file: SweepFile
    wanted: Sequence[SweepTask]
    open_rounds: Sequence[RoundTasks]
    image_uri: str
    count: int
    staging: RoundStaging
    seams: GatherSeams


@dataclass(frozen=True)
class LostTask:
    """A task that a round has lost, why, and what to enter its end with, by its index there."""

    task: SweepTask
    index: int
    reason: str
    gathering: RoundGathering
