"""What the dispatches that a resumed one continues have of a call: a job that runs, a value, or remains of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..batch.call_objects import CallObjects
from ..batch.cancellation import Cancellation
from ..batch.job_names import LABEL_CALL, LABEL_DISPATCH, LABEL_NODE, JobOwner
from ..batch.job_watch import ENDING_STATES
from ..batch.leftovers import MOST_JOBS
from ..batch.submission import OTHERS_CANCEL_SECONDS, UNSEEN_PAUSE_SECONDS, TakenJob
from ..cloud import Services
from ..cloud.interfaces import Bucket, JobService
from ..cloud.job_status import JobStatus
from ..cloud.storage import CorruptObjectError
from ..cloud.threads import run_in_thread
from ..protocol.envelope import OUTCOME, VALUE, WireError
from ..protocol.identity import CallIdentity
from ..protocol.object_names import parse_name
from .call import Call
from .electron_job import owner_of
from .map.object_head import read_head

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EarlierCall:
    """A call as an earlier dispatch sent it.

    Attributes:
        names: its objects in the bucket.
        has_changed: whether it was called with something else: nothing of it is of use, and its key is not known.
    """

    call: Call
    identity: CallIdentity
    names: Sequence[str] = ()
    has_changed: bool = False

    @property
    def owner(self) -> JobOwner:
        """The owner of its jobs."""
        return owner_of(self.call, self.identity)

    def objects(self, services: Services, cancelled: Cancellation) -> CallObjects:
        """Return its objects, to be deleted; what items of a map returned only where that is allowed."""
        objects = CallObjects(self.owner, services, cancelled)
        objects.keeps_call = self.call.map is not None and not self.has_changed
        objects.may_delete_results = not objects.keeps_call
        return objects


@dataclass(frozen=True)
class EarlierCalls:
    """What there is of a call from earlier dispatches, the nearest first.

    Attributes:
        taken, job: the one to go on with, and its job; None where the call is to be sent anew.
        left: others that left objects, which are deleted in the end.
        oldest: the first dispatch's, whose folder has the checkpoints of them all.
    """

    taken: EarlierCall | None = None
    job: TakenJob | None = None
    left: Sequence[EarlierCall] = ()
    oldest: CallIdentity | None = None


NO_EARLIER_CALLS = EarlierCalls()


async def find_earlier(call: Call, identities: Sequence[CallIdentity], parent: str, services: Services) -> EarlierCalls:
    """Look for what may be taken up of a call, by its identities in the dispatches that its own one continues.

    A job that has not ended is; and of a lone electron a value, whatever became of its job. Of a map whose job has
    ended the items that returned are read from what it left.

    Raises:
        CloudError: Google refused, or could not be reached.
    """
    taken: EarlierCall | None = None
    taken_job: TakenJob | None = None
    left: list[EarlierCall] = []
    for dispatch_id, identity in zip(call.lineage[1:], identities, strict=True):
        earlier = EarlierCall(replace(call, dispatch_id=dispatch_id), identity)
        job = None
        if taken is None:
            others: list[JobStatus] = []
            job = await _latest_job(services.batch, earlier.owner, parent, others)
            if not job.has_ended:
                taken, taken_job = earlier, job
                continue
            for other in others:
                changed = await _end_changed(services, earlier, other)
                left += [changed] if changed.names else []
        names = await _names(services, identity)
        has_outcome = job is not None and call.map is None and identity.task().outcome_name in names
        if has_outcome and await run_in_thread(_has_value, services.objects, identity):
            taken, taken_job = earlier, job
        elif names:
            left.append(replace(earlier, names=names))
    if taken_job is not None:
        state = taken_job.status.state if taken_job.status is not None else "gone, and its value is in the bucket"
        logger.warning("%s: taken up again, its job %s is %s", call, taken_job.name.rsplit("/", 1)[-1], state)
    return EarlierCalls(taken, taken_job, left, identities[-1])


async def _end_changed(services: Services, earlier: EarlierCall, job: JobStatus) -> EarlierCall:
    """Cancel a job of the earlier dispatch's electron that nobody watches any more, and return what it was called with.

    So it is where an own module was changed since: what is sent is something else then, and runs anew.
    """
    call, call_id = earlier.call, job.labels.get(LABEL_CALL, "")
    if not job.is_terminal:
        job_id = job.name.rsplit("/", 1)[-1]
        logger.warning("%s runs anew: what it is called with has changed, and the job %s is cancelled", call, job_id)
        await services.batch.cancel(job.name)
    identity = CallIdentity(call_id, b"", call.folder(call_id))
    return EarlierCall(call, identity, await _names(services, identity), has_changed=True)


async def _names(services: Services, identity: CallIdentity) -> Sequence[str]:
    """The names of a call's objects."""
    return list(filter(parse_name, await run_in_thread(services.objects.names, f"{identity.folder}/")))


async def _latest_job(batch: JobService, owner: JobOwner, parent: str, others: list[JobStatus]) -> TakenJob:
    """The last of the owner's jobs; one without a status where none is found. `others` gets those in its names."""
    found = TakenJob(f"{parent}/jobs/{owner.job_ids(1)[0]}")
    for number in range(1, MOST_JOBS + 1):
        job = await _own_job(batch, owner, parent, number, others)
        if job is None:
            break
        found = job
        if not job.has_ended:
            break
    return found


async def _own_job(
    batch: JobService, owner: JobOwner, parent: str, number: int, others: list[JobStatus]
) -> TakenJob | None:
    """The owner's job of this number, once it has ended where somebody is ending it; None if there is none."""
    label, value = owner.own_label
    for job_id in owner.job_ids(number):
        name = f"{parent}/jobs/{job_id}"
        status = await batch.get(name)
        until = time.monotonic() + OTHERS_CANCEL_SECONDS
        while status is not None and status.state in ENDING_STATES and time.monotonic() < until:
            await asyncio.sleep(UNSEEN_PAUSE_SECONDS)
            status = await batch.get(name)
        if status is None:
            return None
        if status.labels.get(label) == value:
            return TakenJob(name, number, status)
        if all(status.labels.get(each) == owner.labels[each] for each in (LABEL_DISPATCH, LABEL_NODE)):
            others.append(replace(status, name=name))
    return None


def _has_value(store: Bucket, identity: CallIdentity) -> bool:
    """Whether the outcome of a lone electron is a value; False where it is refused."""
    address = identity.task()
    try:
        head = read_head(store, address.outcome_name, address.key, address.binding(OUTCOME))
    except (WireError, CorruptObjectError) as error:
        logger.warning("gs://%s/%s is refused: %s", store.bucket_name, address.outcome_name, error)
        return False
    return head is not None and head.envelope is not None and head.envelope.header.get("outcome") == VALUE
