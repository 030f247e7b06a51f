"""Turn a filter in the Logging query language into a predicate, refusing what is not understood.

Source: "Logging query language" in Cloud Logging's documentation. Known: comparisons with = != >= <= > < and :
(has) on logName, severity, timestamp, receiveTimestamp, insertId, textPayload, labels.KEY, resource.type and
resource.labels.KEY; lists of values in parentheses; AND, OR, NOT, "-", parentheses, and comments. NOT binds
strongest, then OR, then AND, written or left out. Text is compared without regard to case.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ..model.log_store import SEVERITIES, LogRecord, nanoseconds_of

Predicate = Callable[[LogRecord], bool]

FILTER_LIMIT = 20_000  # characters ("Method: entries.list")
_DEPTH_LIMIT = 50  # nested parentheses and NOTs; beyond it a filter is a mistake, and Python's stack is finite


class FilterError(ValueError):
    """The filter is wrong, or says something that this stand-in does not know."""


_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*)
    |(?P<text>"(?:[^"\\]|\\.)*")
    |(?P<operator>!=|>=|<=|=~|!~|[=<>:])
    |(?P<mark>[()])
    |(?P<minus>-(?=[A-Za-z(]))
    |(?P<dot>\.(?="))
    |(?P<word>[\w*/+%@.-]*[\w*/+%@-])""",
    re.VERBOSE,
)
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    place: int


def parse_filter(text: str) -> Predicate:
    """The predicate that a filter stands for; an empty one matches everything.

    Raises:
        FilterError: malformed, too long, or beyond what is known here.
    """
    if len(text) > FILTER_LIMIT:
        raise FilterError(f"the filter is longer than {FILTER_LIMIT} characters")
    parser = _Parser(_tokens(text))
    if parser.peek() is None:
        return lambda record: True
    predicate = parser.conjunction(0)
    left = parser.peek()
    if left is not None:
        raise FilterError(f"unexpected {left.text!r} at character {left.place}")
    return predicate


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            raise FilterError(f"cannot read the filter at character {place}: {text[place : place + 20]!r}")
        kind = str(match.lastgroup)
        if kind != "space":
            tokens.append(_Token(kind, match.group(kind), match.start(kind)))
        place = match.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0

    def peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def conjunction(self, depth: int) -> Predicate:
        parts = [self._disjunction(depth)]
        while (token := self.peek()) is not None and token.text != ")":
            if _is_word(token, "AND"):
                self._take()
            parts.append(self._disjunction(depth))
        return parts[0] if len(parts) == 1 else lambda record: all(part(record) for part in parts)

    def _disjunction(self, depth: int) -> Predicate:
        parts = [self._negation(depth)]
        while (token := self.peek()) is not None and _is_word(token, "OR"):
            self._take()
            parts.append(self._negation(depth))
        return parts[0] if len(parts) == 1 else lambda record: any(part(record) for part in parts)

    def _negation(self, depth: int) -> Predicate:
        if depth > _DEPTH_LIMIT:
            raise FilterError(f"the filter is nested more than {_DEPTH_LIMIT} deep")
        token = self._take()
        if _is_word(token, "NOT") or token.kind == "minus":
            inner = self._negation(depth + 1)
            return lambda record: not inner(record)
        if token.kind == "mark" and token.text == "(":
            inside = self.conjunction(depth + 1)
            self._expect(")")
            return inside
        return self._comparison(token)

    def _comparison(self, first: _Token) -> Predicate:
        if first.kind != "word" or _is_word(first, "AND") or _is_word(first, "OR"):
            raise FilterError(f"a comparison is wanted at character {first.place}, not {first.text!r}")
        path = first.text.split(".")
        if (dot := self.peek()) is not None and dot.kind == "dot":
            self._take()
            path.append(_plain(self._take()))
        sign = self._take()
        if sign.kind != "operator":
            raise FilterError(f"an operator is wanted after {first.text!r}: a search in all fields is not known here")
        return self._values(path, sign.text)

    def _values(self, path: list[str], sign: str) -> Predicate:
        token = self._take()
        if not (token.kind == "mark" and token.text == "("):
            return _compare(path, sign, _plain(token))
        parts = [_compare(path, sign, _plain(self._take()))]
        joint = ""
        while (token := self._take()).text != ")" or token.kind != "mark":
            if token.kind != "word" or token.text not in ("AND", "OR") or joint not in ("", token.text):
                raise FilterError(f"values in parentheses are joined by AND or by OR, not {token.text!r}")
            joint = token.text
            parts.append(_compare(path, sign, _plain(self._take())))
        matches = all if joint == "AND" else any
        return lambda record: matches(part(record) for part in parts)

    def _take(self) -> _Token:
        token = self.peek()
        if token is None:
            raise FilterError("the filter ends too early")
        self._next += 1
        return token

    def _expect(self, mark: str) -> None:
        token = self._take()
        if token.kind != "mark" or token.text != mark:
            raise FilterError(f"{mark!r} is wanted at character {token.place}, not {token.text!r}")


def _is_word(token: _Token, word: str) -> bool:
    return token.kind == "word" and token.text == word


def _plain(token: _Token) -> str:
    if token.kind == "word":
        return token.text
    if token.kind != "text":
        raise FilterError(f"a value is wanted at character {token.place}, not {token.text!r}")
    try:
        return str(json.loads(token.text, strict=False))
    except ValueError as error:
        raise FilterError(f"a wrong escape in {token.text!r}") from error


def _compare(path: list[str], sign: str, value: str) -> Predicate:
    if sign in ("=~", "!~"):
        raise FilterError("regular expressions are not known here")
    name = ".".join(path)
    if name == "severity":
        return _compare_severity(sign, value)
    if name in ("timestamp", "receiveTimestamp", "receive_timestamp"):
        return _compare_time(name, sign, value)
    return _compare_text(_text_field(path), sign, value)


def _compare_severity(sign: str, value: str) -> Predicate:
    wanted = int(value) if value.isdecimal() else SEVERITIES.get(value.upper())
    if wanted is None:
        raise FilterError(f"no such severity: {value!r}")
    compare = _COMPARE["=" if sign == ":" else sign]
    return lambda record: compare(record.severity, wanted)


def _compare_time(name: str, sign: str, value: str) -> Predicate:
    if sign == ":":
        raise FilterError(f"':' does not go with {name}")
    wanted = _parse_time(value)
    compare = _COMPARE[sign]
    if name == "timestamp":
        return lambda record: compare(record.timestamp_ns, wanted)
    return lambda record: compare(record.received_ns, wanted)


def _compare_text(field: Callable[[LogRecord], str | None], sign: str, value: str) -> Predicate:
    # A field that an entry lacks compares as false, also with !=: whether Google does so is not certain.
    wanted = value.casefold()
    if sign == ":" and value == "*":
        return lambda record: field(record) is not None
    if sign == ":":
        return lambda record: (found := field(record)) is not None and wanted in found.casefold()
    compare = _COMPARE[sign]
    return lambda record: (found := field(record)) is not None and compare(found.casefold(), wanted)


_TEXT_FIELDS: dict[str, Callable[[LogRecord], str | None]] = {
    "logName": lambda record: record.log_name,
    "log_name": lambda record: record.log_name,
    "insertId": lambda record: record.insert_id,
    "insert_id": lambda record: record.insert_id,
    "textPayload": lambda record: record.text if record.payload is None else None,
    "text_payload": lambda record: record.text if record.payload is None else None,
    "resource.type": lambda record: record.resource_type,
}


def _text_field(path: list[str]) -> Callable[[LogRecord], str | None]:
    known = _TEXT_FIELDS.get(".".join(path))
    if known is not None:
        return known
    key = path[-1]
    if len(path) == 2 and path[0] == "labels" and key:
        return lambda record: record.labels.get(key)
    if len(path) == 3 and path[:2] == ["resource", "labels"] and key:
        return lambda record: record.resource_labels.get(key)
    raise FilterError(f"this stand-in cannot filter by {'.'.join(path)!r}")


_TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)?)?")


def _parse_time(value: str) -> int:
    # RFC 3339 or a plain date; Python 3.10's fromisoformat takes neither "Z" nor nine digits.
    match = _TIME.fullmatch(value)
    if match is None:
        raise FilterError(f"not a time in RFC 3339 form: {value!r}")
    day, clock, fraction, zone = match.groups()
    zone = "+00:00" if zone is None or zone in "Zz" else zone
    try:
        whole = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}{zone}")
    except ValueError as error:
        raise FilterError(f"not a time: {value!r}") from error
    return nanoseconds_of(whole) + int((fraction or "0").ljust(9, "0"))
