"""List filters as Google's APIs write them (AIP-160): text in, a predicate out.

Understood: comparisons `field = value` with `=`, `!=`, `<`, `<=`, `>`, `>=` and `:` (has), AND, OR, NOT, `-`,
parentheses, and side by side for AND. OR binds tighter than AND, as there. Fields are dotted names whose parts may be
quoted: `labels."my-key"`. Values are text (`*` at either end matches anything), numbers, booleans, and RFC 3339 times
where the field is a time.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from ..model.errors import RpcError

Value = str | int | float | bool | datetime | Mapping[str, str] | None
Lookup = Callable[[tuple[str, ...]], Value]
"""Gives the value of a field by its path, None where it is absent; raises KeyError for a field that does not exist."""
Predicate = Callable[[Lookup], bool]

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<operator><=|>=|!=|=|<|>|:)|(?P<mark>[().])
    |(?P<word>(?:[^\s()."'<>=!:]|\.(?=\d))+))""",
    re.VERBOSE,
)
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class FilterError(RpcError):
    """The filter cannot be read, or names a field that does not exist."""

    def __init__(self, message: str) -> None:
        super().__init__("INVALID_ARGUMENT", message)


def parse_filter(text: str) -> Predicate:
    """Compile a filter; an empty one matches everything. Raises FilterError."""
    if not text.strip():
        return lambda lookup: True
    parser = _Parser(_tokens(text), text)
    predicate = parser.sequence()
    parser.expect_end()
    return predicate


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 time; one without an offset is UTC. Raises FilterError."""
    trimmed = re.sub(r"(\.\d{6})\d+", r"\1", text.strip())
    trimmed = re.sub(r"\.(\d{1,5})(?!\d)", lambda m: "." + m[1].ljust(6, "0"), trimmed)
    try:
        moment = datetime.fromisoformat(re.sub("[zZ]$", "+00:00", trimmed))
    except ValueError as error:
        raise FilterError(f"{text!r} is not an RFC 3339 time") from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    position = 0
    end = len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise FilterError(f"the filter {text!r} cannot be read at {text[position:]!r}")
        kind = str(match.lastgroup)
        token = match[kind]
        tokens.append((kind, re.sub(r"\\(.)", r"\1", token[1:-1]) if kind == "string" else token))
        position = match.end()
    return tokens


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]], text: str) -> None:
        self._tokens = tokens
        self._text = text
        self._at = 0

    def sequence(self) -> Predicate:
        parts = [self._alternatives()]
        while self._peek() not in (None, ("mark", ")")):
            self._accept("word", "AND")
            parts.append(self._alternatives())
        return parts[0] if len(parts) == 1 else lambda lookup: all(part(lookup) for part in parts)

    def expect_end(self) -> None:
        if self._peek() is not None:
            raise self._unreadable()

    def _alternatives(self) -> Predicate:
        parts = [self._term()]
        while self._accept("word", "OR"):
            parts.append(self._term())
        return parts[0] if len(parts) == 1 else lambda lookup: any(part(lookup) for part in parts)

    def _term(self) -> Predicate:
        if self._accept("word", "NOT") or self._accept("word", "-"):
            negated = self._term()
            return lambda lookup: not negated(lookup)
        if self._accept("mark", "("):
            inner = self.sequence()
            if not self._accept("mark", ")"):
                raise self._unreadable()
            return inner
        return self._comparison()

    def _comparison(self) -> Predicate:
        kind, first = self._take("word", "string")
        negated = kind == "word" and first.startswith("-")
        path = [first.removeprefix("-") if negated else first]
        while self._accept("mark", "."):
            path.append(self._take("word", "string")[1])
        comparator = self._take("operator")[1]
        literal = self._take("word", "string")[1]
        while self._accept("mark", "."):
            literal += "." + self._take("word", "string")[1]
        field = tuple(path)

        def holds(lookup: Lookup) -> bool:
            try:
                value = lookup(field)
            except KeyError as error:
                raise FilterError(f"the filter names {'.'.join(field)!r}, which is no field") from error
            return _compare(value, comparator, literal) is not negated

        return holds

    def _peek(self) -> tuple[str, str] | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _accept(self, kind: str, token: str) -> bool:
        if self._peek() != (kind, token):
            return False
        self._at += 1
        return True

    def _take(self, *kinds: str) -> tuple[str, str]:
        token = self._peek()
        if token is None or token[0] not in kinds:
            raise self._unreadable()
        self._at += 1
        return token

    def _unreadable(self) -> FilterError:
        token = self._peek()
        where = "its end" if token is None else repr(token[1])
        return FilterError(f"the filter {self._text!r} cannot be read at {where}")


def _compare(value: Value, comparator: str, literal: str) -> bool:
    if isinstance(value, Mapping):
        if comparator != ":":
            raise FilterError(f"a map is compared with ':', not {comparator!r}")
        return literal == "*" or literal in value
    if value is None:
        return comparator == "!="
    if comparator == ":" and literal == "*":
        return value != ""
    if isinstance(value, str):
        return _compare_text(value, comparator, literal)
    return _ordered(value, comparator, _literal_like(value, literal))


def _compare_text(value: str, comparator: str, literal: str) -> bool:
    if comparator == ":":
        return literal.strip("*").casefold() in value.casefold()
    if comparator in ("=", "!=") and "*" in (literal[:1], literal[-1:]):
        pattern = ".*".join(re.escape(part) for part in literal.split("*"))
        return (re.fullmatch(pattern, value, re.DOTALL) is not None) is (comparator == "=")
    return _ordered(value, comparator, literal)


def _literal_like(value: bool | int | float | datetime, literal: str) -> bool | float | datetime:
    if isinstance(value, datetime):
        return parse_time(literal)
    if isinstance(value, bool):
        if literal.lower() not in ("true", "false"):
            raise FilterError(f"{literal!r} is neither true nor false")
        return literal.lower() == "true"
    try:
        return float(literal)
    except ValueError as error:
        raise FilterError(f"{literal!r} is not a number") from error


def _ordered(left: object, comparator: str, right: object) -> bool:
    if comparator in ("=", ":"):
        return left == right
    if comparator == "!=":
        return left != right
    return _ORDER[comparator](left, right)
