"""Whether a sweep is to begin nothing more, by `cancel --waiting`."""

from __future__ import annotations

import time
from collections.abc import Callable

from ...protocol.sweep_objects import drain_name
from ..bucket_http import BucketClient
from ..output_capture import say
from .machine import JobEnvironment

# Between two tasks of a bundle the bucket is asked at most so often
LOOK_SECONDS = 10.0


class DrainWatch:
    """Looks into the bucket now and then; the first time LOOK_SECONDS after it was made."""

    def __init__(self, bucket: BucketClient, job: JobEnvironment, clock: Callable[[], float] = time.monotonic) -> None:
        self._bucket = bucket
        self._name = drain_name(job.sweep.folder, job.round)
        self._clock = clock
        self._looked = clock()

    def has_come(self) -> bool:
        """Look if it is time; whether nothing more is to begin. Raises BucketError."""
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return False
        self._looked = now
        return self.look()

    def look(self) -> bool:
        """Look now. Raises BucketError."""
        is_there = self._bucket.has(self._name)
        if is_there:
            say("nothing more of this sweep is begun: `cancel --waiting` was given")
        return is_there
