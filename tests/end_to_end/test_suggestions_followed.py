"""Each suggestion is made for a dispatch that needs it, and no more once it is followed.

The time is scaled: what takes minutes at Google takes a second here, and so do the thresholds.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from faulty_electrons import seven, slowly
from faulty_runs import Case, call, environment_of, run_cases, struck

from covalent_parallel_plugin.batch.trace import read_trace, trace_path
from covalent_parallel_plugin.batch.trace_writer import WRITER
from covalent_parallel_plugin.emulator import Emulator, Fault, ProcessRuntime, VmModel
from covalent_parallel_plugin.results.report.model import Report, Suggestion
from covalent_parallel_plugin.results.report.suggestions import suggestions
from covalent_parallel_plugin.results.report.suggestions.thresholds import Thresholds
from covalent_parallel_plugin.results.report.traced_report import report_of

# The tasks cannot import the tests
cloudpickle.register_pickle_by_value(sys.modules[__name__])

BUCKET = "suggested"
BOOT_SECONDS = 1.0
LIMITS = Thresholds(
    memory_machine_seconds=0,
    pip_machine_seconds=0.05,
    pip_share=0,
    longest_item_seconds=1,
    machine_wait_seconds=1.5,
    spot_machine_seconds=0.5,
    spot_lost_machine_seconds=0.5,
    sharing_machine_seconds=1,
    short_electrons=4,
    short_machine_seconds=1,
)
NEEDED_MIB = 160
MIB = 2**20


def hungry(memory: int) -> Callable[[], int]:
    """A function that uses so much memory, and is killed where it has less."""

    def run() -> int:
        block = bytearray(min(memory, NEEDED_MIB) * MIB)
        block[::4096] = b"x" * len(block[::4096])
        if memory < NEEDED_MIB:
            os.kill(os.getpid(), signal.SIGKILL)
        return 7

    return run


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


# The long one is the second task's last; it is so long that it does not matter much when which task began
NAPS = [0.5] * 15 + [5.0]
GPU = {"machine_type": "n1-standard-4", "gpu_type": "nvidia-tesla-t4"}
PREEMPTED = [struck("preempt", provisioning="SPOT", after_seconds=1)]


def typed(remedy: str) -> dict[str, Any]:
    """The options of a remedy, as they are typed."""
    return eval(f"dict({remedy.partition('#')[0]})", {})


@dataclass(frozen=True)
class Followed:
    """A case, which the rule of its name is to find, and the case that follows a suggestion: by default its options."""

    case: Case
    follow: Callable[[Suggestion], Case] | None = None

    def second(self, suggestion: Suggestion) -> Case:
        """The case of the next run; a quota is not used up then."""
        if self.follow is not None:
            return self.follow(suggestion)
        faults = [fault for fault in self.case.faults if fault.kind != "job.quota"]
        return replace(self.case, options={**self.case.options, **typed(suggestion.remedy)}, faults=faults)


def with_its_memory(suggestion: Suggestion) -> Case:
    memory = typed(suggestion.remedy)["memory"]
    return Case(hungry(memory), options={"memory": memory})


def in_two_maps(suggestion: Suggestion) -> Case:
    """The first one of them; the other one has a single item."""
    first, second = suggestion.remedy.split("\n")
    assert eval(second, {"nap": list, "items": NAPS}) == [5.0]
    return Case(nap, items=eval(first, {"nap": list, "items": NAPS}), options={"max_parallel": 2})


CASES: Mapping[str, Followed] = {
    "memory-exceeded": Followed(Case(hungry(100), options={"memory": 100, "retries": 0}), with_its_memory),
    "memory-near": Followed(Case(hungry(NEEDED_MIB), options={"memory": NEEDED_MIB}), with_its_memory),
    "memory-unused": Followed(Case(slowly, options={"memory": "64GB"})),
    "pip": Followed(Case(seven, options={"requirements": ["pip"]}), lambda _: Case(seven)),
    "longest-item": Followed(Case(nap, items=NAPS, options={"max_parallel": 2}), in_two_maps),
    "gpu-wait": Followed(Case(seven, [Fault("job.quota", seconds=2)], GPU)),
    "spot": Followed(Case(slowly)),
    "spot-lost": Followed(Case(slowly, PREEMPTED, {"spot": True, "spot_fallback": True, "retries": 1})),
    "sharing": Followed(Case(nap, items=[0.1] * 4, options={"vcpus": 1, "max_parallel": 4})),
}
SHORT = [0.1] * 4


@pytest.fixture(scope="module")
def emulator_with_machines() -> Iterator[Emulator]:
    runtime = ProcessRuntime(site_packages=True)
    machines = VmModel(boot_seconds=BOOT_SECONDS)
    with Emulator(runtime=runtime, buckets=(BUCKET,), tasks_at_once=6, machines=machines) as running:
        yield running


def reports_of(folder: Path) -> dict[str, Report]:
    """The reports of all dispatches, by the names of their cases; the traces are gone then."""
    assert WRITER.flush(60)
    found = {}
    for path in folder.glob("*.jsonl"):
        found[path.stem.rsplit("-", 1)[0]] = report_of(path.stem, read_trace(path).records, None)
        path.unlink()
    return found


def rules_of(report: Report) -> dict[str, Suggestion]:
    return {each.rule: each for each in suggestions(report, LIMITS)}


@pytest.fixture(scope="module")
def first(
    emulator_with_machines: Emulator, traces_of_tests: Path, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Mapping[str, Suggestion]]:
    """What is suggested for each case."""
    for path in traces_of_tests.glob("*.jsonl"):
        path.unlink()
    cases = {name: each.case for name, each in CASES.items()}
    run_cases(emulator_with_machines, BUCKET, cases, tmp_path_factory.mktemp("cache"))
    return {name: rules_of(report) for name, report in reports_of(traces_of_tests).items()}


@pytest.fixture(scope="module")
def second(
    first: Mapping[str, Mapping[str, Suggestion]],
    emulator_with_machines: Emulator,
    traces_of_tests: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Mapping[str, Mapping[str, Suggestion]]:
    """What is suggested once the suggestions are followed."""
    cases = {name: each.second(first[name][name]) for name, each in CASES.items() if name in first[name]}
    ran = run_cases(emulator_with_machines, BUCKET, cases, tmp_path_factory.mktemp("cache"))
    assert [each.error for each in ran.values()] == [None] * len(cases)
    return {name: rules_of(report) for name, report in reports_of(traces_of_tests).items()}


@pytest.mark.parametrize("name", CASES)
def test_a_suggestion_is_made_and_following_it_removes_it(
    first: Mapping[str, Mapping[str, Suggestion]], second: Mapping[str, Mapping[str, Suggestion]], name: str
) -> None:
    assert name in first[name], list(first[name])
    assert name not in second[name], second[name].get(name)


def test_what_is_suggested_says_what_happened(first: Mapping[str, Mapping[str, Suggestion]]) -> None:
    failed = first["memory-exceeded"]["memory-exceeded"]
    assert failed.is_failure
    assert next(iter(first["memory-exceeded"])) == "memory-exceeded"
    assert failed.title == "run[0] was killed, most likely for want of memory"
    waited = first["gpu-wait"]["gpu-wait"]
    assert "is used up in us-east1. us-east1 has nvidia-tesla-t4 in us-east1-b, us-east1-c, us-east1-d." in waited.text
    assert waited.remedy.startswith('region="us-central1"')
    assert "Item 15 took " in first["longest-item"]["longest-item"].text
    assert "--project local --region us-east1 --requirements" in first["pip"]["pip"].remedy


async def all_of(calls: Sequence[Any]) -> None:
    await asyncio.wait_for(asyncio.gather(*calls), 500)


def test_short_electrons_of_one_function_are_a_map(
    emulator_with_machines: Emulator, traces_of_tests: Path, tmp_path: Path
) -> None:
    with environment_of(emulator_with_machines):
        calls = [call(Case(seven), BUCKET, tmp_path, "lone-1", node) for node in range(len(SHORT))]
        asyncio.run(all_of(calls))
        assert WRITER.flush(60)
        found = rules_of(report_of("lone-1", read_trace(trace_path(traces_of_tests, "lone-1")).records, None))
        assert "short-electrons" in found
        assert "seven = pmap(" in found["short-electrons"].remedy
        case = Case(nap, items=SHORT, options={"max_parallel": 1})
        asyncio.run(all_of([call(case, BUCKET, tmp_path, "mapped-1")]))
        assert WRITER.flush(60)
        found = rules_of(report_of("mapped-1", read_trace(trace_path(traces_of_tests, "mapped-1")).records, None))
        assert "short-electrons" not in found and "sharing" not in found
