"""Serve the metadata of machines on loopback, each machine's at an address of its own."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import sys
import threading
from http import HTTPStatus
from http.client import HTTPException, parse_headers

from ..execution.machine_addresses import MachineAddresses
from ..model.callers import Callers, user_of, why_not_from
from ..model.service import LocalService
from .answers import FLAVOR, GOOGLE, Answer, answer

_HEAD_BYTES = 16 * 1024
_SECONDS = 10.0


class MetadataServer(LocalService):
    """Answers at every address of loopback on one port, for the machine that has the address.

    Only Linux lets a socket listen to all of loopback and to nothing else (from 5.7 on without privileges); where that
    is not so it does not serve, and machines have no address.
    """

    def __init__(self, machines: MachineAddresses, callers: Callers) -> None:
        self._machines = machines
        self._callers = callers
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="emulator-metadata", daemon=True)

    def start(self) -> None:
        """Begin to serve, and let machines have addresses."""
        listener = _listener()
        if listener is None:
            return
        self._thread.start()
        starting = asyncio.start_server(self._serve, sock=listener, limit=_HEAD_BYTES)
        self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(_SECONDS)
        self._machines.port = listener.getsockname()[1]

    def stop(self) -> None:
        """End, and release the port; does nothing if not started."""
        self._machines.port = None
        if self._thread.is_alive():
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(_SECONDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _SECONDS)
            client, server = (writer.get_extra_info(end) for end in ("peername", "sockname"))
            method, reply = await self._reply(head, client, server)
            writer.write(_message(reply, has_body=method != "HEAD"))
            await asyncio.wait_for(writer.drain(), _SECONDS)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError):
            pass  # who asked is gone, or asks for nothing
        finally:
            writer.close()

    async def _reply(self, head: bytes, client: tuple[str, int], server: tuple[str, int]) -> tuple[str, Answer]:
        lines = io.BytesIO(head)
        try:
            method, target, _ = lines.readline().decode("latin-1").split()
            headers = {name.lower(): value for name, value in parse_headers(lines).items()}
        except (ValueError, HTTPException):
            return "", Answer(400, "This is not an HTTP request.")
        reason = why_not_from(headers.get("host", ""), headers.get("origin", ""))
        if not reason:
            # the engine is asked for the users of containers, which takes its time
            user = user_of(client, server)
            reason = await asyncio.to_thread(self._callers.why_not, user)
        if reason:
            return method, Answer(403, reason)
        facts = self._machines.facts(server[0])
        if facts is None:
            return method, Answer(404, f"No machine of the emulator has the address {server[0]}.")
        return method, answer(facts, method, target, headers)


def _listener() -> socket.socket | None:
    """Listen on all loopback addresses, on a free port; None where that is not possible."""
    if sys.platform != "linux":
        return None
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        try:
            # before it is bound: at no moment may another machine connect to it
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
            listener.bind(("", 0))
        except OSError:
            return None
        stack.pop_all()
        return listener
    return None


def _message(reply: Answer, *, has_body: bool) -> bytes:
    body = reply.text.encode()
    lines = [
        f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
        f"Content-Type: {reply.content_type}",
        f"Content-Length: {len(body)}",
        f"{FLAVOR}: {GOOGLE}",
        "Server: Metadata Server for VM",
        "Connection: close",
        *([f"Location: {reply.location}"] if reply.location else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body if has_body else b"")
