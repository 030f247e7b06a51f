"""Summarize a finished job in one line, for the emulator's console."""

from __future__ import annotations

from dataclasses import dataclass

from .job import Job
from .job_states import ENDED, TaskState


@dataclass(frozen=True)
class JobSummary:
    """One job at its end; `state` is DELETED for one that was deleted before it ended.

    `seconds` since its creation; `exit_code` that of the first task that failed; `why` it failed before any task, or
    how its electron ended. A job whose electron failed is shown as FAILED, though Batch calls it SUCCEEDED.
    """

    job_id: str
    state: str
    seconds: float
    tasks: int
    failed: int
    attempts: int
    exit_code: int | None = None
    why: str = ""
    has_electron_failed: bool = False

    def __str__(self) -> str:
        parts = [f"{self.seconds:.1f} s", _counted(self.tasks, "task")]
        if self.failed and self.tasks > 1:
            parts.append(f"{self.failed} failed")
        parts.append(_counted(self.attempts, "attempt"))
        if self.exit_code is not None:
            parts.append(f"exit code {self.exit_code}")
        state = "FAILED" if self.has_electron_failed and self.state == "SUCCEEDED" else self.state
        return f"{state:<9} {self.job_id}  {', '.join(parts)}{': ' if self.why else ''}{self.why}"


def summarize(job_id: str, job: Job) -> JobSummary:
    """Describe a job at its end."""
    failed = [task for task in job.tasks if task.state is TaskState.FAILED]
    begun = [task for task in job.tasks if task.instance]
    last = job.events[-1].text if job.events else ""
    why = "" if begun or job.state.name != "FAILED" else last.partition(f"{job.full_name}. ")[2]
    endings = [event for task in job.tasks for event in task.events if event.has_failed is not None]
    ending = next((event for event in endings if event.has_failed), endings[0] if endings else None)
    return JobSummary(
        job_id,
        job.state.name if job.state in ENDED else "DELETED",
        (job.created if job.ended is None else job.ended) - job.created,
        len(job.tasks),
        len(failed),
        sum(task.attempt + 1 for task in begun),
        next((event.exit_code for task in failed for event in reversed(task.events) if event.exit_code), None),
        why if ending is None else ending.text,
        has_electron_failed=ending is not None and bool(ending.has_failed),
    )


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
