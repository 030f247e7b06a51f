"""Define what the fields of faults may hold: how a flag's text is read, what is wrong with a value, what it matches."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from .endless import NEW, SAME
from .target_names import API_REQUESTS, BATCH_METHODS, LOGGING_METHODS, PROVISIONING, READS, STATUS_CODES, WRITES


@dataclass(frozen=True)
class ValueType:
    """What a field may hold.

    `mistake` gives what follows "FIELD VALUE" in an error, "" for a good value. `read` is for a flag's text, and raises
    ValueError where that is not `wanted`. `matches`, of patterns, compares the field's value with an event's.
    """

    mistake: Callable[[Any], str]
    read: Callable[[str], Any] = str
    wanted: str = "text"
    matches: Callable[[Any, Any], bool] | None = None


def nearest(word: str, known: Iterable[str]) -> str:
    """Suggest the known word that was meant, or list those that there are."""
    choices = sorted(known)
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f": did you mean {close[0]!r}?" if close else f": use one of {', '.join(choices)}"


def is_whole(value: object) -> bool:
    """Return whether a value is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _must_be(demand: str, is_good: Callable[[Any], bool]) -> Callable[[Any], str]:
    return lambda value: "" if is_good(value) else f"must be {demand}"


def _whole(least: int, remedy: str = "") -> ValueType:
    demand = remedy or f"a whole number, {least} or more"
    return ValueType(_must_be(demand, lambda value: is_whole(value) and value >= least), int, "a whole number")


def _pattern(
    known: Iterable[str] = (), matches: Callable[[str, str], bool] = lambda pattern, word: fnmatchcase(word, pattern)
) -> ValueType:
    words = tuple(known)

    def mistake(value: Any) -> str:
        if not isinstance(value, str) or not value:
            return "must be a pattern; * matches all"
        is_known = not words or any(fnmatchcase(word, value) for word in words)
        return "" if is_known else f"matches none{nearest(value, words)}"

    return ValueType(mistake, matches=matches)


def _one_of(*words: str) -> ValueType:
    return ValueType(_must_be(" or ".join(words), lambda value: value in words))


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError(text)
    return text == "true"


def _is_labels(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(word, str) for pair in value.items() for word in pair)


def _match_labels(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(fnmatchcase(labels.get(key, ""), pattern) for key, pattern in wanted.items())


def _is_range(value: Any) -> bool:
    return value == "*" or (not isinstance(value, bool) and re.fullmatch(r"\d+(-\d+)?", str(value)) is not None)


def _match_range(wanted: int | str, number: int | None) -> bool:
    first, _, last = str(wanted).partition("-")
    return number is not None and int(first) <= number <= int(last or first)


def _match_request(pattern: str, kind: str) -> bool:
    if pattern in ("reads", "writes"):
        return kind in (READS if pattern == "reads" else WRITES)
    return fnmatchcase(kind, pattern)


TEXT = ValueType(_must_be("text", lambda value: isinstance(value, str)))
RATE = ValueType(
    _must_be("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1), float, "a number"
)
LIMIT = _whole(1, "a whole number, 1 or more; leave it out for no limit")
COUNT, POSITIVE_COUNT = _whole(0), _whole(1)
UNIT = ValueType(
    _must_be(
        "job, task or object; leave it out to count all together", lambda value: value in ("", "job", "task", "object")
    )
)
SECONDS = ValueType(
    _must_be("a number of seconds, 0 or more", lambda value: _is_number(value) and value >= 0 and math.isfinite(value)),
    float,
    "a number",
)
TRUTH = ValueType(_must_be("true or false", lambda value: value in (True, False)), _truth, "true or false")
GRPC_STATUS = ValueType(
    lambda code: "" if code in STATUS_CODES else f"is not a gRPC status{nearest(str(code), STATUS_CODES)}"
)
HTTP_STATUS = ValueType(
    _must_be("an HTTP status from 100 to 599", lambda code: re.fullmatch(r"[1-5]\d\d", str(code)) is not None)
)
FINAL_STATUS = ValueType(
    _must_be("an HTTP status from 200 to 599", lambda code: re.fullmatch(r"[2-5]\d\d", str(code)) is not None)
)
BATCH_CODE = ValueType(
    _must_be(
        "one of Batch's, such as CODE_GCE_INVALID_FIELD_VALUE",
        lambda code: isinstance(code, str) and re.fullmatch(r"[A-Z][A-Z0-9_]*", code) is not None,
    )
)
PAGE_TOKEN = _one_of(SAME, NEW)
STATE_BEFORE_RUN, STATE_AROUND_RUN = _one_of("QUEUED", "SCHEDULED"), _one_of("QUEUED", "RUNNING")
LABELS = ValueType(_must_be("an object from keys to patterns", _is_labels), matches=_match_labels)
NUMBERS = ValueType(_must_be("a number from 0 on, or a range such as 0-2", _is_range), matches=_match_range)
PATTERN = _pattern()
BATCH_METHOD, LOGGING_METHOD = _pattern(BATCH_METHODS), _pattern(LOGGING_METHODS)
STORAGE_REQUEST = _pattern((*READS, *WRITES, "reads", "writes", "batch", "unknown"), _match_request)
API_REQUEST = _pattern(API_REQUESTS)
PROVISIONING_MODEL = _pattern(PROVISIONING)
