"""Cloud Storage on a bad day: a server before the emulator's that spoils the answers to some requests."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

BODYLESS = (204, 205, 304)


class Exchange(BaseHTTPRequestHandler):
    """One connection of a task's."""

    protocol_version = "HTTP/1.1"
    storage: OddStorage

    def handle_request(self) -> None:
        storage = self.storage
        if storage.is_next_odd(self.command, self.path):
            storage.oddity(self)
            return
        length = int(self.headers.get("Content-Length", 0))
        upstream = http.client.HTTPConnection(storage.address, timeout=60)
        upstream.request(self.command, self.path, self.rfile.read(length), dict(self.headers))
        answer = upstream.getresponse()
        data = answer.read()
        upstream.close()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() in ("content-type", "x-goog-hash"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = handle_request

    def log_message(self, format: str, *args: object) -> None:
        return


Oddity = Callable[[Exchange], None]


@dataclass
class OddStorage:
    """A server before the storage at `address`, with an oddity in place of the first answers to some requests.

    Attributes:
        method, part: the requests, whose path has `part` in it.
        times: how many of them.
        seen: how many came in all.
    """

    address: str
    oddity: Oddity
    method: str = "GET"
    part: str = ""
    times: int = 1
    seen: int = 0

    def is_next_odd(self, method: str, path: str) -> bool:
        """Count a request; whether its answer is to be the odd one."""
        if method != self.method or self.part not in path:
            return False
        with self._lock:
            self.seen += 1
            return self.seen <= self.times

    def __enter__(self) -> OddStorage:
        self.address = urlsplit(self.address).netloc
        self._lock = threading.Lock()
        self.ending = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Exchange", (Exchange,), {"storage": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.ending.set()
        self._server.shutdown()
        self._thread.join()
        self._server.socket.close()


def status(code: int, reads_first: bool = True) -> Oddity:
    """Answer with this status, after or before what is uploaded has been read."""

    def answer(exchange: Exchange) -> None:
        if reads_first:
            exchange.rfile.read(int(exchange.headers.get("Content-Length", 0)))
        else:
            exchange.close_connection = True
        exchange.send_response(code, "odd")
        text = b"" if code in BODYLESS else b"odd\n"
        exchange.send_header("Content-Length", str(len(text)))
        exchange.end_headers()
        exchange.wfile.write(text)

    return answer


def body(data: bytes, length: int | None = None) -> Oddity:
    """Answer with these bytes, and close the connection where more are promised."""

    def answer(exchange: Exchange) -> None:
        exchange.send_response(200)
        exchange.send_header("Content-Length", str(len(data) if length is None else length))
        exchange.end_headers()
        exchange.wfile.write(data)
        exchange.close_connection = True

    return answer


def drop(exchange: Exchange) -> None:
    """Close the connection without an answer."""
    exchange.close_connection = True


def stall(exchange: Exchange) -> None:
    """Neither read nor answer."""
    exchange.close_connection = True
    exchange.storage.ending.wait(60)


def trickle(exchange: Exchange) -> None:
    """Answer byte by byte, beginning with a long header."""
    exchange.close_connection = True
    exchange.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    _trickle(exchange)


def trickle_body(exchange: Exchange) -> None:
    """Promise a megabyte and send it byte by byte."""
    exchange.send_response(200)
    exchange.send_header("Content-Length", str(2**20))
    exchange.end_headers()
    exchange.close_connection = True
    _trickle(exchange)


def _trickle(exchange: Exchange) -> None:
    while not exchange.storage.ending.wait(0.02):
        try:
            exchange.wfile.write(b"x")
        except OSError:
            return
