"""Apply faults to requests to Cloud Storage: errors, slow, lost, cut off and changed answers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from ..faults.fault import Fault
from ..faults.plan import ArmedFault, FaultPlan, FaultTarget
from .permissions import PERMISSIONS
from .refusals import StorageRefusal
from .request_body import IncomingRequest
from .routes import StorageRequest
from .uploads import Uploads

_METADATA_BYTES = 64 * 1024
_NAME = re.compile(rb'"name"\s*:\s*("(?:[^"\\]|\\.)*")')
_DOWNLOAD = "objects.download"

_SLICE_SECONDS = 0.05


@dataclass
class Connections:
    """The open connections by the client's address, as a request's scope names it; the server sets `is_stopping`."""

    open: dict[Any, asyncio.Transport] = field(default_factory=dict)
    is_stopping: bool = False


class StorageFaults:
    """What goes wrong with requests, by a plan; a `Dropped` closes its connection among `connections`."""

    def __init__(self, plan: FaultPlan, uploads: Uploads, connections: Connections) -> None:
        self._plan = plan
        self._uploads = uploads
        self._connections = connections

    def may_strike(self, call: StorageRequest) -> bool:
        """Tell whether there is any fault for requests; the emulator's own addresses have none."""
        return self._plan.has("storage") and not call.kind.startswith("emulator.")

    async def target(self, call: StorageRequest, incoming: IncomingRequest) -> FaultTarget:
        """Say what a request is about; an upload may name its object only in its body."""
        name = call.name or call.query.get("name", "")
        if call.kind == "uploads.chunk":
            name = self._uploads.object_name(call.query.get("upload_id", ""))
        elif not name and call.kind in ("objects.insert", "uploads.start"):
            match = _NAME.search(await incoming.peek(_METADATA_BYTES))
            name = _unquoted(match[1]) if match is not None else ""
        return FaultTarget(request=call.kind, bucket=call.bucket, object=name)

    async def before(self, target: FaultTarget, client: Any) -> ASGIApp | None:
        """Delay or refuse a request; an answer means that nothing else is to be done.

        Raises StorageRefusal, and ClientDisconnect where a client, known by its address, does not wait so long.
        """
        slow = self._plan.draw(("storage.slow",), target)
        if slow is not None:
            await self._wait(slow.consume().value("seconds"), client)
        self.refuse(target)
        dropped = self._plan.draw(("storage.drop",), target)
        if dropped is None:
            return None
        dropped.consume()
        return self._closing

    async def before_api(self, request: str, client: Any) -> Fault | None:
        """Delay a request to one of the JSON APIs; an error that strikes it is to be its answer.

        Raises ClientDisconnect where a client does not wait so long.
        """
        target = FaultTarget(request=request)
        slow = self._plan.draw(("api.slow",), target)
        if slow is not None:
            await self._wait(slow.consume().value("seconds"), client)
        refused = self._plan.draw(("api.error",), target)
        return None if refused is None else refused.consume()

    def refuse(self, target: FaultTarget) -> None:
        """Refuse a request, or one of those in a batch. Raises StorageRefusal.

        A batch as a whole is refused only by rules made for batches: others strike the requests in it.
        """

        def applies(fault: Fault) -> bool:
            return target.request != "batch" or fault.value("request") == "batch"

        refused = self._plan.draw(("storage.error", "storage.no_bucket"), target, applies)
        if refused is not None:
            raise _refusal(refused.consume(), target)

    def after(self, target: FaultTarget, response: ASGIApp) -> ASGIApp:
        """Lose, cut off or change the answer of a request that took effect. Raises StorageRefusal."""
        if getattr(response, "status_code", 200) >= 400:
            return response
        lost = self._plan.draw(("storage.lost",), target)
        if lost is not None:
            fault = lost.consume()
            if fault.value("code"):
                raise _refusal(fault, target)
            return self._closing
        if target.request != _DOWNLOAD:
            return response
        spoilt = self._plan.draw(("storage.truncate", "storage.corrupt"), target)
        return response if spoilt is None else _Spoilt(response, spoilt, self._close)

    async def _wait(self, seconds: float, client: Any) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 0 and not self._connections.is_stopping:
            if tuple(client) not in self._connections.open:
                raise ClientDisconnect
            await asyncio.sleep(min(left, _SLICE_SECONDS))

    async def _closing(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._close(scope, receive)

    async def _close(self, scope: Scope, receive: Receive) -> None:
        """Close the connection once what was sent has left, and wait for that."""
        connection = self._connections.open.get(tuple(scope["client"]))
        if connection is not None:
            connection.close()
        while (await receive())["type"] != "http.disconnect":
            continue


class _Spoilt:
    """Sends the first half of an answer and closes the connection, or changes one bit in its middle."""

    def __init__(self, response: ASGIApp, drawn: ArmedFault, close: Any) -> None:
        self._response = response
        self._drawn = drawn
        self._close = close
        self._length = 0
        self._sent = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_cut = self._drawn.fault.kind == "storage.truncate"

        async def spoil(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(self._begin(message))
                return
            body = message.get("body", b"")
            middle = self._length // 2 - self._sent
            self._sent += len(body)
            if not self._length or not 0 <= middle < len(body):
                await send(message)
            elif is_cut:
                self._drawn.consume()
                await send({**message, "body": body[:middle], "more_body": True})
                await self._close(scope, receive)
                raise ClientDisconnect
            else:
                self._drawn.consume()
                changed = body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]
                await send({**message, "body": changed})

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
        if self._drawn.fault.value("keeps_hash"):
            return message
        return {**message, "headers": [(key, value) for key, value in headers if key.lower() != b"x-goog-hash"]}


def protocol_of(connections: Connections) -> type[asyncio.Protocol]:
    """Make uvicorn's HTTP protocol with its open connections written down."""

    class Protocol(AutoHTTPProtocol):  # type: ignore[misc,valid-type]  # uvicorn picks the class when imported
        def connection_made(self, transport: asyncio.Transport) -> None:
            self._address = transport.get_extra_info("peername")
            connections.open[self._address] = transport
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.open.pop(self._address, None)
            super().connection_lost(exc)

    return cast("type[asyncio.Protocol]", Protocol)


def _refusal(fault: Fault, target: FaultTarget) -> StorageRefusal:
    if fault.kind == "storage.no_bucket":
        return StorageRefusal(404, "notFound", "The specified bucket does not exist.")
    code = int(fault.value("code"))
    reason, message = _TEXTS.get(code, ("backendError", "Backend Error"))
    if code == 403:
        permission = PERMISSIONS.get(target.request, "storage.objects.get")
        message = f"does not have {permission} access to the Google Cloud Storage object. {message}"
    return StorageRefusal(code, reason, fault.value("message") or message)


_TEXTS: Mapping[int, tuple[str, str]] = {
    403: ("forbidden", "Permission denied on resource (or it may not exist)."),
    404: ("notFound", "Not Found"),
    408: ("requestTimeout", "Request Timeout"),
    429: ("rateLimitExceeded", "The rate of requests exceeds what the bucket allows; please reduce it."),
    500: ("internalError", "We encountered an internal error. Please try again."),
    503: ("backendError", "We encountered an internal error. Please try again."),
}


def _unquoted(text: bytes) -> str:
    try:
        return str(json.loads(text))
    except ValueError:  # no JSON: the request will be refused for it
        return ""
