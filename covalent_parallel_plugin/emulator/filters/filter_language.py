"""Parse list filters of Google's APIs, AIP-160 and the Logging query language, into predicates.

Known: comparisons `field = value` with =, !=, <, <=, >, >= and : (has), AND, OR, NOT, `-`, parentheses, and side by
side for AND. NOT binds strongest, then OR, then AND. Fields are dotted names whose parts may be quoted:
`labels."my-key"`.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from ..model.errors import RpcError
from ..model.log_store import nanoseconds_of

T = TypeVar("T")
Predicate = Callable[[T], bool]
Comparison = Callable[[str, str], Predicate[Any]]
"""Returns the test of a field's value for an operator and a literal. Raises FilterError."""

_DEPTH_LIMIT = 50  # nested parentheses and NOTs; beyond it a filter is a mistake, and Python's stack is finite
_QUOTED = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
_WORD = r"""\.*[^\s()."'<>=!:]+(?:\.+[^\s()."'<>=!:]+)*"""
_PART = rf"(?:{_QUOTED}|{_WORD})"
_TOKEN = re.compile(
    rf"(?P<space>\s+)|(?P<comment>--[^\n]*)|(?P<operator>!=|>=|<=|=~|!~|[=<>:])|(?P<mark>[()])"
    rf"|(?P<operand>{_PART}(?:\.{_PART})*)"
)
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)(?:[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:?\d\d)?)?")
COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class FilterError(RpcError):
    """The filter cannot be read, or names a field that does not exist."""

    def __init__(self, message: str) -> None:
        super().__init__("INVALID_ARGUMENT", message)


@dataclass(frozen=True)
class Field(Generic[T]):
    """A field of what is listed: its value, None where it is absent, and how a filter compares it."""

    value: Callable[[T], Any]
    compare: Comparison


@dataclass(frozen=True)
class FilterLanguage(Generic[T]):
    """What a service's filters understand.

    `fields` are the fields by dotted name, in snake case; a filter may write camel case. `keyed` are those whose value
    is a map, of which `NAME.KEY` compares one value.
    With `has_value_lists`, `field = (a OR b)` is known; with `has_comments`, `--` begins a comment.
    """

    fields: Mapping[str, Field[T]]
    keyed: Mapping[str, Field[T]] = field(default_factory=dict)
    has_value_lists: bool = False
    has_comments: bool = False

    def find(self, path: list[str]) -> Field[T]:
        """Return the field of this path. Raises FilterError."""
        name, parent, key = _snake_case(path), _snake_case(path[:-1]), path[-1]
        if name in self.fields:
            return self.fields[name]
        if parent not in self.keyed or not key:
            raise FilterError(f"this emulator cannot filter by {'.'.join(path)!r}")
        value = self.keyed[parent].value
        return Field(lambda item: value(item).get(key), self.keyed[parent].compare)


def parse_filter(text: str, language: FilterLanguage[T]) -> Predicate[T]:
    """Compile a filter; an empty one matches everything. Raises FilterError."""
    parser = _Parser(text, language)
    if parser.peek() is None:
        return lambda item: True
    predicate = parser.conjunction(0)
    left = parser.peek()
    if left is not None:
        raise FilterError(f"unexpected {left.text!r} at character {left.place} of the filter")
    return predicate


def parse_time(text: str) -> int:
    """Read an RFC 3339 time or a date, without offset UTC, as nanoseconds since the epoch. Raises FilterError."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise FilterError(f"{text!r} in the filter is not a time in RFC 3339 form")
    # Python 3.10's fromisoformat takes neither "Z" nor nine digits, nor an offset without a colon.
    day, clock, fraction, zone = match.groups()
    # Google's own client for Logging writes offsets without a colon, which RFC 3339 does not have.
    zone = "+00:00" if zone is None or zone in "Zz" else f"{zone[:3]}:{zone[-2:]}"
    try:
        whole = datetime.fromisoformat(f"{day}T{clock or '00:00:00'}{zone}")
    except ValueError as error:
        raise FilterError(f"{text!r} in the filter is not a time: {error}") from error
    return nanoseconds_of(whole) + int((fraction or "0").ljust(9, "0"))


def text(sign: str, literal: str) -> Predicate[str | None]:
    """Compare text: `:` finds a part of it, `*` at either end matches anything; only != holds where it is absent."""
    if sign == ":" and literal == "*":
        return lambda value: value is not None and value != ""
    if sign == ":":
        part = literal.strip("*").casefold()
        return lambda value: value is not None and part in value.casefold()
    if sign in ("=", "!=") and "*" in (literal[:1], literal[-1:]):
        pattern = re.compile(".*".join(map(re.escape, literal.split("*"))), re.DOTALL)
        return lambda value: (value is not None and pattern.fullmatch(value) is not None) is (sign == "=")
    compare = COMPARE[sign]
    return lambda value: sign == "!=" if value is None else bool(compare(value, literal))


def ordered(read: Callable[[str], Any], *, has_operator: bool = True) -> Comparison:
    """Compare values with what `read` makes of the literal; `:` means =, or is refused without `has_operator`.

    `:*` tests whether there is a value.
    """

    def compare(sign: str, literal: str) -> Predicate[Any]:
        if sign == ":" and literal == "*":
            return lambda value: value is not None
        if sign == ":" and not has_operator:
            raise FilterError("':' does not go with this field of the filter")
        wanted, holds = read(literal), COMPARE["=" if sign == ":" else sign]
        return lambda value: bool(holds(value, wanted))

    return compare


def _number(literal: str) -> float:
    try:
        return float(literal)
    except ValueError as error:
        raise FilterError(f"{literal!r} in the filter is not a number") from error


def _truth(literal: str) -> bool:
    if literal.lower() not in ("true", "false"):
        raise FilterError(f"{literal!r} in the filter is neither true nor false")
    return literal.lower() == "true"


number = ordered(_number)
truth = ordered(_truth)
time = ordered(parse_time, has_operator=False)


def has_key(sign: str, literal: str) -> Predicate[Mapping[str, str]]:
    """Return whether a map has a key; `*` is any map."""
    if sign != ":":
        raise FilterError(f"a filter compares a map with ':', not {sign!r}")
    return lambda value: literal == "*" or literal in value


def _snake_case(path: Sequence[str]) -> str:
    return ".".join(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", part).lower() for part in path)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    place: int


class _Parser(Generic[T]):
    def __init__(self, text: str, language: FilterLanguage[T]) -> None:
        self._language = language
        self._tokens: list[_Token] = []
        self._next = 0
        place = 0
        while place < len(text):
            match = _TOKEN.match(text, place)
            if match is None or (match.lastgroup == "comment" and not language.has_comments):
                raise FilterError(f"cannot read the filter at character {place}: {text[place : place + 20]!r}")
            if match.lastgroup not in ("space", "comment"):
                self._tokens.append(_Token(str(match.lastgroup), match[0], place))
            place = match.end()

    def peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def conjunction(self, depth: int) -> Predicate[T]:
        parts = [self._disjunction(depth)]
        while (token := self.peek()) is not None and token.text != ")":
            self._accept("AND")
            parts.append(self._disjunction(depth))
        return parts[0] if len(parts) == 1 else lambda item: all(part(item) for part in parts)

    def _disjunction(self, depth: int) -> Predicate[T]:
        parts = [self._negation(depth)]
        while self._accept("OR"):
            parts.append(self._negation(depth))
        return parts[0] if len(parts) == 1 else lambda item: any(part(item) for part in parts)

    def _negation(self, depth: int) -> Predicate[T]:
        if depth > _DEPTH_LIMIT:
            raise FilterError(f"the filter is nested more than {_DEPTH_LIMIT} deep")
        if self._accept("NOT") or self._accept_minus():
            inner = self._negation(depth + 1)
            return lambda item: not inner(item)
        if self._accept("("):
            inside = self.conjunction(depth + 1)
            if not self._accept(")"):
                raise FilterError("the filter ends too early: ')' is missing")
            return inside
        return self._comparison()

    def _comparison(self) -> Predicate[T]:
        name = self._take("operand", "a comparison")
        path = [_unquoted(part) for part in re.findall(rf"(?:^|\.)({_QUOTED}|[^.\"']*)", name.text)]
        sign = self._take("operator", f"an operator after {name.text!r} (a search in all fields is not known)").text
        if sign in ("=~", "!~"):
            raise FilterError("this emulator knows no regular expressions in a filter")
        return self._values(self._language.find(path), sign)

    def _values(self, compared: Field[T], sign: str) -> Predicate[T]:
        is_list = self._language.has_value_lists and self._accept("(")
        tests = [compared.compare(sign, self._literal())]
        joint = ""
        while is_list and not self._accept(")"):
            token = self._take("operand", "AND, OR or ')'")
            if token.text not in ("AND", "OR") or joint not in ("", token.text):
                raise FilterError(f"values in parentheses are joined by AND or by OR, not {token.text!r}")
            joint = token.text
            tests.append(compared.compare(sign, self._literal()))
        value, first, matches = compared.value, tests[0], all if joint == "AND" else any
        if len(tests) == 1:
            return lambda item: first(value(item))
        return lambda item: matches(test(value(item)) for test in tests)

    def _literal(self) -> str:
        raw = self._take("operand", "a value").text
        return re.sub(_QUOTED, lambda match: _unquoted(match[0]), raw)

    def _accept(self, word: str) -> bool:
        token = self.peek()
        if token is None or token.text != word:
            return False
        self._next += 1
        return True

    def _accept_minus(self) -> bool:
        token = self.peek()
        if token is None or not token.text.startswith("-"):
            return False
        if token.text == "-":
            self._next += 1
        else:
            self._tokens[self._next] = _Token(token.kind, token.text[1:], token.place + 1)
        return True

    def _take(self, kind: str, wanted: str) -> _Token:
        token = self.peek()
        if token is None:
            raise FilterError(f"the filter ends too early: {wanted} is missing")
        if token.kind != kind:
            raise FilterError(f"expected {wanted} at character {token.place} of the filter, not {token.text!r}")
        self._next += 1
        return token


def _unquoted(part: str) -> str:
    if part[:1] == '"':
        try:
            return str(json.loads(part, strict=False))
        except ValueError as error:
            raise FilterError(f"a wrong escape in {part!r} in the filter") from error
    return re.sub(r"\\(.)", r"\1", part[1:-1]) if part[:1] == "'" else part
