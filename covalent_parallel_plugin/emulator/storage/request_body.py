"""Read the body of an HTTP request piece by piece, knowing at any moment whether all of it has come."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from .refusals import StorageRefusal

JSON_BODY_LIMIT_BYTES = 10 * 1024 * 1024  # the limit of a batch request, by far the largest of the JSON bodies


class IncomingRequest:
    """One request's headers and body."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.headers = Headers(scope=scope)
        self._receive = receive
        self._is_complete = False
        self._peeked: list[bytes] = []

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield what is left of the body. Raises ClientDisconnect if the connection ends before the body does."""
        while self._peeked:
            yield self._peeked.pop(0)
        while not self._is_complete:
            chunk = await self._next()
            if chunk:
                yield chunk

    async def peek(self, size: int) -> bytes:
        """Return the body's beginning, of this many bytes at least if it has them; it is still there to be read."""
        held = sum(map(len, self._peeked))
        while held < size and not self._is_complete:
            chunk = await self._next()
            held += len(chunk)
            self._peeked.append(chunk)
        return b"".join(self._peeked)

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect()
        self._is_complete = not message.get("more_body", False)
        return bytes(message.get("body", b""))

    async def read_limited(self) -> bytes:
        """Return the whole body of a request that carries JSON. Raises StorageRefusal: 413 past 10 MiB."""
        pieces = []
        size = 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > JSON_BODY_LIMIT_BYTES:
                raise StorageRefusal(413, "uploadTooLarge", "Request body too large")
            pieces.append(chunk)
        return b"".join(pieces)

    async def drain(self) -> None:
        """Let the rest of the body pass: a client that is still sending would not see an answer."""
        async for _ in self.chunks():
            pass
