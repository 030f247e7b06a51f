"""The services that all contenders share: starts them, makes buckets, reads and writes objects, counts requests."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from .environments import CHECKOUT, clean_environment

REQUEST_SECONDS = 60
START_SECONDS = 60
STOP_SECONDS = 30

# The emulator's names for what a request to Cloud Storage asks
STORAGE_KINDS = {
    "uploads": ("objects.insert", "uploads.start", "uploads.chunk"),
    "downloads": ("objects.download",),
    "listings": ("objects.list",),
    "deletions": ("objects.delete",),
}
NOT_STORAGE = ("emulator.counts",)


@dataclass(frozen=True)
class Counts:
    """What was counted since the start, or between two moments.

    Requests by method of Batch and by kind of Cloud Storage request; `tasks` is what `Emulator.counts` tells, and
    "cpu_seconds", those of the tasks' processes that have ended (of forked ones none).
    """

    batch: Counter[str]
    storage: Counter[str]
    tasks: Mapping[str, float] = field(default_factory=dict)

    def since(self, before: Counts) -> Counts:
        tasks = {name: count - before.tasks.get(name, 0) for name, count in self.tasks.items()}
        return Counts(self.batch - before.batch, self.storage - before.storage, tasks)


def storage_by_kind(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts of Cloud Storage requests as uploads, downloads, listings, deletions and others."""
    grouped = {group: sum(counts.get(kind, 0) for kind in kinds) for group, kinds in STORAGE_KINDS.items()}
    grouped["others"] = sum(counts.values()) - sum(grouped.values()) - sum(counts.get(kind, 0) for kind in NOT_STORAGE)
    return grouped


class Services:
    """Running emulated services. `variables` points clients at them."""

    def __init__(self, process: subprocess.Popen[str], variables: dict[str, str]) -> None:
        self._process = process
        self.variables = variables
        self._storage = variables["STORAGE_EMULATOR_HOST"]

    def counts(self) -> Counts:
        """All requests so far."""
        answer = _ask(self._process, "counts\n")
        return Counts(Counter(answer["batch"]), Counter(answer["storage"]), answer["tasks"])

    def new_bucket(self) -> str:
        """Make an empty bucket: the replaced plugin lists the whole of its bucket, so none is used twice."""
        name = f"benchmark-{secrets.token_hex(6)}"
        self._request("POST", "/storage/v1/b?project=benchmark", json.dumps({"name": name}).encode())
        return name

    def put(self, bucket: str, name: str, data: bytes) -> None:
        """Write an object."""
        self._request("POST", f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}", data)

    def get(self, bucket: str, name: str) -> bytes:
        """Read an object. Raises HTTPError if there is none."""
        return self._request("GET", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}?alt=media")

    def written_at(self, bucket: str, name: str) -> float:
        """When an object was written, in seconds since 1970. Raises HTTPError if there is none."""
        answer = json.loads(self._request("GET", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}"))
        return datetime.fromisoformat(answer["timeCreated"].replace("Z", "+00:00")).timestamp()

    def _request(self, method: str, path: str, data: bytes | None = None) -> bytes:
        kind = "application/octet-stream" if path.startswith("/upload") else "application/json"
        request = urllib.request.Request(self._storage + path, data, {"Content-Type": kind}, method=method)
        with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as answer:
            body: bytes = answer.read()
        return body


@contextmanager
def running_services(
    images: Mapping[str, Sequence[str]],
    is_warm: bool = False,
    tasks_at_once: int | None = None,
    machines: Mapping[str, float] | None = None,
) -> Iterator[Services]:
    """Start the services.

    `images` says which interpreter and command an image stands for; `is_warm` has tasks forked from a warm process
    where they can be; `machines` are the arguments of the emulator's model of VMs.
    """
    options = {"images": images, "is_warm": is_warm, "tasks_at_once": tasks_at_once, "machines": machines}
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.emulator_process", json.dumps(options)],
        cwd=CHECKOUT,
        env=clean_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Services(process, _ask(process, ""))
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ask(process: subprocess.Popen[str], line: str) -> dict[str, Any]:
    """One line to the process and its answer. Raises RuntimeError when none comes in time."""
    assert process.stdin is not None and process.stdout is not None
    deadline = threading.Timer(START_SECONDS, process.kill)
    deadline.start()
    try:
        process.stdin.write(line)
        process.stdin.flush()
        answer = process.stdout.readline()
    finally:
        deadline.cancel()
    if not answer:
        raise RuntimeError(f"the emulated services ended, or did not answer within {START_SECONDS} s")
    parsed: dict[str, Any] = json.loads(answer)
    return parsed
