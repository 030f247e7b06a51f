"""Serve Cloud Storage's JSON API on loopback, from a thread with its own event loop."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from ..faults.plan import FaultPlan
from ..model.callers import Callers
from ..model.own_folders import OwnFolder
from ..model.service import LocalService
from ..project.resources import ProjectResources
from .admission import Admission
from .app import StorageApp
from .faults import Connections, protocol_of
from .object_store import BucketStore

START_SECONDS = 20.0
STOP_SECONDS = 20.0


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it is reachable."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


class StorageServer(LocalService):
    """A Cloud Storage on 127.0.0.1 that forgets everything when it stops.

    Args:
        port: 0 means any free one.
        buckets: names of buckets to begin with.
        data_dir: where the bodies of objects go, in a folder of their own that `stop` removes;
            by default the system's folder for temporary files.
        faults: what goes wrong with requests; also to be read and set at /_emulator/faults.
        other_counts: more counters for /_emulator/counts, beside those of requests.
        known: what exists in the project, served under the paths of Google's other JSON APIs; how the buckets are set
            up, and what the caller may do with them.
        callers: whose requests are answered.
        runtime: what /_emulator/runtime answers.

    Raises:
        StorageRefusal: a bucket's name is not legal.
    """

    def __init__(
        self,
        port: int = 0,
        buckets: Sequence[str] = (),
        data_dir: Path | None = None,
        faults: FaultPlan | None = None,
        other_counts: Callable[[], Mapping[str, Any]] = dict,
        known: ProjectResources | None = None,
        callers: Callers | None = None,
        runtime: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        self._runtime = runtime
        self._known = known
        self._callers = Callers() if callers is None else callers
        self._port = port
        self._faults = FaultPlan() if faults is None else faults
        self._other_counts = other_counts
        self._connections = Connections()
        self._bucket_names = tuple(buckets)
        self._data_dir = data_dir
        self._counts: Counter[str] = Counter()
        self._folder: OwnFolder | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> str:
        """The value for STORAGE_EMULATOR_HOST, with scheme."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def request_counts(self) -> Mapping[str, int]:
        """Requests so far by kind, such as "objects.insert"; a copy."""
        return dict(self._counts)

    def start(self) -> None:
        """Begin to serve; returns when the server is reachable.

        Raises:
            RuntimeError: already started, or it did not start within 20 s.
            OSError: the port is taken, or the data folder cannot be written.
        """
        if self._thread is not None:
            raise RuntimeError(f"the storage server is already running at {self.address}")
        listener = self._listen()
        try:
            if self._data_dir is not None:
                self._data_dir.mkdir(parents=True, exist_ok=True)
            self._folder = OwnFolder("objects", self._data_dir)
            self._connections.is_stopping = False
            store = BucketStore(self._folder.path)
            for name in self._bucket_names:
                store.create_bucket(name, {} if self._known is None else self._known.bucket(name).fields)
            known = ProjectResources() if self._known is None else self._known
            app = StorageApp(
                store, self._counts, self._faults, self._connections, self._other_counts, known, self._runtime
            )
            admission = Admission(app, self._callers, self._connections)
            self._server = _Server(_configuration(admission, self._connections))
            self._thread = threading.Thread(
                target=self._server.run, args=([listener],), name="emulator-storage", daemon=True
            )
            self._thread.start()
            if not self._server.ready.wait(START_SECONDS):
                raise RuntimeError(f"the storage server did not start within {START_SECONDS:g} s")
        except BaseException:
            self.stop()
            listener.close()
            raise

    def stop(self) -> None:
        """End the thread and remove the stored bodies; does nothing if not started.

        Raises:
            RuntimeError: the thread did not end within 20 s.
        """
        if self._server is not None and self._thread is not None:
            self._connections.is_stopping = True
            self._server.should_exit = True
            self._thread.join(STOP_SECONDS)
            if self._thread.is_alive():
                raise RuntimeError(f"the storage server did not stop within {STOP_SECONDS:g} s")
        self._server = self._thread = None
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    def _listen(self) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", self._port))
        except OSError as error:
            listener.close()
            raise OSError(
                error.errno, f"the storage server cannot listen on port {self._port}: {error.strerror}"
            ) from error
        self._port = listener.getsockname()[1]
        return listener


def _configuration(app: Admission, connections: Connections) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=protocol_of(connections),
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        # Google's front end keeps idle connections for ten minutes; a shorter time lets a client's pooled
        # connection close under its next request.
        timeout_keep_alive=600,
        timeout_graceful_shutdown=2,
    )
