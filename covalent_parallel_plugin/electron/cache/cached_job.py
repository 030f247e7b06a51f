"""The job that makes an entry's value: whether one that is there already is joined, and the record of what it made."""

from __future__ import annotations

import logging
import time

from ...batch.job_names import LABEL_DISPATCH, LABEL_NODE, label_value
from ...batch.job_run import JobRun
from ...batch.job_watch import ENDING_STATES
from ...cloud.batch import JobStatus
from ...cloud.threads import run_in_thread
from ...errors import CloudError
from ...protocol.identity import CallIdentity
from ...settings import Settings
from ..call import Call, Pickles
from ..verdict import Value, Verdict
from .entry import CacheEntry, CacheRecord
from .source import Source
from .stored_value import Found, is_fresh, record_value

logger = logging.getLogger(__name__)

# The clocks of Batch and of Cloud Storage may differ by so much
CLOCK_SECONDS = 2.0


class EndedJobError(Exception):
    """The job of this number has ended, and the value is to be made by one of another number."""


class JoinedJobError(Exception):
    """The job that was joined has made no value: whoever joined it is on its own."""


class CachedJob:
    """What a call with an entry in the cache does with its job, beside what every call does.

    Args:
        entry, number: of which value; see `CacheEntry.identity`.
        found: what the entry has.
        call, settings: the one that asks for the value.
        pickles: the call's, emptied once its own job is certain to be the one that makes the value.

    Attributes:
        is_joined: whether the job was there before this call asked for it, as another call's.
        source: where the value comes from, once it is there.
    """

    def __init__(
        self,
        entry: CacheEntry,
        number: int,
        found: Found,
        call: Call,
        settings: Settings,
        pickles: Pickles,
    ):
        self._entry = entry
        self._number = number
        self._found = found
        self._call = call
        self._settings = settings
        self._pickles = pickles
        self._made_seconds: float | None = None
        self.is_joined = False
        self.source = Source(call.dispatch_id, call.node_id, 0.0)

    @property
    def identity(self) -> CallIdentity:
        """The call's: it follows from the entry."""
        return self._entry.identity(self._number)

    @property
    def checkpoint(self) -> CallIdentity:
        """The call that checkpoints belong to: the same each time, so that a run after one that failed finds them."""
        return self._entry.identity(0)

    async def begin(self, jobs: JobRun) -> None:
        """Look at the job that was asked for: made now, it is watched as any; found, it may be another dispatch's.

        Raises:
            EndedJobError: it has ended, and what it left does not count.
        """
        job = jobs.found_job
        if job is None or (not job.is_terminal and self._is_own(job, jobs)):
            self._pickles.clear()
            return
        if job.state in ENDING_STATES:
            jobs.is_others = True
            raise EndedJobError
        self.source = _maker_of(job)
        if not job.is_terminal:
            self.is_joined = jobs.is_others = True
            logger.info("%s joins the job %s, which makes its value already", self._call, jobs.job_name)
            return
        jobs.record_ended(job)
        self._made_seconds = await jobs.objects.in_thread(self._made_at, jobs, job)
        if self._made_seconds is None:
            jobs.objects.may_delete_results = True
            raise EndedJobError
        self.is_joined = True

    @staticmethod
    def _is_own(job: JobStatus, jobs: JobRun) -> bool:
        """Whether a job was made for this call, in a dispatch that its own one continues as well."""
        owner = jobs.owner
        dispatches = [label_value(dispatch) for dispatch in owner.lineage or (owner.group,)]
        return job.labels.get(LABEL_NODE) == owner.labels[LABEL_NODE] and job.labels.get(LABEL_DISPATCH) in dispatches

    def _made_at(self, jobs: JobRun, job: JobStatus) -> float | None:
        """Return when a job that has ended delivered its outcome; None where that does not count.

        Nobody has recorded what it delivered. So it counts only if it was there before the job had ended: whoever may
        see the job knows the key that seals it.
        """
        ended = job.entered_seconds("SUCCEEDED")
        if self._found.is_forged or job.state != "SUCCEEDED" or ended is None:
            return None
        name = jobs.owner.identity.task().outcome_name
        stored = [each for each in jobs.services.objects.list(name) if each.name == name]
        if not stored or stored[0].created_seconds > ended + CLOCK_SECONDS:
            return None
        return stored[0].created_seconds if is_fresh(stored[0].created_seconds, self._settings.cache) else None

    async def end(self, jobs: JobRun, result: Verdict) -> Verdict:
        """Record the value; what is recorded stays in the bucket.

        Raises:
            JoinedJobError: there is none, and the job was another call's.
        """
        if not isinstance(result, Value):
            if self.is_joined:
                raise JoinedJobError
            return result
        outcome = result.outcome
        self.source = self.source._replace(made_seconds=self._made_seconds or time.time())
        record = CacheRecord(
            self._entry.structure, self._number, outcome.object_sha256, outcome.object_size, *self.source
        )
        store, folder = jobs.services.objects, self._settings.cache_dir
        try:
            is_kept = await run_in_thread(record_value, self._entry, record, self._found, store, folder)
        except CloudError as error:
            logger.warning("the value of %s is not in the cache: %s", self._call, error)
            is_kept = False
        jobs.objects.retains_outcome = is_kept
        # Of what another run has nothing is deleted that it may not have read.
        jobs.is_others = jobs.is_others and not is_kept
        return result


def _maker_of(job: JobStatus) -> Source:
    """The call that made a job, as its labels have it."""
    node = job.labels.get(LABEL_NODE, "")
    return Source(job.labels.get(LABEL_DISPATCH, ""), int(node) if node.isdecimal() else 0, 0.0)
