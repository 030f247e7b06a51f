"""Run one task of a sweep on its machine: its folder is laid out, its program run, what it left is delivered."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from ...containers.container import StartFailed
from ...programs.core_schema import json_value
from ...programs.program_watch import AttemptLimits
from ...programs.result_values import MOST_BYTES, MissingResult, ResultSource, read_result
from ...programs.task_folder import (
    STDERR_FILE,
    STDOUT_FILE,
    is_full,
    make_folder,
    restore_folder,
    take_ownership,
    tidy_files,
)
from ...programs.verdict import AttemptVerdict
from ...protocol import sweep_machine
from ...protocol.sweep_identity import SweepTaskAddress
from .. import bucket_http as storage
from ..output_capture import say
from .image_user import ImageUser, find_user
from .live_task import LiveTask
from .machine import Json, MachineSeams
from .outputs_link import link_outputs
from .prepare import content_path
from .program import ProgramStart, run_program
from .task_delivery import TaskDelivery
from .task_measures import TaskMeasures

# Of what is uploaded while a machine is being taken away
_HURRY_SECONDS = 10.0
_LOCK_PAUSE_SECONDS = 0.2
_TAKEN_AWAY = "SIGTERM ended it: its machine was taken away, or its job cancelled"


class PlacedFile(NamedTuple):
    """A file that was brought into a task's folder, as it was then."""

    path: str
    size: int
    mtime_ns: int
    keep: bool


class TaskRun:
    """One task, as its entry in the shard describes it."""

    def __init__(self, seams: MachineSeams, entry: Json, measured: TaskMeasures | None = None) -> None:
        self._seams, self._entry = seams, entry
        self._measured = TaskMeasures() if measured is None else measured
        self._measured.times.setdefault("began", round(time.time(), 3))
        self._measured.note("fetched")
        self._address: SweepTaskAddress = seams.job.sweep.task(seams.job.round, entry["index"])
        place = sweep_machine.task_folder(seams.job.round, entry["index"])
        self._folder = Path(seams.paths.here(place))
        self._placed: list[PlacedFile] = []
        self._live = LiveTask(seams, self._address, entry["key"])
        self._delivery = TaskDelivery(seams, self._address, entry, self._folder, self._measured)

    @property
    def was_delivered(self) -> bool:
        """Whether an earlier attempt has delivered an outcome. Raises BucketError."""
        return self._seams.bucket.has(self._address.outcome_name)

    def run(self) -> bool:
        """Run it and deliver its outcome; return False if it is to be tried again.

        An execution of the same task that still runs on this machine is waited for: both have the same folder.

        Raises:
            BucketError: what it left cannot be delivered. OSError: the disk is full; what there is was delivered.
        """
        # Never removed, so that whoever waits holds the same file
        with open("%s.lock" % self._folder, "a") as lock:
            has_waited = False
            while not _has_locked(lock):
                if self._seams.termination.has_come:
                    return False
                has_waited = True
                time.sleep(_LOCK_PAUSE_SECONDS)
            return (has_waited and self.was_delivered) or self._run_alone()

    def _run_alone(self) -> bool:
        setup, job = self._seams.setup, self._seams.job
        try:
            verdict = self._run_program()
            self._note_end()
        except OSError as error:
            self._note_end()
            verdict = AttemptVerdict("lost", None, None, f"its folder cannot be used: {error}")
            if is_full(error):
                self._deliver_attempt(verdict)
                raise
        if verdict.status == "cancelled":
            self._deliver_attempt(replace(verdict, status="lost", reason=_TAKEN_AWAY), _HURRY_SECONDS)
            return False
        if (
            verdict.status in ("failed", "killed")
            and verdict.exit in setup.retry_on
            and job.attempt < setup.last_attempt
        ):
            say("task %s: %s; it is to be tried again" % (self._entry["name"], verdict.reason))
            self._deliver_attempt(verdict)
            return False
        self._deliver_outcome(verdict)
        return True

    def _note_end(self) -> None:
        self._delivery.note_end()
        # Before anything is delivered: whoever reads that deletes what was delivered before
        self._delivery.live = self._live.stop()

    def _run_program(self) -> AttemptVerdict:
        seams, entry = self._seams, self._entry
        shutil.rmtree(self._folder, ignore_errors=True)
        files = make_folder(self._folder)
        try:
            user = self._open_to_user(files)
            self._lay_out(files)
            if user is not None:
                take_ownership(files, user.user, user.group)
        except (StartFailed, OSError) as error:
            if isinstance(error, OSError) and is_full(error):
                raise
            return self._refused(str(error))
        if seams.setup.config and entry["config"] is not None:
            data = _bytes(entry["config"])
            seams.bucket.put(self._address.own_prefix + seams.setup.config, len(data), lambda: [data])
        # It may be a long time until the next request
        seams.bucket.close()
        start = ProgramStart(
            words=entry["argv"],
            environment={**seams.environment, **entry["environment"], "SWEEP_ATTEMPT": str(seams.job.attempt)},
            cwd=seams.cwd,
            user=user,
            limits=AttemptLimits(seams.setup.time_limit, seams.setup.idle_limit),
            log_limit=seams.setup.log_limit,
            measured=self._measured,
        )
        return run_program(start, self._folder, seams.termination.descriptor, self._live)

    def _refused(self, reason: str) -> AttemptVerdict:
        for name in (STDOUT_FILE, STDERR_FILE):
            (self._folder / name).touch()
        return AttemptVerdict("refused", None, None, reason)

    def _open_to_user(self, files: Path) -> ImageUser | None:
        """Link a fixed path to the folder; return whom the program runs as then, None for this process's own user."""
        setup = self._seams.setup
        if not setup.outputs:
            return None
        link_outputs(setup.outputs, files)
        # the folder that the container starts in may be below
        os.makedirs(self._seams.cwd, exist_ok=True)
        if os.geteuid() != 0:
            return None
        self._folder.chmod(0o711)
        return find_user(setup.user)

    def _lay_out(self, files: Path) -> None:
        """Bring in files, filled templates and the combination. Raises OSError."""
        templates: dict[str, Any] = self._entry["templates"]
        for file in self._seams.setup.files:
            self._place(files, file["target"], file, content_path(self._seams.paths, file["object"]))
        for target, template in templates.items():
            self._place(files, target, template, "")
        if self._seams.setup.config and self._entry["config"] is not None:
            (files / self._seams.setup.config).write_bytes(_bytes(self._entry["config"]))

    def _place(self, files: Path, target: str, entry: Json, source: str) -> None:
        path = files / target
        path.parent.mkdir(parents=True, exist_ok=True)
        if source:
            shutil.copyfile(source, path)
        else:
            path.write_bytes(_bytes(entry["text"]))
        path.chmod(entry["mode"] & 0o777)
        os.utime(path, ns=(entry["mtime_ns"], entry["mtime_ns"]))
        self._placed.append(PlacedFile(target, path.stat().st_size, entry["mtime_ns"], entry["keep"]))

    def _deliver_outcome(self, verdict: AttemptVerdict) -> None:
        files = self._ordered_files()
        self._delivery.deliver_outcome(*self._with_result(verdict, files))
        shutil.rmtree(self._folder, ignore_errors=True)

    def _deliver_attempt(self, verdict: AttemptVerdict, most_seconds: float | None = None) -> None:
        """Deliver what an attempt has left that is not the last one; where that fails, say so."""
        try:
            self._ordered_files()
            self._delivery.deliver_attempt(verdict, most_seconds)
        except (storage.BucketError, OSError) as error:
            say("what task %s has left cannot be delivered: %s" % (self._entry["name"], error))
        shutil.rmtree(self._folder, ignore_errors=True)

    def _ordered_files(self) -> Path:
        """Put in order what the program has left, without the files that were brought and are unchanged."""
        files = restore_folder(self._folder)
        # folders that are closed to their own owner
        take_ownership(files, os.geteuid(), os.getegid())
        tidy_files(files, self._placed)
        return files

    def _with_result(self, verdict: AttemptVerdict, files: Path) -> tuple[AttemptVerdict, dict[str, Any] | None]:
        source = self._seams.setup.result
        if verdict.status != "done" or source is None:
            return verdict, None
        try:
            result = self._read_result(source, files)
        except MissingResult as error:
            return replace(verdict, status="no-result", reason=str(error)), None
        shown: dict[str, Any] = json_value(result)
        return verdict, shown

    def _read_result(self, source: ResultSource, files: Path) -> dict[str, Any]:
        python = [self._seams.paths.here(word) for word in sweep_machine.PYTHON_WORDS]
        if not os.path.exists(python[0]):
            python = [sys.executable]
        if source.file and not os.path.lexists(files / source.file):
            # a program may have written its result into the bucket itself
            own = self._folder / "own"
            target = own / source.file
            target.parent.mkdir(parents=True)
            with _BoundedFile() as written:
                if self._seams.bucket.get(self._address.own_prefix + source.file, written, is_expected=False):
                    target.write_bytes(written.getvalue())
                    return read_result(source, own, self._folder / STDOUT_FILE)
        return read_result(source, files, self._folder / STDOUT_FILE, python=python)


def _has_locked(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _BoundedFile(BytesIO):
    """Memory for as much as a result may have."""

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > MOST_BYTES:
            raise MissingResult(f"the result in the bucket has more than {MOST_BYTES} bytes, too many")
        return super().write(data)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
