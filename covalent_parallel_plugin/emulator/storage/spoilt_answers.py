"""Spoil an answer on its way: cut off, stalled, trickling, one bit changed, or not what was requested at all."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..faults.plan import ArmedFault

SPOILS = ("truncate", "corrupt", "stall", "trickle", "garbage")
_PIECES_A_SECOND = 20
# In no text, and in no JSON
_GARBAGE = b"\xff"


class SpoiltAnswer:
    """An answer whose body a fault strikes, half way through it or all along.

    `wait` takes seconds and the client's address, and raises ClientDisconnect once that client has gone; `close` closes
    the connection.
    """

    def __init__(
        self,
        response: ASGIApp,
        drawn: ArmedFault,
        wait: Callable[[float, Any], Awaitable[None]],
        close: Callable[[Scope, Receive], Awaitable[None]],
    ) -> None:
        self._response = response
        self._drawn = drawn
        self._what = drawn.fault.kind.partition(".")[2]
        self._wait = wait
        self._close = close
        self._length = 0
        self._sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def spoil(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(self._begin(message))
            elif not self._length:
                await send(message)
            elif self._what in ("trickle", "garbage"):
                await self._spoil_all(message, scope, send)
            else:
                await self._spoil_middle(message, scope, receive, send)

        try:
            await self._response(scope, receive, spoil)
        except ClientDisconnect:
            return

    def _begin(self, message: Message) -> Message:
        headers = list(message["headers"])
        length = int(dict(headers).get(b"content-length", b"0"))
        if not length or message["status"] not in (200, 206):
            self._drawn.give_back()
            return message
        self._length = length
        if self._what in ("trickle", "garbage"):
            self._drawn.consume()
        if self._drawn.fault.value("keeps_hash") is not False:
            return message
        return {**message, "headers": [(key, value) for key, value in headers if key.lower() != b"x-goog-hash"]}

    async def _spoil_all(self, message: Message, scope: Scope, send: Send) -> None:
        body = message.get("body", b"")
        if self._what == "garbage":
            await send({**message, "body": _GARBAGE * len(body)})
            return
        rate = self._drawn.fault.value("bytes_per_second")
        size = max(1, rate // _PIECES_A_SECOND)
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            await send({**message, "body": piece, "more_body": True})
            await self._wait(len(piece) / rate, scope["client"])
        await send({**message, "body": b""})

    async def _spoil_middle(self, message: Message, scope: Scope, receive: Receive, send: Send) -> None:
        body = message.get("body", b"")
        middle = self._length // 2 - self._sent
        self._sent += len(body)
        if not 0 <= middle < len(body):
            await send(message)
            return
        fault = self._drawn.consume()
        if self._what == "corrupt":
            await send({**message, "body": body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]})
            return
        await send({**message, "body": body[:middle], "more_body": True})
        if self._what == "truncate":
            await self._close(scope, receive)
            raise ClientDisconnect
        seconds = fault.value("seconds")
        await self._wait(math.inf if seconds is None else seconds, scope["client"])
        await send({**message, "body": body[middle:]})
