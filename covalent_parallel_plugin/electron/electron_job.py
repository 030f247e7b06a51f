"""An electron's call as the owner of its Batch jobs, and as the job that runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from google.cloud import batch_v1

from ..batch import job_definition
from ..batch.job_names import (
    LABEL_CACHE,
    LABEL_DISPATCH,
    LABEL_ITEMS,
    LABEL_LATTICE,
    LABEL_NODE,
    JobOwner,
    label_value,
)
from ..errors import SettingsError
from ..protocol.environment import ENV_CHECKPOINT_CALL, ENV_CHECKPOINT_KEY, ENV_ITEMS, ENV_ROUND
from ..protocol.identity import CallIdentity
from ..protocol.item_call import format_indices
from ..protocol.object_names import cache_key_of
from ..settings import Settings
from ..settings.validators import MAX_PARALLEL
from .call import Call

# Linux takes no longer single variable than 128 KiB (MAX_ARG_STRLEN); what does not fit waits for the next job
LONGEST_LIST = 100_000


def owner_of(call: Call, identity: CallIdentity) -> JobOwner:
    """Return this submission of a call as the owner of its jobs."""
    labels = {LABEL_DISPATCH: label_value(call.dispatch_id), LABEL_NODE: label_value(str(call.node_id))}
    if call.lattice:
        labels[LABEL_LATTICE] = label_value(call.lattice)
    cache_key = cache_key_of(f"{identity.folder}/")
    if cache_key:
        labels[LABEL_CACHE] = cache_key
    return JobOwner(str(call), call.dispatch_id, call.node_id, identity, labels, call.lineage)


def electron_job(
    settings: Settings,
    call: Call,
    identity: CallIdentity,
    tasks: int = 1,
    variables: Mapping[str, str] | None = None,
    checkpoint: CallIdentity | None = None,
) -> batch_v1.Job:
    """Return the job that runs `call` as these settings ask, in this many tasks; `variables` are for the runner.

    `checkpoint` is the call that its checkpoints belong to, if that is an earlier one.

    Raises:
        SettingsError: it is larger than Batch takes, or a map that asks for checkpoints.
    """
    if settings.checkpoint and call.map is not None:
        raise SettingsError(
            [
                f"checkpoint = True is for lone electrons, and {call} is a map, of which all items that were delivered"
                " are retained: give its executor checkpoint=False, or make a lone electron of each long item"
            ]
        )
    if settings.checkpoint and checkpoint not in (None, identity):
        earlier = {ENV_CHECKPOINT_CALL: checkpoint.folder, ENV_CHECKPOINT_KEY: checkpoint.key.hex()}
        variables = {**(variables or {}), **earlier}
    image_uri = job_definition.image(settings, call.python)
    return job_definition.job(settings, owner_of(call, identity), image_uri, tasks, variables)


def map_job(
    settings: Settings, call: Call, identity: CallIdentity, round: int = 0, lost: Sequence[int] | None = None
) -> batch_v1.Job:
    """Return the job number `round`, from 0 on, of a map; for its `lost` items, or for all of them.

    Raises:
        SettingsError: it is larger than Batch takes.
    """
    variables = {ENV_ROUND: str(round)} if round else {}
    if lost is not None:
        text = format_indices(lost)
        if len(text) > LONGEST_LIST:
            text = text[: text.rindex(",", 0, LONGEST_LIST)]
        variables[ENV_ITEMS] = text
    items = len(lost) if lost is not None else call.map.items if call.map is not None else None
    job = electron_job(settings, call, identity, tasks_for(items, settings.max_parallel), variables)
    if items is not None:
        job.labels[LABEL_ITEMS] = str(items)
    return job


def tasks_for(items: int | None, max_parallel: int) -> int:
    """Return how many tasks a map is split into."""
    most = min(max_parallel, MAX_PARALLEL)
    return most if items is None else max(1, min(items, most))
