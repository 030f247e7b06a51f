"""The task's first process: fetch the call, have the electron run in another one, deliver the outcome.

It loads nothing of the user's, so it lives on when the electron is killed, leaves the interpreter or runs too long.
"""

from __future__ import annotations

import _thread
import gc
import os
import shutil
import sys
import tempfile
import time
import traceback
from typing import TYPE_CHECKING, BinaryIO, Callable, Dict, Mapping, NamedTuple, Optional, Sequence, Tuple, cast

from ..protocol import envelope as envelopes
from ..protocol import environment as variables
from ..protocol import exit_codes
from ..protocol.ending_event import SUCCESSES, ending_line
from ..protocol.identity import CallIdentity, TaskAddress
from ..protocol.limits import KEPT_BYTES
from . import bucket_http as storage
from .electron_files import ElectronFiles
from .outcome_report import DISK_FULL, Ending, ending_text, exception_text, outcome_of, partial_of
from .output_capture import LateDelivery, Stream, say, write_soon
from .supervise import Tick, supervise

if TYPE_CHECKING:
    from .checkpoint import Checkpoints
    from .live_output import Counts, LiveOutput

# What a partial outcome says of its attempt, beside its output
MEASURED = ("outcome", "reason", "signal", "times", "machine", "cpu_seconds", "peak_memory_bytes")
# Where the metadata server is, if it is not Google's; of Google's own libraries
METADATA_VARIABLE = "GCE_METADATA_HOST"
# The metadata server is asked for the machine once an electron has run for so long; by short ones it is not missed
MACHINE_AFTER_SECONDS = 0.5
# How often what ended of a map is looked at
MAP_SECONDS = 1.0
# Taken now: the electron, which ends by way of `_main`, may put something else in its place.
_getpid = os.getpid


class TaskEnvironment(NamedTuple):
    """What the job's environment says of this task."""

    bucket: str
    address: TaskAddress
    time_limit_seconds: float
    keep_objects: bool
    tasks: int
    attempt: int
    last_attempt: int
    items: Optional[str]
    place: Optional[str]
    live_pace: float
    has_checkpoints: bool
    checkpoint_pace: float
    checkpoint_call: CallIdentity


def main() -> int:
    """Run this task; the exit status says whether an outcome was delivered (see `protocol.exit_codes`)."""
    # Until the electron runs hardly any garbage comes up, and looking for it takes time (`supervise`, `electron_main`).
    gc.disable()
    try:
        return _main(_process_start(time.time()))
    except Exception as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            say("the container's disk is full: raise boot_disk_gb, or the size of its --tmpfs: %s" % error)
            return exit_codes.EXIT_NO_SPACE
        say("the runner failed\n" + traceback.format_exc())
        return exit_codes.EXIT_RUNNER_FAILED


def _main(started: float) -> int:
    task = _read_environment()
    bucket = storage.from_environment(task.bucket)
    folder = tempfile.mkdtemp(prefix="covalent-parallel-", dir=task.place)
    files = ElectronFiles(folder)
    process = _getpid()
    try:
        return _run_task(task, bucket, files, started)
    except storage.BucketError as error:
        say(str(error))
        return error.exit_status
    except envelopes.WireError as error:
        say("the call in the bucket is refused: %s" % error)
        return exit_codes.EXIT_BAD_DIGEST
    finally:
        if _getpid() == process:
            # And not the electron's, which ends by way of here, nor a copy of it
            bucket.close()
            files.close()
            shutil.rmtree(folder, ignore_errors=True)


def _read_environment() -> TaskEnvironment:
    environment = os.environ
    call = CallIdentity(
        environment[variables.ENV_CALL_ID], variables.remove_key(environment), environment[variables.ENV_FOLDER]
    )
    task = TaskEnvironment(
        bucket=environment[variables.ENV_BUCKET],
        address=call.task(
            int(environment.get("BATCH_TASK_INDEX", "0")), int(environment.get(variables.ENV_ROUND, "0"))
        ),
        time_limit_seconds=float(environment[variables.ENV_TIME_LIMIT]),
        keep_objects=environment.get(variables.ENV_KEEP_OBJECTS) == "1",
        tasks=int(environment.get("BATCH_TASK_COUNT", "1")),
        attempt=int(environment.get("BATCH_TASK_RETRY_ATTEMPT", "0")),
        last_attempt=int(environment.get(variables.ENV_LAST_ATTEMPT, "0")),
        items=environment.get(variables.ENV_ITEMS),
        place=environment.get(variables.ENV_PLACE),
        live_pace=float(environment.get(variables.ENV_LIVE, "1")),
        has_checkpoints=variables.ENV_CHECKPOINT in environment,
        checkpoint_pace=float(environment.get(variables.ENV_CHECKPOINT_PACE, "1")),
        checkpoint_call=_earlier_call(environment) or call,
    )
    for name in list(environment):
        # What the electron's process is still to read, which removes it
        if name.startswith(variables.ENV_PREFIX) and name != variables.ENV_PACKAGES:
            del environment[name]
    return task


def _earlier_call(environment: "os._Environ[str]") -> "Optional[CallIdentity]":
    """Take the call that the checkpoints belong to, where that is an earlier one, out of the environment."""
    folder, key = (environment.pop(name, "") for name in (variables.ENV_CHECKPOINT_CALL, variables.ENV_CHECKPOINT_KEY))
    return CallIdentity(folder.rpartition("/")[2], bytes.fromhex(key), folder) if folder else None


def _process_start(now: float) -> float:
    """When this process was started, before it had loaded Python; as far as the kernel reports it, else `now`."""
    try:
        with open("/proc/self/stat", "rb") as file:
            ticks = int(file.read().rsplit(b")", 1)[1].split()[19])
        # proc(5): the 22nd field is the start after boot, in ticks of the clock.
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return now
    return now - age if age > 0 else now


def _run_task(task: TaskEnvironment, bucket: storage.BucketClient, files: ElectronFiles, started: float) -> int:
    identity = task.address.call
    seconds: Dict[str, float] = {}
    times: Dict[str, object] = {"began": started}
    machine: Dict[str, object] = {}
    clock = time.monotonic()
    raised: "Sequence[Mapping[str, object]]" = ()
    live = LateDelivery(task.live_pace, lambda: _live_output(task))
    saved: "Optional[Checkpoints]" = None
    with tempfile.TemporaryFile() as file:
        call = cast(BinaryIO, file)
        bucket.get(identity.object_name, call)
        envelope = envelopes.read_header(call, identity.key, identity.binding)
        seconds["fetch"] = round(time.monotonic() - clock, 6)
        times["fetched"] = time.time()
        refusal = _refusal(envelope.header)
        if refusal is None and "modules_sha256" in envelope.header:
            # Loaded here only: most electrons have no modules of their own.
            from .own_modules import fetch_modules

            if not fetch_modules(bucket, envelope.header, files.folder):
                return exit_codes.EXIT_NO_MODULES
        if refusal is not None:
            ending = Ending(exit_status=None, signal=None, reason="refused")
            header, parts = outcome_of(files, ending, refusal)
        elif envelope.header.get("map"):
            ending, header, parts, raised = _run_items(task, bucket, files, call, envelope, live, machine)
        else:
            tick: Tick = live.tick
            release, limit = bucket.close, task.time_limit_seconds
            if task.has_checkpoints:
                saved = _checkpoints(task, files)
                tick, release = saved.beside(tick), saved.left_beside(release)
            beside = _asking(machine)
            ending = supervise(call, envelope, files, limit, tick=tick, release=release, beside=beside).ending
            if saved is not None and ending.reason != "terminated":
                saved.finish(ending, files)
            header, parts = outcome_of(files, ending)
    # Before anything is delivered: whoever reads that deletes what was delivered before.
    live_objects = live.stop()
    seconds["electron"] = round(time.monotonic() - clock - seconds["fetch"], 6)
    header["machine"] = dict(machine)
    header["times"] = {**times, **cast(Dict[str, object], header["times"]), "delivered": time.time()}
    if ending.reason == "terminated" and header["outcome"] not in (envelopes.VALUE, envelopes.ITEMS):
        header["reason"] = ending.reason
        _deliver_partial(bucket, task, files, header, cast(Tuple[int, int], header.get("since", (0, 0))))
        if saved is not None:
            # Last, since the machine may go before all of it is sent
            saved.finish(ending, files)
            saved.stop()
        return exit_codes.EXIT_TERMINATED
    if saved is not None and saved.stop():
        live_objects = envelopes.LATE
    if header["outcome"] in (envelopes.EXCEPTION, envelopes.KILLED) and task.attempt < task.last_attempt:
        say("attempt %d of %d failed and is to be tried again" % (task.attempt + 1, task.last_attempt + 1))
        _deliver_partial(bucket, task, files, header)
        return exit_codes.EXIT_RETRY_EXCEPTION
    header.update(
        kind=envelopes.OUTCOME,
        call_id=identity.call_id,
        task_index=task.address.task,
        attempt=task.attempt,
        python=sys.version.split()[0],
        seconds={**seconds, **header.get("seconds", {})},  # type: ignore[dict-item]
    )
    if live_objects:
        header["live"] = live_objects
    if task.keep_objects:
        _deliver_long_streams(bucket, task, files)
    if not _deliver(bucket, task.address.outcome_name, header, parts, task, envelopes.OUTCOME):
        say("another attempt of this task has delivered its outcome before")
    else:
        _report_ending(envelope.header, header, raised)
    return exit_codes.EXIT_DELIVERED


def _report_ending(call: envelopes.Json, header: envelopes.Json, raised: Sequence[Mapping[str, object]]) -> None:
    """Report how the electron ended, for the history of the job; `raised` are exceptions of a map's items."""
    text = ending_text(header)
    keeps = bool(call.get("return_exceptions"))
    has_failed = text not in SUCCESSES or (bool(raised) and not keeps)
    if raised and not has_failed:
        text = "has errors in place of %d values, the first %s, and %s" % (len(raised), exception_text(raised[0]), text)
    elif raised:
        text += ", of which %d raised, the first %s" % (len(raised), exception_text(raised[0]))
    line = ending_line("electron %r (node %s) %s" % (call["name"], call["node_id"], text), has_failed)
    write_soon(2, line.encode())


def _run_items(
    task: TaskEnvironment,
    bucket: storage.BucketClient,
    files: ElectronFiles,
    call: BinaryIO,
    envelope: envelopes.Envelope,
    live: LateDelivery,
    machine: "Dict[str, object]",
) -> Tuple[Ending, Dict[str, object], Dict[str, envelopes.Part], Sequence[Mapping[str, object]]]:
    """Run this task's share of a map's items; returns also the exceptions of those that raised."""
    # Loaded here only: a lone electron does without.
    from ..protocol.item_call import parse_indices
    from . import map_delivery
    from .map_items import ItemShare

    delivery = map_delivery.MapDelivery(task.address, files, lambda: storage.from_environment(task.bucket))
    position = delivery.skip_delivered(bucket) if task.attempt else 0
    marker = "\0covalent-parallel-%s" % os.urandom(8).hex()
    chosen = parse_indices(task.items) if task.items is not None else None
    files.share = ItemShare(task.address.task, task.tasks, position, chosen, marker)
    live.load = lambda: _live_output(task, delivery.counts)

    def tick(streams: Sequence[Stream]) -> float:
        delivery.send_due_chunk(streams)
        return min(MAP_SECONDS, live.tick(streams))

    limit, mark = task.time_limit_seconds, marker.encode()
    ending, streams = supervise(call, envelope, files, limit, mark, tick, bucket.close, _asking(machine))
    if ending.reason == "terminated" and outcome_of(files, ending)[0]["outcome"] != envelopes.VALUE:
        try:
            delivery.send_unsent(streams)
        except storage.BucketError as error:
            say(str(error))
        # The output of what was sent is with it.
        header = outcome_of(files, ending)[0]
        return ending, {**header, "outcome": envelopes.KILLED, "since": delivery.sent_output}, {}, ()
    header, parts = map_delivery.outcome_of_items(files, ending, streams, delivery)
    raised = [note.exception for note in delivery.notes().ended if note.exception is not None]
    return ending, header, parts, raised


def _asking(machine: "Dict[str, object]") -> Callable[[], None]:
    """What asks beside the electron which machine this is; on Google's machines, and where an emulator answers."""

    def ask(host: str) -> None:
        time.sleep(MACHINE_AFTER_SECONDS)
        try:
            # Loaded here only: a short electron does without.
            from .machine_data import machine_of

            machine.update(machine_of(host))
        except Exception:
            # No electron is worth less for that, whatever it was.
            return

    def begin() -> None:
        is_google = not os.environ.get(variables.STORAGE_EMULATOR_HOST)
        host = os.environ.get(METADATA_VARIABLE) or (storage.METADATA_HOST if is_google else "")
        try:
            if host:
                _thread.start_new_thread(ask, (host,))
        except RuntimeError:
            # The container may have no more threads.
            return

    return begin


def _checkpoints(task: TaskEnvironment, files: ElectronFiles) -> "Checkpoints":
    """What keeps the electron's checkpoints, with the newest one restored. Raises BucketError, OSError."""
    from .checkpoint import Checkpoints

    saved = Checkpoints(
        task.checkpoint_call.task(task.address.task),
        task.attempt,
        files.folder,
        lambda sleep: storage.from_environment(task.bucket, sleep),
        task.checkpoint_pace,
    )
    saved.restore()
    return saved


def _live_output(task: TaskEnvironment, counts: "Optional[Callable[[], Counts]]" = None) -> "LiveOutput":
    """What delivers the electron's output while it runs; `counts` returns what is known of a map's items."""
    from .live_output import LiveOutput

    return LiveOutput(
        task.address,
        task.attempt,
        lambda sleep: storage.from_environment(task.bucket, sleep),
        counts,
        task.live_pace,
        call_name=task.address.call.object_name,
    )


def _refusal(header: envelopes.Json) -> Optional[Dict[str, object]]:
    theirs, ours = envelopes.python_minor(str(header["python"])), envelopes.python_minor(sys.version.split()[0])
    if theirs == ours:
        return None
    return {
        "reason": "wrong_python",
        "message": "the workflow was dispatched from Python %s and the image has Python %s: pickled functions run"
        " only on the same minor version. Leave container_image_uri out, use an image with Python %s, or dispatch from"
        " Python %s." % (header["python"], sys.version.split()[0], theirs, ours),
    }


def _deliver_partial(
    bucket: storage.BucketClient,
    task: TaskEnvironment,
    files: ElectronFiles,
    outcome: envelopes.Json,
    since: Tuple[int, int] = (0, 0),
) -> None:
    """The output so far, under a name of its own: only a final ending uses the write-once name of the outcome."""
    measured = {name: outcome[name] for name in MEASURED if name in outcome}
    header, parts = partial_of(files, task.address, task.attempt, since, measured)
    name = task.address.partial_name(task.attempt)
    try:
        _deliver(bucket, name, header, parts, task, envelopes.PARTIAL)
    except storage.BucketError as error:
        say(str(error))


def _deliver(
    bucket: storage.BucketClient,
    name: str,
    header: envelopes.Json,
    parts: Mapping[str, envelopes.Part],
    task: TaskEnvironment,
    kind: str,
) -> bool:
    prefix = envelopes.seal_envelope(header, parts, task.address.call.key, task.address.binding(kind))
    return bucket.put(name, envelopes.envelope_size(prefix, parts), lambda: envelopes.envelope_chunks(prefix, parts))


def _deliver_long_streams(bucket: storage.BucketClient, task: TaskEnvironment, files: ElectronFiles) -> None:
    for stream, path in (("stdout", files.stdout.path), ("stderr", files.stderr.path)):
        if os.path.getsize(path) > 2 * KEPT_BYTES:
            part = envelopes.file_part(path)
            name = task.address.stream_name(stream)
            try:
                bucket.put(name, part.size, lambda part=part: envelopes.envelope_chunks(b"", {"": part}))  # type: ignore[misc]
            except storage.BucketError as error:
                say(str(error))
