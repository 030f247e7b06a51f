"""What a call has in the bucket: fetched however long that takes, and deleted, but for results that nobody has read."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import ParamSpec, TypeVar

from ..cloud import Services
from ..cloud.threads import map_in_threads, run_in_thread, run_stoppable
from ..errors import CloudError
from ..protocol.object_names import checkpoint_folder, is_checkpoint, is_result, round_folder
from .cancellation import Cancellation
from .job_names import JobOwner
from .trouble import bear, fetch_trouble

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

# A deletion that fails is tried so often, and none is begun later than that
DELETE_TRIES = 2
DELETE_SECONDS = 120.0
# A task that runs for hours delivers thousands of objects
DELETIONS_AT_ONCE = 16


class CallObjects:
    """The objects of one owner's call.

    Args:
        owner: whose they are.
        services: through whom.
        cancelled: set when the user asks for the end.

    Attributes:
        is_single_attempt: set it where nothing but the call and one outcome can be there.
        is_written_late: set it where a task was still writing an object when it delivered its outcome.
        retains_outcome: set it where the outcome of its first task stays, whatever is deleted.
        keeps_call: set it where results that stay are of no use without the call.
        may_delete_results: set it once nobody needs what the tasks delivered; else that stays.
        checkpoint_folder: set it where there may be checkpoints, to the folder of the call that they belong to.
        may_delete_checkpoints: set it once nobody can continue from them; else they stay.
    """

    def __init__(self, owner: JobOwner, services: Services, cancelled: Cancellation):
        self._owner = owner
        self._services = services
        self._cancelled = cancelled
        self._is_logged = False
        self.is_single_attempt = False
        self.is_written_late = False
        self.keeps_call = False
        self.retains_outcome = False
        self.may_delete_results = False
        self.checkpoint_folder = ""
        self.may_delete_checkpoints = False

    def outlive_cancellation(self) -> None:
        """Have what is read from now on be read although the user asked for the end."""
        self._cancelled = Cancellation()

    async def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function that blocks; it is waited for no longer once the user asks for the end.

        Raises:
            CancelledCall: the user asked for the end.
        """
        return await self.unless_cancelled(run_stoppable(function, *args, **kwargs))

    async def unless_cancelled(self, asked: Awaitable[T]) -> T:
        """Return what is asked for.

        Raises:
            CancelledCall: the user asked for the end.
        """
        return await self._cancelled.unless(asked)

    async def fetch(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a function reads in the bucket; it is tried again for as long as an outage of Batch is borne.

        Raises:
            CloudError: it failed for too long.
            CancelledCall: the user asked for the end.
        """

        def tell(error: CloudError) -> None:
            if not self._is_logged:
                self._is_logged = True
                logger.warning("%s has delivered, and is asked for it again: %s", self._owner.title, error)

        return await bear(
            lambda: self.in_thread(read, *args, **kwargs),
            fetch_trouble(self._services.batch),
            lambda seconds: self._cancelled.unless(asyncio.sleep(seconds)),
            tell,
        )

    async def is_delivered(self, tasks: int, round: int) -> bool:
        """Whether all tasks of this job, the `round`-th of the call, have left an outcome; False if it is not known.

        Raises:
            CancelledCall: the user asked for the end.
        """
        identity = self._owner.identity
        wanted = {identity.task(index, round).outcome_name for index in range(tasks)}
        prefix = f"{round_folder(identity.folder, round)}/outcome-"
        try:
            return wanted.issubset(await self.in_thread(self._services.objects.names, prefix))
        except CloudError as error:
            logger.debug("the bucket does not report whether %s has delivered: %s", self._owner.title, error)
            return False

    async def location(self, what: str) -> str:
        """Return a sentence about `what` the tasks delivered: where it stays, until when, and how to get it."""
        store, owner = self._services.objects, self._owner
        clean = f"`covalent-parallel clean --dispatch {owner.group}`"
        try:
            days = await run_in_thread(store.lifetime_days, owner.identity.folder)
        except CloudError as error:
            logger.debug("the bucket does not report its lifecycle rules: %s", error)
            until = f"until the bucket's lifecycle rule or {clean} deletes it"
        else:
            until = f"for {days} days, by the bucket's lifecycle rule"
            if days is None:
                until = f"and nothing deletes it but {clean}, as the bucket has no lifecycle rule for it"
        return (
            f"{what} in gs://{store.bucket_name}/{owner.identity.folder}/ {until}:"
            f" `covalent-parallel fetch {owner.group} {owner.index}` brings it."
        )

    def delete_call(self) -> None:
        """Delete the call itself, unless it is to stay; `delete` reports a failure."""
        if self._is_call_kept:
            return
        try:
            self._services.objects.delete(self._owner.identity.object_name)
        except CloudError as error:
            logger.debug("the call of %s is not deleted yet: %s", self._owner.title, error)

    @property
    def _is_call_kept(self) -> bool:
        return self.keeps_call and not self.may_delete_results

    def delete(self) -> None:
        """Delete the objects, results among them only if nobody needs them; what is left is logged by name."""
        store, identity = self._services.objects, self._owner.identity
        folder, until = f"{identity.folder}/", time.monotonic() + DELETE_SECONDS
        names: Sequence[str] = (identity.object_name, identity.task().outcome_name)
        is_listed = self.is_single_attempt
        failure: CloudError | None = None
        for number in range(DELETE_TRIES):
            left, is_last = [], number == DELETE_TRIES - 1
            try:
                names = names if is_listed else [*store.names(folder), *self._earlier_checkpoints()]
                is_listed = True
            except CloudError as error:
                failure = error
            wanted = [name for name in names if self._may_delete(name)]
            for name, is_gone in zip(wanted, self._deleted(wanted, until, is_last), strict=True):
                if is_gone is not True:
                    left.append(name)
                    failure = is_gone or failure
            names = left
        if names or not is_listed:
            left = [*names, *([] if is_listed else [f"perhaps more in {folder}"])]
            logger.warning("%s is left in the bucket: %s", ", ".join(left), failure)

    def _earlier_checkpoints(self) -> Sequence[str]:
        """The names of checkpoints in another call's folder."""
        if self.checkpoint_folder in ("", self._owner.identity.folder):
            return ()
        return self._services.objects.names(checkpoint_folder(self.checkpoint_folder))

    def _may_delete(self, name: str) -> bool:
        if is_checkpoint(name):
            return self.may_delete_checkpoints
        if name == self._owner.identity.object_name:
            return not self._is_call_kept
        if self.retains_outcome and name == self._owner.identity.task().outcome_name:
            return False
        return self.may_delete_results or not is_result(name)

    def _deleted(self, names: Sequence[str], until: float, is_last: bool) -> Iterable[CloudError | bool]:
        """Delete objects until then; gives of each whether it is gone, or what went wrong."""

        def delete(name: str) -> CloudError | bool:
            try:
                # What is not found is asked for once more: a proxy may have answered.
                return time.monotonic() < until and (self._services.objects.delete(name) or is_last)
            except CloudError as error:
                return error

        is_many = len(names) > DELETIONS_AT_ONCE
        return map_in_threads(delete, names, DELETIONS_AT_ONCE) if is_many else map(delete, names)
