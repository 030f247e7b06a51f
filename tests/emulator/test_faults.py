"""The description of faults, and the plan that hands them out."""

from __future__ import annotations

import dataclasses
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from covalent_parallel_plugin.emulator import Fault, Faults
from covalent_parallel_plugin.emulator.faults.fault import KINDS, REQUIRED, FaultError
from covalent_parallel_plugin.emulator.faults.flag import parse_flag
from covalent_parallel_plugin.emulator.faults.plan import FaultPlan, FaultTarget

UNAVAILABLE = Fault("rpc.error", code="UNAVAILABLE")


def strikes(plan: FaultPlan, target: FaultTarget, kind: str = "rpc.error") -> bool:
    drawn = plan.draw((kind,), target)
    if drawn is not None:
        drawn.consume()
    return drawn is not None


def struck(fault: Fault, *targets: FaultTarget, seed: int = 0) -> list[bool]:
    plan = FaultPlan(Faults((fault,), seed))
    return [strikes(plan, target, fault.kind) for target in targets]


def test_every_kind_can_be_made_and_travels_through_json() -> None:
    required: dict[str, Any] = {"seconds": 1.5, "exit_code": 9, "bytes_per_second": 10}
    codes = {"rpc": "INTERNAL", "logging": "INTERNAL", "storage": 503, "api": 503}
    rules = []
    for name, kind in KINDS.items():
        needed = [field.name for field in dataclasses.fields(kind) if field.default is REQUIRED]
        given = {field: required.get(field, codes.get(name.partition(".")[0])) for field in needed}
        rules.append(Fault(name, rate=0.5, **given))
    faults = Faults(tuple(rules), seed=7)
    assert Faults.from_text(json.dumps(faults.to_json())) == faults


def test_a_fault_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        UNAVAILABLE.rate = 0.5  # type: ignore[misc]


def test_json_holds_only_what_was_given() -> None:
    fault = Fault("attempt.preempt", attempt="0-1", labels={"kind": "x*"})
    assert fault.to_json() == {"kind": "attempt.preempt", "attempt": "0-1", "labels": {"kind": "x*"}}


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"kind": "rpc.eror", "code": "UNAVAILABLE"}, ["rpc.eror", "did you mean 'rpc.error'"]),
        ({"kind": "rpc.error"}, ["code is missing"]),
        ({"kind": "rpc.error", "code": "UNAVAILABL"}, ["'UNAVAILABL'", "did you mean 'UNAVAILABLE'"]),
        ({"kind": "rpc.error", "code": "INTERNAL", "method": "GetJobs"}, ["'GetJobs'", "did you mean 'GetJob'"]),
        ({"kind": "rpc.error", "code": "INTERNAL", "rate": 2}, ["rate 2", "0 to 1"]),
        ({"kind": "rpc.error", "code": "INTERNAL", "rate": "x"}, ["rate 'x'", "0 to 1"]),
        ({"kind": "rpc.error", "code": "INTERNAL", "first": 0}, ["first 0", "1 or more"]),
        ({"kind": "rpc.error", "code": "INTERNAL", "every": True}, ["every True", "whole number"]),
        ({"kind": "rpc.error", "code": "INTERNAL", "per": "moon"}, ["per 'moon'", "job, task or object"]),
        ({"kind": "rpc.error", "code": "INTERNAL", "labels": ["a"]}, ["labels ['a']", "patterns"]),
        ({"kind": "rpc.error", "code": "INTERNAL", "colour": "red"}, ["no field 'colour'"]),
        ({"kind": "rpc.error", "code": "INTERNAL", "exit_code": 3}, ["exit_code does not apply to rpc.error"]),
        ({"kind": "storage.error", "code": 99}, ["code 99", "100 to 599"]),
        ({"kind": "storage.lost", "code": 100}, ["code 100", "200 to 599"]),
        ({"kind": "storage.endless", "token": "old"}, ["token 'old'", "same or new"]),
        ({"kind": "storage.slow", "seconds": -1}, ["seconds -1", "0 or more"]),
        ({"kind": "storage.drop", "request": "object.get"}, ["'object.get'", "did you mean 'objects.get'"]),
        ({"kind": "attempt.preempt", "provisioning": "SPOTS"}, ["'SPOTS'", "did you mean 'SPOT'"]),
        ({"kind": "attempt.preempt", "after_output": 3}, ["after_output 3", "must be text"]),
        ({"kind": "job.refused", "after_output": "x"}, ["after_output does not apply to job.refused"]),
        ({"kind": "attempt.preempt", "task": "x"}, ["task 'x'", "range such as 0-2"]),
        ({"kind": "attempt.preempt", "before_run": "yes"}, ["before_run 'yes'", "true or false"]),
        ({"kind": "attempt.exit", "exit_code": 0}, ["exit_code 0", "1 or more"]),
        ({"kind": "job.quota", "state": "RUNNING"}, ["state 'RUNNING'", "QUEUED or SCHEDULED"]),
        ({"kind": "job.refused", "code": 3}, ["code 3", "CODE_GCE_INVALID_FIELD_VALUE"]),
        ({"kind": 3}, ["no kind 3"]),
        ({"rate": 1}, ["{'rate': 1}", '"kind"']),
        (5, ["5", '"kind"']),
    ],
)
def test_a_wrong_rule_is_refused_by_its_number_value_and_remedy(rule: Any, words: list[str]) -> None:
    with pytest.raises(FaultError) as caught:
        Faults.from_json({"rules": [UNAVAILABLE.to_json(), rule]})
    assert all(word in str(caught.value) for word in ["fault rule 2", *words]), caught.value


@pytest.mark.parametrize("content", [[], {"rules": 1}, {"rules": [], "sed": 1}, {"rules": [], "seed": "x"}])
def test_what_is_no_description_is_refused(content: Any) -> None:
    with pytest.raises(FaultError):
        Faults.from_json(content)


@pytest.mark.parametrize(
    ("flag", "fault"),
    [
        ("rpc:GetJob:UNAVAILABLE:rate=0.1", Fault("rpc.error", method="GetJob", code="UNAVAILABLE", rate=0.1)),
        ("rpc:*:lost:code=DEADLINE_EXCEEDED", Fault("rpc.lost", code="DEADLINE_EXCEEDED")),
        ("logging:ListLogEntries:quota:per_minute=5", Fault("logging.quota", method="ListLogEntries", per_minute=5)),
        ("storage:reads:403:object=calls/*", Fault("storage.error", request="reads", code=403, object="calls/*")),
        (
            "attempt:x-*:preempt:attempt=0:before_run=true",
            Fault("attempt.preempt", job="x-*", attempt="0", before_run=True),
        ),
        ("attempt:*:lost:after_output=step 3", Fault("attempt.lost", after_output="step 3")),
        ("attempt:*:137:first=2", Fault("attempt.exit", exit_code=137, first=2)),
        ("job:*:no-capacity:label.kind=a:seconds=2", Fault("job.no_capacity", labels={"kind": "a"}, seconds=2.0)),
    ],
)
def test_a_flag_is_one_rule_by_the_flags_own_name(flag: str, fault: Fault) -> None:
    assert parse_flag(flag) == dataclasses.replace(fault, name=flag)


@pytest.mark.parametrize(
    ("flag", "word"),
    [
        ("rpc:GetJob", "FAMILY:TARGET:WHAT"),
        ("rcp:GetJob:INTERNAL", "use one of rpc"),
        ("rpc:GetJob:UNAVAILABL", "did you mean 'UNAVAILABLE'"),
        ("rpc:GetJob:INTERNAL:rate", "'rate' must be FIELD=VALUE"),
        ("rpc:GetJob:INTERNAL:rate=often", "rate 'often' must be a number"),
        ("rpc:GetJob:INTERNAL:first=1.5", "first '1.5' must be a whole number"),
        ("rpc:GetJob:INTERNAL:colour=red", "no field 'colour'"),
        ("attempt:*:preempt:before_run=1", "true or false"),
        ("api:compute.machineType.get:503", "did you mean 'compute.machineTypes.get'?"),
        ("api:*:99", "must be an HTTP status"),
    ],
)
def test_a_wrong_flag_is_refused_with_its_text_and_the_remedy(flag: str, word: str) -> None:
    with pytest.raises(FaultError) as caught:
        parse_flag(flag)
    assert flag in str(caught.value) and word in str(caught.value)


def test_the_documentation_shows_every_kind_with_an_example_that_can_be_read() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "emulator.md").read_text()
    flags = re.findall(r"`((?:rpc|logging|storage|api|attempt|job):[^`]+)`", text)
    assert {parse_flag(flag).kind for flag in flags} >= KINDS.keys() - {"logging.lost", "logging.latency"}
    assert all(f"`{kind}`" in text for kind in KINDS)
    (description,) = re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(Faults.from_text(description).rules) == 3


def test_a_rule_strikes_only_what_matches() -> None:
    fault = Fault("attempt.preempt", job="x-*", task="1-2", attempt=0, labels={"kind": "a*"})
    hit = FaultTarget(job="x-1", task=2, attempt=0, labels={"kind": "abc", "other": "1"})
    misses = [
        dataclasses.replace(hit, job="y-1"),
        dataclasses.replace(hit, task=3),
        dataclasses.replace(hit, task=None),
        dataclasses.replace(hit, attempt=1),
        dataclasses.replace(hit, labels={"kind": "b"}),
        dataclasses.replace(hit, labels={}),
    ]
    assert struck(fault, hit, *misses) == [True] + [False] * 6


def test_the_first_few_then_none() -> None:
    fault = dataclasses.replace(UNAVAILABLE, first=2)
    assert struck(fault, *[FaultTarget()] * 4) == [True, True, False, False]


def test_some_are_spared_and_then_every_third_is_struck() -> None:
    fault = dataclasses.replace(UNAVAILABLE, skip=1, every=3)
    assert struck(fault, *[FaultTarget()] * 8) == [False, True, False, False, True, False, False, True]


def test_numbers_are_counted_for_each_job_apart_on_request() -> None:
    fault = dataclasses.replace(UNAVAILABLE, first=1, per="job")
    targets = [FaultTarget(job=name) for name in ("a", "b", "a", "b", "c")]
    assert struck(fault, *targets) == [True, True, False, False, True]


def test_a_rate_is_kept_and_the_seed_decides_which() -> None:
    fault = dataclasses.replace(UNAVAILABLE, rate=0.3)
    once, again, other = (struck(fault, *[FaultTarget()] * 2000, seed=seed) for seed in (1, 1, 2))
    assert once == again != other
    assert 500 < sum(once) < 700


def test_the_first_rule_that_strikes_wins() -> None:
    plan = FaultPlan(Faults((dataclasses.replace(UNAVAILABLE, first=1), Fault("rpc.error", code="INTERNAL"))))
    codes = [drawn.consume().code for _ in range(2) if (drawn := plan.draw(("rpc.error",), FaultTarget())) is not None]
    assert codes == ["UNAVAILABLE", "INTERNAL"]
    assert plan.consumed == {"rpc.error code=UNAVAILABLE": 1, "rpc.error code=INTERNAL": 1}


def test_a_fault_that_could_not_take_place_is_not_counted_and_strikes_the_next() -> None:
    plan = FaultPlan(Faults((dataclasses.replace(UNAVAILABLE, first=1, name="f"),)))
    drawn = plan.draw(("rpc.error",), FaultTarget())
    assert drawn is not None
    drawn.give_back()
    assert plan.consumed == {"f": 0}
    assert strikes(plan, FaultTarget()) and plan.consumed == {"f": 1}


def test_rules_of_one_name_are_counted_apart() -> None:
    plan = FaultPlan(Faults((dataclasses.replace(UNAVAILABLE, first=1, name="f"), UNAVAILABLE, UNAVAILABLE)))
    assert list(plan.consumed) == ["f", "rpc.error code=UNAVAILABLE", "rpc.error code=UNAVAILABLE #2"]


def test_other_rules_can_be_set_and_the_counters_stay() -> None:
    plan = FaultPlan(Faults((dataclasses.replace(UNAVAILABLE, name="f", first=1),)))
    assert [strikes(plan, FaultTarget()), strikes(plan, FaultTarget())] == [True, False]
    plan.set(plan.faults)
    assert strikes(plan, FaultTarget()) and plan.consumed == {"f": 2}
    plan.set(Faults())
    assert not strikes(plan, FaultTarget()) and not plan.has("rpc") and plan.consumed == {"f": 2}


def test_a_plan_without_rules_has_no_family_and_strikes_nothing() -> None:
    plan = FaultPlan()
    assert not any(plan.has(kind.partition(".")[0]) for kind in KINDS)
    assert [plan.draw((kind,), FaultTarget()) for kind in KINDS] == [None] * len(KINDS)
    assert plan.consumed == {}


def test_from_many_threads_the_first_few_are_exactly_so_many() -> None:
    plan = FaultPlan(Faults((dataclasses.replace(UNAVAILABLE, first=100, rate=0.5, name="f"),)))
    with ThreadPoolExecutor(8) as pool:
        hits = sum(pool.map(lambda _: strikes(plan, FaultTarget()), range(2000)))
    assert hits == 100 == plan.consumed["f"]
