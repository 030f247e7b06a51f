"""The programs that build images (docker, podman, gcloud): whether they work, and running them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import ParallelError

ENGINES = ("docker", "podman")
CLOUD_BUILD = "cloud-build"
# What answers only where the engine can work: docker's server, podman's (on a Mac, virtual) machine
ALIVE = {
    "docker": ("docker", "version", "--format", "{{.Server.Version}}"),
    "podman": ("podman", "info", "--format", "{{.Version.Version}}"),
}
ALIVE_SECONDS = 30.0
KEPT_LINES = 60
TIDY_SECONDS = 10.0
PAUSE_SECONDS = 0.1
# How long a build that runs nothing just now (it copies, or downloads the base) may take to come to its next step
IDLE_SECONDS = 2.0
TIMED_OUT_STATUS, NOT_FOUND_STATUS = 124, 127


class EngineError(ParallelError):
    """No engine is here that can do what was asked; the text says what to install or to start."""


@dataclass(frozen=True)
class ProgramResult:
    """How a program ended; `output` is its standard output, `said` its last lines of whatever it wrote."""

    status: int
    output: str
    said: str


class Programs:
    """The programs of this machine; `path` replaces the PATH on which they are looked for."""

    def __init__(self, path: str | None = None):
        self._path = path

    def has(self, name: str) -> bool:
        """Whether a program is installed."""
        return shutil.which(name, path=self._path) is not None

    def run(self, command: Sequence[str], limit_seconds: float) -> ProgramResult:
        """Run a program quietly to its end, or to the limit; never raises for what the program does."""
        try:
            done = subprocess.run(
                self._resolved(command),
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=limit_seconds,
                env=self._environment(),
                encoding="utf-8",
                errors="replace",
            )
        except FileNotFoundError:
            return ProgramResult(NOT_FOUND_STATUS, "", f"{command[0]} is not installed")
        except OSError as error:
            return ProgramResult(NOT_FOUND_STATUS, "", f"{command[0]} cannot be run: {error}")
        except subprocess.TimeoutExpired:
            return ProgramResult(TIMED_OUT_STATUS, "", f"{command[0]} did not answer within {limit_seconds:g} s")
        said = "\n".join((done.stderr + done.stdout).strip().splitlines()[-KEPT_LINES:])
        return ProgramResult(done.returncode, done.stdout, said)

    def show(self, command: Sequence[str], limit_seconds: float, tell: Callable[[str], None]) -> ProgramResult:
        """Run a program, telling each line that it writes."""
        lines: deque[str] = deque(maxlen=KEPT_LINES)
        try:
            process = subprocess.Popen(
                self._resolved(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                encoding="utf-8",
                errors="replace",
                # so that the programs that it starts can be stopped with it
                start_new_session=True,
            )
        except OSError as error:
            return ProgramResult(NOT_FOUND_STATUS, "", f"{command[0]} cannot be run: {error}")
        is_late = threading.Event()

        def give_up() -> None:
            is_late.set()
            _stop(process)

        killer = threading.Timer(limit_seconds, give_up)
        killer.start()
        # leaving it closes the pipe and waits
        with process:
            try:
                assert process.stdout is not None  # it was asked for
                for line in process.stdout:
                    lines.append(line.rstrip("\n"))
                    tell(lines[-1])
                process.wait()
            except BaseException:
                # Ctrl-C, say
                _stop(process)
                raise
            finally:
                killer.cancel()
        if is_late.is_set():
            lines.append(f"{command[0]} was stopped after {limit_seconds:g} s")
        return ProgramResult(process.returncode, "", "\n".join(lines))

    def _resolved(self, command: Sequence[str]) -> list[str]:
        found = shutil.which(command[0], path=self._path)
        return [found or command[0], *command[1:]]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **({} if self._path is None else {"PATH": self._path})}


def _stop(process: subprocess.Popen[str]) -> None:
    """End a program and those that it started."""
    if _is_podman(process):
        _fail_the_step(process)
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(TIDY_SECONDS)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _is_podman(process: subprocess.Popen[str]) -> bool:
    return isinstance(process.args, list) and Path(process.args[0]).name == "podman"


def _fail_the_step(process: subprocess.Popen[str]) -> None:
    """Kill what a build's step runs, and wait a while for podman's own end.

    Whatever signal podman itself gets, it leaves its working container; after a step that failed it removes it. Its
    direct children belong to its tools, and end by themselves.
    """
    busy = time.monotonic()
    until = busy + TIDY_SECONDS
    while process.poll() is None and time.monotonic() < min(until, busy + IDLE_SECONDS):
        started = [below for child in _children(process.pid) for below in _below(child)]
        busy = time.monotonic() if started else busy
        for number in started:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
        # the next step must not begin meanwhile
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PAUSE_SECONDS)


def _below(number: int) -> list[int]:
    """All that a process has started, by their numbers."""
    return [one for child in _children(number) for one in (child, *_below(child))]


def _children(number: int) -> list[int]:
    """The processes that a process has started; none where the system does not report them as Linux does."""
    found = []
    # The process, or a thread of it, may end meanwhile: the listing fails then, as a reading does.
    with contextlib.suppress(OSError):
        for file in Path("/proc").glob(f"{number}/task/*/children"):
            with contextlib.suppress(OSError):
                found += [int(word) for word in file.read_text().split()]
    return found


def working_engine(programs: Programs, wanted: str | None = None) -> str:
    """The engine that is asked for, else the first one that works: docker, podman.

    Raises:
        EngineError: it does not work, or none does.
    """
    troubles = {}
    for name in (wanted,) if wanted else ENGINES:
        trouble = engine_trouble(programs, name)
        if not trouble:
            return name
        troubles[name] = trouble
    text = "; ".join(f"{name} {trouble}" for name, trouble in troubles.items())
    if wanted:
        raise EngineError(text)
    raise EngineError(f"{text}. Without either, Google can build it: --engine {CLOUD_BUILD} --project PROJECT")


def engine_trouble(programs: Programs, name: str) -> str:
    """Why an engine does not work here, with the remedy; "" if it does."""
    if name == CLOUD_BUILD:
        if programs.has("gcloud"):
            return ""
        return "needs Google's command `gcloud`: https://cloud.google.com/sdk/docs/install"
    if not programs.has(name):
        return "is not installed"
    ended = programs.run(ALIVE[name], ALIVE_SECONDS)
    # docker without its daemon prints an empty server version
    if ended.status == 0 and ended.output.strip():
        return ""
    said = ended.said.strip().splitlines()[-1:] or ["it says nothing"]
    start = {
        "docker": "start Docker Desktop, or `sudo systemctl start docker`, and see that this user may use it",
        "podman": "try `podman machine start` (on a Mac), and `podman info`",
    }
    return f"is installed and does not work ({said[0]}): {start[name]}"
