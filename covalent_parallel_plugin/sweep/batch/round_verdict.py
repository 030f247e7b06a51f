"""The verdict on a round's tasks without an outcome: lost and to be run again, ended, or a reason to stop."""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ...batch.failure_message import FailureContext, format_failure
from ...batch.job_evidence import EvidenceReader, JobEvidence
from ...batch.job_verdict import CANCELLED_STATES, EXIT_CODES, Explanation, explain_job
from ...batch.job_watch import WatchResult
from ...cloud import Services
from ...cloud.batch import TaskStatus
from ...errors import MachineLostError, TaskKilledError, TimeLimitError
from ...programs.verdict import Status, TaskEnd
from ...settings import Settings
from ..sweep_file import SweepFile
from .round_tasks import RoundTasks

# Batch is asked how so many tasks without an outcome ended; the others run again
MOST_QUERIED_TASKS = 20
_UNFIT = (
    "the container could not be started: its `workdir` is not in the image, or the image is not one for linux/amd64",
    "The last lines of its output say which. Correct `workdir` or `image`, or container_options that hide the"
    " supervisor's volume.",
)
# Where the words about an electron do not fit a sweep
SWEEP_EXIT_CODES = {
    **EXIT_CODES,
    125: (
        EXIT_CODES[125][0],
        "The last lines of its output say which. For the sweep's image: check `image`, and that the machines' service"
        " account may read it. For the helper's, of mirror.gcr.io: see that the machines reach that registry.",
    ),
    126: _UNFIT,
    127: _UNFIT,
}


@dataclass
class RoundVerdict:
    """What became of the tasks from which nothing came, by their indices.

    Attributes:
        lost: why, of those that may run again.
        ended: of those that do not.
        stop: why no other round may follow, a whole message; "" if one may.
        exit_codes: those of the tasks whose status was queried.
        is_machine_lost: whether machines were lost as often as allowed.
        statuses: what Batch reported, by the number of the job's task.
        is_drained: whether those that are lost were not begun, by `cancel --waiting`.
    """

    lost: dict[int, str] = field(default_factory=dict)
    ended: dict[int, TaskEnd] = field(default_factory=dict)
    stop: str = ""
    exit_codes: set[int] = field(default_factory=set)
    is_machine_lost: bool = False
    is_drained: bool = False
    statuses: Mapping[int, TaskStatus] = field(default_factory=dict)


@dataclass(frozen=True)
class RoundJudge:
    """Judges what one round's ended job has left undelivered.

    Attributes:
        settings: the round's.
        retried: exit statuses that are tried again.
    """

    services: Services
    settings: Settings
    title: str
    job_name: str
    retried: Collection[int] = ()

    @classmethod
    def of(cls, services: Services, file: SweepFile, settings: Settings, job_name: str) -> RoundJudge:
        """Return the judge of a round of a sweep."""
        return cls(services, settings, sweep_title(file.name), job_name, file.retry_on)

    async def judge(self, watched: WatchResult, tasks: RoundTasks, missing: Iterable[int]) -> RoundVerdict:
        """Ask Batch how some of the tasks have ended, and decide on all of `missing`, given by their indices."""
        verdict, bundles = RoundVerdict(), tasks.bundles(missing)
        job = watched.job
        if watched.reason or job is None or job.state in CANCELLED_STATES:
            found = JobEvidence(job, reason=watched.reason)
            verdict.stop = self._message(found, explain_job(self.settings, found, SWEEP_EXIT_CODES))
            return verdict
        is_anything_delivered = sum(map(len, bundles.values())) < len(tasks.own)
        reader = EvidenceReader(self.services, self.job_name)
        verdict.statuses = statuses = await reader.tasks(list(bundles)[:MOST_QUERIED_TASKS])
        verdict.exit_codes = {task.exit_code for task in statuses.values() if task.exit_code is not None}
        for number, indices in bundles.items():
            found = JobEvidence(job, statuses.get(number))
            explained = explain_job(self.settings, found, SWEEP_EXIT_CODES)
            kind, what, remedy = explained
            reason = f"{what} {remedy}".rstrip()
            verdict.lost.update(dict.fromkeys(indices, reason))
            verdict.is_machine_lost |= kind is MachineLostError
            if kind in (TaskKilledError, TimeLimitError) and found.task is not None:
                # The others of its bundle had not begun
                if found.exit_code not in self.retried:
                    del verdict.lost[indices[0]]
                    verdict.ended[indices[0]] = _ended(kind is TimeLimitError, found.task, reason)
            elif kind is not MachineLostError and not is_anything_delivered and not verdict.stop:
                lines = await reader.last_lines(job.uid, number if tasks.job_tasks > 1 else None)
                verdict.stop = self._message(JobEvidence(job, found.task, lines=lines), explained)
        return verdict

    def _message(self, found: JobEvidence, explained: Explanation) -> str:
        _, what, remedy = explained
        context = FailureContext(self.title, self.settings, self.job_name, found.job, found.task)
        return format_failure(context, what, remedy, lines=found.lines)


def sweep_title(name: str) -> str:
    """Return what a sweep is called in messages."""
    return f"sweep {name!r}"


def unreported_end(
    status: Status,
    reason: str,
    exit: int | None = None,
    signal: int | None = None,
    attempts: int = 1,
    ended: float = 0.0,
) -> TaskEnd:
    """Return the end of a task that reported none itself: when it began, and where, is not known."""
    return TaskEnd(status, exit, signal, 0.0, attempts, None, "", 0.0, ended, reason)


def _ended(is_timeout: bool, task: TaskStatus, reason: str) -> TaskEnd:
    code = task.exit_code or 0
    attempts = max(1, sum(event.exit_code is not None for event in task.events))
    ended = task.events[-1].seconds if task.events else 0.0
    if is_timeout:
        return unreported_end("timeout", reason, attempts=attempts, ended=ended)
    number = code - 128 if 128 < code <= 128 + signal.NSIG else None
    return unreported_end("killed", reason, code, number, attempts, ended)
