"""The checkpoints of one task: restored before the electron begins, written beside it and once it was ended.

Loaded only for an electron that has them (the option `checkpoint`). What cannot be written is reported, and the
electron continues; what an earlier attempt left and cannot be used is left out for the one before it.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from typing import TYPE_CHECKING, BinaryIO, Callable, Iterator, List, Optional, Sequence, Set, cast

from ..protocol.envelope import (
    CHECKPOINT,
    FilePart,
    WireError,
    envelope_chunks,
    envelope_size,
    seal_envelope,
)
from ..protocol.environment import ENV_CHECKPOINT
from ..protocol.identity import TaskAddress
from ..protocol.object_names import checkpoint_folder
from . import bucket_http as storage
from .checkpoint_arrival import FILES, CheckpointArrival
from .checkpoint_pack import MOST_BYTES, ChangedError, FolderState, PackError, folder_state, pack, unpack
from .electron_files import ElectronFiles, leave_shared
from .outcome_report import DISK_FULL, Ending
from .output_capture import Stream, say

if TYPE_CHECKING:
    from .supervise import Tick

# Between two checkpoints; and how long the folder has to be as it is, unless it never is for the second of these
PAUSE_SECONDS = 60.0
QUIET_SECONDS = 1.0
MOST_WAIT_SECONDS = 10.0
# While one is written, its end is looked for so often
BUSY_SECONDS = 0.25
# What takes its time is not begun again at once
REST_FACTOR = 5
# So many stay, and others are deleted by whoever dispatched the electron. Where nobody does, the pauses grow.
KEPT = 2
MOST_NAMES = 16
MOST_TRIES = 10
# After SIGTERM until the last one is written, of the 30 seconds that a Spot machine has; and after any other end, of
# the 60 that Batch gives after `time_limit`
TERMINATED_SECONDS = 27.0
ENDED_SECONDS = 40.0
# One that nobody needs any more ends mostly at once
STOP_SECONDS = 0.5
LAST_ANSWER_SECONDS = 2.0
REMEDY_FULL = "raise boot_disk_gb: a checkpoint takes its size once more on the disk while it is written"


class _StoppedError(Exception):
    """The time is over: nothing is sent any more."""


class Checkpoints:
    """The checkpoints of a task, in the order in which they are written.

    Args:
        address: the task of the call that they belong to.
        attempt: this attempt's number.
        place: a folder of the task's own.
        open_bucket: makes a connection of its own, which waits as the given function does.
        pace: how long all pauses are, compared to the usual ones.
        most_bytes: the size of one.
    """

    def __init__(
        self,
        address: TaskAddress,
        attempt: int,
        place: str,
        open_bucket: Callable[[Callable[[float], None]], storage.BucketClient],
        pace: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        most_bytes: int = MOST_BYTES,
    ):
        self._address = address
        self._most_bytes = most_bytes
        self._attempt = attempt
        self._pace = pace
        self._clock = clock
        self.folder = os.path.join(place, "checkpoint")
        os.mkdir(self.folder)
        # Without a name: the electron may delete whatever has one.
        self._file = cast(BinaryIO, tempfile.TemporaryFile())
        self._bucket = open_bucket(self._wait)
        self._number = 0
        self._last = b""
        self._is_off = False
        self._due = clock() + PAUSE_SECONDS * pace
        self._forced: Optional[float] = None
        # So often in a row it was changed while it was looked at
        self._changes = 0
        self._thread: Optional[threading.Thread] = None
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        # Whether one may be in the bucket that no answer reported
        self._is_committed = False
        self._notes: List[str] = []
        self._noted: Set[str] = set()

    def restore(self) -> None:
        """Unpack the newest one that is whole, and have the electron find the folder.

        Raises:
            BucketError: the bucket cannot be reached; without what is there the electron would begin anew.
            OSError: there is no room for it.
        """
        os.environ[ENV_CHECKPOINT] = self.folder
        try:
            there = self._names()
        except storage.BucketError as error:
            if not error.is_denied:
                raise
            self._is_off = True
            self._note("there are no checkpoints, as none could be found again: %s. Give the job's service account"
                       " roles/storage.objectViewer on the bucket." % error)  # fmt: skip
            return
        numbers = self._numbers(there)
        if len(numbers) < len(there):
            self._note("%d objects beside the checkpoints are not this call's" % (len(there) - len(numbers)))
        if not numbers:
            return
        self._number = numbers[-1] + 1
        for number in numbers[: -MOST_TRIES - 1 : -1]:
            if self._restore(number):
                break
            self._clear()
        self._empty_file()

    def _empty_file(self) -> None:
        self._file.seek(0)
        self._file.truncate()

    def _names(self) -> Sequence[str]:
        """The names of this task's checkpoints, and of what others put beside them. Raises BucketError."""
        return self._bucket.names("%s%d-" % (checkpoint_folder(self._address.call.folder), self._address.task))

    def _numbers(self, names: Sequence[str]) -> List[int]:
        found = (self._address.checkpoint_number(name) for name in names)
        return sorted(number for number in found if number is not None)

    def _restore(self, number: int) -> bool:
        name = self._address.checkpoint_name(number)
        arrival = CheckpointArrival(self._file, self._address.key, self._address.checkpoint_binding(number))
        try:
            if not self._bucket.get(name, cast(BinaryIO, arrival), is_expected=False):
                return False
            envelope = arrival.checked()
            unpack(self._file, envelope.entry(FILES).size, self.folder)
            self._last = folder_state(self.folder).fingerprint
        except (WireError, PackError, ChangedError) as error:
            # Of one that is refused not all was read.
            self._bucket.close()
            self._note("checkpoint %d is left out: %s" % (number, error))
            return False
        attempt, when = envelope.header.get("attempt"), envelope.header.get("made")
        made = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(when)) if isinstance(when, float) else "?"
        self._note("it continues from checkpoint %d, which attempt %s made at %s" % (number, attempt, made))
        return True

    def _clear(self) -> None:
        """Make the folder empty again."""
        # Loaded here only: hardly a task needs it.
        import shutil

        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder, exist_ok=True)

    def left_beside(self, other: Callable[[], None]) -> Callable[[], None]:
        """Return what does `other`'s work in the electron's process, and closes there what is the supervisor's."""

        def leave() -> None:
            other()
            self._bucket.close()
            leave_shared(self._file)

        return leave

    def beside(self, other: "Tick") -> "Tick":
        """Return what does `other`'s work and this one's."""
        return lambda streams: min(self._tick(streams), other(streams))

    def _tick(self, streams: Sequence[Stream]) -> float:
        while self._notes:
            streams[1].add(self._notes.pop(0))
        if self._thread is not None and self._thread.is_alive():
            return BUSY_SECONDS
        if self._is_off:
            return float("inf")
        seconds = self._due - self._clock()
        if seconds > 0:
            return seconds
        self._start(self._write_due)
        return BUSY_SECONDS

    def _start(self, work: Callable[[], None]) -> None:
        # Not waited for at the process's end
        self._thread = threading.Thread(target=self._guarded, args=(work,), daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            # The task's own threads are all that there may be.
            self._thread = None
            self._due = self._clock() + PAUSE_SECONDS * self._pace

    def _guarded(self, work: Callable[[], None]) -> None:
        begin = self._clock()
        # Unless it is written, and says else
        self._due = begin + PAUSE_SECONDS * self._pace
        try:
            work()
        except ChangedError:
            now = self._clock()
            self._due = now + max(QUIET_SECONDS * self._pace, REST_FACTOR * (now - begin))
            self._changes += 1
            if self._changes == MOST_TRIES:
                self._note_once("the folder of its checkpoints is gone, or changes whenever it is packed, and the one"
                                " before stays: have logs and what is half written elsewhere")  # fmt: skip
        except _StoppedError:
            self._bucket.close()
        except (PackError, WireError) as error:
            self._note_once("the folder of its checkpoints is not packed, and the one before stays: %s" % error)
        except storage.BucketError as error:
            self._bucket.close()
            self._note_once("a checkpoint was not written, and the one before stays: %s" % error)
        except (OSError, MemoryError) as error:
            self._bucket.close()
            is_full = isinstance(error, OSError) and error.errno in DISK_FULL
            text = "%s%s" % (error, "; " + REMEDY_FULL if is_full else "")
            self._note_once("a checkpoint was not written, and the one before stays: %s" % text)
        finally:
            self._empty_file()
            if self._stopped.is_set():
                self._close()

    def _write_due(self) -> None:
        """Write one if there is something new, and the folder is as it is for a second."""
        begin = self._clock()
        seen = folder_state(self.folder, self._most_bytes)
        now = self._clock()
        rest = max(QUIET_SECONDS * self._pace, REST_FACTOR * (now - begin))
        if not seen.entries or seen.fingerprint == self._last:
            self._due = now + rest
            return
        if self._forced is None:
            self._forced = now + MOST_WAIT_SECONDS * self._pace
        if abs(time.time() - seen.changed) < QUIET_SECONDS * self._pace and now < self._forced:
            self._due = now + rest
            return
        self._write(seen)
        try:
            there = self._numbers(self._names())
        except storage.BucketError:
            # It is written all the same.
            self._bucket.close()
            there = []
        self._due = self._clock() + PAUSE_SECONDS * self._pace * max(1, len(there) - KEPT)

    def _write(self, seen: FolderState) -> None:
        made = time.time()
        packed = pack(self.folder, self._file)
        if folder_state(self.folder).fingerprint != seen.fingerprint:
            raise ChangedError
        self._changes = 0
        for text in packed.left_out[:3]:
            self._note_once("a checkpoint is without what cannot be kept: %s" % text)
        parts = {FILES: FilePart("/proc/self/fd/%d" % self._file.fileno(), packed.size, packed.sha256)}
        for distance in range(MOST_NAMES):
            header = {
                "kind": CHECKPOINT,
                "call_id": self._address.call.call_id,
                "task_index": self._address.task,
                "number": self._number,
                "attempt": self._attempt,
                "made": made,
                "files": packed.files,
                "size": packed.size,
            }
            prefix = seal_envelope(header, parts, self._address.key, self._address.checkpoint_binding(self._number))
            name, size = self._address.checkpoint_name(self._number), envelope_size(prefix, parts)
            is_written = self._bucket.put(name, size, lambda prefix=prefix: self._body(prefix, parts))  # type: ignore[misc]
            self._is_committed = False
            # One that is there is another run's of this attempt.
            self._number += 1 if is_written else 2**distance
            if is_written:
                break
        self._last = seen.fingerprint
        self._forced = None

    def _body(self, prefix: bytes, parts: "dict[str, FilePart]") -> Iterator[bytes]:
        """Give its bytes. The end of the request follows: once the task has stopped, it is not to be sent."""
        for chunk in envelope_chunks(prefix, parts):
            if self._stopped.is_set():
                raise _StoppedError
            yield chunk
        with self._lock:
            if self._stopped.is_set():
                raise _StoppedError
            self._is_committed = True

    def finish(self, ending: Ending, files: ElectronFiles) -> None:
        """Write the last one of an electron that ended without a value."""
        report = files.report.read()
        if self._is_off or (report is not None and report["outcome"] != "exception"):
            return
        if files.terminated_at is not None:
            until = files.terminated_at + TERMINATED_SECONDS
        else:
            until = self._clock() + ENDED_SECONDS
        self._join(until)
        if self._thread is None or not self._thread.is_alive():
            self._start(lambda: self._write_last_whole(ending))
            self._join(until)
        if self._thread is not None and self._thread.is_alive():
            self._note("its last checkpoint could not be written in the time that was left: the one before stays")
        for text in self._notes:
            say(text)
            files.stderr.append(("covalent-parallel: %s\n" % text).encode("utf-8", "backslashreplace"))
        del self._notes[:]

    def _write_last_whole(self, ending: Ending) -> None:
        try:
            self._write_last(ending)
        except ChangedError:
            self._note("the folder of its checkpoints is gone, or changed while it was packed: the one before stays")

    def _write_last(self, ending: Ending) -> None:
        seen = folder_state(self.folder)
        if not seen.entries or seen.fingerprint == self._last:
            return
        was_killed = ending.signal is not None and ending.ended is not None
        if was_killed and cast(float, ending.ended) - seen.changed < QUIET_SECONDS * self._pace:
            # Half of a file is no state to continue from.
            self._note("the folder of its checkpoints was being changed when it was ended: the one before stays")
            return
        self._write(seen)

    def stop(self) -> bool:
        """Have nothing written any more; returns whether something may be all the same."""
        with self._lock:
            self._stopped.set()
        self._join(self._clock() + (LAST_ANSWER_SECONDS if self._is_committed else STOP_SECONDS))
        if self._thread is None or not self._thread.is_alive():
            self._close()
        return self._is_committed

    def _close(self) -> None:
        self._bucket.close()
        self._file.close()

    def _join(self, until: float) -> None:
        if self._thread is not None:
            self._thread.join(max(0.0, until - self._clock()))

    def _wait(self, seconds: float) -> None:
        if self._stopped.wait(seconds):
            raise _StoppedError

    def _note(self, text: str) -> None:
        self._notes.append(text)

    def _note_once(self, text: str) -> None:
        if text not in self._noted and len(self._noted) < MOST_TRIES:
            self._noted.add(text)
            self._note(text)
