"""Who a job is for, the ids it may have, and the labels by which this package knows its own jobs."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ..protocol.identity import CallIdentity
from ..protocol.object_names import DISPATCH_ID

LABEL_DISPATCH = "covalent-dispatch"
LABEL_NODE = "covalent-node"
LABEL_LATTICE = "covalent-lattice"
LABEL_CALL = "covalent-call"
LABEL_VERSION = "covalent-version"
# Of a map: how many items its job has, where that is known
LABEL_ITEMS = "covalent-items"
# Of a call whose value is kept in the cache: the key of that value
LABEL_CACHE = "covalent-cache"
# On every job of this package and on no other: what a clean-up looks for
LABEL_OWNER = "covalent-plugin"
# Which server's jobs they are, so that one can list its own
LABEL_SERVER = "covalent-server"
SERVER = secrets.token_hex(6)
OWNER = "covalent-parallel"


# On a sweep's jobs, in place of LABEL_CALL: its name, and its id
LABEL_SWEEP = "covalent-sweep"
LABEL_SWEEP_ID = "covalent-sweep-id"


# A job in one of these states is taken up by the dispatch that continues its own
TAKEN_UP = ("QUEUED", "SCHEDULED", "RUNNING", "SUCCEEDED")

# google.cloud.batch_v1.CreateJobRequest.job_id
_JOB_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


class JobMaker(Protocol):
    """Whoever submits jobs, one after the other."""

    @property
    def title(self) -> str:
        """Its name in messages."""

    @property
    def own_label(self) -> tuple[str, str]:
        """Name and value of a label that its jobs have, and nobody else's."""

    def job_ids(self, number: int) -> Sequence[str]:
        """Return the ids that its job of this number, from 1 on, may have; the first that is free is taken."""


@dataclass(frozen=True)
class JobOwner:
    """Who asked for a job.

    Attributes:
        title: its name in messages, such as "electron 'f' (node 1 of dispatch d)".
        group, index: what its jobs' ids are made from, such as an electron's dispatch and node.
        identity: id, key and folder of this submission.
        labels: of its jobs, beside those that all jobs have.
        lineage: the dispatch whose machine-hours count, and those that it continues; none: the group.
    """

    title: str
    group: str
    index: int
    identity: CallIdentity
    labels: Mapping[str, str] = field(default_factory=dict)
    lineage: tuple[str, ...] = ()

    @property
    def own_label(self) -> tuple[str, str]:
        """Name and value of the label that distinguishes this submission's jobs from others."""
        return LABEL_CALL, self.identity.call_id

    def job_ids(self, number: int) -> Sequence[str]:
        """Return the ids that the owner's job of this number, from 1 on, may have; the first that is free is taken."""
        if LABEL_CACHE in self.labels:
            return [cached_job_id(self.identity.call_id, number)]
        own = job_id_for(self.group, self.index, retry_suffix(self.identity.call_id, number))
        return [job_id_for(self.group, self.index), own] if number == 1 else [own]


def job_id_for(group: str, index: int, suffix: str = "") -> str:
    """Return a job's id: always the same for the same group and index, legal whatever the group.

    `suffix` is the submission's, where a job of another one holds that id already.
    """
    ending = f"-{index}" + (f"r{suffix}" if suffix else "")
    name = f"covalent-{group}{ending}"
    if _JOB_ID.fullmatch(name):
        return name
    digest = hashlib.sha256(f"{group}/{index}".encode()).hexdigest()[:16]
    readable = re.sub(r"[^a-z0-9]+", "-", group.lower())[:20].strip("-")
    return "-".join(filter(None, ("covalent", readable, f"{digest}{suffix}")))


def cached_job_id(call_id: str, number: int) -> str:
    """Return the id of a job whose value is to be kept: it follows from the call, whichever dispatch makes it."""
    return f"covalent-cache-{call_id}" + ("" if number == 1 else f"-{number}")


def retry_suffix(call_id: str, number: int) -> str:
    """Return the ending that makes the id of a submission's job its own; `number` counts its jobs, from 1."""
    return call_id[:8] + ("" if number == 1 else str(number))


def label_value(text: str) -> str:
    """Return text as a label's value: lowercase letters, digits, '_' and '-', at most 63."""
    return re.sub(r"[^a-z0-9_-]+", "-", text.lower())[:63]


def dispatch_of(labels: Mapping[str, str], dispatch_ids: Sequence[str]) -> str:
    """Return which of these dispatches a job with these labels is of; the first if that is not known."""
    value = labels.get(LABEL_DISPATCH)
    return next((each for each in dispatch_ids if label_value(each) == value), dispatch_ids[0])


def is_plain_id(dispatch_id: str) -> bool:
    """Whether a dispatch id may be part of an object's name as it is."""
    return re.fullmatch(DISPATCH_ID, dispatch_id) is not None
