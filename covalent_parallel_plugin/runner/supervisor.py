"""The task's first process: fetch the call, have the electron run in another one, deliver the outcome.

It loads nothing of the user's, so it lives on when the electron is killed, leaves the interpreter or runs too long.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import traceback
from typing import BinaryIO, Dict, List, Mapping, NamedTuple, Optional, Tuple, cast

from .. import wire
from . import bucket as storage
from .items import Share, parse_indices, write_share
from .process import supervise
from .report import KEPT_BYTES, Ending, outcome_of, partial_of


class Assignment(NamedTuple):
    """What the job's environment says of this task."""

    bucket: str
    folder: str
    call_id: str
    key: bytes
    time_limit_seconds: float
    keep_objects: bool
    task_index: int
    tasks: int
    attempt: int
    last_attempt: int
    round: int
    chosen: Optional[List[int]]

    def __repr__(self) -> str:
        return "Assignment(%s, task %d, attempt %d)" % (self.folder, self.task_index, self.attempt)

    def binding(self, kind: str) -> bytes:
        return wire.binding(kind, self.call_id, self.task_index, self.round or None)


def main() -> int:
    """Run this task; the exit status says whether an outcome was delivered (see `wire`)."""
    try:
        return _main(time.time())
    except Exception:
        traceback.print_exc()
        return wire.EXIT_RUNNER_FAILED


def _main(started: float) -> int:
    assignment = _read_environment()
    bucket = storage.from_environment(assignment.bucket)
    folder = tempfile.mkdtemp(prefix="covalent-parallel-")
    try:
        return _run_task(assignment, bucket, folder, started)
    except storage.BucketError as error:
        _say(str(error))
        if error.status == 404:
            return wire.EXIT_NO_CALL
        return wire.EXIT_BUCKET_UNREADABLE
    except wire.WireError as error:
        _say("the call in the bucket is refused: %s" % error)
        return wire.EXIT_BAD_DIGEST
    finally:
        bucket.close()
        shutil.rmtree(folder, ignore_errors=True)


def _read_environment() -> Assignment:
    environment = os.environ
    assignment = Assignment(
        bucket=environment[wire.ENV_BUCKET],
        folder=environment[wire.ENV_FOLDER],
        call_id=environment[wire.ENV_CALL_ID],
        key=wire.remove_key(environment),
        time_limit_seconds=float(environment[wire.ENV_TIME_LIMIT]),
        keep_objects=environment.get(wire.ENV_KEEP_OBJECTS) == "1",
        task_index=int(environment.get("BATCH_TASK_INDEX", "0")),
        tasks=int(environment.get("BATCH_TASK_COUNT", "1")),
        attempt=int(environment.get("BATCH_TASK_RETRY_ATTEMPT", "0")),
        last_attempt=int(environment.get(wire.ENV_LAST_ATTEMPT, "0")),
        round=int(environment.get(wire.ENV_ROUND, "0")),
        chosen=parse_indices(environment[wire.ENV_ITEMS]) if wire.ENV_ITEMS in environment else None,
    )
    for name in list(environment):
        if name.startswith(wire.ENV_PREFIX):
            del environment[name]
    return assignment


def _run_task(task: Assignment, bucket: storage.Bucket, folder: str, started: float) -> int:
    seconds: Dict[str, float] = {}
    clock = time.monotonic()
    with open(os.path.join(folder, "call"), "w+b") as call:
        bucket.get(wire.call_name(task.folder), call)
        envelope = wire.read_header(call, task.key, wire.binding(wire.CALL, task.call_id))
        seconds["fetch"] = round(time.monotonic() - clock, 6)
        refusal = _refusal(envelope.header)
        if refusal is not None:
            ending = Ending(exit_status=None, signal=None, reason="refused")
            header, parts = outcome_of(folder, ending, refusal)
        elif envelope.header.get("map"):
            ending, header, parts = _run_items(task, bucket, folder, call, envelope)
        else:
            ending = supervise(call, envelope, folder, task.time_limit_seconds).ending
            header, parts = outcome_of(folder, ending)
    seconds["electron"] = round(time.monotonic() - clock - seconds["fetch"], 6)
    if ending.reason == "terminated":
        _deliver_partial(bucket, task, folder, cast(Tuple[int, int], header.get("since", (0, 0))))
        return wire.EXIT_TERMINATED
    if header["outcome"] in (wire.EXCEPTION, wire.KILLED) and task.attempt < task.last_attempt:
        _say("attempt %d of %d failed and is to be tried again" % (task.attempt + 1, task.last_attempt + 1))
        _deliver_partial(bucket, task, folder)
        return wire.EXIT_RETRY_EXCEPTION
    header.update(
        kind=wire.OUTCOME,
        call_id=task.call_id,
        task_index=task.task_index,
        attempt=task.attempt,
        python=sys.version.split()[0],
        started_at=started,
        seconds={**seconds, **header.get("seconds", {})},  # type: ignore[dict-item]
    )
    if task.keep_objects:
        _deliver_long_streams(bucket, task, folder)
    name = wire.outcome_name(task.folder, task.task_index, task.round)
    try:
        if not _deliver(bucket, name, header, parts, task, wire.OUTCOME):
            _say("another attempt of this task has delivered its outcome before")
    except storage.BucketError as error:
        _say(str(error))
        return wire.EXIT_NOT_DELIVERED
    return wire.EXIT_DELIVERED


def _run_items(
    task: Assignment, bucket: storage.Bucket, folder: str, call: BinaryIO, envelope: wire.Envelope
) -> Tuple[Ending, Dict[str, object], Dict[str, wire.Part]]:
    """Run this task's share of a map's items."""
    # Loaded here only: a lone electron does without.
    from . import mapping

    place = mapping.Place(task.folder, task.call_id, task.key, task.task_index, task.round)
    delivery = mapping.Delivery(place, folder, lambda: storage.from_environment(task.bucket))
    position = delivery.skip_delivered(bucket) if task.attempt else 0
    marker = "\0covalent-parallel-%s" % os.urandom(8).hex()
    write_share(folder, Share(task.task_index, task.tasks, position, task.chosen, marker))
    ending, streams = supervise(call, envelope, folder, task.time_limit_seconds, marker.encode(), delivery.tick)
    if ending.reason == "terminated":
        try:
            delivery.send_rest(streams)
        except storage.BucketError as error:
            _say(str(error))
        # The output of what was sent is with it.
        return ending, {"outcome": wire.KILLED, "since": delivery.sent_output}, {}
    header, parts = mapping.outcome_of_items(folder, ending, streams, delivery)
    return ending, header, parts


def _refusal(header: wire.Json) -> Optional[Dict[str, object]]:
    theirs, ours = wire.python_minor(str(header["python"])), wire.python_minor(sys.version.split()[0])
    if theirs == ours:
        return None
    return {
        "reason": "wrong_python",
        "message": "the workflow was dispatched from Python %s and the image has Python %s: pickled functions run"
        " only on the same minor version. Leave container_image_uri out, use an image with Python %s, or dispatch from"
        " Python %s." % (header["python"], sys.version.split()[0], theirs, ours),
    }


def _deliver_partial(bucket: storage.Bucket, task: Assignment, folder: str, since: Tuple[int, int] = (0, 0)) -> None:
    """The output so far, under a name of its own: only a final ending uses the write-once name of the outcome."""
    header, parts = partial_of(folder, task.call_id, task.task_index, task.attempt, since)
    name = wire.partial_name(task.folder, task.task_index, task.attempt, task.round)
    try:
        _deliver(bucket, name, header, parts, task, wire.PARTIAL)
    except storage.BucketError as error:
        _say(str(error))


def _deliver(
    bucket: storage.Bucket,
    name: str,
    header: wire.Json,
    parts: Mapping[str, wire.Part],
    task: Assignment,
    kind: str,
) -> bool:
    prefix = wire.seal(header, parts, task.key, task.binding(kind))
    return bucket.put(name, wire.total_size(prefix, parts), lambda: wire.chunks(prefix, parts))


def _deliver_long_streams(bucket: storage.Bucket, task: Assignment, folder: str) -> None:
    for stream in ("stdout", "stderr"):
        path = os.path.join(folder, stream)
        if os.path.exists(path) and os.path.getsize(path) > 2 * KEPT_BYTES:
            part = wire.file_part(path)
            name = wire.stream_name(task.folder, task.task_index, stream, task.round)
            try:
                bucket.put(name, part.size, lambda part=part: wire.chunks(b"", {"": part}))  # type: ignore[misc]
            except storage.BucketError as error:
                _say(str(error))


def _say(text: str) -> None:
    sys.stderr.write("covalent-parallel: %s\n" % text)
