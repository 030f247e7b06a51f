"""Apply faults to requests: refused, slow, lost and spoilt answers, and lists without an end."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, cast

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from ..faults.endless import ENDLESS, endless_token
from ..faults.fault import Fault
from ..faults.plan import FaultPlan, FaultTarget
from ..model.callers import user_of
from .permissions import PERMISSIONS
from .refusals import StorageRefusal
from .request_body import IncomingRequest
from .routes import StorageRequest
from .spoilt_answers import SPOILS, SpoiltAnswer
from .uploads import Uploads

_METADATA_BYTES = 64 * 1024
_NAME = re.compile(rb'"name"\s*:\s*("(?:[^"\\]|\\.)*")')
_DOWNLOAD = "objects.download"
_LISTS = ("objects.list", "buckets.list")

_SLICE_SECONDS = 0.05


@dataclass
class Connections:
    """The open connections by the client's address, as a request's scope names it; the server sets `is_stopping`.

    `users` are those of the clients, if the system reports them.
    """

    open: dict[Any, asyncio.Transport] = field(default_factory=dict)
    users: dict[Any, int | None] = field(default_factory=dict)
    is_stopping: bool = False


class StorageFaults:
    """What goes wrong with requests, by a plan; a `Dropped` closes its connection among `connections`."""

    def __init__(self, plan: FaultPlan, uploads: Uploads, connections: Connections) -> None:
        self._plan = plan
        self._uploads = uploads
        self._connections = connections

    def may_strike(self, call: StorageRequest) -> bool:
        """Return whether there is any fault for requests; the emulator's own addresses have none."""
        return self._plan.has("storage") and not call.kind.startswith("emulator.")

    async def target(self, call: StorageRequest, incoming: IncomingRequest) -> FaultTarget:
        """Return what a request is about; an upload may name its object only in its body."""
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
        refused = self._draw_refusal(target)
        if refused is not None and not self._sends_interim(refused, client):
            raise _refusal(refused, target)
        return self._drop("storage.drop", target)

    async def before_api(self, request: str, client: Any) -> Fault | ASGIApp | None:
        """Delay a request to one of the JSON APIs, or say what its answer is: that of an error, or none at all.

        Raises ClientDisconnect where a client does not wait so long.
        """
        target = FaultTarget(request=request)
        slow = self._plan.draw(("api.slow",), target)
        if slow is not None:
            await self._wait(slow.consume().value("seconds"), client)
        refused = self._plan.draw(("api.error",), target)
        if refused is not None and not self._sends_interim(refused.consume(), client):
            return refused.fault
        return self._drop("api.drop", target)

    def refuse(self, target: FaultTarget) -> None:
        """Refuse one of the requests in a batch. Raises StorageRefusal."""
        refused = self._draw_refusal(target)
        if refused is not None:
            raise _refusal(refused, target)

    def _draw_refusal(self, target: FaultTarget) -> Fault | None:
        """Draw what refuses a request.

        A batch as a whole is refused only by rules made for batches: others strike the requests in it.
        """

        def applies(fault: Fault) -> bool:
            return target.request != "batch" or fault.value("request") == "batch"

        refused = self._plan.draw(("storage.error", "storage.no_bucket"), target, applies)
        return None if refused is None else refused.consume()

    def _drop(self, kind: str, target: FaultTarget) -> ASGIApp | None:
        dropped = self._plan.draw((kind,), target)
        if dropped is None:
            return None
        dropped.consume()
        return self._closing

    def _sends_interim(self, fault: Fault, client: Any) -> bool:
        """Send a status below 200, which no answer has (RFC 9110, 15.2): the request's own answer comes after it."""
        code = int(fault.value("code") or 0)
        connection = self._connections.open.get(tuple(client))
        if not 100 <= code < 200 or connection is None:
            return False
        connection.write(f"HTTP/1.1 {code} {_phrase(code)}\r\n\r\n".encode())
        return True

    def first_page(self, call: StorageRequest) -> StorageRequest:
        """Take the token of an endless list out of a request: it leads to the first page again."""
        if not call.query.get("pageToken", "").startswith(ENDLESS):
            return call
        return replace(call, query={key: value for key, value in call.query.items() if key != "pageToken"})

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
        if target.request in _LISTS and isinstance(response, Response):
            endless = self._plan.draw(("storage.endless",), target)
            if endless is not None:
                token = endless.consume().value("token")
                content = {**json.loads(bytes(response.body)), "nextPageToken": endless_token(token)}
                response = Response(json.dumps(content), headers={"Content-Type": response.headers["Content-Type"]})
        return self._spoilt("storage", target, response)

    def after_api(self, request: str, response: ASGIApp) -> ASGIApp:
        """Spoil the answer of one of the JSON APIs."""
        return self._spoilt("api", FaultTarget(request=request), response)

    def _spoilt(self, family: str, target: FaultTarget, response: ASGIApp) -> ASGIApp:
        """Spoil an answer; rules that name no request mean downloads."""

        def applies(fault: Fault) -> bool:
            return family == "api" or target.request == _DOWNLOAD or fault.value("request") != "*"

        drawn = self._plan.draw(tuple(f"{family}.{what}" for what in SPOILS), target, applies)
        return response if drawn is None else SpoiltAnswer(response, drawn, self._wait, self._close)

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


def protocol_of(connections: Connections) -> type[asyncio.Protocol]:
    """Make uvicorn's HTTP protocol with its open connections written down."""

    class Protocol(AutoHTTPProtocol):  # type: ignore[misc,valid-type]  # uvicorn picks the class when imported
        def connection_made(self, transport: asyncio.Transport) -> None:
            self._address = transport.get_extra_info("peername")
            connections.open[self._address] = transport
            connections.users[self._address] = user_of(self._address, transport.get_extra_info("sockname"))
            super().connection_made(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.open.pop(self._address, None)
            connections.users.pop(self._address, None)
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
    return StorageRefusal(code, reason, fault.value("message") or message, fault.value("location") or "")


def _phrase(code: int) -> str:
    return HTTPStatus(code).phrase if code in set(HTTPStatus) else "Unknown"


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
