"""What a report suggests: each rule just below and just above its threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from sample_reports import grid_sweep, many_electrons, screen_compounds, small, still_running

from covalent_parallel_plugin.results.report.model import (
    COMPLETED,
    FAILED,
    LONE,
    MAP,
    NOT_RUN,
    PHASES,
    SWEEP,
    WAITING,
    Asked,
    Electron,
    Items,
    MachineHours,
    Price,
    Report,
    Span,
    Suggestion,
    TaskAttempt,
    UsedMachine,
)  # fmt: skip
from covalent_parallel_plugin.results.report.suggestions import suggestions
from covalent_parallel_plugin.results.report.suggestions.thresholds import DEFAULTS, Thresholds

GIB = 2**30
JOB = "projects/p/locations/us-east1/jobs/j"
ASKED = Asked(2, 4 * GIB, spot=True, region="us-east1")


def attempt(task: int = 0, number: int = 0, end: str = "value", at: float = 0.0, **more: Any) -> TaskAttempt:
    """An attempt with its phases' seconds, and other fields; by default on a Spot machine of 2 vCPUs."""
    seconds = {phase: more.pop(phase, 0.0) for phase in PHASES}
    spans, began = [], at
    for phase, length in seconds.items():
        if length:
            spans.append(Span(phase, at, at + length))
            at += length
    fields = {
        "on_machine": (began + seconds[WAITING], at),
        "machine": UsedMachine("e2-standard-2", True),
        "peak_bytes": 2 * GIB,
    }
    return TaskAttempt(0, task, number, end, tuple(spans), **{**fields, **more})


def electron(*attempts: TaskAttempt, node: int = 0, asked: Asked = ASKED, **more: Any) -> Electron:
    fields = {"name": "train", "kind": LONE, "state": COMPLETED, "job": JOB}
    return Electron(node=node, attempts=attempts, asked=asked, **{**fields, **more})


def found(*electrons: Electron, limits: Thresholds = DEFAULTS, **more: Any) -> Mapping[str, Suggestion]:
    """What is suggested for these, by rule."""
    report = Report("dispatch", "d", "w", COMPLETED, 0.0, 0.0, 10_000.0, electrons, **more)
    every = suggestions(report, limits)
    assert len({each.rule for each in every}) == len(every)
    for each in every:
        assert each.title and each.text and each.remedy and each.gain
        assert each.seconds >= 0 and each.machine_seconds >= 0
    return {each.rule: each for each in every}


def test_what_is_as_it_should_be_has_no_suggestion() -> None:
    assert found(electron(attempt(code=600, boot=50))) == {}
    assert found() == {}


@pytest.mark.parametrize(("peak", "is_found"), [(2.1, False), (1.9, True)])
def test_memory_that_was_asked_and_not_used(peak: float, is_found: bool) -> None:
    asked = replace(ASKED, memory_bytes=64 * GIB)
    run = attempt(code=600, peak_bytes=round(peak * 10 * GIB), machine=UsedMachine("e2-standard-16", True))
    near_half = replace(run, peak_bytes=round(peak * 16 * GIB))
    rules = found(electron(near_half, asked=asked))
    assert "memory-unused" not in rules
    run = replace(run, peak_bytes=round(0.9 * GIB) if is_found else 33 * GIB)
    rules = found(electron(run, asked=asked))
    assert ("memory-unused" in rules) == is_found
    if is_found:
        suggestion = rules["memory-unused"]
        assert suggestion.title == "train[0] asked for 64.0 GB and used 922 MB"
        assert suggestion.text == "Batch took e2-standard-16 for it. With 1.2 GB e2-standard-2 would do."
        assert suggestion.remedy == "memory=1280"
        assert suggestion.gain == "0.17 machine-hours on e2-standard-2, in place of e2-standard-16"
        assert suggestion.machine_seconds == 600 * 14 / 16
        asked = replace(asked, memory_bytes=1280 * 2**20)
        assert found(electron(run, asked=asked)) == {}


@pytest.mark.parametrize(
    "change",
    [
        {"asked": replace(ASKED, memory_bytes=64 * GIB, vcpus=16)},
        {"asked": replace(ASKED, memory_bytes=64 * GIB, gpu_type="nvidia-tesla-t4")},
        {"asked": replace(ASKED, memory_bytes=6 * GIB)},
        {"attempts": (attempt(code=60, peak_bytes=GIB // 2),)},
        {"attempts": (attempt(code=600, peak_bytes=None),)},
    ],
    ids=["its vCPUs need that machine", "GPU", "the machine is the same", "seconds", "not measured"],
)
def test_memory_that_saves_nothing_is_not_mentioned(change: Mapping[str, Any]) -> None:
    asked = replace(ASKED, memory_bytes=64 * GIB)
    whole = electron(attempt(code=600, peak_bytes=GIB // 2), asked=asked)
    assert "memory-unused" in found(whole)
    assert "memory-unused" not in found(replace(whole, **change))


def test_memory_that_an_attempt_needed_before_it_failed_is_not_unused() -> None:
    asked = replace(ASKED, memory_bytes=32 * GIB)
    small = [electron(attempt(code=600), node=node, asked=asked) for node in range(3)]
    assert set(found(*small)) == {"memory-unused"}
    large = attempt(end="exception", code=600, peak_bytes=20 * GIB)
    assert found(*small, electron(large, node=3, asked=asked, state=FAILED)) == {}
    assert found(electron(replace(large, peak_bytes=GIB), asked=asked, state=FAILED)) == {}


def test_less_memory_lets_more_tasks_share_a_named_machine() -> None:
    asked = replace(ASKED, memory_bytes=16 * GIB, vcpus=1, machine_type="n2-standard-8", tasks_per_machine=2)
    tasks = [attempt(task, code=600, peak_bytes=GIB) for task in range(16)]
    suggestion = found(electron(*tasks, asked=asked, kind=MAP))["memory-unused"]
    assert suggestion.remedy == "memory=1280"
    assert suggestion.text == "With 1.2 GB 8 tasks share n2-standard-8, in place of 2."
    assert suggestion.machine_seconds == pytest.approx(16 * 600 * 0.75)
    tasks = [replace(task, end="done") for task in tasks]
    sweep = electron(*tasks, asked=asked, kind=SWEEP, name="grid")
    assert found(sweep)["memory-unused"].remedy == "resources: {memory: 1280}"


def test_a_named_machine_of_one_electron_may_be_smaller_by_its_memory_and_its_vcpus() -> None:
    asked = replace(ASKED, machine_type="n2-standard-16")
    run = attempt(code=600, peak_bytes=3 * GIB, cpu_seconds=2000.0, machine=UsedMachine("n2-standard-16", True))
    suggestion = found(electron(run, asked=asked))["memory-unused"]
    assert suggestion.remedy == 'machine_type="n2-standard-4"'
    assert "kept 3.3 of 16 vCPUs busy" in suggestion.text
    assert "memory-unused" not in found(electron(replace(run, cpu_seconds=9000.0), asked=asked))
    assert "memory-unused" not in found(electron(replace(run, cpu_seconds=None), asked=asked))


@pytest.mark.parametrize(("share", "is_found"), [(0.89, False), (0.91, True)])
def test_memory_that_was_nearly_all_used(share: float, is_found: bool) -> None:
    rules = found(electron(attempt(code=600, peak_bytes=round(share * 4 * GIB))))
    assert list(rules) == ["memory-near"] * is_found
    if is_found:
        assert rules["memory-near"].remedy == "memory=5120"
        assert rules["memory-near"].machine_seconds == 600


def test_what_was_killed_for_want_of_memory_comes_first() -> None:
    killed = attempt(end="killed", exit_code=137, code=300, peak_bytes=round(3.9 * GIB))
    train = [electron(killed, node=0, state=FAILED), electron(attempt(code=600, pip=400), node=1)]
    rank = electron(node=3, name="rank", state=NOT_RUN).__class__(3, "rank", LONE, NOT_RUN, (2,))
    service = Electron(2, ":list:", "service", COMPLETED, (0, 1))
    rules = found(*train, service, rank)
    assert list(rules) == ["memory-exceeded", "pip"]
    suggestion = rules["memory-exceeded"]
    assert suggestion.is_failure and suggestion.nodes == (0,)
    assert suggestion.title == "train[0] was killed, most likely for want of memory"
    assert suggestion.text == "It used 3.9 GB of 4.0 GB that it asked for. Others of its kind used 2.0 GB."
    assert (suggestion.remedy, suggestion.gain) == (
        "memory=6144",
        "train[0] failed, and :list:[2], rank[3] did not run",
    )


@pytest.mark.parametrize(("peak", "exit_code", "is_found"), [
    (2.9, 137, False), (3.1, 137, True), (3.1, 139, False), (None, 137, True), (None, None, False), (3.1, None, True),
])  # fmt: skip
def test_not_every_process_that_was_killed_wanted_memory(
    peak: float | None, exit_code: int | None, is_found: bool
) -> None:
    size = None if peak is None else round(peak * GIB)
    run = attempt(end="killed", exit_code=exit_code, code=300, peak_bytes=size)
    assert ("memory-exceeded" in found(electron(run, state=FAILED))) == is_found


def test_a_kill_that_was_survived_is_no_failure_and_a_small_machine_gives_way_to_a_larger_one() -> None:
    asked = replace(ASKED, memory_bytes=7 * GIB, machine_type="n2-standard-2")
    runs = attempt(end="killed", exit_code=137, code=300, peak_bytes=7 * GIB), attempt(number=1, code=300)
    suggestion = found(electron(*runs, asked=asked))["memory-exceeded"]
    assert not suggestion.is_failure
    assert suggestion.remedy == 'memory=11264, machine_type="n2-standard-4"'


@pytest.mark.parametrize(("pip", "is_found"), [(29, False), (31, True)])
def test_the_time_of_pip_on_many_machines(pip: float, is_found: bool) -> None:
    tasks = [attempt(task, pip=pip, code=600) for task in range(10)]
    rules = found(electron(*tasks, kind=MAP, name="dock"))
    assert ("pip" in rules) == is_found
    if is_found:
        suggestion = rules["pip"]
        assert suggestion.title == "dock[0] spent 5 % of the machines' time on pip"
        command = "covalent-parallel image build --project p --region us-east1 --requirements requirements.txt --push"
        assert suggestion.remedy == command
        assert (suggestion.seconds, suggestion.machine_seconds) == (31, 310)


def test_the_time_of_pip_that_is_a_small_share_is_not_mentioned() -> None:
    assert found(electron(attempt(pip=400, code=14_000))) == {}
    assert "pip" in found(electron(attempt(pip=400, code=12_000)))


def mapped(lengths: Sequence[Sequence[float]], **more: Any) -> Electron:
    """A map of tasks that run items of such lengths one after the other; item i of task t has the index 100 t + i."""
    rows = [
        (100 * task + number, 0, task, sum(own[:number]), own[number], "value")
        for task, own in enumerate(lengths)
        for number in range(len(own))
    ]
    items = Items(len(rows), *map(list, zip(*rows, strict=True)))
    tasks = [attempt(task, code=sum(own)) for task, own in enumerate(lengths)]
    return electron(*tasks, kind=MAP, items=items, **more)


@pytest.mark.parametrize(("longest", "is_found"), [(215, False), (225, True)])
def test_an_item_that_kept_all_others_waiting(longest: float, is_found: bool) -> None:
    rules = found(mapped([[50, 50, 50], [50, longest]]))
    assert ("longest-item" in rules) == is_found
    if is_found:
        suggestion = rules["longest-item"]
        assert suggestion.title == "One item kept train[0] busy for 2 m 05 s longer than all others"
        assert suggestion.text.startswith("Item 101 took 3 m 45 s, 4 times the median.")


def test_long_items_have_a_map_of_their_own_where_that_helps_and_are_split_where_it_does_not() -> None:
    first = found(mapped([[50] * 6, [50, 50, 50, 50, 50, 300]]))["longest-item"]
    assert first.remedy == "train(items[:105] + items[106:])\ntrain(items[105:106])"
    assert first.seconds == 550 - 300
    split = found(mapped([[10, 10], [10, 10], [500]]))["longest-item"]
    assert "smaller pieces" in split.text
    assert split.seconds == 480
    assert "longest-item" not in found(mapped([[300, 300], [300, 500]]))
    again = attempt(2, at=5000, code=500, name="task-2")
    sweep = [attempt(task, at=0, code=9.0 if task else 400, name=f"task-{task}") for task in range(5)]
    assert "Task-0 took 6 m 40 s" in found(electron(*sweep, kind=SWEEP))["longest-item"].text
    assert "longest-item" not in found(electron(*sweep, replace(again, round=1), kind=SWEEP))


QUOTA = "VM in Managed Instance Group meets error: CODE_GCE_QUOTA_EXCEEDED, Quota 'NVIDIA_T4_GPUS' exceeded. Limit: 1.0"
CAPACITY = "CODE_GCE_ZONE_RESOURCE_POOL_EXHAUSTED: the zone does not have enough resources"


@pytest.mark.parametrize(("waited", "is_found"), [(179, False), (181, True)])
def test_a_gpu_that_waited_for_quota(waited: float, is_found: bool) -> None:
    asked = replace(ASKED, machine_type="n1-standard-4", gpu_type="nvidia-tesla-t4", gpu_count=1)
    rules = found(electron(attempt(waiting=waited, code=900), asked=asked, machine_wait=QUOTA))
    assert ("gpu-wait" in rules) == is_found
    if is_found:
        suggestion = rules["gpu-wait"]
        assert suggestion.title == "train[0] waited 3 m 01 s for a GPU"
        assert "Quota NVIDIA_T4_GPUS is used up in us-east1." in suggestion.text
        assert "us-east1 has nvidia-tesla-t4 in us-east1-b, us-east1-c, us-east1-d." in suggestion.text
        zones = '["us-central1-a", "us-central1-b", "us-central1-c", "us-central1-f"]'
        assert suggestion.remedy.startswith(f'region="us-central1", zones={zones}  # or more quota')
        assert suggestion.seconds == 181


def test_a_gpu_that_waited_for_capacity_in_one_zone_may_be_in_others() -> None:
    asked = replace(ASKED, machine_type="g2-standard-8", zones=("us-east1-b",))
    one = electron(attempt(waiting=400, code=900), asked=asked, machine_wait=CAPACITY)
    assert found(one)["gpu-wait"].remedy == 'zones=["us-east1-b", "us-east1-c", "us-east1-d"]'
    everywhere = replace(one, asked=replace(asked, zones=()))
    zones = '["us-central1-a", "us-central1-b", "us-central1-c"]'
    assert found(everywhere)["gpu-wait"].remedy == f'region="us-central1", zones={zones}'
    unknown = replace(one, asked=replace(asked, machine_type="a9-highgpu-1g", gpu_type="nvidia-new"))
    assert found(unknown)["gpu-wait"].remedy and "gpu-regions-zones" in found(unknown)["gpu-wait"].text
    # The list is not complete: that a region has none nobody knows here
    far = found(replace(one, asked=replace(asked, region="europe-north2")))["gpu-wait"].text
    assert "europe-north2 has no" not in far and "Others have it too: us-central1: " in far
    assert found(replace(one, asked=ASKED, machine_wait=QUOTA))["machine-wait"].remedy
    assert found(replace(one, machine_wait="")) == {}
    assert found(replace(one, machine_wait="CODE_MACHINE_TYPE_NOT_FOUND")) == {}
    assert found(one, chain=(7,))["gpu-wait"].seconds == 0


@pytest.mark.parametrize(("code", "is_found"), [(1790, False), (1810, True), (3700, False)])
def test_standard_machines_of_short_attempts(code: float, is_found: bool) -> None:
    runs = [attempt(code=code, machine=UsedMachine("e2-standard-2", False)) for _ in range(2)]
    rules = found(*(electron(run, node=node, asked=replace(ASKED, spot=False)) for node, run in enumerate(runs)))
    assert ("spot" in rules) == is_found
    if is_found:
        suggestion = rules["spot"]
        assert suggestion.nodes == (0, 1)
        assert suggestion.remedy == "spot=True, spot_fallback=True, retries=5"
        assert suggestion.gain == "1.01 machine-hours at the price of Spot machines"
        assert "60 to 91 % less" in suggestion.text
        assert suggestion.machine_seconds == pytest.approx(0.6 * 3620)


def test_a_reservation_is_no_spot_machine_and_prices_turn_the_gain_into_dollars() -> None:
    run = attempt(code=3600, machine=UsedMachine("e2-standard-2", False))
    one = electron(run, asked=replace(ASKED, spot=False))
    prices = {False: Price(0.07, "2026-11-01", "x"), True: Price(0.02, "2026-11-01", "x")}
    machines = [MachineHours("e2-standard-2", spot, "us-east1", 1, 1, 0, price) for spot, price in prices.items()]
    gain = "1.00 machine-hours at the price of Spot machines"
    assert found(one, machines=tuple(machines))["spot"].gain == f"{gain}, about $0.05 less"
    assert found(one, machines=tuple(machines[:1]))["spot"].gain == gain
    both = replace(machines[0], other_price=prices[True])
    assert found(one, machines=(both,))["spot"].gain == f"{gain}, about $0.05 less"
    gpus = replace(both, gpu_type="nvidia-tesla-t4", gpu_count=1)
    assert found(one, machines=(gpus,))["spot"].gain == gain
    sweep = replace(one, kind=SWEEP)
    assert found(sweep)["spot"].remedy == "resources: {spot: true, spot_fallback: true}\nretries: 5"
    reserved = replace(one, asked=replace(ASKED, spot=False, provisioning="RESERVATION_BOUND"))
    assert found(reserved) == {}


@pytest.mark.parametrize(("lost", "is_found"), [(1490, False), (1510, True)])
def test_spot_machines_that_lost_more_than_they_saved(lost: float, is_found: bool) -> None:
    runs = attempt(end="preempted", lost=lost), attempt(number=1, code=1000)
    rules = found(electron(*runs))
    assert ("spot-lost" in rules) == is_found
    if is_found:
        assert rules["spot-lost"].remedy == "spot=False, spot_fallback=False"
        assert rules["spot-lost"].seconds == 1510
        assert rules["spot-lost"].machine_seconds == pytest.approx(0.4 * 2510 - 1000)
        # At a fifth of the price it saved more than it lost
        spot, standard = (Price(dollars, "2026-11-01", "x") for dollars in (0.02, 0.1))
        row = MachineHours("e2-standard-2", True, "us-east1", 2, 2510, lost, spot, other_price=standard)
        assert found(electron(*runs), machines=(row,)) == {}


@pytest.mark.parametrize(("boot", "is_found"), [(85, False), (95, True)])
def test_tasks_that_started_a_machine_each(boot: float, is_found: bool) -> None:
    asked = replace(ASKED, vcpus=1, memory_bytes=4 * GIB, tasks_per_machine=1)
    rules = found(electron(*(attempt(task, boot=boot, code=600) for task in range(8)), asked=asked, kind=MAP))
    assert ("sharing" in rules) == is_found
    if is_found:
        suggestion = rules["sharing"]
        assert suggestion.title == "train[0] started a machine for each of 8 tasks"
        assert suggestion.remedy == 'machine_type="e2-standard-8"'
        assert suggestion.machine_seconds == pytest.approx(8 * 95 * 7 / 8)


@pytest.mark.parametrize(
    ("change", "tasks", "remedy"),
    [
        ({"machine_type": "n2-standard-8"}, 8, ""),
        ({"machine_type": "n2-standard-8", "tasks_per_machine": 2}, 8, "tasks_per_machine: 4"),
        ({"tasks_per_machine": 1}, 3, ""),
        ({"tasks_per_machine": 1, "gpu_type": "nvidia-tesla-t4"}, 8, ""),
        ({"tasks_per_machine": 1, "vcpus": 16, "memory_bytes": 60 * GIB}, 8, ""),
        ({"tasks_per_machine": 1, "memory_bytes": None}, 8, ""),
        ({"tasks_per_machine": 1, "memory_bytes": 16 * GIB}, 8, "resources: {machine_type: e2-highmem-16}"),
    ],
)
def test_tasks_share_what_holds_them(change: Mapping[str, Any], tasks: int, remedy: str) -> None:
    asked = replace(ASKED, tasks_per_machine=4, memory_bytes=4 * GIB) if "machine_type" in change else ASKED
    runs = (attempt(task, boot=600, code=600) for task in range(tasks))
    suggestion = found(electron(*runs, asked=replace(asked, **change), kind=SWEEP)).get("sharing")
    assert (suggestion.remedy if suggestion else "") == remedy


@pytest.mark.parametrize(("count", "boot", "is_found"), [(9, 90, False), (10, 60, False), (10, 90, True)])
def test_many_short_electrons_of_one_function(count: int, boot: float, is_found: bool) -> None:
    at_once = {"name": "score", "entered": 0.0, "ended": 120.0}
    electrons = [electron(attempt(boot=boot, code=20), node=node, **at_once) for node in range(count)]
    rules = found(*electrons)
    assert ("short-electrons" in rules) == is_found
    if is_found:
        suggestion = rules["short-electrons"]
        assert suggestion.title == "10 electrons score ran for 20 s each, and took 1 m 30 s to start"
        assert suggestion.text == "A map runs them on 3 machines, which start once, and work for 1 m 07 s each then."
        assert "max_parallel=3" in suggestion.remedy and "score(items)" in suggestion.remedy
        assert suggestion.machine_seconds == pytest.approx(900 * 0.7)
        # Of those that asked for different machines no map can be made
        others = (replace(each, asked=replace(ASKED, vcpus=each.node + 1)) for each in electrons)
        assert "short-electrons" not in found(*others)
        assert "short-electrons" not in found(
            *(replace(each, attempts=(attempt(boot=90, code=99),)) for each in electrons)
        )


def test_a_map_on_one_machine_in_place_of_electrons_of_a_moment() -> None:
    moments = [
        electron(attempt(boot=90, code=0.25), node=node, name="score", entered=0.0, ended=91.0) for node in range(10)
    ]
    suggestion = found(*moments)["short-electrons"]
    # Starts are not in a report's machine-hours: as these they would be more than the whole
    assert suggestion.gain == "13 m 30 s of machine starts a run"
    assert suggestion.text == "A map runs them on 1 machine, which starts once, and works for 2.5 s then."


def test_electrons_that_follow_each_other_are_no_map() -> None:
    chained = []
    for node in range(0, 40, 2):
        chained.append(electron(attempt(boot=90, code=20), node=node, parents=(node - 1,) if node else ()))
        chained.append(Electron(node + 1, ":get:", "service", COMPLETED, (node,)))
    assert found(*chained) == {}
    # Without Covalent's server nobody told who takes whose values: only times are left
    apart = [replace(each, parents=(), entered=5.0 * each.node, ended=5.0 * each.node + 9) for each in chained[::2]]
    assert found(*apart) == {}
    assert set(found(*(replace(each, entered=1.0) for each in apart))) == {"short-electrons"}


def test_suggestions_come_in_the_order_of_their_gain() -> None:
    every = suggestions(screen_compounds())
    assert next(each.rule for each in every) == "memory-exceeded"
    gains = [each.seconds + each.machine_seconds for each in every if not each.is_failure]
    assert gains == sorted(gains, reverse=True)
    rules = {each.rule for each in every}
    assert rules >= {"memory-exceeded", "pip", "longest-item", "memory-unused"}


def test_limits_are_arguments() -> None:
    one = electron(attempt(pip=2, code=10))
    assert found(one) == {}
    assert "pip" in found(one, limits=Thresholds(pip_machine_seconds=1))


# What is not known is None or "" in a report
GONE: Mapping[type, Mapping[str, Any]] = {
    Asked: {name: getattr(Asked(), name) for name in Asked.__dataclass_fields__},
    TaskAttempt: {
        "end": "", "spans": (), "on_machine": None, "machine": UsedMachine(), "exit_code": None, "peak_bytes": None,
        "cpu_seconds": None, "name": "",
    },
    Electron: {
        "name": "", "parents": (), "entered": None, "ended": None, "attempts": (), "items": None, "asked": Asked(),
        "failure": None, "machine_wait": "", "job": "", "state": "",
    },
    Report: {"name": "", "state": "", "began": None, "ended": None, "electrons": (), "chain": (), "machines": ()},
}  # fmt: skip
REPORTS = (screen_compounds, small, still_running, grid_sweep, lambda: many_electrons(40, 60))


def without(value: Any, kind: type, field: str) -> Any:
    """The report with one field of one class not known anywhere."""
    if isinstance(value, tuple):
        return tuple(without(each, kind, field) for each in value)
    changes = {}
    for name in ("electrons", "attempts", "asked"):
        if hasattr(value, name):
            changes[name] = without(getattr(value, name), kind, field)
    if isinstance(value, kind):
        changes[field] = GONE[kind][field]
    return replace(value, **changes) if changes else value


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind, fields in GONE.items() for field in fields])
def test_a_report_that_lacks_something_gives_what_it_can(kind: type, field: str) -> None:
    limits = Thresholds(**dict.fromkeys(Thresholds.__dataclass_fields__, 0))
    for make in REPORTS:
        report = without(make(), kind, field)
        for each in (*suggestions(report), *suggestions(report, limits)):
            assert each.title and each.gain
