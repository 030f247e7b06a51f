"""A job as the engine holds it, and where the output of its tasks goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from ..model.job import Job
from ..model.task_plan import Plan


class LogWriter(Protocol):
    """Where the tasks' output goes: the stand-in's log store."""

    def write(self, *, project: str, log: str, labels: Mapping[str, str], severity: str, text: str) -> None:
        """Keep one line."""


@dataclass
class Entry:
    """A job with its plan; `settled` is called, with the lock held, once a job that is ended on request rests.

    `is_stuck` while a fault keeps a job that is being cancelled from its end. `may_start` once its tasks may run;
    `refusal` is why Compute Engine will not have it, if it will not.
    """

    job: Job
    plan: Plan
    settled: Callable[[], None] = lambda: None
    is_stuck: bool = False
    refusal: str = ""
    may_start: bool = False


def line_writer(logs: LogWriter | None, plan: Plan, index: int) -> Callable[[str, str], None]:
    """Give what writes a task's lines, by severity, with the labels that Batch gives them."""
    if logs is None or not plan.keeps_logs:
        return lambda severity, line: None
    labels = {"job_uid": plan.uid, "task_id": plan.task_id(index)}

    def write(severity: str, line: str) -> None:
        logs.write(project=plan.project, log="batch_task_logs", labels=labels, severity=severity, text=line)

    return write
