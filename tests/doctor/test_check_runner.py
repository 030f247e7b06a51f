"""How checks are run: side by side, each within its time, after those on which they rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from covalent_parallel_plugin.cli.doctor.check_runner import Check, Facts, run_checks
from covalent_parallel_plugin.cli.doctor.results import CheckResult, error, ok, warning
from covalent_parallel_plugin.cli.doctor.setup import Setup, read_setup
from covalent_parallel_plugin.cloud.rest_client import NotOfferedError
from covalent_parallel_plugin.errors import UnavailableError

NOTHING = replace(read_setup({"COVALENT_CONFIG_DIR": "/nowhere"}, {}), unusable=frozenset())


def check(name: str, look: Callable[[Facts], CheckResult] = lambda facts: ok("well"), **more: Any) -> Check:
    return Check(name, "", "", lambda setup, facts: look(facts), **more)


def statuses(checks: Sequence[Check], setup: Setup = NOTHING) -> dict[str, str]:
    return {result.name: result.status for result in run_checks(checks, setup)}


def failing(problem: Exception) -> Callable[[Facts], CheckResult]:
    def look(facts: Facts) -> CheckResult:
        raise problem

    return look


def test_findings_come_in_the_order_of_the_checks() -> None:
    checks = [check("late", needs=("early",)), check("early")]
    assert list(statuses(checks)) == ["late", "early"]


def test_checks_that_rest_on_nothing_run_side_by_side() -> None:
    meeting = threading.Barrier(2)

    def look(facts: Facts) -> CheckResult:
        meeting.wait(120)
        return ok("met")

    assert set(statuses([check("one", look), check("other", look)]).values()) == {"ok"}


def test_what_rests_on_a_failed_check_is_skipped_all_the_way() -> None:
    first = check("first", lambda facts: error("broken", "fix it"))
    found = run_checks([first, check("second", needs=("first",)), check("third", needs=("second",))], NOTHING)
    assert [result.status for result in found] == ["error", "skipped", "skipped"]
    assert found[1].found == "see first"


def test_what_rests_on_a_warning_is_run() -> None:
    first = check("first", lambda facts: warning("odd", "look"))
    assert statuses([first, check("second", needs=("first",))])["second"] == "ok"


def test_what_needs_facts_that_a_warning_could_not_give_is_skipped() -> None:
    first = check("first", lambda facts: warning("odd", "look"))
    assert statuses([first, check("second", facts_of=("first",))])["second"] == "skipped"


def test_facts_reach_the_check_that_rests_on_them() -> None:
    first = check("first", lambda facts: ok("", facts=3))
    found = run_checks([first, check("second", lambda facts: ok(str(facts["first"])), facts_of=("first",))], NOTHING)
    assert found[1].found == "3"


def test_a_check_of_an_option_that_is_wrong_is_skipped() -> None:
    setup = replace(NOTHING, unusable=frozenset({"region"}))
    found = run_checks([check("one", options=("region",)), check("other", options=("zones",))], setup)
    assert [result.status for result in found] == ["skipped", "ok"]
    assert found[0].found == "region is missing or wrong, see config.mistakes"


def test_a_check_of_an_api_that_is_not_enabled_is_skipped_and_those_of_others_are_not() -> None:
    apis = check("project.apis", lambda facts: error("", "", facts=frozenset({"batch"})))
    assert statuses([apis, check("one", service="batch"), check("other", service="compute")]) == {
        "project.apis": "error",
        "one": "skipped",
        "other": "ok",
    }


def test_a_check_that_takes_too_long_is_given_up_and_the_others_go_on() -> None:
    never = threading.Event()
    slow = check("slow", lambda facts: ok(str(never.wait(60))), seconds=0.2)
    try:
        found = run_checks([slow, check("after", needs=("slow",)), check("quick")], NOTHING)
    finally:
        never.set()
    assert [result.status for result in found] == ["error", "skipped", "ok"]
    assert found[0].found == "no answer within 0.2 s"


def test_an_answer_that_comes_too_late_is_not_counted() -> None:
    came = threading.Event()

    def late(facts: Facts) -> CheckResult:
        time.sleep(0.4)
        came.set()
        return ok("after all")

    def patient(facts: Facts) -> CheckResult:
        came.wait(120)
        time.sleep(0.3)
        return ok("well")

    assert statuses([check("late", late, seconds=0.1), check("patient", patient)]) == {"late": "error", "patient": "ok"}


def test_an_api_that_the_stand_in_does_not_have_keeps_nothing_else_from_being_looked_at() -> None:
    checks = [check("first", failing(NotOfferedError("unknown"))), check("second", needs=("first",))]
    assert statuses(checks) == {"first": "skipped", "second": "ok"}


def test_a_service_out_of_reach_is_an_error() -> None:
    assert statuses([check("first", failing(UnavailableError("down")))]) == {"first": "error"}


def test_a_check_that_breaks_takes_no_other_with_it() -> None:
    found = run_checks([check("first", failing(RuntimeError("oops"))), check("second")], NOTHING)
    assert [result.status for result in found] == ["error", "ok"]
    assert "RuntimeError: oops" in found[0].found


def test_checks_that_rest_on_each_other_are_a_mistake() -> None:
    with pytest.raises(RuntimeError, match="rest on each other: one, other"):
        run_checks([check("one", needs=("other",)), check("other", needs=("one",))], NOTHING)
