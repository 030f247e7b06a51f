"""Refuse HTTP requests of other users and of web pages, before anything else is done with them."""

from __future__ import annotations

import asyncio
import json

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ..model.callers import UNKNOWN, Callers, why_not_from
from .faults import Connections
from .refusals import StorageRefusal
from .routes import error_reply


class Admission:
    """An ASGI application in front of another one."""

    def __init__(self, app: ASGIApp, callers: Callers, connections: Connections) -> None:
        self._app = app
        self._callers = callers
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        reason = why_not_from(headers.get("host", ""), headers.get("origin", ""))
        user = self._connections.users.get(tuple(scope["client"]), UNKNOWN)
        if not reason and not self._callers.is_own(user):
            reason = await asyncio.to_thread(self._callers.why_not, user)
        if not reason:
            await self._app(scope, receive, send)
            return
        reply = error_reply(StorageRefusal(403, "forbidden", reason))
        # closed, since a body may be on its way
        sent = {"Content-Type": "application/json; charset=UTF-8", "Connection": "close"}
        await Response(json.dumps(reply.content), reply.status, sent)(scope, receive, send)
