"""Describe how the stand-in is to misbehave: faults as plain, checked values that JSON can carry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from .catalogue import KINDS
from .checks import is_whole, mistakes_of, nearest


class FaultError(ValueError):
    """A description of faults is wrong; the text names the rule, the value and the remedy."""


@dataclass(frozen=True)
class Fault:
    """One rule: a kind of fault, what it strikes, how often, and how.

    Patterns take `*`, `?` and `[...]`; `task` and `attempt` are numbers or ranges ("0-2"), both from 0. Of what
    matches, the first `skip` are spared; of the rest every `every`-th is struck with probability `rate`, `first` times
    at most; `per` ("job", "task" or "object") counts for each of them apart. Parameters that are None have their
    kind's default (see `catalogue`). Raises FaultError.
    """

    kind: str
    name: str = ""
    method: str = "*"
    job: str = "*"
    labels: Mapping[str, str] = field(default_factory=dict)
    provisioning: str = "*"
    task: int | str = "*"
    attempt: int | str = "*"
    request: str = "*"
    bucket: str = "*"
    object: str = "*"
    rate: float = 1.0
    first: int | None = None
    skip: int = 0
    every: int = 1
    per: str = ""
    code: int | str | None = None
    message: str | None = None
    seconds: float | None = None
    after_seconds: float | None = None
    notice_seconds: float | None = None
    window_seconds: float | None = None
    exit_code: int | None = None
    per_minute: int | None = None
    state: str | None = None
    before_run: bool | None = None
    goes_on: bool | None = None
    concurrent: bool | None = None
    keeps_hash: bool | None = None
    spares_running: bool | None = None

    def __post_init__(self) -> None:
        mistake = next(mistakes_of(self), None)
        if mistake is not None:
            raise FaultError(f"fault {self.title!r}: {mistake}")

    @property
    def family(self) -> str:
        """The kind's name up to its dot: rpc, logging, storage, attempt or job."""
        return self.kind.partition(".")[0]

    @property
    def title(self) -> str:
        """The name, or the kind with what was narrowed: what counters are kept by."""
        if self.name and isinstance(self.name, str):
            return self.name
        shown = ("method", "request", "job", "object", "task", "attempt", "code", "exit_code")
        narrowed = [f"{name}={getattr(self, name)}" for name in shown if getattr(self, name) not in ("*", None)]
        return " ".join([str(self.kind), *narrowed])

    def value(self, name: str) -> Any:
        """A parameter, as given or by default."""
        given = getattr(self, name)
        return KINDS[self.kind].parameters.get(name) if given is None else given

    def to_json(self) -> dict[str, Any]:
        """What was given, without what is as it would be anyway."""
        found: dict[str, Any] = {}
        for each in fields(self):
            default = {} if each.default is MISSING else each.default
            value = getattr(self, each.name)
            if each.name == "kind" or value != default:
                found[each.name] = dict(value) if each.name == "labels" else value
        return found


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
        """Give a JSON-able form that `from_json` reads."""
        return {"seed": self.seed, "rules": [rule.to_json() for rule in self.rules]}

    @classmethod
    def from_json(cls, content: Any) -> Faults:
        """Read {"seed": 0, "rules": [{"kind": ..., ...}, ...]}. Raises FaultError."""
        if not isinstance(content, dict) or not isinstance(content.get("rules"), list):
            raise FaultError('faults must be a JSON object {"seed": 0, "rules": [{"kind": "rpc.error", ...}]}')
        unknown = next((key for key in content if key not in ("seed", "rules")), None)
        if unknown is not None:
            raise FaultError(f"faults have no key {unknown!r}: use seed and rules")
        rules = [_rule(number, rule) for number, rule in enumerate(content["rules"], 1)]
        return cls(tuple(rules), content.get("seed", 0))

    @classmethod
    def from_text(cls, text: str) -> Faults:
        """Read the same from JSON's text. Raises FaultError."""
        try:
            content = json.loads(text)
        except ValueError as error:
            raise FaultError(f"faults are not valid JSON: {error}") from error
        return cls.from_json(content)


def _rule(number: int, given: Any) -> Fault:
    if not isinstance(given, dict) or "kind" not in given:
        raise FaultError(f'fault rule {number} is {given!r}: give an object with "kind", such as "rpc.error"')
    known = {each.name for each in fields(Fault)}
    try:
        for name in given:
            if name not in known:
                raise FaultError(f"fault {given['kind']!r}: it has no field {name!r}{nearest(str(name), known)}")
        return Fault(**given)
    except FaultError as error:
        raise FaultError(f"fault rule {number}: {error}") from error
