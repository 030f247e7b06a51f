"""Reading and writing objects of one Cloud Storage bucket, from inside a task."""

from __future__ import annotations

import binascii
import hashlib
import http.client
import json
import os
import random
import time
from typing import Any, BinaryIO, Callable, Container, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple
from urllib.parse import quote, urlsplit

from ..protocol import exit_codes
from ..protocol.environment import STORAGE_EMULATOR_HOST
from .bounded_socket import STALL_SECONDS, begin_request
from .outcome_report import DISK_FULL

GIVE_UP_SECONDS = 120.0
# After so long a refusal is believed. What is written was computed, and Batch gives a minute for that
# (`settings.validators.GRACE_SECONDS`).
REFUSED_READ_SECONDS = 4.0
REFUSED_WRITE_SECONDS = 60.0
MAX_PAUSE_SECONDS = 16.0
# The reason in Cloud Storage's own answer 412: there is such an object already. Any other 412 is an odd answer.
# https://cloud.google.com/storage/docs/json_api/v1/status-codes
CONDITION_NOT_MET = "conditionNotMet"
COPY_BYTES = 1024 * 1024
# A page of a list has up to 1,000 names of 1,024 bytes
MOST_PAGES = 20
MOST_PAGE_BYTES = 16 * 1024 * 1024

# Must not occur in what is uploaded, so each process draws its own
BOUNDARY = "covalent-parallel-%032x" % random.SystemRandom().getrandbits(128)

METADATA_HOST = "metadata.google.internal"
TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"
TOKEN_SECONDS = 10.0


class BucketError(Exception):
    """A request that failed for good; `status` is HTTP's, 0 where no answer came."""

    def __init__(self, status: int, message: str, is_write: bool = False):
        self.status = status
        self.is_write = is_write
        super().__init__(message)

    @property
    def is_denied(self) -> bool:
        """Whether the bucket answers, and lacks a permission."""
        return self.status in (401, 403)

    @property
    def exit_status(self) -> int:
        """The runner's exit status where nothing else is left to do."""
        if self.is_write:
            return exit_codes.EXIT_NOT_DELIVERED if self.is_denied else exit_codes.EXIT_DELIVERY_FAILED
        if self.status == 404:
            return exit_codes.EXIT_NO_CALL
        return exit_codes.EXIT_BUCKET_UNREADABLE if self.is_denied else exit_codes.EXIT_BUCKET_UNREACHABLE


class BucketClient:
    """One bucket, spoken to over one kept connection.

    Args:
        name: the bucket.
        emulator: STORAGE_EMULATOR_HOST's value (scheme, host, port), or None for Google.
        sleep, clock: how to wait, and seconds that never go back.
        stall_seconds: how long a connection may move next to nothing.
    """

    def __init__(
        self,
        name: str,
        emulator: Optional[str] = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        stall_seconds: float = STALL_SECONDS,
    ):
        self._name = quote(name, safe="")
        self._emulator = emulator
        self._sleep = sleep
        self._clock = clock
        self._stall_seconds = stall_seconds
        self._connection: Optional[http.client.HTTPConnection] = None
        self._token: Optional[str] = None

    def get(self, object_name: str, into: BinaryIO, is_expected: bool = True, generation: int = 0) -> bool:
        """Copy an object into a file, from the file's start; the one of a generation, unless that is 0.

        Returns:
            False where the object is not there and is not `is_expected` to be.

        Raises:
            BucketError: what was refused several times, or still failed after two minutes of retries.
        """
        path = "/download/storage/v1/b/%s/o/%s?alt=media" % (self._name, quote(object_name, safe=""))
        if generation:
            path += "&generation=%d" % generation

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

        answers = (200,) if is_expected else (200, 404)
        return self._request("GET", path, None, 0, receive, "read %s" % object_name, answers) == 200

    def has(self, object_name: str) -> bool:
        """Return whether an object is there. Raises BucketError, as `get` does."""
        path = "/storage/v1/b/%s/o/%s?fields=name" % (self._name, quote(object_name, safe=""))
        return self._request("GET", path, None, 0, lambda answer: None, "read %s" % object_name, (200, 404)) == 200

    def names(self, prefix: str) -> "List[str]":
        """Return the names of the objects that start so, the first MOST_PAGES pages of them. Raises BucketError."""
        found: "List[str]" = []
        token = ""
        for _ in range(MOST_PAGES):
            page: "Dict[str, Any]" = {}

            def receive(answer: http.client.HTTPResponse, page: "Dict[str, Any]" = page) -> None:
                try:
                    page.update(json.loads(answer.read(MOST_PAGE_BYTES).decode()))
                except ValueError as error:
                    raise OSError("the answer is no list: %s" % error) from error

            path = "/storage/v1/b/%s/o?fields=items(name),nextPageToken&prefix=%s&pageToken=%s"
            path %= (self._name, quote(prefix, safe=""), quote(token, safe=""))
            self._request("GET", path, None, 0, receive, "list %s*" % prefix, (200,))
            found += [str(item["name"]) for item in page.get("items", ())]
            token = str(page.get("nextPageToken", ""))
            if not token:
                break
        return found

    def put(
        self,
        object_name: str,
        size: int,
        body: Callable[[], Iterable[bytes]],
        once: bool = True,
        metadata: Optional[Mapping[str, str]] = None,
    ) -> bool:
        """Write an object of `size` bytes; `body()` gives its bytes for each try, `metadata` is custom.

        Returns:
            False where `once` is set and the object was already there (HTTP 412), else True.

        Raises:
            BucketError: what was refused for a minute, or still failed after two minutes of retries.
        """
        path = "/upload/storage/v1/b/%s/o?uploadType=multipart" % self._name
        if once:
            path += "&ifGenerationMatch=0"
        head, tail = _multipart(object_name, metadata)

        def related() -> Iterator[bytes]:
            yield head
            for piece in body():
                yield piece
            yield tail

        length, what, answers = len(head) + size + len(tail), "write %s" % object_name, (200, 412)
        return self._request("POST", path, related, length, lambda answer: None, what, answers) == 200

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
        answers: Container[int],
    ) -> int:
        """Send a request until its status is one of `answers`; that status is returned."""
        is_write = body is not None
        refused_seconds = REFUSED_WRITE_SECONDS if is_write else REFUSED_READ_SECONDS
        # Since when answers fail that may pass, and since when it is refused; the first try may have taken its time.
        since: Dict[bool, float] = {}
        pause = 0.5
        while True:
            try:
                status, text = self._try(method, path, body, size, receive)
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, OSError) and error.errno in DISK_FULL:
                    raise
                self.close()
                status, text = 0, "%s: %s" % (type(error).__name__, error)
            if status in answers and (status != 412 or CONDITION_NOT_MET in text):
                return status
            if status == 401:
                self._token = None
            now = self._clock()
            # https://cloud.google.com/storage/docs/retry-strategy
            may_pass = status in (0, 408, 429) or status >= 500
            patience = GIVE_UP_SECONDS if may_pass else refused_seconds
            if now + pause > since.setdefault(may_pass, now) + patience:
                raise BucketError(status, "could not %s: %s %s" % (what, status or "no answer,", text), is_write)
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
        headers = self._authorization()
        connection = self._connect()
        pieces: Optional[Iterator[bytes]] = None
        if body is not None:
            headers["Content-Length"] = str(size)
            headers["Content-Type"] = "multipart/related; boundary=%s" % BOUNDARY
            pieces = iter(body())
        is_sent = False
        try:
            connection.request(method, path, body=pieces, headers=headers)
            is_sent = True
        except (BrokenPipeError, ConnectionResetError):
            # A refusal may have come before all was sent.
            pass
        answer = connection.getresponse()
        if answer.status == 200 and is_sent:
            receive(answer)
            answer.read()
            return answer.status, ""
        text = answer.read(2000).decode("utf-8", "replace")
        if not is_sent or not answer.isclosed():
            self.close()
        return answer.status if answer.status != 200 else 0, text

    def _connect(self) -> http.client.HTTPConnection:
        connection = self._connection
        if connection is None:
            address = self._emulator or "https://storage.googleapis.com"
            place = urlsplit(address if "://" in address else "http://" + address)
            kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
            connection = self._connection = kind(place.netloc, timeout=self._stall_seconds)
        begin_request(connection, self._clock, self._stall_seconds)
        return connection

    def _authorization(self) -> Dict[str, str]:
        if self._emulator:
            return {}
        if self._token is None:
            self._token = _metadata_token()
        return {"Authorization": "Bearer " + self._token}


def from_environment(name: str, sleep: Callable[[float], None] = time.sleep) -> BucketClient:
    """The bucket `name`, where STORAGE_EMULATOR_HOST says that Cloud Storage is."""
    return BucketClient(name, os.environ.get(STORAGE_EMULATOR_HOST) or None, sleep)


def _md5_in(hashes: str) -> bytes:
    """The MD5 in Cloud Storage's header "crc32c=...,md5=...", both as base64; empty without one, or where Python has
    none. It shows what broke on the way; what somebody changed is seen by its seal.
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


def _multipart(object_name: str, custom: Optional[Mapping[str, str]]) -> Tuple[bytes, bytes]:
    """What stands before and after the object's bytes in an upload of metadata and media in one request."""
    fields = {"name": object_name, "contentType": "application/octet-stream"}  # type: Dict[str, object]
    if custom:
        fields["metadata"] = dict(custom)
    metadata = json.dumps(fields)
    head = (
        "--%s\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n%s\r\n"
        "--%s\r\nContent-Type: application/octet-stream\r\n\r\n" % (BOUNDARY, metadata, BOUNDARY)
    )
    return head.encode(), ("\r\n--%s--\r\n" % BOUNDARY).encode()


def _metadata_token() -> str:
    """An access token of the job's service account, from the machine's metadata server."""
    connection = http.client.HTTPConnection(METADATA_HOST, timeout=TOKEN_SECONDS)
    try:
        begin_request(connection, time.monotonic, TOKEN_SECONDS)
        connection.request("GET", TOKEN_PATH, headers={"Metadata-Flavor": "Google"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise OSError("the metadata server answered %d to a request for a token" % answer.status)
        return str(json.loads(text.decode())["access_token"])
    finally:
        connection.close()
