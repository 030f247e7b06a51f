"""What a user of a Covalent server sees of endings that are not the electron's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

SOURCE = """
def ending(name, **options):
    return ct.executor.GCPBatchExecutor(labels={"ending": name}, **options)

@alone(check=int, executor=ending("preempted-once"))
def preempted_once():
    import os, time
    if os.environ["BATCH_TASK_RETRY_ATTEMPT"] == "0":
        print("has begun", flush=True)
        time.sleep(600)
    return 7

@alone(executor=ending("preempted-always", retries=1))
def preempted_always():
    import time
    print("has begun", flush=True)
    time.sleep(600)

@alone(executor=ending("no-image"))
def no_image():
    return 7

@alone(executor=ending("killed"))
def killed():
    import time
    print("has begun", flush=True)
    time.sleep(600)

@alone(executor=ending("quota", queue_limit=1))
def quota():
    return 7

@alone(executor=ending("may-not"))
def may_not():
    return 7

@alone(executor=ending("deleted"))
def deleted():
    import time
    print("has begun", flush=True)
    time.sleep(600)
"""


@dataclass(frozen=True)
class Seen:
    """What the workflows came to, and how often each fault struck."""

    reports: Mapping[str, Any]
    consumed: Mapping[str, int]


WORDS = {
    "preempted_always": ["50001", "preempted", "retries"],
    "no_image": ["125", "container_image_uri"],
    "killed": ["137", "memory"],
    "quota": ["quota", "queue_limit of 1 s"],
    "may_not": ["batch.jobs.create", "roles/batch.jobsEditor"],
    "deleted": ["somebody deleted it"],
}


@pytest.fixture(scope="module")
def seen(run_workflows: Callable[[str], Mapping[str, Any]], emulator: Emulator) -> Iterator[Seen]:
    from covalent_parallel_plugin.emulator import Fault, Faults

    def struck(kind: str, ending: str, **fields: Any) -> Fault:
        return Fault(kind, name=ending, labels={"ending": ending}, **fields)

    begun = "has begun"
    rules = (
        struck("attempt.preempt", "preempted-once", attempt=0, after_output=begun),
        struck("attempt.preempt", "preempted-always", after_output=begun),
        struck("attempt.no_image", "no-image"),
        struck("attempt.exit", "killed", exit_code=137, after_output=begun),
        struck("job.quota", "quota"),
        struck(
            "rpc.error", "may-not", method="CreateJob", code="PERMISSION_DENIED", message="batch.jobs.create denied"
        ),
        struck("job.vanish", "deleted", after_output=begun),
    )
    emulator.faults.set(Faults(rules))
    try:
        yield Seen(run_workflows(SOURCE), {rule.name: emulator.faults.consumed[rule.name] for rule in rules})
    finally:
        emulator.faults.set(Faults())


def test_each_fault_took_place(seen: Seen) -> None:
    assert [name for name, count in seen.consumed.items() if count == 0] == []


def test_an_electron_that_is_preempted_once_gives_its_value(seen: Seen) -> None:
    assert (seen.reports["preempted_once"].status, seen.reports["preempted_once"].value) == ("COMPLETED", 7)


@pytest.mark.parametrize("name", WORDS)
def test_electron_and_lattice_are_failed(seen: Seen, name: str) -> None:
    report = seen.reports[name]
    assert (report.status, report.electrons[name].status) == ("FAILED", "FAILED")


@pytest.mark.parametrize("name", WORDS)
def test_stderr_has_the_words_that_a_user_needs(seen: Seen, name: str) -> None:
    stderr = seen.reports[name].electrons[name].stderr
    assert [word for word in [f"electron '{name}'", *WORDS[name]] if word not in stderr] == [], stderr


def test_stdout_has_what_an_attempt_wrote_before_it_was_taken_away(seen: Seen) -> None:
    assert seen.reports["preempted_always"].electrons["preempted_always"].stdout == "has begun\n"


def test_nothing_of_them_is_left_in_the_bucket(seen: Seen, left_of: Callable[..., list[str]]) -> None:
    assert left_of(*(report.dispatch_id for report in seen.reports.values())) == []
