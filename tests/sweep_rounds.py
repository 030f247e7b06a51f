"""A round of a sweep written into a bucket by hand, and what its tasks have delivered, read back."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from google.api_core.exceptions import NotFound
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

from covalent_parallel_plugin.batch import runner_archive
from covalent_parallel_plugin.protocol import environment as variables
from covalent_parallel_plugin.protocol import sweep_objects
from covalent_parallel_plugin.protocol.envelope import Envelope, envelope_chunks, read_header, read_part, seal_envelope
from covalent_parallel_plugin.protocol.sweep_identity import ATTEMPT, OUTCOME, SETUP, SHARD, SweepIdentity
from covalent_parallel_plugin.protocol.sweep_row import SweepRow, read_row

BUCKET = "covalent"


@dataclass
class Delivered:
    """An outcome that was checked: its row, None for an attempt, and all that its body holds."""

    row: SweepRow | None
    header: dict[str, Any]
    stdout: bytes
    stderr: bytes
    files: dict[str, bytes]

    @property
    def fields(self) -> dict[str, Any]:
        """The row's fields."""
        fields: dict[str, Any] = self.header["row"]
        assert self.row is None or self.row.fields == fields
        return fields

    @property
    def status(self) -> str:
        """How the task ended."""
        return str(self.fields["status"])


@dataclass
class SweepRound:
    """One round. `setup` replaces entries of its document."""

    bucket: storage.Bucket
    setup: dict[str, Any] = field(default_factory=dict)
    round: int = 0
    identity: SweepIdentity = field(
        default_factory=lambda: SweepIdentity(
            "0123456789ab", os.urandom(32), sweep_objects.sweep_folder("by-hand", os.urandom(6).hex())
        )
    )

    def put(self, name: str, data: bytes) -> None:
        self.bucket.blob(name).upload_from_string(data)

    def drain(self) -> None:
        """Take back what has not begun."""
        self.put(sweep_objects.drain_name(self.identity.folder, self.round), b"")
        for blob in self.bucket.list_blobs(prefix=sweep_objects.shards_prefix(self.identity.folder, self.round)):
            blob.delete()

    def content(self, data: bytes, target: str, *, mode: int = 0o644, keep: bool = True) -> dict[str, Any]:
        """Put the content of one of `files`; return its entry."""
        name = sweep_objects.content_name(self.identity.folder, hashlib.sha256(data).hexdigest())
        self.put(name, data)
        return {
            "target": target,
            "object": name,
            "size": len(data),
            "mode": mode,
            "mtime_ns": 10**18,
            "keep": keep,
        }

    def stage(self, *tasks: Mapping[str, Any]) -> dict[str, Any]:
        """Write the runner, the shards and the setup, whose document is returned."""
        archive = runner_archive.runner_archive(for_sweeps=True)
        self.put(archive.object_name, archive.data)
        bundle = self.setup.get("bundle", 1)
        shard_size = max(1, 100 // bundle) * bundle
        document = {
            "sweep": {"name": "by-hand", "id": self.identity.sweep_id, "count": len(tasks)},
            "round": self.round,
            "bundle": bundle,
            "shard_size": shard_size,
            "total": len(tasks),
            "time_limit": 60.0,
            "idle_limit": None,
            "log_limit": 1 << 20,
            "retry_on": [],
            "last_attempt": 0,
            "result": None,
            "outputs": "",
            "image": {"user": "", "environment": {}},
            "config": "",
            "files": [],
            "inputs": [],
            **self.setup,
        }
        for shard in range(-(-len(tasks) // shard_size)):
            first = shard * shard_size
            entries = [task_entry(index, **task) for index, task in enumerate(tasks)][first : first + shard_size]
            parts = {"tasks": json.dumps(entries).encode()}
            header = {"kind": SHARD, "round": self.round, "shard": shard, "first": first}
            binding = self.identity.shard_binding(self.round, shard)
            prefix = seal_envelope(header, parts, self.identity.key, binding)
            name = sweep_objects.shard_name(self.identity.folder, self.round, shard)
            self.put(name, b"".join(envelope_chunks(prefix, parts)))
        header = {"kind": SETUP, "document": document}
        prefix = seal_envelope(header, {}, self.identity.key, self.identity.setup_binding(self.round))
        self.put(sweep_objects.setup_name(self.identity.folder, self.round), prefix)
        return document

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the job."""
        return {
            variables.ENV_BUCKET: BUCKET,
            variables.ENV_FOLDER: self.identity.folder,
            variables.ENV_CALL_ID: self.identity.sweep_id,
            variables.ENV_KEY: self.identity.key.hex(),
            variables.ENV_ROUND: str(self.round),
            variables.ENV_RUNNER: runner_archive.runner_archive(for_sweeps=True).object_name,
            "LD_PRELOAD": "",
            "LD_AUDIT": "",
        }

    def outcome(self, index: int = 0) -> Delivered:
        """Read how a task ended."""
        address = self.identity.task(self.round, index)
        blob = self.bucket.get_blob(address.outcome_name)
        assert blob is not None, f"task {index} has delivered nothing"
        row = read_row(address, blob.metadata)
        return self._delivered(blob.download_as_bytes(), row, OUTCOME, address.outcome_binding)

    def has_outcome(self, index: int) -> bool:
        return bool(self.bucket.blob(self.identity.task(self.round, index).outcome_name).exists())

    def attempts(self) -> list[Delivered]:
        """Read the attempts that were not the last, in the order of their names."""
        prefix = sweep_objects.attempts_prefix(self.identity.folder, self.round)
        found = []
        for blob in self.bucket.client.list_blobs(self.bucket, prefix=prefix):
            name = sweep_objects.parse_delivered(self.identity.folder, blob.name)
            assert name is not None
            binding = self.identity.task(self.round, name.task).attempt_binding(name.attempt, name.token)
            found.append(self._delivered(blob.download_as_bytes(), None, ATTEMPT, binding))
        return found

    def _delivered(self, data: bytes, row: SweepRow | None, kind: str, binding: bytes) -> Delivered:
        stream = io.BytesIO(data)
        envelope: Envelope = read_header(stream, self.identity.key, binding)
        header: dict[str, Any] = dict(envelope.header)
        assert header["kind"] == kind
        address = self.identity.task(self.round, header["row"]["index"])
        files = {}
        for entry in header["files"]:
            name = address.output_name(header["row"]["token"], entry["path"])
            files[entry["path"]] = self.bucket.blob(name).download_as_bytes()
            assert hashlib.sha256(files[entry["path"]]).hexdigest() == entry["sha256"]
        streams = (read_part(stream, envelope, name) for name in ("stdout", "stderr"))
        return Delivered(row, header, *streams, files)


def task_entry(index: int, argv: Sequence[str], **fields: Any) -> dict[str, Any]:
    return {
        "index": index,
        "name": f"x={index}",
        "key": f"{index:064x}",
        "argv": list(argv),
        "environment": {"X": str(index)},
        "config": None,
        "templates": {},
        **fields,
    }


def bucket_at(address: str) -> storage.Bucket:
    """The bucket of the emulator at an address."""
    client = storage.Client(
        project="local", credentials=AnonymousCredentials(), client_options={"api_endpoint": address}
    )
    try:
        return client.get_bucket(BUCKET)
    except NotFound:
        return client.create_bucket(BUCKET)
