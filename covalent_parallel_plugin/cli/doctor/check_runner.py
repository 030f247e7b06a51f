"""Run checks side by side, each in a thread of its own and within its time, those first on which others rest."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...cloud.apis import NotOfferedError
from ...errors import CloudError, ParallelError
from .results import Finding, Judged, error, skipped

CHECK_SECONDS = 30.0

Facts = Mapping[str, Any]
Look = Callable[[Facts], Judged]


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes:
        name: stable, "group.what".
        look: takes the facts of the checks it rests on, by their names, and judges.
        meaning: what it looks at; mending: how to mend it. Both for docs/doctor.md.
        needs: checks that must not have failed.
        facts_of: the same, and their facts must be known.
        options: options that must be given and right.
        service: the Google API that is asked.
    """

    name: str
    look: Look
    meaning: str
    mending: str
    needs: Sequence[str] = ()
    facts_of: Sequence[str] = ()
    options: Sequence[str] = ()
    service: str = ""
    seconds: float = CHECK_SECONDS


@dataclass(frozen=True)
class Gate:
    """What keeps checks from being run: options that are missing or wrong, and APIs that are not enabled.

    Attributes:
        unusable: the options.
        options_check: the check that tells of them.
        services_check: the check whose facts are the services that are not enabled.
    """

    unusable: Collection[str]
    options_check: str
    services_check: str


def examine(
    checks: Sequence[Check],
    gate: Gate,
    told: Callable[[Finding], None] = lambda finding: None,
    clock: Callable[[], float] = time.monotonic,
) -> list[Finding]:
    """Run the checks and return what they found, in their order.

    A check that raises an error of this package's has failed with its text; one that takes longer than its time is
    given up, and its thread is left to end by itself.
    """
    waiting = {check.name: check for check in checks}
    names = set(waiting)
    found: dict[str, Finding] = {}
    running: dict[str, tuple[Check, float]] = {}
    ended: queue.SimpleQueue[tuple[str, Judged]] = queue.SimpleQueue()

    def settle(name: str, judged: Judged, seconds: float = 0.0) -> None:
        found[name] = Finding(name, judged, seconds)
        told(found[name])

    while waiting or running:
        ready = [check for check in waiting.values() if _rests_on(check, gate) & names <= found.keys()]
        if not ready and not running:
            raise RuntimeError(f"checks rest on each other: {', '.join(waiting)}")
        for check in ready:
            del waiting[check.name]
            why = _why_not(check, found, gate)
            if why:
                settle(check.name, skipped(why))
                continue
            facts = {name: finding.judged.facts for name, finding in found.items()}
            running[check.name] = (check, clock())
            threading.Thread(target=_run, args=(check, facts, ended), name=f"doctor-{check.name}", daemon=True).start()
        if not running:
            continue
        next_deadline = min(started + check.seconds for check, started in running.values())
        try:
            name, judged = ended.get(timeout=max(0.0, next_deadline - clock()))
        except queue.Empty:
            for name, (check, started) in list(running.items()):
                if clock() >= started + check.seconds:
                    del running[name]
                    settle(name, _overdue(check), check.seconds)
            continue
        if name in running:  # else it comes too late
            _, started = running.pop(name)
            settle(name, judged, clock() - started)
    return [found[check.name] for check in checks]


def _run(check: Check, facts: Facts, ended: queue.SimpleQueue[tuple[str, Judged]]) -> None:
    try:
        judged = check.look(facts)
    except NotOfferedError as problem:
        # What cannot be asked may be well all the same.
        judged = skipped(str(problem), blocks=False)
    except CloudError as problem:
        judged = error(str(problem), "see that this machine reaches Google, and through which account")
    except ParallelError as problem:
        judged = error(str(problem), check.mending)
    except Exception as problem:
        # A check that breaks must not take the others with it.
        judged = error(f"the check itself failed: {type(problem).__name__}: {problem}", "report this as a bug")
    ended.put((check.name, judged))


def _overdue(check: Check) -> Judged:
    return error(
        f"no answer within {check.seconds:g} s", "see that this machine reaches what the check asks, and again"
    )


def _rests_on(check: Check, gate: Gate) -> set[str]:
    return {*check.needs, *check.facts_of, *([gate.services_check] if check.service else [])}


def _why_not(check: Check, found: Mapping[str, Finding], gate: Gate) -> str:
    """Why a check cannot be run; "" if it can."""
    for name in (*check.needs, *check.facts_of):
        if name not in found:
            return f"{name} was not asked for"
        if found[name].judged.has_failed:
            return f"see {name}"
        if name in check.facts_of and found[name].judged.facts is None:
            return f"{name} could not tell what is needed"
    for option in check.options:
        if option in gate.unusable:
            return f"{option} is missing or wrong, see {gate.options_check}"
    services = found.get(gate.services_check)
    if services is not None and check.service in (services.judged.facts or ()):
        return f"{check.service} is not enabled, see {gate.services_check}"
    return ""
