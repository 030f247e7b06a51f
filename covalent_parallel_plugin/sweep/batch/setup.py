"""What all tasks of a round have in common, in the bucket: files and inputs by their content, and the sealed setup."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ...cloud.interfaces import Bucket
from ...programs.result_values import ResultSource
from ...protocol import sweep_objects as names
from ...protocol.envelope import WireError, read_header, seal_envelope
from ...protocol.sweep_identity import SETUP, SweepIdentity
from ..staging.inputs import InputError
from ..sweep_file import SweepFile
from .image_pin import BatchImage

SHARD_TASKS = 100
# https://cloud.google.com/batch/quotas: tasks of a task group
MOST_JOB_TASKS = 100_000

Json = Mapping[str, Any]


class RoundShape(NamedTuple):
    """A round: its number, how many tasks of the sweep it runs, and how many of them a task of its job runs."""

    round: int
    total: int
    bundle: int

    @classmethod
    def of(cls, file: SweepFile, round: int, total: int) -> RoundShape:
        """Return a round of so many tasks, in bundles as the file says, else so that Batch takes them in one job."""
        return cls(round, total, file.bundle or max(1, -(-total // MOST_JOB_TASKS)))

    @property
    def shard_size(self) -> int:
        """Tasks of the sweep in a shard: whole bundles, about SHARD_TASKS."""
        return max(1, SHARD_TASKS // self.bundle) * self.bundle

    @property
    def job_tasks(self) -> int:
        """Tasks of the round's job."""
        return -(-self.total // self.bundle)


class SharedContents(NamedTuple):
    """The files and the inputs of all tasks, as the setup lists them."""

    files: Sequence[Json] = ()
    inputs: Sequence[Json] = ()


def result_document(source: ResultSource | None) -> Json | None:
    """Return where machines read the results of tasks; None for nowhere."""
    if source is None:
        return None
    if source.pattern is not None:
        return {"pattern": source.pattern.pattern, "flags": int(source.pattern.flags)}
    return {"file": source.file}


def setup_document(
    file: SweepFile, image: BatchImage, identity: SweepIdentity, contents: SharedContents, shape: RoundShape, count: int
) -> Json:
    """Return what a machine gets of a round; `count` is how many tasks the sweep has."""
    settings = file.settings
    return {
        "sweep": {"name": file.name, "id": identity.sweep_id, "count": count},
        "round": shape.round,
        "bundle": shape.bundle,
        "shard_size": shape.shard_size,
        "total": shape.total,
        "time_limit": settings.time_limit,
        "idle_limit": file.idle_limit_seconds,
        "log_limit": file.log_limit_bytes,
        "retry_on": sorted(file.retry_on),
        "last_attempt": settings.retries,
        "result": result_document(file.result),
        "outputs": file.outputs,
        "image": {"user": image.pinned.user, "environment": dict(image.environment)},
        "config": file.config,
        "files": list(contents.files),
        "inputs": list(contents.inputs),
    }


def write_setup(store: Bucket, identity: SweepIdentity, round: int, document: Json) -> bool:
    """Write the setup of a round; False if the round has another one already, as of a run that was killed.

    Raises:
        InputError: it would be larger than a machine reads. CloudError: the bucket cannot be used.
    """
    try:
        data = seal_envelope({"kind": SETUP, "document": document}, {}, identity.key, identity.setup_binding(round))
    except WireError as error:
        raise InputError(f"inputs: the list of their files is too long ({error}): pack them into archives") from error
    name = names.setup_name(identity.folder, round)
    if store.put(name, data):
        return True
    found = io.BytesIO()
    return store.get(name, found) and found.getvalue() == data


def read_setup(store: Bucket, identity: SweepIdentity, round: int) -> Json | None:
    """Return the setup of a round; None if it has none.

    Raises:
        WireError: what is there is not this sweep's.
            CloudError: the bucket cannot be used.
    """
    found = io.BytesIO()
    if not store.get(names.setup_name(identity.folder, round), found):
        return None
    document = read_header(found, identity.key, identity.setup_binding(round)).header.get("document")
    if not isinstance(document, dict):
        raise WireError("the sealed setup has no document")
    return document
