"""Run checks side by side, each in a thread of its own and within its time, those first on which others rest."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...cloud.rest_client import NotOfferedError
from ...errors import CloudError, ParallelError
from .results import CheckResult, error, skipped
from .setup import Setup

CHECK_SECONDS = 30.0
# The check that lists wrong options, and the one whose facts are the APIs that are not enabled
OPTIONS_CHECK, SERVICES_CHECK = "config.mistakes", "project.apis"

Facts = Mapping[str, Any]
Look = Callable[[Setup, Facts], CheckResult]


@dataclass(frozen=True)
class Check:
    """One check, which can be called as the function that it was made of.

    Attributes:
        name: stable, "group.what".
        meaning: what it looks at; remedy: what to do where something is wrong. Both for docs/reference/checks.md.
        look: looks at the set-up, with the facts of the checks it rests on by their names.
        needs: checks that must not have failed.
        facts_of: the same, and their facts must be known.
        options: options that must be given and right.
        service: the Google API that is asked.
        seconds: its time.
    """

    name: str
    meaning: str
    remedy: str
    look: Look
    needs: Sequence[str] = ()
    facts_of: Sequence[str] = ()
    options: Sequence[str] = ()
    service: str = ""
    seconds: float = CHECK_SECONDS

    def __call__(self, setup: Setup, facts: Facts) -> CheckResult:
        return self.look(setup, facts)


def check(
    name: str,
    meaning: str,
    remedy: str,
    *,
    needs: Sequence[str] = (),
    facts_of: Sequence[str] = (),
    options: Sequence[str] = (),
    service: str = "",
    seconds: float = CHECK_SECONDS,
) -> Callable[[Look], Check]:
    """Make a check of a function; see `Check` for the arguments."""
    return lambda look: Check(name, meaning, remedy, look, needs, facts_of, options, service, seconds)


def run_checks(checks: Sequence[Check], setup: Setup, clock: Callable[[], float] = time.monotonic) -> list[CheckResult]:
    """Run the checks and return their results, in their order.

    A check is skipped where one that it rests on has failed, an option that it needs is unusable, or its API is not
    enabled. One that raises an error of this package's has failed with its text; one that takes longer than its time
    is given up, and its thread is left to end by itself.
    """
    waiting = {check.name: check for check in checks}
    names = set(waiting)
    results: dict[str, CheckResult] = {}
    running: dict[str, tuple[Check, float]] = {}
    ended: queue.SimpleQueue[tuple[str, CheckResult]] = queue.SimpleQueue()
    while waiting or running:
        ready = [check for check in waiting.values() if _rests_on(check) & names <= results.keys()]
        if not ready and not running:
            raise RuntimeError(f"checks rest on each other: {', '.join(waiting)}")
        for check in ready:
            del waiting[check.name]
            why = _why_not(check, results, setup)
            if why:
                results[check.name] = replace(skipped(why), name=check.name)
                continue
            facts = {name: result.facts for name, result in results.items()}
            running[check.name] = (check, clock())
            arguments = (check, setup, facts, ended)
            threading.Thread(target=_run, args=arguments, name=f"doctor-{check.name}", daemon=True).start()
        if not running:
            continue
        next_deadline = min(started + check.seconds for check, started in running.values())
        try:
            name, result = ended.get(timeout=max(0.0, next_deadline - clock()))
        except queue.Empty:
            for name, (check, started) in list(running.items()):
                if clock() >= started + check.seconds:
                    del running[name]
                    results[name] = replace(_overdue(check), name=name, seconds=check.seconds)
            continue
        if name in running:  # else it comes too late
            _, started = running.pop(name)
            results[name] = replace(result, name=name, seconds=clock() - started)
    return [results[check.name] for check in checks]


def _run(check: Check, setup: Setup, facts: Facts, ended: queue.SimpleQueue[tuple[str, CheckResult]]) -> None:
    try:
        result = check.look(setup, facts)
    except NotOfferedError as problem:
        # What cannot be asked may be well all the same.
        result = skipped(str(problem), blocks=False)
    except CloudError as problem:
        result = error(str(problem), "see that this machine reaches Google, and through which account")
    except ParallelError as problem:
        result = error(str(problem), check.remedy)
    except Exception as problem:
        # A check that breaks must not take the others with it.
        result = error(f"the check itself failed: {type(problem).__name__}: {problem}", "report this as a bug")
    ended.put((check.name, result))


def _overdue(check: Check) -> CheckResult:
    return error(
        f"no answer within {check.seconds:g} s", "see that this machine reaches what the check asks, and again"
    )


def _rests_on(check: Check) -> set[str]:
    return {*check.needs, *check.facts_of, *([SERVICES_CHECK] if check.service else [])}


def _why_not(check: Check, results: Mapping[str, CheckResult], setup: Setup) -> str:
    """Return why a check cannot be run; "" if it can."""
    for name in (*check.needs, *check.facts_of):
        if name not in results:
            return f"{name} was not asked for"
        if results[name].has_failed:
            return f"see {name}"
        if name in check.facts_of and results[name].facts is None:
            return f"{name} could not find out what is needed"
    for option in check.options:
        if option in setup.unusable:
            return f"{option} is missing or wrong, see {OPTIONS_CHECK}"
    services = results.get(SERVICES_CHECK)
    if services is not None and check.service in (services.facts or ()):
        return f"{check.service} is not enabled, see {SERVICES_CHECK}"
    return ""
