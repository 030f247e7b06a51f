"""What Batch reports of a dispatch's jobs, as records of a trace: of jobs that run, and where there is no trace."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ...batch import trace_ends as ends
from ...batch.attempt_records import TaskFindings, attempt_records
from ...batch.attempt_times import rounded, task_attempts
from ...batch.job_names import LABEL_DISPATCH, LABEL_ITEMS, LABEL_NODE, label_value
from ...batch.trace import ATTEMPT, SUBMITTED
from ...cloud.batch import BatchApi, JobStatus, TaskStatus
from ...cloud.timed_calls import call_within
from .traced_electrons import TracedElectron

# All of it is waited for so long, and the tasks of no more jobs are asked for
BATCH_SECONDS, PATIENCE_SECONDS = 20.0, 8.0
MOST_JOBS = 200
_ENDS = {"SUCCEEDED": ends.VALUE, "FAILED": ends.FAILED, "CANCELLED": ends.CANCELLED}

Found = tuple[JobStatus, Sequence[TaskStatus]]


def look_at_jobs(parents: Collection[str], dispatch_ids: Sequence[str], wanted: Collection[str] | None) -> list[Found]:
    """Return a dispatch's jobs with their tasks, oldest first; in a thread with an event loop of its own.

    Args:
        parents: each projects/PROJECT/locations/REGION that may have some.
        dispatch_ids: the dispatch, and those that it continues.
        wanted: the jobs' names; None for all.

    Raises:
        ParallelError: Batch does not report; the message says why.
    """
    return call_within(BATCH_SECONDS, "Google Batch", lambda: asyncio.run(_fetch(parents, dispatch_ids, wanted)))


async def _fetch(parents: Collection[str], dispatch_ids: Sequence[str], wanted: Collection[str] | None) -> list[Found]:
    batch, names = BatchApi.shared(), None if wanted is None else set(map(_number_free, wanted))
    try:
        jobs = [
            job
            for dispatch_id in dispatch_ids
            for parent in parents
            for job in await batch.list(
                parent, f'labels."{LABEL_DISPATCH}"="{label_value(dispatch_id)}"', patience_seconds=PATIENCE_SECONDS
            )
            if names is None or _number_free(job.name) in names
        ]
        jobs = sorted(jobs, key=lambda job: job.created_seconds)[-MOST_JOBS:]
        tasks = await asyncio.gather(*(batch.tasks(job.name, patience_seconds=PATIENCE_SECONDS) for job in jobs))
        return list(zip(jobs, tasks, strict=True))
    finally:
        await batch.close()


def records_of_jobs(found: Iterable[Found]) -> Iterator[dict[str, Any]]:
    """Yield the records that a trace would have of jobs, as far as Batch reports it."""
    rounds: dict[int, int] = {}
    for job, tasks in found:
        node = job.labels.get(LABEL_NODE, "")
        if not node.isdecimal():
            continue
        round = rounds[int(node)] = rounds.get(int(node), -1) + 1
        items = job.labels.get(LABEL_ITEMS, "")
        kinds = [(each.machine_type, each.is_spot) for each in job.instances]
        machine_type, spot = kinds[0] if len(set(kinds)) == 1 else (None, None)
        yield {
            "kind": SUBMITTED,
            "node": int(node),
            "round": round,
            "job": job.name,
            "items": int(items) if items.isdecimal() else None,
            "asked": {"machine_type": machine_type, "spot": spot},
            "t": _submitted(job),
        }
        yield from attempts_of_job(job, tasks, int(node), round)


def attempts_of_job(job: JobStatus, tasks: Sequence[TaskStatus], node: int, round: int) -> Iterator[dict[str, Any]]:
    """Yield the records of a job's attempts; one that runs has no end."""
    kinds = {each.is_spot for each in job.instances}
    asked = {"spot": kinds.pop() if len(kinds) == 1 else None}
    ended = job.entered_seconds(job.state) if job.is_terminal else None
    for task in tasks:
        end = _ENDS.get(task.state, _ENDS.get(job.state, "") if job.is_terminal else "")
        listed = task_attempts(task.events)
        findings = TaskFindings(task.index, listed, end=end, was_stopped=job.state == "CANCELLED")
        ours = {**_submitted(job), "collected": ended}
        for fields in attempt_records(findings, job, ours, asked, is_alone=len(tasks) == 1):
            yield {"kind": ATTEMPT, "node": node, "round": round, **fields}


def add_attempts(found: Iterable[Found], open_jobs: Mapping[str, TracedElectron]) -> None:
    """Add what Batch reports of attempts to electrons, given by the names of their open jobs."""
    electrons = {_number_free(name): electron for name, electron in open_jobs.items()}
    for job, tasks in found:
        electron = electrons.get(_number_free(job.name))
        if electron is not None:
            for record in attempts_of_job(job, tasks, electron.node or 0, electron.jobs[-1].label):
                electron.add(record)


def _submitted(job: JobStatus) -> dict[str, float | None]:
    return rounded({"entered": job.created_seconds, "submitted": job.created_seconds})


def _number_free(name: str) -> str:
    """A job's name without its project: Batch may name that by its number."""
    return name.partition("/locations/")[2]
