"""What is wrong with a fault's description, each mistake with its value and the remedy: pure checks."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from .catalogue import (
    API_REQUESTS,
    BATCH_METHODS,
    KINDS,
    LOGGING_METHODS,
    PROVISIONING,
    READS,
    STATES,
    STATUS_CODES,
    WRITES,
    Value,
)

if TYPE_CHECKING:
    from .rule import Fault

_COMMON = ("kind", "name", "rate", "first", "skip", "every", "per")
_NUMBERS = re.compile(r"\d+(-\d+)?")
_SECONDS = ("seconds", "after_seconds", "notice_seconds", "window_seconds")
_FLAGS = ("before_run", "goes_on", "concurrent", "keeps_hash", "spares_running")
PER = ("", "job", "task", "object")


def mistakes_of(fault: Fault) -> Iterator[str]:
    """Find what is wrong with a rule."""
    kind = KINDS.get(fault.kind) if isinstance(fault.kind, str) else None
    if kind is None:
        yield f"there is no kind {fault.kind!r}{nearest(str(fault.kind), KINDS)}"
        return
    for each in fields(fault):
        default = {} if each.default is MISSING else each.default
        if each.name not in _COMMON and each.name not in kind.names and getattr(fault, each.name) != default:
            yield f"{each.name} means nothing for {fault.kind}: leave it out, or use {', '.join(kind.names)}"
    for name in kind.required:
        if getattr(fault, name) is None:
            yield f"{name} is missing: {fault.kind} needs it"
    yield from _wrong_frequency(fault)
    yield from _wrong_match(fault)
    yield from _wrong_parameter(fault)


def _wrong_frequency(fault: Fault) -> Iterator[str]:
    if not isinstance(fault.name, str):
        yield f"name {fault.name!r} must be text"
    if not _is_number(fault.rate) or not 0 <= fault.rate <= 1:
        yield f"rate {fault.rate!r} must be a number from 0 to 1"
    if fault.first is not None and (not is_whole(fault.first) or fault.first < 1):
        yield f"first {fault.first!r} must be a whole number, 1 or more; leave it out for no end"
    for name, least in (("skip", 0), ("every", 1)):
        value = getattr(fault, name)
        if not is_whole(value) or value < least:
            yield f"{name} {value!r} must be a whole number, {least} or more"
    if fault.per not in PER:
        yield f"per {fault.per!r} must be job, task or object; leave it out to count all together"


def _wrong_match(fault: Fault) -> Iterator[str]:
    for name in ("method", "job", "provisioning", "request", "bucket", "object"):
        if not isinstance(getattr(fault, name), str) or not getattr(fault, name):
            yield f"{name} {getattr(fault, name)!r} must be a pattern; * matches all"
    if not isinstance(fault.labels, Mapping) or not all(
        isinstance(key, str) and isinstance(value, str) for key, value in fault.labels.items()
    ):
        yield f"labels {fault.labels!r} must be an object from keys to patterns"
    for name, known in (
        ("method", LOGGING_METHODS if fault.family == "logging" else BATCH_METHODS),
        (
            "request",
            API_REQUESTS if fault.family == "api" else (*READS, *WRITES, "reads", "writes", "batch", "unknown"),
        ),
        ("provisioning", PROVISIONING),
    ):
        pattern = getattr(fault, name)
        if isinstance(pattern, str) and not any(fnmatchcase(word, pattern) for word in known):
            yield f"{name} {pattern!r} matches none{nearest(pattern, known)}"
    for name in ("task", "attempt"):
        value = getattr(fault, name)
        is_good = value == "*" or (not isinstance(value, bool) and _NUMBERS.fullmatch(str(value)) is not None)
        if not is_good:
            yield f"{name} {value!r} must be a number from 0 on, or a range such as 0-2"


def _wrong_parameter(fault: Fault) -> Iterator[str]:
    for name in _SECONDS:
        value = getattr(fault, name)
        if value is not None and (not _is_number(value) or value < 0 or not math.isfinite(value)):
            yield f"{name} {value!r} must be a number of seconds, 0 or more"
    for name in _FLAGS:
        if getattr(fault, name) not in (None, True, False):
            yield f"{name} {getattr(fault, name)!r} must be true or false"
    for name, least in (("exit_code", 1), ("per_minute", 0)):
        value = getattr(fault, name)
        if value is not None and (not is_whole(value) or value < least):
            yield f"{name} {value!r} must be a whole number, {least} or more"
    if fault.message is not None and not isinstance(fault.message, str):
        yield f"message {fault.message!r} must be text"
    states = STATES.get(fault.kind, ("QUEUED", "SCHEDULED"))
    if fault.state is not None and fault.state not in states:
        yield f"state {fault.state!r} must be {' or '.join(states)}"
    code = fault.code
    if code is None:
        return
    if fault.family in ("rpc", "logging") and code not in STATUS_CODES:
        yield f"code {code!r} is no gRPC status{nearest(str(code), STATUS_CODES)}"
    if fault.family in ("storage", "api") and not re.fullmatch(r"[45]\d\d", str(code)):
        yield f"code {code!r} must be an HTTP status from 400 to 599"
    if fault.family == "job" and (not isinstance(code, str) or not re.fullmatch(r"[A-Z][A-Z0-9_]*", code)):
        yield f"code {code!r} must be one of Batch's, such as CODE_GCE_INVALID_FIELD_VALUE"


def nearest(word: str, known: Iterable[str]) -> str:
    """Say which known word was meant, or which there are."""
    choices = sorted(known)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f": did you mean {close[0]!r}?" if close else f": use one of {', '.join(choices)}"


def is_whole(value: Value) -> bool:
    """Tell whether a value is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
