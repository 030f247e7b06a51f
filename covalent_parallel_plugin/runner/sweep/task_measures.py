"""What a machine measures of an attempt: when it went through its phases, what its program took, and which it is."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from ...protocol import environment as variables
from ...protocol import sweep_machine
from .. import bucket_http as storage
from .machine import JobEnvironment, MachinePaths

_MACHINE_FILE = sweep_machine.SHARED_FOLDER + "/machine%s.json"
_BEGUN = sweep_machine.TASKS_FOLDER + "/.begun-%d-%d-%d"
# Where the metadata server is, if it is not Google's; of Google's own libraries
_METADATA_VARIABLE = "GCE_METADATA_HOST"
EMULATOR_SECONDS = 2.0


@dataclass
class TaskMeasures:
    """Of one attempt of one task.

    Attributes:
        times: seconds since 1970 of began, fetched, ran_from, ran_to and delivered, as far as they were seen.
        machine: "type", "zone", "instance" and "spot", as far as its metadata server reported.
    """

    times: dict[str, float] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    cpu_seconds: float | None = None
    peak_memory_bytes: int | None = None

    def note(self, phase: str) -> None:
        """Note that a phase has come."""
        self.times[phase] = round(time.time(), 3)

    def note_program(self, cpu_seconds: float | None, peak_mib: float | None) -> None:
        """Note that the program has ended, and what it took."""
        self.note("ran_to")
        self.cpu_seconds = cpu_seconds
        self.peak_memory_bytes = None if peak_mib is None else round(peak_mib * 2**20)

    def fields(self) -> dict[str, Any]:
        """Return what a row has of it."""
        found = {"times": self.times, "machine": self.machine}
        more = {"cpu_seconds": self.cpu_seconds, "peak_memory_bytes": self.peak_memory_bytes}
        return {**found, **{name: value for name, value in more.items() if value is not None}}


def note_begun(paths: MachinePaths, job: JobEnvironment, began: float) -> None:
    """Keep when an attempt has begun on its machine, for `take_begun`."""
    with contextlib.suppress(OSError), open(_begun_path(paths, job), "w", encoding="utf-8") as file:
        file.write(repr(began))


def take_begun(paths: MachinePaths, job: JobEnvironment) -> dict[str, float]:
    """Return when an attempt has begun, as a time of `TaskMeasures`, and keep it no longer; nothing where unknown."""
    path = _begun_path(paths, job)
    try:
        with open(path, encoding="utf-8") as file:
            return {"began": round(float(file.read()), 3)}
    except (OSError, ValueError):
        return {}
    finally:
        # Of another user it stays until the machine goes
        with contextlib.suppress(OSError):
            os.unlink(path)


def known_machine(paths: MachinePaths) -> dict[str, Any]:
    """Return the machine, as its preparation has learned of it."""
    try:
        with open(_machine_path(paths), encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


class MachineQuestion(threading.Thread):
    """Asks the metadata server which machine this is, beside what prepares it; Google's is never waited for."""

    def __init__(self, paths: MachinePaths) -> None:
        super().__init__(daemon=True)
        self._path = _machine_path(paths)
        is_google = not os.environ.get(variables.STORAGE_EMULATOR_HOST)
        self._host = _own_host() or (storage.METADATA_HOST if is_google else "")
        self._found: dict[str, Any] = {}

    def begin(self) -> None:
        """Ask, where there is anybody to ask."""
        # The container may have no more threads
        with contextlib.suppress(RuntimeError):
            if self._host:
                self.start()

    def ask_again(self) -> None:
        """Ask about a machine that others have prepared: those of an emulator may share what is prepared.

        Each of them has a server of its own, which is on this computer, and is waited for.
        """
        if _own_host() and not os.path.exists(self._path):
            self.begin()
            with contextlib.suppress(RuntimeError):
                self.join(EMULATOR_SECONDS)
            self.keep()

    def run(self) -> None:
        """Ask; called by the thread itself."""
        # Nothing of a task is worth less for that
        with contextlib.suppress(Exception):
            from ..machine_data import machine_of

            self._found = machine_of(self._host)

    def keep(self) -> None:
        """Keep what is known by now, for `known_machine`."""
        if self._found:
            with contextlib.suppress(OSError):
                with open(self._path + ".part", "w", encoding="utf-8") as file:
                    json.dump(self._found, file)
                os.replace(self._path + ".part", self._path)


def _machine_path(paths: MachinePaths) -> str:
    host = _own_host()
    return paths.here(_MACHINE_FILE % ("-" + host.replace("/", "_") if host else ""))


def _own_host() -> str:
    """Return where a machine's own metadata server is; "" for Google's, which has one address on all."""
    return os.environ.get(_METADATA_VARIABLE, "")


def _begun_path(paths: MachinePaths, job: JobEnvironment) -> str:
    return paths.here(_BEGUN % (job.round, job.task, job.attempt))
