"""The requests that have tasks deliver their output soon: written, renewed while somebody looks, deleted at the end."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..cloud.interfaces import Bucket
from ..errors import CloudError
from ..protocol.live_part import LONGEST_FOLLOW_SECONDS, FollowRequest, seal_follow

if TYPE_CHECKING:
    from ..protocol.live_part import Followed

# What one follower asks of up to so many tasks; of more each delivers less often
PAUSE_SECONDS, QUICK_TASKS = 2.0, 50
REQUEST_SECONDS, RENEW_SECONDS = 60.0, 25.0
# Where the pause is to be so many times longer or shorter, the request is renewed at once
OTHER_PACE = 2.0


def pause_for(tasks: int) -> float:
    """In which pauses each of so many tasks is to deliver, in seconds."""
    return PAUSE_SECONDS * max(tasks / QUICK_TASKS, 1.0)


class FollowRequests:
    """The requests of one follower in one bucket.

    Args:
        store: whose requests end soon: nobody waits for a request.
        clock: seconds, of which only differences count.
    """

    def __init__(self, store: Bucket, clock: Callable[[], float] = time.monotonic):
        self._store, self._clock = store, clock
        # By call: its identity, when its request is to be renewed, and the pause that it asks for
        self._written: dict[str, tuple[Followed, float, float]] = {}

    def renew(self, calls: Mapping[str, Followed], tasks: int) -> None:
        """Have each of these calls a request that has not expired, and no other one.

        Args:
            calls: by their ids.
            tasks: of all of them.

        Raises:
            CloudError: a request could not be written.
        """
        pause = pause_for(tasks)
        slower = pause / PAUSE_SECONDS
        for call_id in [call_id for call_id in self._written if call_id not in calls]:
            self._delete(call_id)
        for call_id, identity in calls.items():
            _, due, written = self._written.get(call_id, (identity, 0.0, 0.0))
            # How many tasks it has becomes known as they begin and end.
            is_other = not written / OTHER_PACE < pause < written * OTHER_PACE
            if is_other or self._clock() >= due:
                self._write(identity, FollowRequest(
                    secrets.token_hex(8), min(REQUEST_SECONDS * slower, LONGEST_FOLLOW_SECONDS), pause
                ))  # fmt: skip
                renewal = min(RENEW_SECONDS * slower, LONGEST_FOLLOW_SECONDS / 2)
                self._written[call_id] = identity, self._clock() + renewal, pause

    def end(self) -> None:
        """Delete all of them, as far as the bucket lets that be done."""
        for call_id in list(self._written):
            with contextlib.suppress(CloudError):
                self._delete(call_id)

    def _write(self, identity: Followed, request: FollowRequest) -> None:
        sealed = seal_follow(identity, request)
        # An object is written once; another follower's is replaced, and does for both until that one renews it.
        if not self._store.put(identity.follow_name, sealed):
            self._store.delete(identity.follow_name)
            self._store.put(identity.follow_name, sealed)

    def _delete(self, call_id: str) -> None:
        identity, _, _ = self._written.pop(call_id)
        self._store.delete(identity.follow_name)
