"""One look at Batch for every job in flight: GetJob each while they are few, ListJobs for all when they are many.

Whoever waits for a job says when the next look is due; one task per project and region makes the looks, and ends when
nobody waits any more. What is due at about the same time is asked for at once.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar
from weakref import WeakKeyDictionary

from ..cloud.batch import JobStatus
from ..cloud.interfaces import JobService
from ..errors import CloudError, UnavailableError
from .job_names import LABEL_SERVER, SERVER

logger = logging.getLogger(__name__)

# From so many jobs on one list costs less than a request for each
FEW = 4
# What of a poll's pause a look may come early, to share a request with others
EARLY = 0.5
# By so much of the pause a look is late at random, so that servers which start together do not ask together
JITTER = 0.05
# A list's cost in requests: one for each so many jobs that it holds (the CPU of a job in a list against that of GetJob)
LISTED_PER_REQUEST = 8
# A caller continues as soon as it is answered: when hundreds do, the loop's others have their turn in between
ANSWERED_AT_ONCE = 16
# Clocks here and at Google may differ by so much; what ended within it before is in the list, too
CLOCK_SLACK_SECONDS = 60.0
# So many lists that fail one after the other are not waited out while single looks may well be answered; nor is a
# refusal for ever, since whoever may not list now may be allowed to
FAILED_LISTS = 2
NO_LISTS_SECONDS = 300.0
# How many jobs' first looks are remembered, to know how long a list would be
MOST_REMEMBERED = 100_000


@dataclass(eq=False)
class StatusRequest:
    """Somebody waits for a look at a job, which is due at `due` on the monotonic clock."""

    due: float
    pause_seconds: float
    answer: asyncio.Future[JobStatus | None]

    def is_due(self, now: float) -> bool:
        """Whether its look is due, or near enough to share a request with others."""
        return self.due - EARLY * self.pause_seconds <= now


class StatusPoller:
    """The looks at the jobs under one project and region, by one event loop.

    Args:
        batch: where the jobs run.
        parent: projects/PROJECT/locations/REGION.
        server: the label of the server that made the jobs.
    """

    _shared: ClassVar[WeakKeyDictionary[JobService, dict[tuple[str, str], StatusPoller]]] = WeakKeyDictionary()

    def __init__(
        self, batch: JobService, parent: str, clock: Callable[[], float] = time.monotonic, server: str = SERVER
    ):
        self._batch = batch
        self._parent = parent
        self._clock = clock
        self._server = server
        self._requests: dict[str, list[StatusRequest]] = {}
        self._first_looks: dict[str, float] = {}
        self._begun: deque[float] = deque(maxlen=MOST_REMEMBERED)
        # When lists may be asked for again, and how many have failed since one was given
        self._lists_from = -math.inf
        self._failed_lists = 0
        self._wake = asyncio.Event()
        self._next_due = 0.0
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def shared(cls, batch: JobService, parent: str, server: str = SERVER) -> StatusPoller:
        """The one poller of this client for this project and region, and the jobs that this server made."""
        pollers = cls._shared.setdefault(batch, {})
        if (parent, server) not in pollers:
            pollers[parent, server] = cls(batch, parent, server=server)
        return pollers[parent, server]

    def begin(self, name: str, age_seconds: float) -> None:
        """Take note of a job that was made so long ago, before the first look at it."""
        made = self._clock() - age_seconds
        self._first_looks[name] = made
        self._begun = deque(sorted((*self._begun, made)), maxlen=MOST_REMEMBERED)

    def look(self, name: str, pause_seconds: float) -> asyncio.Future[JobStatus | None]:
        """The job's status about so many seconds from now, or None where there is no such job.

        Awaiting it raises CloudError where Batch could not be reached, or refused to report; cancelled, it is not asked
        for any longer.
        """
        now = self._clock()
        if name not in self._first_looks:
            self._first_looks[name] = now
            self._begun.append(now)
        request = StatusRequest(now + pause_seconds, pause_seconds, asyncio.get_running_loop().create_future())
        self._requests.setdefault(name, []).append(request)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"poller of {self._parent}")
        elif request.due < self._next_due:
            self._wake.set()
        request.answer.add_done_callback(lambda _: self._forget(name, request))
        return request.answer

    def forget(self, name: str) -> None:
        """The job is waited for no longer."""
        self._first_looks.pop(name, None)

    def _forget(self, name: str, request: StatusRequest) -> None:
        requests = self._requests.get(name, [])
        if request in requests:
            requests.remove(request)
        if not requests:
            self._requests.pop(name, None)

    async def _run(self) -> None:
        try:
            while self._requests:
                await self._until_due()
                now = self._clock()
                due = {
                    name: requests
                    for name, requests in self._requests.items()
                    if any(request.is_due(now) for request in requests)
                }
                if due:
                    await self._look_at(due)
        except Exception as error:
            # A defect here concerns all who wait: they all get it, because otherwise none would be answered.
            for name, requests in list(self._requests.items()):
                for request in list(requests):
                    self._answer(name, request, error)
            raise

    async def _until_due(self) -> None:
        """Sleep until the first look is due; one that comes meanwhile and is due sooner shortens the sleep."""
        while self._requests:
            self._wake.clear()
            first = min(
                (request for requests in self._requests.values() for request in requests),
                key=lambda request: request.due,
            )
            self._next_due = first.due
            wait = first.due - self._clock()
            if wait <= 0:
                return
            try:
                await asyncio.wait_for(self._wake.wait(), wait + first.pause_seconds * random.uniform(0, JITTER))
            except asyncio.TimeoutError:
                return

    async def _look_at(self, due: dict[str, list[StatusRequest]]) -> None:
        single, since = list(due), None
        if self._clock() >= self._lists_from and len(due) >= FEW:
            single, since = self._split_get_and_list(list(due))
        patience = min(request.pause_seconds for requests in due.values() for request in requests)
        listing = self._list(since, patience) if since is not None else None
        looks = [self._get(name, patience) for name in single]
        await asyncio.gather(*looks, *([listing] if listing is not None else []))
        alone = set(single)
        now = self._clock()
        # What a list does not have may be too new for it, or gone: only Batch's answer for the one job decides.
        missing = [
            name
            for name in due
            if name not in alone and any(request.is_due(now) for request in self._requests.get(name, []))
        ]
        await asyncio.gather(*(self._get(name, patience) for name in missing))

    def _split_get_and_list(self, names: list[str]) -> tuple[list[str], float | None]:
        """The jobs to be asked for one by one, and since when the list of the others is to begin.

        A list holds every job of this server that was begun since then, ended ones too: so a few jobs that run for
        long are better asked for by themselves than with a list of all that came and went meanwhile.
        """
        names = sorted(names, key=lambda name: self._first_looks.get(name, 0.0))
        begun = list(self._begun)
        best, split = float(len(names)), len(names)
        for index, name in enumerate(names):
            listed = len(begun) - bisect_left(begun, self._first_looks.get(name, 0.0) - CLOCK_SLACK_SECONDS)
            cost = index + 1 + listed / LISTED_PER_REQUEST
            if cost < best:
                best, split = cost, index
        if split == len(names):
            return names, None
        return names[:split], self._first_looks.get(names[split], 0.0)

    async def _list(self, since: float, patience_seconds: float) -> None:
        """Answer what the list reports: what is due, and what has ended."""
        created = time.time() - (self._clock() - since) - CLOCK_SLACK_SECONDS
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(created))
        filter = f'labels."{LABEL_SERVER}"="{self._server}" AND create_time>="{stamp}"'
        try:
            listed = await self._batch.list(self._parent, filter, patience_seconds=patience_seconds)
        except UnavailableError as error:
            self._failed_lists += 1
            if self._failed_lists < FAILED_LISTS:
                self._fail_due(error)
            else:
                self._stop_listing(error)
            return
        except CloudError as error:
            self._stop_listing(error)
            return
        self._failed_lists = 0
        by_id = {status.name.rsplit("/", 1)[-1]: status for status in listed}
        now = self._clock()
        for number, name in enumerate(list(self._requests)):
            if number % ANSWERED_AT_ONCE == ANSWERED_AT_ONCE - 1:
                await asyncio.sleep(0)
            status = by_id.get(name.rsplit("/", 1)[-1])
            if status is not None:
                for request in list(self._requests.get(name, ())):
                    if status.is_terminal or request.is_due(now):
                        self._answer(name, request, status)

    def _stop_listing(self, error: CloudError) -> None:
        """Lists fail: from here on, for a while, each job is asked for by itself."""
        self._failed_lists = 0
        self._lists_from = self._clock() + NO_LISTS_SECONDS
        logger.warning("jobs are asked for one by one for a while, since they cannot be listed: %s", error)

    def _fail_due(self, error: CloudError) -> None:
        now = self._clock()
        for name, requests in list(self._requests.items()):
            for request in list(requests):
                if request.is_due(now):
                    self._answer(name, request, error)

    async def _get(self, name: str, patience_seconds: float) -> None:
        answer: JobStatus | CloudError | None
        try:
            answer = await self._batch.get(name, patience_seconds=patience_seconds)
        except CloudError as error:
            answer = error
        for request in list(self._requests.get(name, [])):
            self._answer(name, request, answer)

    def _answer(self, name: str, request: StatusRequest, answer: JobStatus | Exception | None) -> None:
        if not request.answer.done():
            if isinstance(answer, Exception):
                request.answer.set_exception(answer)
            else:
                request.answer.set_result(answer)
        self._forget(name, request)
