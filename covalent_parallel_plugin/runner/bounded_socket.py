"""A connection that is given up when next to nothing comes through: a timeout alone lets a peer trickle for ever."""

from __future__ import annotations

import http.client
import io
import socket
from typing import Any, BinaryIO, Callable

MIN_BYTES_PER_SECOND = 16 * 1024
# For so long it may move less than that, or nothing
STALL_SECONDS = 60.0


def begin_request(connection: http.client.HTTPConnection, clock: Callable[[], float], stall_seconds: float) -> None:
    """Connect unless that is done already, and bound what comes until the next request.

    Raises:
        OSError: no connection could be made.
    """
    if connection.sock is None:
        connection.connect()
        connected: Any = connection.sock
        connection.sock = BoundedSocket(connected, clock, stall_seconds)
    bounded: Any = connection.sock
    bounded.begin()


class BoundedSocket:
    """A connected socket, with as much of its interface as http.client uses.

    Each byte that moves, in either direction, adds to the time that is left, which is never more than `stall_seconds`.
    """

    def __init__(self, connected: socket.socket, clock: Callable[[], float], stall_seconds: float):
        self._socket = connected
        self._clock = clock
        self._stall_seconds = stall_seconds
        self.begin()

    def begin(self) -> None:
        """Count from now on: a request begins."""
        self._deadline = self._clock() + self._stall_seconds

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.move(self._socket.send, view) :]

    def move(self, act: Callable[[Any], int], buffer: Any) -> int:
        """Send or receive through the socket, as far as it goes at once; how many bytes that was.

        Raises:
            OSError: it takes too long.
        """
        left = self._deadline - self._clock()
        if left <= 0:
            raise OSError("fewer than %d bytes a second came through" % MIN_BYTES_PER_SECOND)
        self._socket.settimeout(left)
        count = act(buffer)
        earned = self._deadline + count / MIN_BYTES_PER_SECOND
        self._deadline = min(earned, self._clock() + self._stall_seconds)
        return count

    def makefile(self, mode: str) -> BinaryIO:
        return io.BufferedReader(_BoundedReader(self, self._socket.makefile(mode, buffering=0)))  # type: ignore[call-overload]

    def close(self) -> None:
        self._socket.close()


class _BoundedReader(io.RawIOBase):
    """What comes through a `BoundedSocket`."""

    def __init__(self, bounds: BoundedSocket, received: Any):
        self._bounds = bounds
        self._received = received

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._bounds.move(self._received.readinto, buffer)

    def close(self) -> None:
        self._received.close()
        super().close()
