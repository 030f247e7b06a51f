"""Take uploads of objects: media and multipart in one request, resumable in several."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .metadata_handlers import object_fields, object_resource
from .multipart import read_related
from .object_files import Body, BodyWriter
from .object_store import BucketStore, ObjectRecord
from .refusals import Preconditions, StorageRefusal
from .request_body import IncomingRequest
from .routes import Reply, StorageRequest, number, parse_json, preconditions_of

# "Performing resumable uploads": every chunk but the last is a multiple of this many bytes.
CHUNK_UNIT_BYTES = 256 * 1024

# A finished session answers status queries with the object for as long as it is among the last so many.
FINISHED_SESSIONS_KEPT = 1000

DECLARED_SIZE = "x-upload-content-length"


@dataclass
class _UploadSession:
    """One resumable upload: where it goes, what has arrived, and in the end the object."""

    bucket: str
    name: str
    resource: Mapping[str, Any]
    preconditions: Preconditions
    writer: BodyWriter
    declared_bytes: int | None
    is_receiving: bool = False
    is_cancelled: bool = False
    stored: ObjectRecord | None = None


class Uploads:
    """Takes uploads of every kind into one store; a body that breaks off leaves no object and no file."""

    def __init__(self, store: BucketStore) -> None:
        self._store = store
        self._sessions: dict[str, _UploadSession] = {}
        self._finished: list[str] = []

    async def insert(self, call: StorageRequest, incoming: IncomingRequest) -> Reply:
        """Store a media or multipart upload in one request.

        Raises:
            StorageRefusal: 400 malformed or a checksum that does not fit, 404 no such bucket, 412.
            starlette.requests.ClientDisconnect: the client went away.
        """
        kind = call.query.get("uploadType")
        content_type = incoming.headers.get("content-type")
        if kind == "media":
            resource: dict[str, Any] = {}
            chunks = incoming.chunks()
        elif kind == "multipart":
            metadata, content_type, chunks = await read_related(incoming.chunks(), content_type or "")
            resource = parse_json(metadata)
        else:
            raise StorageRefusal(400, "invalid", f"Upload requests must have a known uploadType, not {kind!r}")
        if content_type is not None:
            resource.setdefault("contentType", content_type)
        if "contentEncoding" in call.query:
            resource["contentEncoding"] = call.query["contentEncoding"]
        name = call.query.get("name") or str(resource.get("name") or "")
        wanted = preconditions_of(call.query)
        fields = object_fields(resource)
        self._store.check_write(call.bucket, name, wanted)
        writer = self._store.new_body()
        try:
            async for chunk in chunks:
                if chunk:
                    await writer.write(chunk)
            body = await writer.finish()
            check_sums(body, {**sums_of_headers(incoming.headers), **sums_of_resource(resource)})
            stored = self._store.put(call.bucket, name, body, fields, wanted)
        except BaseException:
            writer.discard()
            raise
        return Reply(200, object_resource(stored, call.base))

    async def start(self, call: StorageRequest, incoming: IncomingRequest) -> Reply:
        """Begin a resumable upload: the answer's Location is the address of the session. Raises as `insert`."""
        resource = parse_json(await incoming.read_limited())
        content_type = incoming.headers.get("x-upload-content-type")
        if content_type is not None:
            resource.setdefault("contentType", content_type)
        if "contentEncoding" in call.query:
            resource["contentEncoding"] = call.query["contentEncoding"]
        name = call.query.get("name") or str(resource.get("name") or "")
        wanted = preconditions_of(call.query)
        object_fields(resource)
        self._store.check_write(call.bucket, name, wanted)
        upload_id = uuid.uuid4().hex
        self._sessions[upload_id] = _UploadSession(
            call.bucket, name, resource, wanted, self._store.new_body(), number(incoming.headers, DECLARED_SIZE)
        )
        path = f"/upload/storage/v1/b/{call.bucket}/o?uploadType=resumable&upload_id={upload_id}"
        return Reply(200, None, {"Location": call.base + path, "X-GUploader-UploadID": upload_id})

    async def cancel(self, call: StorageRequest, incoming: IncomingRequest) -> Reply:
        """End a resumable upload: 499 and no body, as at Google. Raises StorageRefusal: 404."""
        session = self._session(call)
        if session.stored is None:
            session.is_cancelled = True
            if not session.is_receiving:
                session.writer.discard()
        return Reply(499)

    def object_name(self, upload_id: str) -> str:
        """Return the object that a resumable upload is for; empty if there is no such upload."""
        session = self._sessions.get(upload_id)
        return "" if session is None else session.name

    async def take_chunk(self, call: StorageRequest, incoming: IncomingRequest) -> Reply:
        """Answer a chunk, the whole, or a status query of a resumable upload: 308 with Range, or the finished object.

        A chunk counts once it has arrived whole; one that breaks off is forgotten.

        Raises:
            StorageRefusal: 400, 404 unknown session, 412, 503 while another request feeds the session.
        """
        session = self._session(call)
        if session.is_cancelled:
            return Reply(499)
        if session.stored is not None:
            return Reply(200, object_resource(session.stored, call.base))
        first, last, total = content_range(incoming.headers.get("content-range"))
        if first is None and total is None:
            return _incomplete(session)
        if session.is_receiving:
            raise StorageRefusal(503, "backendError", "Another request is writing to this upload")
        session.is_receiving = True
        try:
            if first is not None:
                await self._append(session, incoming, first, last, total)
                if last is None and total is None:
                    total = session.writer.size
            if total is None or session.writer.size != total:
                return _incomplete(session)
            if session.declared_bytes not in (None, total):
                message = (
                    f"The upload has {total} bytes, and its header '{DECLARED_SIZE}' said {session.declared_bytes}"
                )
                raise StorageRefusal(400, "invalid", message)
            return Reply(200, object_resource(await self._complete(session, incoming, call), call.base))
        finally:
            session.is_receiving = False
            if session.is_cancelled:
                session.writer.discard()

    def _session(self, call: StorageRequest) -> _UploadSession:
        session = self._sessions.get(call.query.get("upload_id", ""))
        if session is None or session.bucket != call.bucket:
            raise StorageRefusal(404, "notFound", "No such resumable upload")
        return session

    async def _append(
        self, session: _UploadSession, incoming: IncomingRequest, first: int, last: int | None, total: int | None
    ) -> None:
        writer = session.writer
        held = writer.size
        if first > held:
            raise StorageRefusal(400, "invalid", f"The chunk begins at {first}, but {held} bytes have arrived")
        is_final = last is None or (total is not None and last + 1 == total)
        if not is_final and last is not None and (last + 1 - first) % CHUNK_UNIT_BYTES:
            raise StorageRefusal(
                400, "invalid", f"Every chunk but the last must be a multiple of {CHUNK_UNIT_BYTES} bytes"
            )
        if total is not None and last is not None and last >= total:
            raise StorageRefusal(400, "invalid", "The Content-Range goes past its own total")
        repeated = held - first
        received = 0
        try:
            async for chunk in incoming.chunks():
                received += len(chunk)
                # Bytes that had arrived before are skipped: a client may send a chunk again.
                fresh = chunk[min(repeated, len(chunk)) :]
                repeated -= len(chunk) - len(fresh)
                if fresh:
                    await writer.write(fresh)
            if last is not None and received != last + 1 - first:
                raise StorageRefusal(400, "invalid", f"Content-Range and body disagree: {received} bytes came")
            if total is not None and writer.size > total:
                raise StorageRefusal(400, "invalid", f"More bytes came than the Content-Range's total, {total}")
            await writer.keep()
        except BaseException:
            writer.roll_back()
            raise

    async def _complete(self, session: _UploadSession, incoming: IncomingRequest, call: StorageRequest) -> ObjectRecord:
        upload_id = call.query["upload_id"]
        try:
            body = await session.writer.finish()
            check_sums(body, {**sums_of_headers(incoming.headers), **sums_of_resource(session.resource)})
            fields = object_fields(session.resource)
            stored = self._store.put(session.bucket, session.name, body, fields, session.preconditions)
        except BaseException:
            session.writer.discard()
            del self._sessions[upload_id]
            raise
        session.stored = stored
        self._finished.append(upload_id)
        if len(self._finished) > FINISHED_SESSIONS_KEPT:
            del self._sessions[self._finished.pop(0)]
        return stored


def _incomplete(session: _UploadSession) -> Reply:
    arrived = session.writer.size
    return Reply(308, None, {"Range": f"bytes=0-{arrived - 1}"} if arrived else {})


def content_range(header: str | None) -> tuple[int | None, int | None, int | None]:
    """First byte, last byte and total of a Content-Range; no header means the whole body, from 0 on.

    `bytes 5-*/*`, without a last byte, is all that comes, as Google's client for Node.js writes it.

    Raises:
        StorageRefusal: 400.
    """
    if header is None:
        return 0, None, None
    match = re.fullmatch(r"bytes\s+(?:\*|(\d+)-(?:\*|(\d+)))/(?:\*|(\d+))", header.strip())
    if match is None:
        raise StorageRefusal(400, "invalid", f"Invalid Content-Range: {header!r}")
    first, last, total = (None if part is None else int(part) for part in match.groups())
    if first is not None and last is not None and last < first:
        raise StorageRefusal(400, "invalid", f"Invalid Content-Range: {header!r}")
    return first, last, total


def sums_of_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the checksums that X-Goog-Hash and Content-MD5 promise, by "crc32c" and "md5"."""
    sums = {}
    if "content-md5" in headers:
        sums["md5"] = headers["content-md5"]
    for part in headers.get("x-goog-hash", "").split(","):
        kind, _, value = part.strip().partition("=")
        if kind in ("crc32c", "md5"):
            sums[kind] = value
    return sums


def sums_of_resource(resource: Mapping[str, Any]) -> dict[str, str]:
    """Return the checksums that an upload's metadata promises, by "crc32c" and "md5"."""
    sums = {"crc32c": resource.get("crc32c"), "md5": resource.get("md5Hash")}
    return {kind: str(value) for kind, value in sums.items() if value is not None}


def check_sums(body: Body, promised: Mapping[str, str]) -> None:
    """Compare what arrived with what was promised. Raises StorageRefusal: 400."""
    for kind, label, found in (("crc32c", "CRC32C", body.crc32c), ("md5", "MD5 hash", body.md5)):
        wanted = promised.get(kind)
        if wanted is not None and wanted != found:
            message = f'Provided {label} "{wanted}" doesn\'t match calculated {label} "{found}".'
            raise StorageRefusal(400, "invalid", message)
