"""Hold a job as the scheduler does: its state, its plan, and how far it may continue.

Scheduler, placement, attempts and faults share it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..model.job import Job
from ..model.log_store import LogStore
from ..model.task_plan import TaskPlan
from .awaited_line import AwaitedLine
from .barriers import Barriers


@dataclass
class ScheduledJob:
    """A job with its plan; `settled` is called, with the lock held, once a job that is ended on request rests.

    `is_stuck` while a fault keeps a job that is being cancelled from its end. `may_start` once its tasks may run;
    `refusal` is why Compute Engine will not have it, if it will not. `awaited_lines` get what its tasks print.
    """

    job: Job
    plan: TaskPlan
    settled: Callable[[], None] = lambda: None
    is_stuck: bool = False
    refusal: str = ""
    may_start: bool = False
    awaited_lines: list[AwaitedLine] = field(default_factory=list)
    barriers: Barriers = field(init=False)

    def __post_init__(self) -> None:
        self.barriers = Barriers(self.plan.task_count)

    def line_writer(self, logs: LogStore | None, index: int) -> Callable[[str, str], None]:
        """Return what writes a task's lines, by severity, with the labels that Batch gives them."""
        plan = self.plan
        if logs is None or not plan.keeps_logs:
            return lambda severity, line: None
        labels = {"job_uid": plan.uid, "task_id": plan.task_id(index)}

        def write(severity: str, line: str) -> None:
            logs.write(project=plan.project, log="batch_task_logs", labels=labels, severity=severity, text=line)

        return write
