"""urllib3's connections with bounds on every response: a least rate, a longest time, and a stop from outside."""

from __future__ import annotations

import contextlib
import http.client
import io
import time
from dataclasses import dataclass
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter

from .threads import check_stopped

# How often a read that gets nothing looks whether it was stopped
LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Bounds:
    """When a response is abandoned.

    Attributes:
        least_bytes, least_seconds: fewer bytes came in so many seconds of waiting; for the first one the request's own
            timeout counts.
        longest_seconds: it was not complete after so long.
    """

    least_bytes: int = 64 * 1024
    least_seconds: float = 15.0
    longest_seconds: float = 3600.0


class _BoundedReader(io.RawIOBase):
    """What a socket receives of one response.

    Args:
        connection: the socket, whose timeout is the longest wait for the first byte.
        plain: a file of the socket's, which is closed with this one.

    Raises:
        TimeoutError: it delivers too little, or takes too long.
        TransferStoppedError: `threads.run_stoppable` was cancelled.
    """

    def __init__(self, connection: Any, plain: Any, bounds: Bounds):
        self._connection, self._plain, self._bounds = connection, plain, bounds
        self._timeout = connection.gettimeout()
        self._until = time.monotonic() + bounds.longest_seconds
        # Since the first byte, or since the last time that enough had come
        self._bytes, self._waited_seconds = 0, 0.0
        self._is_first, self._limit_seconds = True, self._timeout or bounds.least_seconds
        connection.settimeout(LOOK_SECONDS)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while True:
            check_stopped()
            began = time.monotonic()
            try:
                count = int(self._connection.recv_into(buffer))
            except TimeoutError:
                count = None
            # What the reader does with the bytes, such as writing them to a slow disk, is not counted.
            self._waited_seconds += time.monotonic() - began
            self._check_rate(count or 0)
            if count is not None:
                return count

    def _check_rate(self, count: int) -> None:
        self._bytes += count
        if time.monotonic() > self._until:
            raise TimeoutError(f"the response was not complete after {self._bounds.longest_seconds:.0f} s")
        if self._bytes >= self._bounds.least_bytes or (count and self._is_first):
            self._bytes, self._waited_seconds = 0, 0.0
            self._is_first, self._limit_seconds = False, self._bounds.least_seconds
        elif self._waited_seconds > self._limit_seconds:
            raise TimeoutError(f"only {self._bytes} bytes came in {self._waited_seconds:.0f} s")

    def close(self) -> None:
        # A connection through a proxy continues with its own timeout.
        with contextlib.suppress(OSError):
            self._connection.settimeout(self._timeout)
        self._plain.close()
        super().close()


def bounded_pools(bounds: Bounds) -> dict[str, Any]:
    """Return what `urllib3.PoolManager.pool_classes_by_scheme` takes."""

    class Response(http.client.HTTPResponse):
        def __init__(self, sock: Any, *args: Any, **kwargs: Any):
            super().__init__(sock, *args, **kwargs)
            self.fp = io.BufferedReader(_BoundedReader(sock, self.fp, bounds))

    class HttpConnection(urllib3.connection.HTTPConnection):
        response_class = Response

    class HttpsConnection(urllib3.connection.HTTPSConnection):
        response_class = Response

    class HttpPool(urllib3.HTTPConnectionPool):
        ConnectionCls = HttpConnection

    class HttpsPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = HttpsConnection

    return {"http": HttpPool, "https": HttpsPool}


class BoundedAdapter(HTTPAdapter):
    """What `requests` sends with, also through a proxy."""

    def __init__(self, pools: dict[str, Any]):
        self._pools = pools
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools, as the base does."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Return the proxy's pools, as the base does."""
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager
