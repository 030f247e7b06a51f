"""What a task prints, delivered while it runs: now and then, and every few seconds while somebody follows it.

Loaded once a task runs for a while. All of it happens beside the electron: what cannot be sent is left to the outcome.
"""

from __future__ import annotations

import bisect
import io
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ..protocol.envelope import DELIVERED, LATE, WireError
from ..protocol.live_part import (
    LARGEST_FOLLOW_BYTES,
    LIVE_BYTES,
    MOST_SPANS,
    MOST_TIMES,
    ItemSpan,
    LivePart,
    LiveStream,
    read_follow,
    seal_live_part,
)
from . import bucket_http as storage

if TYPE_CHECKING:
    from typing import Protocol

    from ..protocol.live_part import Followed, LiveAddress

    class SentAddress(LiveAddress, Protocol):
        """Who delivers, and under which names."""

        @property
        def task(self) -> int: ...

        @property
        def call(self) -> Followed: ...

        def live_name(self, attempt: int, number: int, done: int = 0, failed: int = 0) -> str: ...

    class GrowingStream(Protocol):
        """A stream that is kept as it is read: `output_capture.Stream` says what its attributes are.

        `first` is the offset of the oldest byte that can still be read once some that came later are gone.
        """

        @property
        def size(self) -> int: ...

        @property
        def first(self) -> int: ...

        @property
        def marks(self) -> "Sequence[Tuple[int, int]]": ...

        @property
        def times(self) -> "Sequence[Tuple[int, float]]": ...

        def pump(self) -> object: ...

        def read_back(self, start: int, end: int) -> bytes: ...


# Between two deliveries: the first pause, and the longest, with which whatever was printed a minute ago is there
PAUSE_SECONDS = 10.0
MOST_PAUSE_SECONDS = 50.0
# Between two looks for a follower, and from when on the longer ones
LOOK_SECONDS = 15.0
LATER_LOOK_SECONDS = 30.0
LATER_SECONDS = 300.0
# While something is being sent, its end is looked for so often
BUSY_SECONDS = 0.25
# Where more than this waits, only the end of it is sent
BACKLOG_BYTES = 4 * 1024 * 1024
PARTS_AT_ONCE = 2 * BACKLOG_BYTES // LIVE_BYTES
# A name that is taken is another run's of this attempt, or somebody else's: the next ones are tried, ever farther away
MOST_NAMES = 16
# The electron has ended, and a part is whole on its way: its answer is waited for this long
LAST_ANSWER_SECONDS = 2.0


# Of a task of a map: how many items have ended, how many of these raised, and which one runs
Counts = Tuple[int, int, Optional[int]]


class LiveOutput:
    """Delivers what the streams of one attempt have, as its supervisor calls `tick`.

    Args:
        open_bucket: makes a connection of its own, which waits as the given function does.
        counts: what is known of a map's items; None of a lone electron.
        pace: how long all pauses are, compared to the usual ones.
        run: what distinguishes this process's parts from those of another one; drawn where it is empty.
        call_name: an object without which nothing more is delivered; "" for none.
    """

    def __init__(
        self,
        address: SentAddress,
        attempt: int,
        open_bucket: Callable[[Callable[[float], None]], storage.BucketClient],
        counts: "Optional[Callable[[], Counts]]" = None,
        pace: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        run: str = "",
        call_name: str = "",
    ):
        self._address = address
        self._attempt = attempt
        self._open_bucket = open_bucket
        self._counts = counts
        self._pace = pace
        self._clock = clock
        self._call_name = call_name
        self._run = run or os.urandom(8).hex()
        self._number = 0
        self._sent = (_Cursor(), _Cursor())
        self._sent_done = 0
        self._begin = self._due = self._look_at = clock()
        self._pause = PAUSE_SECONDS * pace
        self._nonce: "Optional[str]" = None
        self._followed_until = self._begin
        self._follow_pause = 0.0
        self._bucket: "Optional[storage.BucketClient]" = None
        self._thread: "Optional[threading.Thread]" = None
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        # Whether a part may be in the bucket that no answer reported, and whether there is any object
        self._is_committed = False
        self._has_objects = False

    def tick(self, streams: Sequence[GrowingStream]) -> float:
        """Begin what is due; returns in how many seconds to call again, if nothing is printed before."""
        if self._thread is not None and self._thread.is_alive():
            return BUSY_SECONDS
        now = self._clock()
        is_look_due = now >= self._look_at
        parts = self._unsent(streams) if now >= self._due else []
        if is_look_due:
            is_later = now - self._begin >= LATER_SECONDS * self._pace
            self._look_at = now + (LATER_LOOK_SECONDS if is_later else LOOK_SECONDS) * self._pace
        if parts:
            if now < self._followed_until:
                self._due = now + self._follow_pause
            else:
                self._due = now + self._pause
                self._pause = min(2 * self._pause, MOST_PAUSE_SECONDS * self._pace)
        if is_look_due or parts:
            # Not waited for at the process's end
            self._thread = threading.Thread(target=self._work, args=(streams, is_look_due, parts), daemon=True)
            try:
                self._thread.start()
            except RuntimeError:
                # The task's own threads are all that there may be.
                self._thread = None
            return BUSY_SECONDS
        return self._look_at - now if now >= self._due else min(self._look_at, self._due) - now

    def stop(self) -> str:
        """Have nothing written any more; returns what the outcome is to say: DELIVERED, LATE, or "" without objects.

        A part that is whole on its way is waited for, a little; of any other one the end is never sent.
        """
        with self._lock:
            self._stopped.set()
        if self._is_committed and self._thread is not None:
            self._thread.join(LAST_ANSWER_SECONDS)
        if self._bucket is not None and (self._thread is None or not self._thread.is_alive()):
            self._bucket.close()
        if self._is_committed:
            return LATE
        return DELIVERED if self._has_objects else ""

    def _unsent(self, streams: Sequence[GrowingStream]) -> "List[_Planned]":
        """The parts to be sent now; none where there is nothing new."""
        counts: Counts = (0, 0, None)
        if self._counts is not None:
            counts = self._counts()
            # What an item printed is in the pipes before it is noted as ended.
            for stream in streams:
                stream.pump()
        cursors = [_caught_up(stream, cursor) for stream, cursor in zip(streams, self._sent)]
        planned: "List[_Planned]" = []
        while len(planned) < PARTS_AT_ONCE:
            spans = [_next_span(stream, cursor) for stream, cursor in zip(streams, cursors)]
            if all(span.start == span.end for span in spans) and (planned or counts[0] == self._sent_done):
                break
            planned.append(_Planned(spans[0], spans[1], counts))
            cursors = [span.after for span in spans]
        return planned

    def _work(self, streams: "Sequence[GrowingStream]", looks: bool, parts: "Sequence[_Planned]") -> None:
        if self._bucket is None:
            self._bucket = self._open_bucket(self._wait)
        try:
            if looks:
                self._look(self._bucket)
            if parts and self._call_name and not self._bucket.has(self._call_name):
                # The call has ended without this task, which is cancelled or holds for lost: nobody deletes more.
                self._due = self._look_at = float("inf")
                return
            for planned in parts:
                self._send(self._bucket, streams, planned)
        except (_StoppedError, storage.BucketError, OSError, WireError):
            # What was not sent is in a later part, or in the outcome.
            self._bucket.close()

    def _wait(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise _StoppedError

    def _send(self, bucket: storage.BucketClient, streams: "Sequence[GrowingStream]", planned: "_Planned") -> None:
        stdout, stderr = (
            LiveStream(span.start, stream.read_back(span.start, span.end), span.times)
            for span, stream in zip(planned[:2], streams)
        )
        done, failed, running = planned.counts
        for distance in range(MOST_NAMES):
            part = LivePart(self._attempt, self._number, stdout, stderr, planned.items(), running, self._run)
            data = seal_live_part(self._address, part)
            name = self._address.live_name(self._attempt, self._number, done, failed)
            is_written = bucket.put(name, len(data), lambda data=data: self._body(data))  # type: ignore[misc]
            self._is_committed = False
            self._has_objects = True
            self._number += 1 if is_written else 2**distance
            if is_written:
                break
        self._sent = (planned.stdout.after, planned.stderr.after)
        self._sent_done = done

    def _body(self, data: bytes) -> Iterator[bytes]:
        """Give a part's bytes. The end of the request follows: once the task has stopped, it is not to be sent."""
        yield data
        with self._lock:
            if self._stopped.is_set():
                raise _StoppedError
            self._is_committed = True

    def _look(self, bucket: storage.BucketClient) -> None:
        """See whether somebody wants the output soon."""
        found = _Bounded(LARGEST_FOLLOW_BYTES)
        try:
            if not bucket.get(self._address.call.follow_name, found, is_expected=False):
                return
            self._has_objects = True
            request = read_follow(found, self._address.call)
        except WireError:
            # Somebody else wrote it; of one that is too long not all was read.
            self._has_objects = True
            bucket.close()
            return
        except storage.BucketError as error:
            if error.is_denied:
                # A permission is missing: the bucket is not asked again.
                self._look_at = float("inf")
            bucket.close()
            return
        if request.nonce == self._nonce or (request.tasks is not None and self._address.task not in request.tasks):
            return
        self._nonce = request.nonce
        now = self._clock()
        self._followed_until = now + request.seconds
        self._follow_pause = request.pause_seconds
        self._due = min(self._due, now)


class _StoppedError(Exception):
    """The task has ended: nothing is sent any more."""


class _Cursor(NamedTuple):
    """How far a stream is sent: the offset of what follows, and how many marks precede it."""

    offset: int = 0
    mark: int = 0


class _Span(NamedTuple):
    """What of a stream is to be sent: from where to where, what was read when, the items it is of; what follows."""

    start: int
    end: int
    times: "Tuple[Tuple[int, float], ...]"
    items: "List[Tuple[int, int, int]]"
    after: _Cursor


class _Planned(NamedTuple):
    """One part to be sent."""

    stdout: _Span
    stderr: _Span
    counts: Counts

    def items(self) -> "Tuple[ItemSpan, ...]":
        """Which items' output is in it."""
        found: "Dict[int, List[int]]" = {}
        for position, span in enumerate((self.stdout, self.stderr)):
            for item, start, end in span.items:
                nothing = [self.stdout.start, self.stdout.start, self.stderr.start, self.stderr.start]
                found.setdefault(item, nothing)[2 * position : 2 * position + 2] = start, end
        return tuple(ItemSpan(item, *offsets) for item, offsets in found.items())


class _Bounded(io.BytesIO):
    """Memory for an object that may be anybody's."""

    def __init__(self, most_bytes: int):
        super().__init__()
        self._most_bytes = most_bytes

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self._most_bytes:
            raise WireError("the object is too large")
        return super().write(data)


def _caught_up(stream: GrowingStream, cursor: _Cursor) -> _Cursor:
    """Where to continue: without what is kept no more, and of too much that waits the end alone."""
    is_backlog = stream.size - cursor.offset > BACKLOG_BYTES
    return cursor._replace(offset=max(stream.size - LIVE_BYTES if is_backlog else cursor.offset, stream.first))


def _next_span(stream: GrowingStream, cursor: _Cursor) -> _Span:
    """What comes next of a stream, as much as goes into one part."""
    start, mark = cursor
    end = min(stream.size, start + LIVE_BYTES)
    items: "List[Tuple[int, int, int]]" = []
    at = start
    while True:
        # What lies between `at` and the next mark belongs to the mark before.
        is_last = mark == len(stream.marks) or stream.marks[mark][1] > end
        until = end if is_last else max(at, stream.marks[mark][1])
        if until > at and mark and stream.marks[mark - 1][0] >= 0:
            items.append((stream.marks[mark - 1][0], at, until))
        at = until
        if is_last or len(items) == MOST_SPANS // 2:
            return _Span(start, at, _times(stream, start, at), items, _Cursor(at, mark))
        mark += 1


def _times(stream: GrowingStream, start: int, end: int) -> "Tuple[Tuple[int, float], ...]":
    """When what lies between these offsets was read."""
    first = max(bisect.bisect_right(stream.times, (start, float("inf"))) - 1, 0)
    found = [(max(offset, start), when) for offset, when in stream.times[first:] if offset < end]
    return tuple(found[:: len(found) // MOST_TIMES + 1])
