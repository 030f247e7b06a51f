"""One process that runs nodes, with a folder and an environment of its own, as the dispatcher holds it."""

from __future__ import annotations

import contextlib
import io
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .worker_protocol import Buffer, FrameError, frame_head, read_frame, seconds_until

COMMAND = (sys.executable, "-m", f"{__package__}.worker_main")
READ_BYTES = 1024 * 1024
# What a worker gets of the server's environment: where Python and its libraries are, and whose home; no keys
KEPT_VARIABLES = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "PYTHONPATH", "PYTHONHOME", "PYTHONUTF8",
    "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "OMP_NUM_THREADS",
)  # fmt: skip
KEPT_PREFIX = "LC_"
# Covalent makes folders and rewrites its configuration file when it is imported: not the server's
COVALENTS_FOLDERS = (
    "COVALENT_CONFIG_DIR", "COVALENT_LOGDIR", "COVALENT_EXECUTOR_DIR", "COVALENT_DATA_DIR", "COVALENT_CACHE_DIR",
    "COVALENT_DISPATCH_CACHE_DIR",
)  # fmt: skip

Answer = tuple[dict[str, Any], dict[str, bytes]]


class WorkerFailed(Exception):
    """A worker ended, was too slow, or did not answer as it should; the message says which."""


@dataclass(frozen=True)
class NodeRequest:
    """What a worker is to run; see `worker_main.answer_to`."""

    header: Mapping[str, object]
    parts: Mapping[str, Buffer] = field(repr=False)

    @property
    def size(self) -> int:
        return sum(len(part) for part in self.parts.values())


def worker_environment(inherited: Mapping[str, str], folder: str) -> dict[str, str]:
    """The environment of a worker whose own folder is `folder`."""
    kept = {name: inherited[name] for name in inherited if name in KEPT_VARIABLES or name.startswith(KEPT_PREFIX)}
    own = dict.fromkeys(COVALENTS_FOLDERS, folder)
    own |= {"COVALENT_DATABASE": str(Path(folder) / "database"), "COVALENT_PLUGIN_LOAD": "false"}
    return kept | own


class Worker:
    """One process, with a folder of its own."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="covalent-parallel-node-")
        try:
            self._process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=self._folder,
                env=worker_environment(os.environ, self._folder),
                bufsize=0,
                start_new_session=True,
            )
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        for pipe in (self._stdin, self._stdout):
            os.set_blocking(pipe.fileno(), False)
        self.idle_since = time.monotonic()

    @property
    def process_id(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: NodeRequest, deadline: float) -> Answer:
        """What comes of a request.

        Raises:
            WorkerFailed: nothing that can be used, by the deadline, a time of `time.monotonic()`.
        """
        try:
            for part in (frame_head(request.header, request.parts), *request.parts.values()):
                self._write(part, deadline)
            answer = read_frame(lambda size: self._read(size, deadline))
        except TimeoutError as error:
            raise WorkerFailed("it took too long") from error
        except (OSError, EOFError) as error:
            raise WorkerFailed("its process ended") from error
        except FrameError as error:
            raise WorkerFailed(f"its process answered with {error}") from error
        self.idle_since = time.monotonic()
        return answer

    def kill(self) -> None:
        """End the process and all it started; may be called from any thread."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # Until it is waited for, its id is nobody else's.
            if self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """End the process and leave nothing of it."""
        self.kill()
        self._process.wait()
        self._stdin.close()
        self._stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, data: Buffer, deadline: float) -> None:
        view = memoryview(data)
        while view:
            self._wait(self._stdin.fileno(), select.POLLOUT, deadline)
            view = view[self._stdin.write(view) or 0 :]

    def _read(self, size: int, deadline: float) -> bytes:
        found = io.BytesIO()
        while (missing := size - found.tell()) > 0:
            self._wait(self._stdout.fileno(), select.POLLIN, deadline)
            data = self._stdout.read(min(missing, READ_BYTES))
            if data == b"":
                raise EOFError
            found.write(data or b"")
        return found.getvalue()

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        if not poll.poll(seconds_until(deadline) * 1000):
            raise TimeoutError
