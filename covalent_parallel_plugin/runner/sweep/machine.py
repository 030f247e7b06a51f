"""What a machine gets of its sweep: from the job's environment, and from the round's setup."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from ...programs.result_values import ResultSource
from ...protocol import environment as variables
from ...protocol import sweep_machine, sweep_objects
from ...protocol.envelope import WireError, read_header, read_part
from ...protocol.sweep_identity import SETUP, SHARD, SweepIdentity
from ..bucket_http import BucketClient
from .termination import Termination

Json = Mapping[str, Any]


@dataclass(frozen=True)
class MachinePaths:
    """The folders of the two volumes; `protocol.sweep_machine` says what is in them."""

    shared: str = sweep_machine.SHARED_FOLDER
    tasks: str = sweep_machine.TASKS_FOLDER

    def here(self, path: str) -> str:
        """Return where a path of `sweep_machine` is."""
        for folder, place in ((sweep_machine.SHARED_FOLDER, self.shared), (sweep_machine.TASKS_FOLDER, self.tasks)):
            if path.startswith(folder):
                return place + path[len(folder) :]
        return path


@dataclass(frozen=True)
class JobEnvironment:
    """What the job's environment says.

    Attributes:
        task: Batch's index of the task in the job.
        attempt: from 0 on.
        live_pace: how long pauses between deliveries of output are, compared to the usual ones; 0: there are none.
    """

    bucket: str
    sweep: SweepIdentity
    round: int
    task: int
    attempt: int
    live_pace: float = 1.0

    @classmethod
    def take(cls, environment: MutableMapping[str, str], key: bytes) -> JobEnvironment:
        """Read it, and leave none of it there."""
        job = cls(
            environment[variables.ENV_BUCKET],
            SweepIdentity(environment[variables.ENV_CALL_ID], key, environment[variables.ENV_FOLDER]),
            int(environment[variables.ENV_ROUND]),
            int(environment.get("BATCH_TASK_INDEX", "0")),
            int(environment.get("BATCH_TASK_RETRY_ATTEMPT", "0")),
            float(environment.get(variables.ENV_LIVE, "1")),
        )
        for name in list(environment):
            if name.startswith(variables.ENV_PREFIX):
                del environment[name]
        return job


@dataclass(frozen=True)
class SweepSetup:
    """What all tasks of a round have in common, as the setup's document says it.

    Attributes:
        files: entries of the document.
        image_environment: those of the image's variables that the job sets empty for the supervisor.
        outputs: the fixed path of a task's folder, "" for none.
        config: the name of the file with a task's combination, "" for none.
    """

    bundle: int
    shard_size: int
    total: int
    time_limit: float
    idle_limit: float | None
    log_limit: int
    retry_on: frozenset[int]
    last_attempt: int
    result: ResultSource | None
    outputs: str
    user: str
    image_environment: Mapping[str, str]
    config: str
    files: Iterable[Json]

    @classmethod
    def of(cls, document: Json) -> SweepSetup:
        """Read the document."""
        return cls(
            **{name: document[name] for name in ("bundle", "shard_size", "total", "time_limit", "idle_limit")},
            **{name: document[name] for name in ("log_limit", "last_attempt", "outputs", "files")},
            retry_on=frozenset(document["retry_on"]),
            result=_result_source(document["result"]),
            user=document["image"]["user"],
            image_environment=document["image"]["environment"],
            config="config.%s" % document["config"] if document["config"] else "",
        )


def _result_source(entry: Json | None) -> ResultSource | None:
    if entry is None:
        return None
    if "pattern" in entry:
        return ResultSource(pattern=re.compile(entry["pattern"], entry["flags"]))
    return ResultSource(entry["file"])


@dataclass(frozen=True)
class MachineSeams:
    """What all tasks in a container are given.

    Attributes:
        environment: the container's, without what is the job's own.
        cwd: the folder that the container was started in.
        token: this execution's.
    """

    job: JobEnvironment
    setup: SweepSetup
    paths: MachinePaths
    bucket: BucketClient
    environment: Mapping[str, str]
    cwd: str
    token: str
    termination: Termination


def fetch_setup(bucket: BucketClient, job: JobEnvironment) -> Json:
    """Return the document of the round's setup.

    Raises:
        BucketError: it cannot be read. WireError: it is not the one that was sealed.
    """
    stream = BytesIO()
    bucket.get(sweep_objects.setup_name(job.sweep.folder, job.round), stream)
    header = read_header(stream, job.sweep.key, job.sweep.setup_binding(job.round)).header
    document = header.get("document")
    if header.get("kind") != SETUP or not isinstance(document, dict):
        raise WireError("it is not a setup of a sweep")
    return document


def fetch_tasks(
    bucket: BucketClient, job: JobEnvironment, setup: SweepSetup, is_drained: Callable[[], bool]
) -> list[Json]:
    """Return the combinations that this task of the job runs, in order; none if they were taken back.

    `is_drained` is asked where they are not in the bucket, and else costs no request.

    Raises:
        BucketError: they cannot be read. WireError: they are not those that were sealed.
    """
    first = job.task * setup.bundle
    last = min(first + setup.bundle, setup.total)
    shard = first // setup.shard_size
    stream = BytesIO()
    name = sweep_objects.shard_name(job.sweep.folder, job.round, shard)
    if not bucket.get(name, stream, is_expected=False):
        if is_drained():
            return []
        bucket.get(name, stream)
    envelope = read_header(stream, job.sweep.key, job.sweep.shard_binding(job.round, shard))
    if envelope.header.get("kind") != SHARD:
        raise WireError("it is not a shard of a sweep's tasks")
    tasks: list[Json] = json.loads(read_part(stream, envelope, "tasks").decode("utf-8"))
    start = shard * setup.shard_size
    if len(tasks) < last - start:
        raise WireError("the shard %d has %d tasks, too few" % (shard, len(tasks)))
    return tasks[first - start : last - start]


def make_empty(folder: str) -> None:
    """Make a folder, without what an earlier try has left there. Raises OSError."""
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
