"""A Cloud Storage of one object that answers each request as a test says, whatever HTTP allows or forbids."""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import threading
from collections.abc import Callable
from typing import BinaryIO

import google_crc32c

# Writes an answer to the connection; the number is that of the first byte that was asked for
Answer = Callable[[socket.socket, int], None]


class OddStorage:
    """Answers each request with the next of `answers`, and from then on with the last.

    Attributes:
        heads: the requests so far, without their bodies.
        closed: set when a connection was found closed amid an answer.
    """

    def __init__(self, *answers: Answer) -> None:
        self._answers = answers
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.heads: list[str] = []
        self.asked, self.closed = threading.Event(), threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as requests:
            while head := self._read_request(requests):
                self.heads.append(head)
                self.asked.set()
                found = re.search(r"range: bytes=(\d+)-", head, re.IGNORECASE)
                try:
                    self._answers[min(len(self.heads), len(self._answers)) - 1](
                        connection, int(found[1]) if found else 0
                    )
                except OSError:
                    self.closed.set()
                    return

    @staticmethod
    def _read_request(requests: BinaryIO) -> str:
        lines = []
        with contextlib.suppress(OSError):
            while (line := requests.readline().decode()).strip():
                lines.append(line)
        head = "".join(lines)
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        requests.read(int(length[1]) if length else 0)
        return head

    def close(self) -> None:
        self._listening.close()


def head(data: bytes, start: int = 0, length: int | None = None) -> bytes:
    """The head of a download's answer, as Cloud Storage gives it."""
    checksum = base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
    lines = [
        "HTTP/1.1 206 Partial Content" if start else "HTTP/1.1 200 OK",
        *([f"Content-Range: bytes {start}-{len(data) - 1}/{len(data)}"] if start else []),
        *([f"Content-Length: {length}"] if length is not None else []),
        f"X-Goog-Hash: crc32c={checksum}",
        "X-Goog-Generation: 1",
        "Content-Type: application/octet-stream",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def whole(data: bytes) -> Answer:
    """An answer as it should be."""

    def answer(connection: socket.socket, start: int) -> None:
        if start >= len(data):
            status(416)(connection, start)
        else:
            connection.sendall(head(data, start, len(data) - start) + data[start:])

    return answer


def status(code: int, body: bytes = b"") -> Answer:
    """An answer with this status."""
    length = len(body)
    return lambda connection, _: connection.sendall(
        b"HTTP/1.1 %d Odd\r\nContent-Length: %d\r\n\r\n" % (code, length) + body
    )


def page(body: bytes) -> Answer:
    """An answer in JSON."""
    text = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    return lambda connection, _: connection.sendall(text + body)
