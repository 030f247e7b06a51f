"""The value of a cache entry in the bucket: looked up, and recorded. All of it blocks."""

from __future__ import annotations

import hmac
import logging
import time
from dataclasses import dataclass

from ...batch.download_buffer import DownloadBuffer
from ...cloud.interfaces import Bucket
from ...cloud.storage import CorruptObjectError
from ...errors import OutcomeError
from ...protocol.envelope import OUTCOME, VALUE
from ..cache_folder import remake_folder
from ..outcome import Outcome, read_outcome
from .entry import CacheEntry, CacheRecord

logger = logging.getLogger(__name__)

# The record of another value may come between
RECORD_TRIES = 3


@dataclass(frozen=True)
class Found:
    """What a look at an entry brought.

    Attributes:
        record: the entry's, also of a value that does not count.
        is_forged: whether something is there that is not a record of the entry.
        outcome: the value; None where there is none that counts.
    """

    record: CacheRecord | None = None
    is_forged: bool = False
    outcome: Outcome | None = None


def look_up(entry: CacheEntry, store: Bucket, folder: str, cache: bool | float) -> Found:
    """Return what the entry has; `folder` takes what is too large for memory, `cache` is the option.

    Raises:
        CloudError: the bucket could not be read.
    """
    remake_folder(folder)
    try:
        record = read_record(entry, store, folder)
    except (OutcomeError, CorruptObjectError) as error:
        logger.warning("gs://%s/%s does not count: %s", store.bucket_name, entry.record_name, error)
        return Found(is_forged=True)
    if record is None or not is_fresh(record.made_seconds, cache):
        return Found(record)
    name = entry.identity(record.number).task().outcome_name
    try:
        outcome = _read_value(entry, record, store, folder)
    except (OutcomeError, CorruptObjectError) as error:
        logger.warning("gs://%s/%s does not count: %s", store.bucket_name, name, error)
        return Found(record)
    return Found(record, outcome=outcome)


def is_fresh(made_seconds: float, cache: bool | float) -> bool:
    """Whether a value that was made then is not too old for this value of the option."""
    return cache is True or time.time() - made_seconds <= cache


def read_record(entry: CacheEntry, store: Bucket, folder: str) -> CacheRecord | None:
    """Return the entry's record; None if there is none.

    Raises:
        OutcomeError: what is there is not a record of this entry.
        CloudError: the bucket could not be read.
    """
    with DownloadBuffer(folder, entry.record_key, entry.record_binding, "the record") as arrival:
        if not arrival.fetch(store, entry.record_name):
            return None
        if arrival.envelope is None:
            raise OutcomeError("the record in the cache is cut off")
        return entry.record_of(arrival.envelope)


def _read_value(entry: CacheEntry, record: CacheRecord, store: Bucket, folder: str) -> Outcome:
    """Return the outcome that a record names.

    Raises:
        OutcomeError: it is not there, or is not the one that was recorded.
        CloudError: the bucket could not be read.
    """
    address = entry.identity(record.number).task()
    with DownloadBuffer(folder, address.key, address.binding(OUTCOME), "the outcome") as arrival:
        if not arrival.fetch(store, address.outcome_name):
            raise OutcomeError("it is gone")
        if not hmac.compare_digest(arrival.whole_sha256(), record.sha256):
            raise OutcomeError("it is not the one that was recorded")
        outcome = read_outcome(arrival.file, address, arrival.sha256, arrival.envelope)
    if outcome.kind != VALUE:
        raise OutcomeError("it is not a value")
    return outcome


def record_value(entry: CacheEntry, record: CacheRecord, found: Found, store: Bucket, folder: str) -> bool:
    """Write the record of a new value in the place of what was found; the value that counted before is deleted.

    Returns:
        Whether this value counts; not so where another one came to be recorded meanwhile.

    Raises:
        CloudError: the bucket could not be written to.
    """
    data, before = entry.sealed(record), found.record
    is_in_place = before is not None or found.is_forged
    for _ in range(RECORD_TRIES):
        if is_in_place:
            store.delete(entry.record_name)
        if store.put(entry.record_name, data):
            if before is not None and before.number != record.number:
                store.delete(entry.identity(before.number).task().outcome_name)
            return True
        try:
            there = read_record(entry, store, folder)
        except (OutcomeError, CorruptObjectError):
            is_in_place = True
            continue
        if there is not None:
            return there.number == record.number
        is_in_place = False
    return False
