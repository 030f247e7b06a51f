"""Parse filters of log entries in the Logging query language, and refuse what is not understood.

Source: "Logging query language" in Cloud Logging's documentation. Text is compared without regard to case.
"""

from __future__ import annotations

from collections.abc import Callable

from ..filters import filter_language
from ..model.log_store import SEVERITIES, LogRecord

FILTER_LIMIT = 20_000  # characters ("Method: entries.list")


def parse_entry_filter(text: str) -> filter_language.Predicate[LogRecord]:
    """Compile a filter of log entries; an empty one matches everything. Raises FilterError."""
    if len(text) > FILTER_LIMIT:
        raise filter_language.FilterError(f"the filter is longer than {FILTER_LIMIT} characters")
    return filter_language.parse_filter(text, _ENTRIES)


def _folded_text(sign: str, literal: str) -> filter_language.Predicate[str | None]:
    # A field that an entry lacks compares as false, also with !=: whether Google does so is not certain.
    wanted = literal.casefold()
    if sign == ":":
        return lambda value: value is not None and (literal == "*" or wanted in value.casefold())
    compare = filter_language.COMPARE[sign]
    return lambda value: value is not None and bool(compare(value.casefold(), wanted))


def _severity(literal: str) -> int:
    number = int(literal) if literal.isdecimal() else SEVERITIES.get(literal.upper())
    if number is None:
        raise filter_language.FilterError(f"severity {literal!r} in the filter is not valid")
    return number


def _text(value: Callable[[LogRecord], str | None]) -> filter_language.Field[LogRecord]:
    return filter_language.Field(value, _folded_text)


_ENTRIES = filter_language.FilterLanguage[LogRecord](
    fields={
        "log_name": _text(lambda record: record.log_name),
        "insert_id": _text(lambda record: record.insert_id),
        "text_payload": _text(lambda record: record.text if record.payload is None else None),
        "resource.type": _text(lambda record: record.resource_type),
        "severity": filter_language.Field(lambda record: record.severity, filter_language.ordered(_severity)),
        "timestamp": filter_language.Field(lambda record: record.timestamp_ns, filter_language.time),
        "receive_timestamp": filter_language.Field(lambda record: record.received_ns, filter_language.time),
    },
    keyed={
        "labels": filter_language.Field(lambda record: record.labels, _folded_text),
        "resource.labels": filter_language.Field(lambda record: record.resource_labels, _folded_text),
    },
    has_value_lists=True,
    has_comments=True,
)
