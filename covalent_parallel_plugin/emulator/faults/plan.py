"""Decide, from any thread, which event a fault strikes, and count the faults that took place."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from .catalogue import READS, WRITES
from .rule import Fault, Faults


@dataclass(frozen=True)
class Subject:
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
    """The faults in force. Safe for threads; without rules a seam pays one look into an empty dictionary.

    `consumed` counts, by title, the faults that took place; rules that have not are there with 0.
    """

    def __init__(self, faults: Faults | None = None) -> None:
        self._lock = threading.Lock()
        self._consumed: Counter[str] = Counter()
        self.set(Faults() if faults is None else faults)

    @property
    def faults(self) -> Faults:
        """The description in force."""
        return self._faults

    @property
    def consumed(self) -> dict[str, int]:
        """A copy of the counters."""
        with self._lock:
            return dict(self._consumed)

    def set(self, faults: Faults) -> None:
        """Put other rules in force: their numbers start anew; counters are kept and those of gone rules stay."""
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
        """Tell whether any rule is of this family."""
        return family in self._families

    def draw(
        self, kinds: tuple[str, ...], subject: Subject, where: Callable[[Fault], bool] | None = None
    ) -> Drawn | None:
        """Give the first fault of these kinds (all of one family) that strikes; `where` narrows further."""
        for rule in self._families.get(kinds[0].partition(".")[0], ()):
            if rule.fault.kind in kinds and rule.matches(subject) and (where is None or where(rule.fault)):
                key = _key(rule.fault.per, subject)
                with self._lock:
                    if rule.strikes(key):
                        return Drawn(rule.fault, self, rule, key)
        return None

    def _count(self, drawn: Drawn) -> None:
        with self._lock:
            self._consumed[drawn.rule.title] += 1

    def _give_back(self, drawn: Drawn) -> None:
        with self._lock:
            drawn.rule.drawn[drawn.key] -= 1


@dataclass(frozen=True)
class Drawn:
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
        """Have it strike something else: it is as if it had not been drawn."""
        self.plan._give_back(self)


class _Rule:
    """A fault with its numbers so far; guarded by the plan's lock."""

    def __init__(self, fault: Fault, title: str, numbers: random.Random) -> None:
        self.fault = fault
        self.title = title
        self.drawn: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()
        self._numbers = numbers

    def matches(self, subject: Subject) -> bool:
        fault = self.fault
        return (
            fnmatchcase(subject.method, fault.method)
            and fnmatchcase(subject.job, fault.job)
            and fnmatchcase(subject.provisioning, fault.provisioning)
            and _is_in(subject.task, fault.task)
            and _is_in(subject.attempt, fault.attempt)
            and _is_request(subject.request, fault.request)
            and fnmatchcase(subject.bucket, fault.bucket)
            and fnmatchcase(subject.object, fault.object)
            and all(fnmatchcase(subject.labels.get(key, ""), wanted) for key, wanted in fault.labels.items())
        )

    def strikes(self, key: str) -> bool:
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


def _key(per: str, subject: Subject) -> str:
    if per == "job":
        return subject.job
    if per == "task":
        return f"{subject.job}/{subject.task}"
    return f"{subject.bucket}/{subject.object}" if per == "object" else ""


def _is_in(number: int | None, wanted: int | str) -> bool:
    if wanted == "*":
        return True
    if number is None:
        return False
    first, _, last = str(wanted).partition("-")
    return int(first) <= number <= int(last or first)


def _is_request(kind: str, wanted: str) -> bool:
    if wanted in ("reads", "writes"):
        return kind in (READS if wanted == "reads" else WRITES)
    return fnmatchcase(kind, wanted)
