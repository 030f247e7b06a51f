"""The list of a map, which is put together here, as an outcome in the cache."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from typing import cast

from ...cloud.interfaces import Bucket
from ...cloud.threads import run_in_thread
from ...errors import CloudError
from ...protocol.envelope import OUTCOME, VALUE, envelope_chunks, seal_envelope
from ..outcome import LARGEST_OUTPUT_BYTES, Outcome
from .entry import CacheEntry, CacheRecord
from .source import Source
from .stored_value import Found, record_value

logger = logging.getLogger(__name__)


async def copy_value(
    entry: CacheEntry, number: int, outcome: Outcome, source: Source, found: Found, store: Bucket, folder: str
) -> None:
    """Write a value into the cache, with its record; what fails is logged.

    A list with more output than an outcome may hold is left out.
    """
    streams = {"stdout": outcome.stdout.encode(), "stderr": outcome.stderr.encode()}
    if max(map(len, streams.values())) > LARGEST_OUTPUT_BYTES:
        logger.warning("a list is not in the cache: its items printed more than an outcome holds")
        return
    # What a mapped file holds is read piece by piece as bytes are.
    parts = {**streams, "string": outcome.shown.encode(), "value": cast(bytes, outcome.pickle)}
    header = {
        "kind": OUTCOME,
        "outcome": VALUE,
        "attempt": 0,
        "name": outcome.name,
        "python": outcome.python,
        "cloudpickle": outcome.cloudpickle,
    }
    address = entry.identity(number).task()

    def write() -> None:
        prefix = seal_envelope(header, parts, address.key, address.binding(OUTCOME))
        chunks = list(envelope_chunks(prefix, parts))
        size = sum(map(len, chunks))
        record = CacheRecord(entry.structure, number, _sha256(chunks), size, *source)
        if store.put(address.outcome_name, chunks) and not record_value(entry, record, found, store, folder):
            store.delete(address.outcome_name)

    try:
        await run_in_thread(write)
    except CloudError as error:
        logger.warning("a list is not in the cache: %s", error)


def _sha256(chunks: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()
