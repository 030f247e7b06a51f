"""A private Covalent server: a real one, with its own home, configuration, database and port.

Covalent reads its configuration when it is imported and keeps it for the life of the process. A program
that has imported Covalent can therefore not be pointed at another server afterwards. So server and clients
run as processes of their own: `PrivateCovalentServer.environment` is what a client process is started with,
and the calling process never imports Covalent.

`covalent start` is not used. It picks a port some time before the server binds it, waits without a
deadline, and finds the process to stop through a file with its id. Here the socket is bound before the
server starts and handed to it, and the server ends when its parent does, whatever ended the parent.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from .held_signals import signals_held
from .own_pages import OwnPagesOnly
from .private_configuration import (
    LOOPBACK,
    Value,
    open_private,
    private_environment,
    write_configuration,
    write_sent_variables,
)
from .server_client import ANSWER_SECONDS, LATEST_DISPATCH, ServerClient

START_SECONDS = 60.0
# Electrons that run are cancelled first, and may save what they have
STOP_SECONDS = 90.0
POLL_SECONDS = 0.1
LOG_TAIL_LINES = 40


class PrivateServerError(RuntimeError):
    """The private Covalent server did not start; the message ends with the last lines of its log."""


class PrivateCovalentServer:
    """A Covalent server without Dask whose every file lies below `home`, where no other user can read them.

    It answers only under names of loopback, and to no web page but its own.

    `environment` is added to the environment of the server and of its clients, for example the three emulator
    variables. `configuration` holds sections of Covalent's configuration file, such as
    `{"executors.gcpbatch": {"region": "us-east1"}}`. With `port` 0 the system chooses a free one. `inherited`
    stands for the environment of the calling process.

    Use it as a context manager, or call `start` and `stop`.
    """

    def __init__(
        self,
        home: Path,
        environment: Mapping[str, str] | None = None,
        port: int = 0,
        configuration: Mapping[str, Mapping[str, Value]] | None = None,
        inherited: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home.absolute()
        self.log_path = self.home / "server.log"
        self._added_environment = dict(environment or {})
        self._configuration = dict(configuration or {})
        self._inherited = os.environ if inherited is None else inherited
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where the server and its UI answer, for example `http://127.0.0.1:40123`; known after `start`."""
        return f"http://{LOOPBACK}:{self._port}"

    @property
    def is_running(self) -> bool:
        """Whether the server's process exists."""
        return self._process is not None and self._process.poll() is None

    @property
    def process_id(self) -> int:
        """The server's process.

        Raises:
            PrivateServerError: it has not been started, or was stopped.
        """
        if self._process is None:
            raise PrivateServerError("this private Covalent server has no process: start it first")
        return self._process.pid

    @property
    def environment(self) -> dict[str, str]:
        """The whole environment for a process that builds and dispatches lattices on this server."""
        return private_environment(self._inherited, self.home) | self._added_environment

    def start(
        self, timeout_seconds: float = START_SECONDS, meanwhile: Callable[[], Mapping[str, str]] = dict
    ) -> PrivateCovalentServer:
        """Start the server and return when it answers.

        `meanwhile` is called once, while the server's process loads Covalent: it returns more variables for the
        server and its clients.

        Raises:
            PrivateServerError: it ended, or did not answer within `timeout_seconds`.
            OSError: the port is taken.
        """
        if self._process is not None:
            raise PrivateServerError("this private Covalent server is already running")
        try:
            self._launch()
            self._send(meanwhile())
            self._await_answer(timeout_seconds)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, timeout_seconds: float = STOP_SECONDS) -> None:
        """End the server as `covalent stop` does, after `timeout_seconds` with SIGKILL, and all it started."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout_seconds)
        # Workers of Covalent's own executors are in the server's process group and may outlive it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
        self._process = None

    def get_json(self, path: str, timeout_seconds: float = ANSWER_SECONDS) -> Any:
        """Answer of the server's HTTP interface to `path`, such as `/api/v2/dispatches/<dispatch id>`.

        Raises:
            OSError: the server could not be reached or answered with an error status.
        """
        return ServerClient(self.address).get_json(path, timeout_seconds)

    def get_text(self, path: str, timeout_seconds: float = ANSWER_SECONDS) -> str:
        """As `get_json`, for an answer that is plain text."""
        return ServerClient(self.address).get_text(path, timeout_seconds)

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """The last `lines` lines that the server wrote."""
        if not self.log_path.exists():
            return ""
        return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])

    def __enter__(self) -> PrivateCovalentServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o700)
        # Covalent's own, which stay when it is killed
        temporary = self.home / "tmp"
        temporary.mkdir(mode=0o700, exist_ok=True)
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as bound,
            open(self.log_path, "ab", opener=open_private) as log,
            signals_held(),
        ):
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((LOOPBACK, self._port))
            self._port = bound.getsockname()[1]
            write_configuration(self.home, self._port, self._configuration)
            # Its end shows the server that this process is gone.
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(bound.fileno())],
                cwd=_covalent_ui_folder(),
                env=self.environment | {"TMPDIR": str(temporary)},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[bound.fileno()],
                start_new_session=True,
            )

    def _send(self, variables: Mapping[str, str]) -> None:
        self._added_environment.update(variables)
        write_sent_variables(self.home, variables)
        assert self._process is not None and self._process.stdin is not None
        # One that has ended is noticed where its answer is waited for
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(dict(variables)).encode() + b"\n")
            self._process.stdin.flush()

    def _await_answer(self, timeout_seconds: float) -> None:
        process = self._process
        assert process is not None
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise PrivateServerError(
                    f"the private Covalent server ended with status {process.returncode}\n{self.log_tail()}"
                )
            with contextlib.suppress(OSError):
                self.get_json(LATEST_DISPATCH)
                return
            time.sleep(POLL_SECONDS)
        raise PrivateServerError(
            f"the private Covalent server did not answer within {timeout_seconds:g} s\n{self.log_tail()}"
        )


def _covalent_ui_folder() -> Path:
    spec = importlib.util.find_spec("covalent_ui")
    if spec is None or not spec.submodule_search_locations:
        raise PrivateServerError("Covalent is not installed here: pip install covalent")
    return Path(spec.submodule_search_locations[0])


def _end_with_parent() -> None:
    # os.read, not sys.stdin: a thread waiting in a buffered reader aborts the interpreter's exit.
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(STOP_SECONDS)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _sent_variables() -> dict[str, str]:
    """Wait for the parent's variables; end with the parent."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 65536)
        if not part:
            raise SystemExit("the process that started this server has ended")
        line += part
    variables: dict[str, str] = json.loads(line)
    return variables


def _serve(descriptor: int) -> None:
    """What `covalent start` and `covalent_ui/app.py` do, on a socket that is already bound.

    The working directory must be the folder of `covalent_ui`: the application finds its pages from there.
    """
    # What it writes, results and databases too, is for its own user
    os.umask(0o077)
    # Or processes that executors fork would hold the port after the server's end.
    os.set_inheritable(descriptor, False)
    # uvicorn raises the signal that ended it again, and SIGTERM's default would end the process before its electrons
    # have cancelled their jobs.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    import uvicorn

    datastore = importlib.import_module("covalent_dispatcher._db.datastore")
    datastore.DataStore.factory().run_migrations(logging_enabled=False)
    # The UI's heartbeat file lies in this folder, which only `covalent start` makes.
    config = importlib.import_module("covalent._shared_files.config")
    for folder in ("dispatcher.cache_dir", "dispatcher.results_dir", "dispatcher.log_dir"):
        Path(config.get_config(folder)).mkdir(parents=True, exist_ok=True)
    application = importlib.import_module("app")
    os.environ.update(_sent_variables())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    server = uvicorn.Server(
        uvicorn.Config(
            OwnPagesOnly(application.fastapi_app),
            log_config=application.log_config(),
            # An open page of the UI would otherwise hold the server for as long as it is open.
            timeout_graceful_shutdown=3,
        )
    )
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[socket.socket(fileno=descriptor)])


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
