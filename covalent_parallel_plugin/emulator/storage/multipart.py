"""Parse the two multipart forms of Cloud Storage: multipart/related uploads as a stream, and batches."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from http import HTTPStatus
from urllib.parse import urlsplit

from .refusals import StorageRefusal
from .routes import Reply

# Metadata of an object is a few KB (8 KiB of custom metadata); what is longer is not a metadata part.
_METADATA_LIMIT_BYTES = 1 << 20

# The most that google-cloud-storage puts into one batch; Google's documentation asks for at most 100.
_BATCH_LIMIT = 1000


def _boundary(content_type: str, kind: str) -> bytes:
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    if message.get_content_type() != kind or not boundary:
        raise StorageRefusal(400, "badContent", f"Content-Type must be {kind} with a boundary, not {content_type!r}")
    return boundary.encode("latin-1")


async def read_related(
    stream: AsyncIterator[bytes], content_type: str
) -> tuple[bytes, str | None, AsyncIterator[bytes]]:
    """Split a multipart/related upload: metadata, the media's content type, and the media as a stream.

    Raises:
        StorageRefusal: 400 where it is malformed; for the media that shows while the stream is read.
    """
    mark = b"--" + _boundary(content_type, "multipart/related")
    buffer = b""

    async def more(limit: int) -> None:
        nonlocal buffer
        if len(buffer) > limit:
            raise StorageRefusal(400, "badContent", "The metadata part of the upload is too long")
        async for chunk in stream:
            if chunk:
                buffer += chunk
                return
        raise _malformed()

    async def take_until(separator: bytes) -> bytes:
        nonlocal buffer
        while separator not in buffer:
            await more(_METADATA_LIMIT_BYTES)
        before, _, buffer = buffer.partition(separator)
        return before

    await take_until(mark)
    while b"\n" not in buffer:
        await more(_METADATA_LIMIT_BYTES)
    # Clients differ in their line ends: the standard says CR LF, Python's email package writes LF.
    newline = b"\r\n" if buffer.partition(b"\n")[0].endswith(b"\r") else b"\n"
    # The line end after the mark is left standing: a part without headers is then no special case.
    await take_until(newline * 2)
    metadata = await take_until(newline + mark)
    headers = await take_until(newline * 2)
    media_type = BytesParser().parsebytes(headers.lstrip() + b"\n\n").get("Content-Type")
    return metadata, media_type, _until(newline + mark, buffer, stream)


async def _until(end: bytes, buffer: bytes, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    # The end mark may be spread over two chunks: its length less one is held back.
    while (place := buffer.find(end)) < 0:
        whole = len(buffer) - len(end) + 1
        if whole > 0:
            yield buffer[:whole]
            buffer = buffer[whole:]
        chunk = await anext(stream, None)
        if chunk is None:
            raise _malformed()
        buffer += chunk
    yield buffer[:place]
    async for _ in stream:
        pass


def _malformed() -> StorageRefusal:
    return StorageRefusal(400, "badContent", "Malformed multipart body.")


@dataclass(frozen=True)
class SubRequest:
    """One call out of a batch."""

    content_id: str | None
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


def split_batch(body: bytes, content_type: str) -> list[SubRequest]:
    """Return the calls of a batch request, in order. Raises StorageRefusal: 400."""
    _boundary(content_type, "multipart/mixed")
    message = BytesParser().parsebytes(b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n" + body)
    parts = message.get_payload()
    if not isinstance(parts, list) or not parts:
        raise _malformed()
    if len(parts) > _BATCH_LIMIT:
        raise StorageRefusal(400, "invalid", f"A batch holds at most {_BATCH_LIMIT} calls")
    return [_sub_request(part) for part in parts if isinstance(part, Message)]


def _sub_request(part: Message) -> SubRequest:
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        raise _malformed()
    line, _, rest = payload.lstrip().partition(b"\n")
    words = line.decode("latin-1").split()
    if len(words) < 2:
        raise _malformed()
    inner = BytesParser().parsebytes(rest)
    content = inner.get_payload(decode=True)
    address = urlsplit(words[1])
    return SubRequest(
        content_id=part.get("Content-ID"),
        method=words[0].upper(),
        path=address.path,
        query=address.query,
        headers={key.lower(): value for key, value in inner.items()},
        body=content if isinstance(content, bytes) else b"",
    )


def join_batch(answers: Iterable[tuple[str | None, Reply]], boundary: str) -> bytes:
    """Return the body of a batch's answer: each reply as application/http under its call's Content-ID."""
    lines: list[str] = []
    for content_id, reply in answers:
        lines += [f"--{boundary}", "Content-Type: application/http"]
        if content_id is not None:
            lines.append(f"Content-ID: <response-{content_id.strip('<>')}>")
        content = "" if reply.content is None else json.dumps(reply.content)
        lines += ["", f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
        lines += [f"{key}: {value}" for key, value in reply.headers.items()]
        lines += ["Content-Type: application/json; charset=UTF-8", f"Content-Length: {len(content)}", "", content]
    lines += [f"--{boundary}--", ""]
    return "\r\n".join(lines).encode()
