"""Bring `files` and inputs of a sweep into its bucket, each content once, straight from the disk."""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...cloud.interfaces import Bucket
from ...cloud.threads import map_in_threads
from ...protocol import sweep_objects as names
from ...protocol.sweep_identity import SweepIdentity
from ..mistakes import LocatedText
from ..staging.bucket_inputs import BucketInput
from ..staging.inputs import BUCKET_PREFIX, DigestCache, InputError, content_version, is_in_bucket, local_files
from ..staging.task_files import LayOutError, TaskFiles
from .setup import SharedContents

UPLOADS = 8
# A setup has to list them all
MOST_INPUT_FILES = 100_000


class ContentUpload:
    """What tasks are given, on its way into the sweep's folder of the bucket.

    Args:
        project_id: the project of the client for inputs in other buckets.
        digests: those of this machine's inputs.
        out: the sweep's folder on this machine, which is left out of inputs that it is in.
    """

    def __init__(
        self, store: Bucket, identity: SweepIdentity, project_id: str, digests: DigestCache, out: Path
    ) -> None:
        self._store, self._identity = store, identity
        self._project_id, self._digests, self._out = project_id, digests, out
        self._sources: dict[str, _Source] = {}

    def upload(
        self, files: TaskFiles, inputs: Mapping[str, LocatedText], versions: Mapping[str, str]
    ) -> SharedContents:
        """Upload what the bucket does not have yet, and return what the setup lists.

        Args:
            files: those of `files`, staged, so that nobody changes them meanwhile.
            inputs: by name.
            versions: those of the inputs that tasks are to get.

        Raises:
            InputError, LayOutError: something has changed since the run began, or cannot be read.
            CloudError: a bucket cannot be used.
        """
        brought = []
        for source, sha256, how in files.contents():
            self._sources.setdefault(sha256, _Source(source.path, how["size"], LayOutError, f"files: {source.name}"))
            brought.append({"target": source.target, "object": self._name(sha256), **how})
        entries = [
            {"name": name, "files": self._input_files(name, text, versions[name])} for name, text in inputs.items()
        ]
        if sum(len(entry["files"]) for entry in entries) > MOST_INPUT_FILES:
            raise InputError(f"inputs: they have more than {MOST_INPUT_FILES:,} files: pack them into archives")
        self._send()
        return SharedContents(brought, entries)

    def _name(self, sha256: str) -> str:
        return names.content_name(self._identity.folder, sha256)

    def _input_files(self, name: str, text: LocatedText, version: str) -> list[dict[str, Any]]:
        return self._in_bucket(name, text.text, version) if is_in_bucket(text) else self._local(name, text, version)

    def _in_bucket(self, name: str, address: str, version: str) -> list[dict[str, Any]]:
        found = BucketInput.find(name, address, self._project_id)
        if found.version != version:
            raise InputError(f"inputs: {name}: {address} has changed since the run began: run the sweep again")
        bucket = address.removeprefix(BUCKET_PREFIX).partition("/")[0]
        return [
            _listed(path, bucket, stored.name, stored.generation, stored.size)
            for path, stored in found.objects.items()
            # What stands for a folder has no bytes
            if not path.endswith("/")
        ]

    def _local(self, name: str, text: LocatedText, version: str) -> list[dict[str, Any]]:
        files = local_files(name, Path(text.text), self._out, self._digests)
        if content_version(files) != version:
            raise InputError(f"inputs: {name}: {text} has changed since the run began: run the sweep again")
        listed = []
        for file in files:
            # Neither a link that leads nowhere nor a socket has content
            if not file.path.is_file():
                continue
            status = file.path.stat()
            what = f"inputs: {name}: {file.path}"
            self._sources.setdefault(file.digest, _Source(file.path, status.st_size, InputError, what))
            entry = _listed(file.inner, self._store.bucket_name, self._name(file.digest), 0, status.st_size)
            listed.append({**entry, "mode": stat.S_IMODE(status.st_mode)})
        return listed

    def _send(self) -> None:
        if not self._sources:
            return
        there = {stored.name: stored.size for stored in self._store.list(self._name(""))}
        missing = {}
        for sha256, source in self._sources.items():
            name = self._name(sha256)
            if there.get(name) != source.size:
                missing[name] = source
        sent = map_in_threads(lambda name: missing[name].send(self._store, name, name in there), missing, UPLOADS)
        for _ in sent:
            pass


def _listed(path: str, bucket: str, name: str, generation: int, size: int) -> dict[str, Any]:
    return {"path": path, "bucket": bucket, "object": name, "generation": generation, "size": size}


class _Source:
    """A file whose content goes into the bucket; `what` and `failure` are for the message if it has changed."""

    def __init__(self, path: Path, size: int, failure: type[InputError | LayOutError], what: str) -> None:
        self._path, self.size, self._failure, self._what = path, size, failure, what

    def send(self, store: Bucket, name: str, replaces: bool) -> None:
        """Write the object, in place of one of another size. Raises InputError, LayOutError, CloudError."""
        try:
            before = self._path.stat()
            if replaces:
                store.delete(name)
            store.put_file(name, self._path)
            after = self._path.stat()
        except OSError as error:
            raise self._failure(f"{self._what} cannot be read any more: {error.strerror}") from error
        if before.st_size != self.size or (before.st_mtime_ns, before.st_ino) != (after.st_mtime_ns, after.st_ino):
            store.delete(name)
            raise self._failure(f"{self._what} has changed since the run began: run the sweep again")
