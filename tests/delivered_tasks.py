"""What a machine writes for a task of a sweep, made without a machine."""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.protocol.envelope import envelope_chunks, seal_envelope
from covalent_parallel_plugin.protocol.live_part import LivePart, LiveStream, seal_live_part
from covalent_parallel_plugin.protocol.sweep_identity import ATTEMPT, OUTCOME, SweepIdentity
from covalent_parallel_plugin.protocol.sweep_row import row_metadata

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

NOTHING = LiveStream()


@dataclass
class DeliveredTask:
    """A task of a round, and how its program ended."""

    identity: SweepIdentity
    index: int
    round: int = 0
    key: str = ""
    name: str = ""
    attempt: int = 0
    token: str = ""
    result: dict[str, Any] | None = None
    stdout: bytes = b""
    stderr: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)
    left: Sequence[str] = ()
    # In place of those of a program that ended with status 0
    fields: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.key = self.key or hashlib.sha256(b"%d" % self.index).hexdigest()
        self.name = self.name or f"x={self.index}"
        self.token = self.token or f"{self.round * 100 + self.attempt:03x}{self.index:013x}"
        self.address = self.identity.task(self.round, self.index)

    @property
    def row(self) -> dict[str, Any]:
        made: dict[str, Any] = {
            "index": self.index,
            "key": self.key,
            "name": self.name,
            "round": self.round,
            "attempt": self.attempt,
            "token": self.token,
            "status": "done",
            "exit": 0,
            "signal": None,
            "seconds": 1.5,
            "machine": "vm-1",
            "started": 1000.0,
            "ended": 1001.5,
            "reason": "",
            "stdout_bytes": len(self.stdout),
            "stderr_bytes": len(self.stderr),
            "files": len(self.files),
            "file_bytes": sum(map(len, self.files.values())),
            "left": len(self.left),
        }
        return made | self.fields

    def metadata(self) -> dict[str, str]:
        """The custom metadata of its outcome."""
        output = {
            name: data.decode(errors="surrogateescape")
            for name, data in (("stdout", self.stdout), ("stderr", self.stderr))
        }
        return row_metadata(self.address, self.row, self.result, output)

    def body(self, kind: str = OUTCOME) -> bytes:
        """The bytes of its outcome, or of an attempt."""
        binding = self.address.outcome_binding
        if kind == ATTEMPT:
            binding = self.address.attempt_binding(self.attempt, self.token)
        files = [
            {
                "path": path,
                "size": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "mode": 0o640,
                "mtime_ns": 1_700_000_000_123_456_789,
            }
            for path, data in self.files.items()
        ]
        header = {"kind": kind, "row": self.row, "result": self.result, "left": list(self.left), "files": files}
        parts = {"stdout": self.stdout, "stderr": self.stderr}
        return b"".join(envelope_chunks(seal_envelope(header, parts, self.identity.key, binding), parts))

    def deliver(self, store: ObjectStore) -> None:
        """Write its files, then its outcome."""
        self._write_files(store)
        put(store, self.address.outcome_name, self.body(), self.metadata())

    def leave(self, store: ObjectStore) -> None:
        """Write its files, then an attempt that is not the last."""
        self._write_files(store)
        put(store, self.address.attempt_name(self.attempt, self.token), self.body(ATTEMPT))

    def print(self, store: ObjectStore, number: int, stdout: LiveStream = NOTHING, stderr: LiveStream = NOTHING) -> str:
        """Write some of its output, as a task that runs does; return the object's name."""
        execution = self.address.execution(self.token)
        name = execution.live_name(self.attempt, number)
        put(store, name, seal_live_part(execution, LivePart(self.attempt, number, stdout, stderr, run=self.key)))
        return name

    def _write_files(self, store: ObjectStore) -> None:
        for path, data in self.files.items():
            put(store, self.address.output_name(self.token, path), data)


def put(store: ObjectStore, name: str, data: bytes, metadata: Mapping[str, str] | None = None) -> None:
    """Write an object as anybody may, also over one that is there."""
    blob = store._bucket.blob(name)
    if metadata is not None:
        blob.metadata = dict(metadata)
    blob.upload_from_string(data)


@contextmanager
def counted_requests(store: ObjectStore) -> Iterator[list[str]]:
    """The addresses of what is read from the bucket meanwhile."""
    asked: list[str] = []
    session = store._client._http
    before = session.request

    def request(method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        if method == "GET":
            asked.append(url)
        return before(method, url, *args, **kwargs)

    session.request = request
    try:
        yield asked
    finally:
        session.request = before


def fill(emulator: Emulator, objects: Mapping[str, tuple[bytes, Mapping[str, str]]]) -> None:
    """Write many objects as a plain program does: Google's client takes several times as long."""
    address = urlsplit(emulator.environment["STORAGE_EMULATOR_HOST"]).netloc

    def write(some: Sequence[str]) -> None:
        connection = http.client.HTTPConnection(address, timeout=60)
        for name in some:
            data, metadata = objects[name]
            head = json.dumps({"name": name, "metadata": metadata})
            body = b"--cut\r\n\r\n%s\r\n--cut\r\n\r\n%s\r\n--cut--" % (head.encode(), data)
            path = "/upload/storage/v1/b/covalent/o?uploadType=multipart"
            connection.request("POST", path, body, {"Content-Type": "multipart/related; boundary=cut"})
            answer = connection.getresponse()
            assert answer.read() and answer.status == 200
        connection.close()

    names = list(objects)
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(write, (names[part::4] for part in range(4)))) == [None] * 4
