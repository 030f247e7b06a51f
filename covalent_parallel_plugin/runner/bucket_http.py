"""Reading and writing objects of one Cloud Storage bucket, from inside a task."""

from __future__ import annotations

import binascii
import hashlib
import http.client
import json
import os
import random
import time
from typing import BinaryIO, Callable, Dict, Iterable, Iterator, Optional, Tuple
from urllib.parse import quote, urlsplit

from ..protocol.environment import STORAGE_EMULATOR_HOST

# https://cloud.google.com/storage/docs/retry-strategy: the statuses that may pass
TRANSIENT_STATUSES = (408, 429, 500, 502, 503, 504)
GIVE_UP_SECONDS = 120.0
MAX_PAUSE_SECONDS = 16.0
REQUEST_TIMEOUT_SECONDS = 60.0
COPY_BYTES = 1024 * 1024

# Must not occur in what is uploaded, so it is drawn anew for each process
BOUNDARY = "covalent-parallel-%032x" % random.SystemRandom().getrandbits(128)

METADATA_HOST = "metadata.google.internal"
TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"


class BucketError(Exception):
    """A request that failed for good; `status` is HTTP's, 0 where no answer came."""

    def __init__(self, status: int, message: str):
        self.status = status
        super().__init__(message)


class BucketClient:
    """One bucket, spoken to over one kept connection.

    Args:
        name: the bucket.
        emulator: STORAGE_EMULATOR_HOST's value (scheme, host, port), or None for Google.
        sleep, clock: how to wait, and seconds that never go back.
    """

    def __init__(
        self,
        name: str,
        emulator: Optional[str] = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._name = quote(name, safe="")
        self._emulator = emulator
        self._sleep = sleep
        self._clock = clock
        self._connection: Optional[http.client.HTTPConnection] = None
        self._token: Optional[str] = None

    def get(self, object_name: str, into: BinaryIO) -> None:
        """Copy an object into a file, from the file's start.

        Raises:
            BucketError: 403, 404 or what still failed after two minutes of retries.
        """
        path = "/download/storage/v1/b/%s/o/%s?alt=media" % (self._name, quote(object_name, safe=""))

        def receive(answer: http.client.HTTPResponse) -> None:
            into.seek(0)
            into.truncate()
            length = answer.getheader("Content-Length")
            expected = _md5_in(answer.getheader("x-goog-hash") or "")
            digest = hashlib.md5() if expected else None
            for piece in iter(lambda: answer.read(COPY_BYTES), b""):
                into.write(piece)
                if digest is not None:
                    digest.update(piece)
            if length is not None and into.tell() < int(length):
                raise OSError("the download broke off at byte %d of %s" % (into.tell(), length))
            if digest is not None and digest.digest() != expected:
                raise OSError("the download arrived changed: its checksum does not fit")

        self._request("GET", path, None, 0, receive, "read %s" % object_name)

    def put(self, object_name: str, size: int, body: Callable[[], Iterable[bytes]], once: bool = True) -> bool:
        """Write an object of `size` bytes; `body()` gives its bytes, anew for each try.

        Returns:
            False where `once` is set and the object was already there (HTTP 412), else True.
        """
        path = "/upload/storage/v1/b/%s/o?uploadType=multipart" % self._name
        if once:
            path += "&ifGenerationMatch=0"
        head, tail = _multipart(object_name)

        def related() -> Iterator[bytes]:
            yield head
            for piece in body():
                yield piece
            yield tail

        length = len(head) + size + len(tail)
        return self._request("POST", path, related, length, lambda answer: None, "write %s" % object_name) != 412

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _request(
        self,
        method: str,
        path: str,
        body: Optional[Callable[[], Iterable[bytes]]],
        size: int,
        receive: Callable[[http.client.HTTPResponse], None],
        what: str,
    ) -> int:
        deadline = self._clock() + GIVE_UP_SECONDS
        pause = 0.5
        while True:
            try:
                status, text = self._try(method, path, body, size, receive)
            except (OSError, http.client.HTTPException) as error:
                self.close()
                status, text = 0, "%s: %s" % (type(error).__name__, error)
            if 200 <= status < 300 or (status == 412 and method == "POST"):
                return status
            if status == 401:
                self._token = None
            may_pass = status == 0 or status == 401 or status in TRANSIENT_STATUSES
            if not may_pass or self._clock() + pause > deadline:
                raise BucketError(status, "could not %s: %s %s" % (what, status or "no answer,", text))
            self._sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, MAX_PAUSE_SECONDS)

    def _try(
        self,
        method: str,
        path: str,
        body: Optional[Callable[[], Iterable[bytes]]],
        size: int,
        receive: Callable[[http.client.HTTPResponse], None],
    ) -> Tuple[int, str]:
        connection = self._connect()
        headers = self._authorization()
        pieces: Optional[Iterator[bytes]] = None
        if body is not None:
            headers["Content-Length"] = str(size)
            headers["Content-Type"] = "multipart/related; boundary=%s" % BOUNDARY
            pieces = iter(body())
        connection.request(method, path, body=pieces, headers=headers)
        answer = connection.getresponse()
        if 200 <= answer.status < 300:
            receive(answer)
            answer.read()
            return answer.status, ""
        return answer.status, answer.read(2000).decode("utf-8", "replace")

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            if self._emulator:
                place = urlsplit(self._emulator if "://" in self._emulator else "http://" + self._emulator)
                kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
                self._connection = kind(place.netloc, timeout=REQUEST_TIMEOUT_SECONDS)
            else:
                self._connection = http.client.HTTPSConnection(
                    "storage.googleapis.com", timeout=REQUEST_TIMEOUT_SECONDS
                )
        return self._connection

    def _authorization(self) -> Dict[str, str]:
        if self._emulator:
            return {}
        if self._token is None:
            self._token = _metadata_token()
        return {"Authorization": "Bearer " + self._token}


def from_environment(name: str) -> BucketClient:
    """The bucket `name`, where STORAGE_EMULATOR_HOST says that Cloud Storage is."""
    return BucketClient(name, os.environ.get(STORAGE_EMULATOR_HOST) or None)


def _md5_in(hashes: str) -> bytes:
    """The MD5 in Cloud Storage's header "crc32c=...,md5=...", both as base64; empty without one, or where Python has
    none. It tells what broke on the way; what somebody changed is seen by its seal.
    """
    for entry in hashes.split(","):
        name, _, text = entry.strip().partition("=")
        if name == "md5":
            try:
                hashlib.md5()
                return binascii.a2b_base64(text)
            except ValueError:
                return b""
    return b""


def _multipart(object_name: str) -> Tuple[bytes, bytes]:
    """What stands before and after the object's bytes in an upload of metadata and media in one request."""
    metadata = json.dumps({"name": object_name, "contentType": "application/octet-stream"})
    head = (
        "--%s\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n%s\r\n"
        "--%s\r\nContent-Type: application/octet-stream\r\n\r\n" % (BOUNDARY, metadata, BOUNDARY)
    )
    return head.encode(), ("\r\n--%s--\r\n" % BOUNDARY).encode()


def _metadata_token() -> str:
    """An access token of the job's service account, from the machine's metadata server."""
    connection = http.client.HTTPConnection(METADATA_HOST, timeout=10)
    try:
        connection.request("GET", TOKEN_PATH, headers={"Metadata-Flavor": "Google"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise OSError("the metadata server answered %d to a request for a token" % answer.status)
        return str(json.loads(text.decode())["access_token"])
    finally:
        connection.close()
