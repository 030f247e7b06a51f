"""Whose output is followed: the requests of one follower in all buckets, and how often it looks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial

from ..cloud.timed_calls import Deadline, call_within
from ..errors import CloudError
from .follow_requests import PAUSE_SECONDS, FollowRequests, pause_for
from .live_reader import LiveLook, tasks_by_call
from .stores import Stores
from .wanted_output import Place

RENEW_SECONDS, END_SECONDS = 20.0, 8.0


class FollowedCalls:
    """Has the tasks of calls deliver soon for as long as it is entered.

    Attributes:
        pause_seconds: until the next look.
    """

    def __init__(self, stores: Stores):
        self._stores = stores
        self._requests: dict[Place, FollowRequests] = {}
        self._told: dict[Place, str] = {}
        self.pause_seconds = PAUSE_SECONDS

    def __enter__(self) -> FollowedCalls:
        return self

    def __exit__(self, *_: object) -> None:
        for requests in self._requests.values():
            with contextlib.suppress(CloudError):
                call_within(END_SECONDS, "the bucket", requests.end)

    def renew(self, running: Mapping[Place, LiveLook], deadline: Deadline) -> Iterator[str]:
        """Have these calls, and no others, deliver soon; gives what went wrong, once."""
        tasks = sum(sum(tasks_by_call(look).values()) for look in running.values())
        self.pause_seconds = pause_for(tasks)
        for place in {**self._requests, **running}:
            own = running[place].calls.values() if place in running else ()
            calls = {call.call_id: call for each in own for call in each}
            try:
                if place not in self._requests:
                    self._requests[place] = FollowRequests(self._stores.at(place, deadline))
                renew = partial(self._requests[place].renew, calls, tasks)
                call_within(deadline.share(RENEW_SECONDS), "the bucket", renew)
                self._told.pop(place, None)
            except CloudError as error:
                text = f"output comes later than it could: {str(error).partition(chr(10))[0]}"
                if self._told.get(place) != text:
                    self._told[place] = text
                    yield text
