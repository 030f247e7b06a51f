"""Decide, from any thread, which event a fault strikes, and count the faults that took place."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .fault import Fault, Faults


@dataclass(frozen=True)
class FaultTarget:
    """What a fault may strike: a call, a request, an attempt, a job. Fields that do not apply stay empty."""

    method: str = ""
    job: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    provisioning: str = ""
    task: int | None = None
    attempt: int | None = None
    request: str = ""
    bucket: str = ""
    object: str = ""


class FaultPlan:
    """The active faults. Safe for threads; without rules a check costs one look-up in an empty dictionary.

    `consumed` counts, by title, the faults that took place; rules that have not are there with 0.
    """

    def __init__(self, faults: Faults | None = None) -> None:
        self._lock = threading.Lock()
        self._consumed: Counter[str] = Counter()
        self.set(Faults() if faults is None else faults)

    @property
    def faults(self) -> Faults:
        """The active description."""
        return self._faults

    @property
    def consumed(self) -> dict[str, int]:
        """A copy of the counters."""
        with self._lock:
            return dict(self._consumed)

    def set(self, faults: Faults) -> None:
        """Replace the rules: their numbers start again; all counters stay, those of replaced rules too."""
        families: dict[str, list[_Rule]] = {}
        titles: Counter[str] = Counter()
        for number, fault in enumerate(faults.rules):
            titles[fault.title] += 1
            title = fault.title if titles[fault.title] == 1 else f"{fault.title} #{titles[fault.title]}"
            # each has numbers of its own: a rule added to others does not change what they strike
            rule = _Rule(fault, title, random.Random(f"{faults.seed}/{number}"))
            families.setdefault(fault.family, []).append(rule)
        with self._lock:
            for rules in families.values():
                for rule in rules:
                    self._consumed[rule.title] += 0
            self._faults = faults
            self._families = families

    def has(self, family: str) -> bool:
        """Return whether any rule is of this family."""
        return family in self._families

    def draw(
        self, kinds: tuple[str, ...], target: FaultTarget, where: Callable[[Fault], bool] | None = None
    ) -> ArmedFault | None:
        """Return the first fault of these kinds (all of one family) that strikes; `where` narrows further."""
        for rule in self._families.get(kinds[0].partition(".")[0], ()):
            if rule.fault.kind in kinds and rule.matches(target) and (where is None or where(rule.fault)):
                key = _key(rule.fault.per, target)
                with self._lock:
                    if rule.triggers(key):
                        return ArmedFault(rule.fault, self, rule, key)
        return None

    def _count(self, drawn: ArmedFault) -> None:
        with self._lock:
            self._consumed[drawn.rule.title] += 1

    def _give_back(self, drawn: ArmedFault) -> None:
        with self._lock:
            drawn.rule.drawn[drawn.key] -= 1


@dataclass(frozen=True)
class ArmedFault:
    """A fault that strikes: `consume` once it takes place, or `give_back` where it could not."""

    fault: Fault
    plan: FaultPlan
    rule: _Rule
    key: str

    def consume(self) -> Fault:
        """Count it."""
        self.plan._count(self)
        return self.fault

    def give_back(self) -> None:
        """Let it strike something else, as if it had not been drawn."""
        self.plan._give_back(self)


class _Rule:
    """A fault with its numbers so far; guarded by the plan's lock."""

    def __init__(self, fault: Fault, title: str, numbers: random.Random) -> None:
        self.fault = fault
        self.title = title
        self.drawn: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()
        self._numbers = numbers
        narrowed = fault.to_json()
        types = {name: fault.types[name] for name in fault.own_fields if name in narrowed}
        self._patterns = [(name, each.matches) for name, each in types.items() if each.matches]

    def matches(self, target: FaultTarget) -> bool:
        return all(matches(getattr(self.fault, name), getattr(target, name)) for name, matches in self._patterns)

    def triggers(self, key: str) -> bool:
        fault = self.fault
        number = self._seen[key]
        self._seen[key] += 1
        if number < fault.skip or (number - fault.skip) % fault.every:
            return False
        if fault.first is not None and self.drawn[key] >= fault.first:
            return False
        if fault.rate < 1 and self._numbers.random() >= fault.rate:
            return False
        self.drawn[key] += 1
        return True


def _key(per: str, target: FaultTarget) -> str:
    if per == "job":
        return target.job
    if per == "task":
        return f"{target.job}/{target.task}"
    return f"{target.bucket}/{target.object}" if per == "object" else ""
