"""Run what takes its time to prepare, such as a container: a thread prepares it, waits for it and clears up."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .container import CANNOT_START, NOT_FOUND, StartFailed
from .engine import ContainerEngine

_FAILED = 1
_SIGNAL_SECONDS = 60.0
_RETRY_SECONDS = 0.1
_DEATH_SECONDS = 5.0
_MADE_SECONDS = 60.0
_MADE_TICK_SECONDS = 0.02
_turn = threading.Lock()


@dataclass(frozen=True)
class PreparedClient:
    """The arguments, environment, folder and descriptors that a program, such as the engine's client, is started with.

    The descriptors are closed here once it has been started, or will not be. What has a `made_file` is started by
    itself: the next one only once the file is there, or its program has ended.
    """

    words: Sequence[str]
    environment: Mapping[str, str]
    folder: str
    descriptors: Sequence[int] = ()
    made_file: str = ""


class PreparedProcess(ABC):
    """A process from its preparation to its end; its methods return at once.

    `prepare` and `clear_up` run in a thread of its own and may take their time. `prepare` may raise StartFailed;
    `clear_up`, which runs after its end or where it never started, gives lines that say what went wrong.
    """

    _what: str

    def __init__(self, name: str, prepare: Callable[[], PreparedClient], clear_up: Callable[[], Sequence[str]]) -> None:
        self._name = name
        self._prepare = prepare
        self._clear_up = clear_up
        self.stdout, self._out = os.pipe()
        self.stderr, self._err = os.pipe()
        ending, self._end = os.pipe()
        self.ending: int | None = ending
        for descriptor in (self.stdout, self.stderr, ending):
            os.set_blocking(descriptor, False)
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._sent_signal: signal.Signals | None = None
        self._exit_code: int | None = None
        self._has_ended = threading.Event()
        threading.Thread(target=self._live, name=name, daemon=True).start()

    def poll(self) -> int | None:
        """Return the exit code once nothing of it is left."""
        return self._exit_code

    def terminate(self) -> None:
        """Send SIGTERM to its first process, as soon as that runs."""
        self._tell(signal.SIGTERM, self._send_term)

    def kill(self) -> None:
        """Kill it, whatever state it is in."""
        self._tell(signal.SIGKILL, self._end_it)

    def close(self) -> None:
        """Close the descriptors."""
        for descriptor in (self.stdout, self.stderr, self.ending):
            if descriptor is not None:
                os.close(descriptor)
        self.ending = None

    @abstractmethod
    def _start(self, prepared: PreparedClient) -> subprocess.Popen[bytes]:
        """Start what has been prepared. Raises OSError."""

    @abstractmethod
    def _await(self, child: subprocess.Popen[bytes]) -> int:
        """Wait for its end, see to it that nothing is left, and give the exit code."""

    @abstractmethod
    def _send_term(self) -> None:
        """Send SIGTERM to its first process; in a thread of its own."""

    @abstractmethod
    def _end_it(self) -> None:
        """Kill it; in a thread of its own."""

    def _tell(self, number: signal.Signals, deliver: Callable[[], None]) -> None:
        with self._lock:
            if self._sent_signal in (number, signal.SIGKILL):
                return
            self._sent_signal = number
            if self._child is None:  # it will not be started then
                return
        threading.Thread(target=deliver, name=f"{number.name}-{self._name}", daemon=True).start()

    def _live(self) -> None:
        exit_code = CANNOT_START
        try:
            exit_code = self._start_and_end()
            problems = self._clear_up()
            for problem in problems:
                self._say(problem)
            exit_code = exit_code or (_FAILED if problems else 0)
        finally:
            self._exit_code = exit_code
            self._has_ended.set()
            for descriptor in (self._out, self._err, self._end):
                os.close(descriptor)

    def _start_and_end(self) -> int:
        try:
            return self._run()
        except StartFailed as error:
            self._say(str(error))
            return error.exit_code
        except OSError as error:
            self._say(f"{self._what} could not be started: {error}")
            return CANNOT_START

    def _run(self) -> int:
        prepared = self._prepare()
        try:
            with _turn if prepared.made_file else contextlib.nullcontext():
                with self._lock:
                    if self._sent_signal is not None:
                        return 128 + self._sent_signal
                    child = self._child = self._start(prepared)
                _await_made(prepared.made_file, child)
        finally:
            for descriptor in prepared.descriptors:
                os.close(descriptor)
        return self._await(child)

    def _say(self, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # whoever reads it has gone
            os.write(self._err, f"{text}\n".encode())


def _await_made(path: str, child: subprocess.Popen[bytes]) -> None:
    """Wait until the file is there, or the program has ended; for a minute at most, and for "" not at all."""
    deadline = time.monotonic() + _MADE_SECONDS
    while path and not Path(path).exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(_MADE_TICK_SECONDS)


class ContainerProcess(PreparedProcess):
    """A container, run by the engine's client."""

    _what = "the container"

    def __init__(
        self,
        engine: ContainerEngine,
        name: str,
        prepare: Callable[[], PreparedClient],
        clear_up: Callable[[], Sequence[str]],
    ) -> None:
        self._engine = engine
        self.was_lost = False
        """Whether the engine's client or monitor was killed from outside; known after the container's end."""
        super().__init__(name, prepare, clear_up)

    def _start(self, prepared: PreparedClient) -> subprocess.Popen[bytes]:
        return self._engine.start(
            list(prepared.words), prepared.environment, prepared.folder, self._out, self._err, prepared.descriptors
        )

    def _await(self, child: subprocess.Popen[bytes]) -> int:
        status = child.wait()
        # podman, whose client removes the container, says so too where a container's monitor is gone
        is_left = status == NOT_FOUND and self._engine.is_there(self._name)
        self.was_lost = (status < 0 or is_left) and self._sent_signal is None
        if is_left or status < 0 or status == CANNOT_START or self._sent_signal is not None:
            self._engine.remove(self._name)
        return 128 + signal.SIGKILL if status < 0 or is_left else status

    def _send_term(self) -> None:
        # Not through the client: podman's, stopped while it sets a container up, exits with 0 and leaves it there
        deadline = time.monotonic() + _SIGNAL_SECONDS
        while self._sent_signal is signal.SIGTERM and time.monotonic() < deadline:
            if self._engine.call("kill", "--signal=TERM", self._name).returncode == 0:
                return
            if self._has_ended.wait(_RETRY_SECONDS):
                return

    def _end_it(self) -> None:
        killed = self._engine.call("kill", self._name)
        if killed.returncode == 0 and self._has_ended.wait(_DEATH_SECONDS):
            return
        # No container yet, or one whose monitor has died; once the client is dead, nothing starts any more.
        if self._child is not None:
            self._child.kill()
