"""Describe how the emulator is to misbehave: faults as plain, checked values that JSON can carry."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, ClassVar

from .value_types import ValueType, is_whole, nearest

REQUIRED: Any = object()
"""The default of a field that a fault cannot do without."""


class FaultError(ValueError):
    """A description of faults is wrong; the text names the rule, the value and the remedy."""


class Fault:
    """One rule: a kind of fault, what it strikes, how often, and how.

    `Fault(kind, **fields)` makes an instance of the kind's own dataclass (see `kinds`), which has only the fields that
    mean something for it. Patterns take `*`, `?` and `[...]`; `task` and `attempt` are numbers or ranges ("0-2"), both
    from 0. Of what matches, the first `skip` are spared; of the rest every `every`-th is struck with probability
    `rate`, `first` times at most; `per` ("job", "task" or "object") counts for each of them apart. None means a
    parameter's default. Raises FaultError.
    """

    types: ClassVar[Mapping[str, ValueType]]
    """What the fields hold, by name, without `kind`; set by each kind."""
    own_fields: ClassVar[tuple[str, ...]]
    """The fields that not every kind has."""
    kind: str
    name: str
    rate: float
    first: int | None
    skip: int
    every: int
    per: str

    def __new__(cls, kind: Any = "", **given: Any) -> Fault:
        return object.__new__(_class_of(kind, given) if cls is Fault else cls)

    def __post_init__(self) -> None:
        for each in _fields(self):
            if getattr(self, each.name) is None and each.default is not MISSING:
                object.__setattr__(self, each.name, each.default)
        mistake = next(self._mistakes(), None)
        if mistake is not None:
            raise FaultError(f"fault {self.title!r}: {mistake}")

    @property
    def family(self) -> str:
        """The kind's name up to its dot: rpc, logging, storage, api, attempt or job."""
        return self.kind.partition(".")[0]

    @property
    def title(self) -> str:
        """The name, or the kind with what was narrowed: what counters are kept by."""
        return _title(self.kind, self.to_json())

    def value(self, name: str) -> Any:
        """Return a parameter, None where the kind has none of this name."""
        return getattr(self, name, None)

    def to_json(self) -> dict[str, Any]:
        """Return the kind, and the fields that differ from their defaults."""
        found: dict[str, Any] = {"kind": self.kind}
        for each in _fields(self):
            value = getattr(self, each.name)
            if value != _default(each):
                found[each.name] = dict(value) if isinstance(value, Mapping) else value
        return found

    def _mistakes(self) -> Iterator[str]:
        values = [(each.name, getattr(self, each.name), each.default) for each in _fields(self)[1:]]
        for name, value, _ in values:
            if value is REQUIRED:
                yield f"{name} is missing: {self.kind} needs it"
        for name, value, default in values:
            # True equals 1, but is not a number
            is_default = value == default and type(value) is type(default)
            if not is_default and (mistake := self.types[name].mistake(value)):
                yield f"{name} {value!r} {mistake}"


KINDS: dict[str, type[Fault]] = {}
"""The dataclass of each kind."""


def _class_of(kind: Any, given: Mapping[str, Any]) -> type[Fault]:
    found = KINDS.get(kind) if isinstance(kind, str) else None
    if found is None:
        raise FaultError(f"fault {_title(kind, given)!r}: there is no kind {kind!r}{nearest(str(kind), KINDS)}")
    known = {name for each in KINDS.values() for name in each.types}
    for name in given:
        if name not in known:
            raise FaultError(f"fault {_title(kind, given)!r}: it has no field {name!r}{nearest(name, known)}")
        if name not in found.types:
            remedy = f"leave it out, or use {', '.join(found.own_fields)}"
            raise FaultError(f"fault {_title(kind, given)!r}: {name} does not apply to {kind}: {remedy}")
    return found


def _fields(fault: Fault) -> tuple[Field[Any], ...]:
    return fields(fault)  # type: ignore[arg-type]  # each kind is a dataclass


def _default(each: Field[Any]) -> Any:
    return {} if each.default is MISSING else each.default


def _title(kind: object, given: Mapping[str, Any]) -> str:
    if given.get("name") and isinstance(given["name"], str):
        return given["name"]
    shown = ("method", "request", "job", "object", "task", "attempt", "code", "exit_code")
    narrowed = [f"{name}={given[name]}" for name in shown if given.get(name, "*") not in ("*", None)]
    return " ".join([str(kind), *narrowed])


@dataclass(frozen=True)
class Faults:
    """All rules, the first that strikes winning, and the seed of their random numbers. Raises FaultError."""

    rules: tuple[Fault, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "rules", tuple(self.rules))
        if not is_whole(self.seed):
            raise FaultError(f"the seed of the faults is {self.seed!r}: give a whole number")
        wrong = next((rule for rule in self.rules if not isinstance(rule, Fault)), None)
        if wrong is not None:
            raise FaultError(f"the faults' rules hold {wrong!r}: give each as a Fault")

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form that `from_json` reads."""
        return {"seed": self.seed, "rules": [rule.to_json() for rule in self.rules]}

    @classmethod
    def from_json(cls, content: Any) -> Faults:
        """Read {"seed": 0, "rules": [{"kind": ..., ...}, ...]}. Raises FaultError."""
        if not isinstance(content, dict) or not isinstance(content.get("rules"), list):
            raise FaultError('faults must be a JSON object {"seed": 0, "rules": [{"kind": "rpc.error", ...}]}')
        unknown = next((key for key in content if key not in ("seed", "rules")), None)
        if unknown is not None:
            raise FaultError(f"faults have no key {unknown!r}: use seed and rules")
        rules = [_read_rule(number, rule) for number, rule in enumerate(content["rules"], 1)]
        return cls(tuple(rules), content.get("seed", 0))

    @classmethod
    def from_text(cls, text: str) -> Faults:
        """Read the same from JSON's text. Raises FaultError."""
        try:
            content = json.loads(text)
        except ValueError as error:
            raise FaultError(f"faults are not valid JSON: {error}") from error
        return cls.from_json(content)


def _read_rule(number: int, given: Any) -> Fault:
    if not isinstance(given, dict) or "kind" not in given:
        raise FaultError(f'fault rule {number} is {given!r}: give an object with "kind", such as "rpc.error"')
    try:
        return Fault(**given)
    except FaultError as error:
        raise FaultError(f"fault rule {number}: {error}") from error
