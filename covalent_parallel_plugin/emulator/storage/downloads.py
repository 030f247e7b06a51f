"""Send the bytes of objects, whole or by range."""

from __future__ import annotations

import re

from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from .metadata_handlers import readable_object
from .object_files import BLOCK_BYTES, read_blocks, unpacked_blocks
from .object_store import BucketStore, ObjectRecord
from .routes import StorageRequest


def download(store: BucketStore, call: StorageRequest, request_headers: Headers) -> ASGIApp:
    """Return the answer with an object's bytes, or the range that was asked for.

    Raises:
        StorageRefusal: 304, 400, 404, 412.
    """
    stored = readable_object(store, call)
    size = stored.body.size
    headers = _download_headers(stored)
    if _is_unpacked(stored, request_headers):
        return _UnpackedBytes(stored, headers)
    wanted = _byte_range(request_headers.get("range"), size)
    if wanted is None:
        return _StoredBytes(stored, 0, size, 200, headers)
    start, end = wanted
    if start >= end:
        headers = {"Content-Range": f"bytes */{size}"}
        return Response(b"Requested range not satisfiable", 416, headers)
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return _StoredBytes(stored, start, end, 206, headers)


class _StoredBytes:
    """An ASGI application that sends a stretch of one object."""

    def __init__(self, stored: ObjectRecord, start: int, end: int, status: int, headers: dict[str, str]) -> None:
        self._path = stored.body.path
        self._start = start
        self._length = end - start
        self._status = status
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Opened before the first byte leaves: a deletion meanwhile does not cut the download short.
        with self._path.open("rb") as file:
            response: Response
            if self._length <= BLOCK_BYTES:
                file.seek(self._start)
                response = Response(file.read(self._length), self._status, self._headers)
            else:
                headers = {**self._headers, "Content-Length": str(self._length)}
                response = StreamingResponse(read_blocks(file, self._start, self._length), self._status, headers)
            await response(scope, receive, send)


class _UnpackedBytes:
    """An ASGI application that sends a gzip-compressed object unpacked, in a length that is not known before.

    Source: "Transcoding of gzip-compressed files" in Cloud Storage's documentation, which also says that a range is
    passed over then.
    """

    def __init__(self, stored: ObjectRecord, headers: dict[str, str]) -> None:
        self._body = stored.body
        self._headers = {key: value for key, value in headers.items() if key != "Content-Encoding"}
        self._headers |= {"Warning": "214 UploadServer gunzipped", "Vary": "Accept-Encoding"}
        del self._headers["Accept-Ranges"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._body.path.open("rb") as file:
            blocks = unpacked_blocks(read_blocks(file, 0, self._body.size))
            await StreamingResponse(blocks, 200, self._headers)(scope, receive, send)


def _is_unpacked(stored: ObjectRecord, request_headers: Headers) -> bool:
    fields = stored.fields
    is_wanted_packed = "gzip" in request_headers.get("accept-encoding", "").lower()
    is_fixed = "no-transform" in fields.get("cacheControl", "").lower()
    return fields.get("contentEncoding", "").lower() == "gzip" and not is_wanted_packed and not is_fixed


def _download_headers(stored: ObjectRecord) -> dict[str, str]:
    hashes = f"crc32c={stored.body.crc32c}"
    if stored.body.md5 is not None:
        hashes += f",md5={stored.body.md5}"
    fields = stored.fields
    headers = {
        "Content-Type": str(fields.get("contentType", "application/octet-stream")),
        "Accept-Ranges": "bytes",
        "ETag": stored.etag,
        "X-Goog-Hash": hashes,
        "X-Goog-Generation": str(stored.generation),
        "X-Goog-Metageneration": str(stored.metageneration),
        "X-Goog-Storage-Class": str(fields.get("storageClass", "STANDARD")),
        "X-Goog-Stored-Content-Encoding": str(fields.get("contentEncoding", "identity")),
        "X-Goog-Stored-Content-Length": str(stored.body.size),
    }
    for key, header in (
        ("contentEncoding", "Content-Encoding"),
        ("contentDisposition", "Content-Disposition"),
        ("contentLanguage", "Content-Language"),
        ("cacheControl", "Cache-Control"),
    ):
        if key in fields:
            headers[header] = str(fields[key])
    # Starlette writes headers as latin-1; Google sends what was stored as UTF-8.
    return {key: value.encode().decode("latin-1") for key, value in headers.items()}


def _byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    # None: no single byte range, so the whole is sent (RFC 9110, 14.2). Start = end: not satisfiable.
    match = None if header is None else re.fullmatch(r"bytes=(\d*)-(\d*)", header.strip())
    if match is None or match.group(0) == "bytes=-":
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    start = int(first)
    if last and int(last) < start:
        return None
    end = min(size, int(last) + 1) if last else size
    return (start, end) if start < size else (size, size)
