"""A metadata server as a task finds it: its answers, how late they come, and what was asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

PREFIX = "/computeMetadata/v1/instance/"
MACHINE = {
    "machine-type": "projects/1/machineTypes/n2-standard-8",
    "zone": "projects/1/zones/us-east1-b",
    "scheduling/preemptible": "TRUE",
    "id": "7053562236394893043",
    "name": "a-name",
}


@dataclass
class MetadataServer:
    """Answers what is asked of a machine.

    Attributes:
        values: what it says of the machine; what is not there is not found.
        seconds: after how long each answer comes.
        asked: the keys, in order; those without Google's header as "refused".
    """

    values: Mapping[str, str] = field(default_factory=lambda: MACHINE)
    seconds: float = 0.0
    asked: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> MetadataServer:
        outer = self

        class Exchange(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                time.sleep(outer.seconds)
                key = self.path.removeprefix(PREFIX)
                is_known = self.headers.get("Metadata-Flavor") == "Google"
                outer.asked.append(key if is_known else "refused")
                text = outer.values.get(key) if is_known else None
                self.send_response(404 if text is None else 200)
                data = (text or "").encode("latin-1")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Exchange)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
