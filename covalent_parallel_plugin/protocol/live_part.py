"""Some of the output of a task that runs, and the request to have it soon: each one an envelope, made and read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, BinaryIO, List, Mapping, NamedTuple, Optional, Sequence, Tuple, cast

from .envelope import FOLLOW, LIVE, Envelope, TruncatedError, WireError, read_header, read_part, seal_envelope

if TYPE_CHECKING:
    from typing import Protocol

    class Followed(Protocol):
        """What output is asked for of: a call, or a task of a sweep."""

        @property
        def key(self) -> bytes: ...

        @property
        def follow_name(self) -> str: ...

        @property
        def follow_binding(self) -> bytes: ...

    class LiveAddress(Protocol):
        """What delivers output while it runs: a task of a call, or an execution of a task of a sweep."""

        @property
        def key(self) -> bytes: ...

        def live_binding(self, attempt: int, number: int) -> bytes: ...


# Of each stream in one part
LIVE_BYTES = 256 * 1024
# What one part may say of times and of items; whoever makes parts puts what is more into the next one
MOST_TIMES = 1000
MOST_SPANS = 10_000
# No part and no request that a task or a follower makes is larger: what is, is not worth its download
LARGEST_LIVE_BYTES = 2 * 1024 * 1024
LARGEST_FOLLOW_BYTES = 1024 * 1024
LONGEST_TEXT = 100
LARGEST_OFFSET = 2**63
LONGEST_FOLLOW_SECONDS = 3600.0


class LiveStream(NamedTuple):
    """Bytes of a stream of one attempt, from its offset `start` on.

    `times` has offsets, in order, and when what begins there was read (seconds since 1970).
    """

    start: int = 0
    data: bytes = b""
    times: "Tuple[Tuple[int, float], ...]" = ()

    @property
    def end(self) -> int:
        """The offset of what follows."""
        return self.start + len(self.data)


class ItemSpan(NamedTuple):
    """An item of a map, and the offsets in both streams of what it printed, as far as that is in this part."""

    item: int
    stdout_start: int
    stdout_end: int
    stderr_start: int
    stderr_end: int


class LivePart(NamedTuple):
    """Some of the output of an attempt that runs.

    A stream that starts above the end of its last part has skipped what lies between. `run` is drawn by each
    process: where it differs from that of the part before, both streams begin again, as in the second of two jobs.
    `running` is the item that has begun and not ended.
    """

    attempt: int
    number: int
    stdout: LiveStream = LiveStream()
    stderr: LiveStream = LiveStream()
    items: "Tuple[ItemSpan, ...]" = ()
    running: "Optional[int]" = None
    run: str = ""

    @property
    def streams(self) -> "Tuple[LiveStream, LiveStream]":
        """Stdout and stderr."""
        return self.stdout, self.stderr


class FollowRequest(NamedTuple):
    """That somebody wants output soon: for so many seconds from when a nonce is first read, in pauses of so many.

    `tasks` are the indices of those whose output is wanted; None for all.
    """

    nonce: str
    seconds: float = 60.0
    pause_seconds: float = 2.0
    tasks: "Optional[Tuple[int, ...]]" = None


def seal_live_part(address: LiveAddress, part: LivePart) -> bytes:
    """Make the object of a part. Raises WireError where its header is too long."""
    header = {
        "kind": LIVE,
        "attempt": part.attempt,
        "number": part.number,
        "run": part.run,
        "stdout": [part.stdout.start, part.stdout.end],
        "stderr": [part.stderr.start, part.stderr.end],
        "times": {"stdout": part.stdout.times, "stderr": part.stderr.times},
        "items": part.items,
        "running": part.running,
    }
    parts = {"stdout": part.stdout.data, "stderr": part.stderr.data}
    prefix = seal_envelope(header, parts, address.key, address.live_binding(part.attempt, part.number))
    return b"".join((prefix, part.stdout.data, part.stderr.data))


def read_live_part(stream: BinaryIO, address: LiveAddress, attempt: int, number: int) -> LivePart:
    """Read and check the object of a part.

    Raises:
        WireError: it is not the one that this task sealed as this attempt's and with this number, or makes no sense.
    """
    envelope = _whole(stream, address.key, address.live_binding(attempt, number), LARGEST_LIVE_BYTES)
    header = cast(Mapping[str, Any], envelope.header)
    try:
        stdout, stderr = (_stream(stream, envelope, name) for name in ("stdout", "stderr"))
        items = tuple(_span(row, stdout, stderr) for row in _listed(header["items"], MOST_SPANS))
        running = None if header["running"] is None else _count(header["running"])
        return LivePart(attempt, number, stdout, stderr, items, running, _short(header.get("run", "")))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise WireError("a part of the output makes no sense: %s: %.300s" % (type(error).__name__, error)) from error


def seal_follow(identity: Followed, request: FollowRequest) -> bytes:
    """Make the object of a request."""
    return seal_envelope(dict(request._asdict(), kind=FOLLOW), {}, identity.key, identity.follow_binding)


def read_follow(stream: BinaryIO, identity: Followed) -> FollowRequest:
    """Read and check the object of a request.

    Raises:
        WireError: nobody who has the call's key made it, or it makes no sense.
    """
    header = _whole(stream, identity.key, identity.follow_binding, LARGEST_FOLLOW_BYTES).header
    try:
        tasks = header["tasks"]
        return FollowRequest(
            _short(header["nonce"]),
            _seconds(header["seconds"]),
            _seconds(header["pause_seconds"]),
            None if tasks is None else tuple(_count(task) for task in _listed(tasks, LARGEST_FOLLOW_BYTES)),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise WireError("a request for output makes no sense: %s: %.300s" % (type(error).__name__, error)) from error


def _whole(stream: BinaryIO, key: bytes, bound_to: bytes, most_bytes: int) -> Envelope:
    """The header of an object of this size at most that has all of its parts and nothing else."""
    size = stream.seek(0, 2)
    if size > most_bytes:
        raise WireError("the object has %d bytes, more than the %d of any of its kind" % (size, most_bytes))
    envelope = read_header(stream, key, bound_to)
    if envelope.size != size:
        raise TruncatedError("the object has %d bytes, and its header tells of %d" % (size, envelope.size))
    return envelope


def _stream(file: BinaryIO, envelope: Envelope, name: str) -> LiveStream:
    header = cast(Mapping[str, Any], envelope.header)
    start, end = (_count(offset) for offset in header[name])
    if not 0 <= end - start == envelope.entry(name).size <= LIVE_BYTES:
        raise ValueError("%s is said to lie in [%d, %d]" % (name, start, end))
    times = tuple((_count(offset), _time(when)) for offset, when in _listed(header["times"][name], MOST_TIMES))
    offsets = [start, *(offset for offset, _ in times), end]
    if times and offsets != sorted(offsets):
        raise ValueError("the times of %s are not in order" % name)
    return LiveStream(start, read_part(file, envelope, name), times)


def _span(row: "Sequence[object]", stdout: LiveStream, stderr: LiveStream) -> ItemSpan:
    span = ItemSpan(*map(_count, row))
    is_inside = stdout.start <= span.stdout_start <= span.stdout_end <= stdout.end
    if not (is_inside and stderr.start <= span.stderr_start <= span.stderr_end <= stderr.end):
        raise ValueError("item %d is said to have printed what is not in this part" % span.item)
    return span


def _listed(value: object, most: int) -> "List[Any]":
    if not isinstance(value, list) or len(value) > most:
        raise TypeError("a list of %d entries at most belongs here" % most)
    return value


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= LARGEST_OFFSET:
        raise ValueError("%.50r is not a count" % (value,))
    return value


def _short(value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise TypeError("a text of %d characters at most belongs here" % LONGEST_TEXT)
    return value


def _time(value: object) -> float:
    if type(value) not in (int, float) or not math.isfinite(cast(float, value)):
        raise ValueError("%.50r is no time" % (value,))
    return float(cast(float, value))


def _seconds(value: object) -> float:
    seconds = _time(value)
    if not 0 < seconds <= LONGEST_FOLLOW_SECONDS:
        raise ValueError("nobody waits %g seconds" % seconds)
    return seconds
