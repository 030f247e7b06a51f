"""Google's authorized HTTP session with bounds, and without what `requests` prepares again for every request.

A small storage request through `requests` costs more in preparing (cookies, hooks, proxies, redirects, environment)
than in sending. Google's client and its authorization stay as they are; what they send goes straight to urllib3, on
which `requests` stands, and comes back as a `requests.Response`. What this does not understand, `requests` does.
Either way `bounded_pool` ends a response that trickles, or that nobody wants any more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import getproxies

import certifi
import requests
import urllib3
from google.auth.transport.requests import AuthorizedSession
from requests.structures import CaseInsensitiveDict

from .bounded_pool import BoundedAdapter, Bounds, bounded_pools
from .multi_buffer import BufferSlice
from .threads import check_stopped

# Google's client asks for 8 KiB at a time, and each of those costs more in Python than in reading
READ_BYTES = 1024 * 1024
# Where `requests` finds other authorities than its own
CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class _DirectSession(requests.Session):
    """A `requests.Session` whose plain requests go straight to a pool of connections."""

    def __init__(self, connections: int = 10) -> None:
        super().__init__()
        self._pool = urllib3.PoolManager(maxsize=connections, cert_reqs="CERT_REQUIRED", **_authorities())
        # Through a proxy `requests` knows the way, and for which hosts.
        # NO_PROXY alone, which comes under "no", is not a proxy.
        self._is_plain = not getproxies().keys() - {"no"}

    def request(  # type: ignore[override]  # the base has many more arguments, which are passed on
        self,
        method: str,
        url: str,
        data: Any = None,
        headers: Any = None,
        timeout: Any = None,
        stream: bool = False,
        **others: Any,
    ) -> requests.Response:
        check_stopped()
        if others or not self._is_plain or not isinstance(data, (bytes, str, BufferSlice, type(None))):
            return super().request(method, url, data=data, headers=headers, timeout=timeout, stream=stream, **others)
        body: Any = data.encode() if isinstance(data, str) else data
        if isinstance(body, BufferSlice):
            headers = {**headers, "Content-Length": str(len(body))}
        try:
            raw = self._pool.urlopen(
                method,
                url,
                body=body,
                headers=headers,
                timeout=_timeout(timeout),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except urllib3.exceptions.TimeoutError as error:
            raise requests.exceptions.Timeout(error) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise requests.exceptions.ConnectionError(error) from error
        if raw.status in (301, 302, 303, 307, 308) and "Location" in raw.headers:
            raw.drain_conn()
            return super().request(method, url, data=body, headers=headers, timeout=timeout, stream=stream)
        response = _response(method, url, raw)
        if not stream or raw.status >= 400:
            # Reads to the end, so that the connection returns to the pool. Google's client leaves a refusal unread.
            _ = response.content
        else:
            response.raw = _LargePieces(raw)
        return response


class _LargePieces:
    """A response's body that comes in larger pieces than are asked for."""

    def __init__(self, raw: urllib3.BaseHTTPResponse) -> None:
        self._raw = raw

    def stream(self, amt: int | None = None, decode_content: bool | None = None) -> Iterator[bytes]:
        return self._raw.stream(max(amt or 0, READ_BYTES), decode_content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


class LeanSession(AuthorizedSession, _DirectSession):  # type: ignore[misc]  # google-auth has no types
    """Google's AuthorizedSession over `_DirectSession`: its next class in line is the one it sends with.

    Args:
        credentials: Google's.
        connections: how many are kept open to one host.
        bounds: when a response is abandoned.
    """

    def __init__(self, credentials: Any, connections: int, bounds: Bounds = Bounds()) -> None:  # noqa: B008 - frozen
        super().__init__(credentials)  # type: ignore[no-untyped-call]  # as above
        pools = bounded_pools(bounds)
        self._pool.connection_pool_kw["maxsize"] = connections
        self._pool.pool_classes_by_scheme = pools
        for scheme in pools:
            self.mount(f"{scheme}://", BoundedAdapter(pools))


def _authorities() -> dict[str, Any]:
    """The certificates to trust, from where `requests` takes them."""
    path = next((os.environ[name] for name in CERTIFICATE_VARIABLES if os.environ.get(name)), certifi.where())
    return {"ca_cert_dir" if Path(path).is_dir() else "ca_certs": path}


def _timeout(timeout: Any) -> urllib3.Timeout:
    if isinstance(timeout, tuple):
        return urllib3.Timeout(connect=timeout[0], read=timeout[1])
    return urllib3.Timeout(connect=timeout, read=timeout)


def _response(method: str, url: str, raw: urllib3.BaseHTTPResponse) -> requests.Response:
    request = requests.PreparedRequest()
    request.method, request.url = method, url
    response = requests.Response()
    response.status_code = raw.status
    response.headers = CaseInsensitiveDict(raw.headers)
    response.raw = raw
    response.reason = raw.reason or ""
    response.url = url
    response.request = request
    return response
