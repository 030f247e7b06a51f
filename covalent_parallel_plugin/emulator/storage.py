"""Serve Cloud Storage's JSON API on loopback, from a thread with its own event loop."""

from __future__ import annotations

import json
import shutil
import socket
import tempfile
import threading
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import uvicorn
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .incoming import Incoming
from .multipart import join_batch, split_batch
from .objects import ObjectStore
from .storage_api import ANSWERS
from .storage_calls import Call, Reply, error_reply, identify, parse_json
from .storage_compose import compose
from .storage_downloads import download
from .storage_rules import StorageRefusal
from .storage_uploads import Uploads

START_SECONDS = 20.0
STOP_SECONDS = 20.0


class StorageApp:
    """The ASGI application: every request is identified and counted in `__call__`, then answered.

    `__call__` is the one place that all requests pass, so it is where faults are to be injected.
    """

    def __init__(self, store: ObjectStore, counts: Counter[str]) -> None:
        self._store = store
        self._counts = counts
        self._uploads = Uploads(store)
        self._uploading = {
            "objects.insert": self._uploads.insert,
            "uploads.start": self._uploads.start,
            "uploads.chunk": self._uploads.take_chunk,
            "uploads.cancel": self._uploads.cancel,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        incoming = Incoming(scope, receive)
        try:
            try:
                call = self._identify(incoming)
                self._counts[call.kind] += 1
                response = await self._answer(call, incoming)
            except StorageRefusal as refusal:
                response = _response(error_reply(refusal))
            await incoming.drain()
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    def _identify(self, incoming: Incoming) -> Call:
        scope = incoming.scope
        host = incoming.headers.get("host")
        base = f"{scope['scheme']}://{host}" if host is not None else ""
        path = scope["raw_path"].decode("latin-1")
        query = scope["query_string"].decode("latin-1")
        return identify(scope["method"], path, query, base, incoming.headers)

    async def _answer(self, call: Call, incoming: Incoming) -> ASGIApp:
        if call.kind == "objects.download":
            # Nothing may be awaited between the look-up and the opening of the file, which an overwrite unlinks.
            await incoming.drain()
            return download(self._store, call, incoming.headers)
        if call.kind == "batch":
            return await self._answer_batch(call, incoming)
        if call.kind in self._uploading:
            reply = await self._uploading[call.kind](call, incoming)
        elif call.kind == "objects.compose":
            reply = await compose(self._store, call, incoming)
        elif call.kind == "emulator.counts":
            reply = Reply(200, dict(self._counts))
        else:
            reply = self._answer_metadata(call, await incoming.read_limited())
        return _response(reply)

    def _answer_metadata(self, call: Call, body: bytes) -> Reply:
        answer = ANSWERS.get(call.kind)
        if answer is None:
            raise StorageRefusal(404, "notFound", "Not Found: this stand-in has no such call")
        return answer(self._store, call, parse_json(body))

    async def _answer_batch(self, call: Call, incoming: Incoming) -> Response:
        body = await incoming.read_limited()
        answers = []
        for part in split_batch(body, incoming.headers.get("content-type", "")):
            try:
                inner = identify(part.method, part.path, part.query, call.base, part.headers)
                # As in Google's quotas, a batch of n calls counts as n calls; the envelope counts as "batch".
                self._counts[inner.kind] += 1
                reply = self._answer_metadata(inner, part.body)
            except StorageRefusal as refusal:
                reply = error_reply(refusal)
            answers.append((part.content_id, reply))
        boundary = f"batch_{uuid.uuid4().hex}"
        content_type = f"multipart/mixed; boundary={boundary}"
        return Response(join_batch(answers, boundary), headers={"Content-Type": content_type})


def _response(reply: Reply) -> Response:
    if reply.content is None:
        return Response(status_code=reply.status, headers=reply.headers)
    headers = {"Content-Type": "application/json; charset=UTF-8", **reply.headers}
    return Response(json.dumps(reply.content), reply.status, headers)


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it is reachable."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


class StorageServer:
    """A Cloud Storage on 127.0.0.1 that forgets everything when it stops.

    Args:
        port: 0 means any free one.
        buckets: names of buckets to begin with.
        data_dir: where the bodies of objects go, in a folder of their own that `stop` removes;
            by default the system's folder for temporary files.

    Raises:
        StorageRefusal: a bucket's name is not legal.
    """

    def __init__(self, port: int = 0, buckets: Sequence[str] = (), data_dir: Path | None = None) -> None:
        self._port = port
        self._bucket_names = tuple(buckets)
        self._data_dir = data_dir
        self._counts: Counter[str] = Counter()
        self._folder: Path | None = None
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
            RuntimeError: already started, or it did not come up within 20 s.
            OSError: the port is taken, or the data folder cannot be written.
        """
        if self._thread is not None:
            raise RuntimeError(f"the storage server is already running at {self.address}")
        listener = self._listen()
        try:
            if self._data_dir is not None:
                self._data_dir.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix="emulated-storage-", dir=self._data_dir))
            store = ObjectStore(self._folder)
            for name in self._bucket_names:
                store.create_bucket(name, {})
            self._server = _Server(_configuration(StorageApp(store, self._counts)))
            self._thread = threading.Thread(
                target=self._server.run, args=([listener],), name="emulator-storage", daemon=True
            )
            self._thread.start()
            if not self._server.ready.wait(START_SECONDS):
                raise RuntimeError(f"the storage server did not come up within {START_SECONDS:g} s")
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
            self._server.should_exit = True
            self._thread.join(STOP_SECONDS)
            if self._thread.is_alive():
                raise RuntimeError(f"the storage server did not stop within {STOP_SECONDS:g} s")
        self._server = self._thread = None
        if self._folder is not None:
            shutil.rmtree(self._folder)
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

    def __enter__(self) -> StorageServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _configuration(app: StorageApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
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
