"""Refuse what foreign web pages send to a server on loopback: who may call Covalent's may run programs as its user."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
_PORTS = {"http": 80, "https": 443}
# RFC 6455, 7.4.1: a message that violates the server's policy
_POLICY_VIOLATION = 1008


class OwnPagesOnly:
    """An ASGI application in front of another one: for requests and for WebSockets alike."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope.get("headers", ())}
        reason = why_not_from(headers.get(b"host", ""), headers.get(b"origin", ""))
        if not reason:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": reason})
        else:
            kind = (b"content-type", b"text/plain; charset=utf-8")
            await send({"type": "http.response.start", "status": 403, "headers": [kind, (b"connection", b"close")]})
            await send({"type": "http.response.body", "body": f"{reason}\n".encode()})


def why_not_from(host: str, origin: str) -> str:
    """Say why a request with these headers is refused, "" if it is not.

    A page of any site can send requests to loopback, and under its own name if that is made to lead there.
    """
    name, port = _place(f"http://{host}")
    if host and not _is_loopback(name):
        return f"this server answers only on loopback, and was called as {host!r}: use its own address, or localhost"
    if origin:
        page, page_port = _place(origin)
        if not _is_loopback(page) or page_port != port:
            return f"a web page of {origin!r} may not call this server: open the server's own, http://{host}"
    return ""


def _place(url: str) -> tuple[str, int | None]:
    """Return a URL's host and port, "" and None where it has none."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return "", None


def _is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or name.endswith(".localhost") or ip_address(name).is_loopback
    except ValueError:  # no address
        return False
