"""A small container registry on loopback, for tests: what podman pushes to it, it serves, with or without tokens.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
AMD64 = {"os": "linux", "architecture": "amd64"}
_ROUTE = re.compile(r"/v2/(?P<path>.+)/(?P<kind>manifests|blobs)/(?P<what>[^/]+|uploads/[^/]*)")


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Registry:
    """What the registry holds, how it behaves, and what it was asked."""

    port: int = 0
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    token: str = ""
    """Wanted from whoever reads, if not empty; given to anybody by /token unless `keeps_tokens`."""
    keeps_tokens: bool = False
    statuses: list[int] = field(default_factory=list)
    """Answers to the next requests; 200 lets one through."""
    delay_seconds: float = 0.0
    refuses_pushes: bool = False
    elsewhere: str = ""
    """The host that blobs are redirected to, as registries do whose blobs lie in a bucket."""
    asked: list[str] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def put(self, path: str, tag: str, config: dict[str, Any], layers: int = 2) -> str:
        """Add an image, and return its digest."""
        blob = json.dumps(config).encode()
        self.blobs[digest_of(blob)] = blob
        manifest = {
            "schemaVersion": 2,
            "mediaType": IMAGE,
            "config": {"digest": digest_of(blob), "size": len(blob)},
            "layers": [{"digest": digest_of(bytes([number])), "size": 1000} for number in range(layers)],
        }
        return self.put_manifest(path, tag, IMAGE, json.dumps(manifest).encode())

    def put_index(self, path: str, tag: str, entries: list[tuple[str, dict[str, str]]]) -> str:
        listed = [{"mediaType": IMAGE, "digest": digest, "platform": platform} for digest, platform in entries]
        data = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}).encode()
        return self.put_manifest(path, tag, INDEX, data)

    def put_manifest(self, path: str, tag: str, kind: str, data: bytes) -> str:
        self.manifests[path, tag] = self.manifests[path, digest_of(data)] = (kind, data)
        return digest_of(data)


class _Handler(BaseHTTPRequestHandler):
    registry: Registry
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """The test's output is not for this."""

    def handle(self) -> None:
        # whoever gave up waiting is not there any more
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        registry, url = self.registry, urlsplit(self.path)
        time.sleep(registry.delay_seconds)
        if self.command == "GET":
            registry.asked.append(self.path)
            registry.authorizations.append(self.headers.get("Authorization", ""))
        if registry.statuses and (status := registry.statuses.pop(0)) != 200:
            self.answer(status, b'{"errors":[{"message":"as the test wants it"}]}')
        elif url.path == "/token":
            self.give_token(parse_qs(url.query))
        elif (
            registry.token
            and not self.is_moved(url.path)
            and self.headers.get("Authorization") != f"Bearer {registry.token}"
        ):
            challenge = f'Bearer realm="http://{registry.host}/token",service="the registry"'
            self.answer(401, b'{"errors":[{"message":"authentication required"}]}', challenge=challenge)
        else:
            self.serve(url.path)

    do_HEAD = do_GET

    def is_moved(self, path: str) -> bool:
        """Whether this is the other host of a redirection, which wants no token."""
        return "/blobs/" in path and self.headers["Host"].startswith("localhost")

    def give_token(self, query: dict[str, list[str]]) -> None:
        is_complete = query.get("service") == ["the registry"] and query["scope"][0].endswith(":pull")
        if self.registry.keeps_tokens or not is_complete:
            self.answer(401, b"{}")
        else:
            self.answer(200, json.dumps({"token": self.registry.token}).encode())

    def serve(self, path: str) -> None:
        route = _ROUTE.fullmatch(path)
        if path == "/v2/":
            self.answer(200, b"{}")
        elif route and route["kind"] == "manifests" and (route["path"], route["what"]) in self.registry.manifests:
            kind, data = self.registry.manifests[route["path"], route["what"]]
            self.answer(200, data, kind)
        elif route and route["kind"] == "blobs" and self.registry.elsewhere:
            host, self.registry.elsewhere = self.registry.elsewhere, ""
            self.answer(307, b"", location=f"http://{host}{path}")
        elif route and route["kind"] == "blobs" and route["what"] in self.registry.blobs:
            self.answer(200, self.registry.blobs[route["what"]], "application/octet-stream")
        else:
            self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')

    def do_POST(self) -> None:
        if self.registry.refuses_pushes:
            self.answer(403, b'{"errors":[{"code":"DENIED","message":"Permission denied for this repository"}]}')
        else:
            self.answer(202, b"", location=f"{urlsplit(self.path).path}{uuid.uuid4().hex}")

    def do_PATCH(self) -> None:
        name = urlsplit(self.path).path
        self.registry.blobs[name] = self.registry.blobs.get(name, b"") + self.body()
        self.answer(202, b"", location=name, range_end=len(self.registry.blobs[name]) - 1)

    def do_PUT(self) -> None:
        url, data = urlsplit(self.path), self.body()
        route = _ROUTE.fullmatch(url.path)
        assert route is not None
        if route["kind"] == "blobs":
            data = self.registry.blobs.pop(url.path, b"") + data
            (digest,) = parse_qs(url.query)["digest"]
            assert digest == digest_of(data)
            self.registry.blobs[digest] = data
        else:
            digest = self.registry.put_manifest(route["path"], route["what"], self.headers["Content-Type"], data)
        self.answer(201, b"", location=url.path, digest=digest)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        data = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def answer(
        self,
        status: int,
        data: bytes,
        kind: str = "application/json",
        challenge: str = "",
        location: str = "",
        digest: str = "",
        range_end: int = -1,
    ) -> None:
        self.send_response(status)
        headers = {"WWW-Authenticate": challenge, "Location": location, "Docker-Content-Digest": digest}
        if range_end >= 0:
            headers["Range"] = f"0-{range_end}"
        for name, value in {**headers, "Content-Type": kind, "Content-Length": str(len(data))}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextmanager
def running_registry() -> Iterator[Registry]:
    """A registry that answers for as long as this lasts."""
    registry = Registry()
    handler = type("Handler", (_Handler,), {"registry": registry})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    registry.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
