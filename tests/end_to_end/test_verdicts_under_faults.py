"""Whatever goes wrong on Batch, in the bucket or in the log: `run()` ends, says why, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from faulty_electrons import BEGUN, sleeps
from faulty_jobs import CONTAINERS, IDLE_IMAGE, MACHINES, SCHEDULING
from faulty_requests import BUCKET, REQUESTS
from faulty_runs import Case, Ran, run_cases, struck

from covalent_parallel_plugin.emulator import Emulator, Fault, ProcessRuntime
from covalent_parallel_plugin.errors import TaskKilledError

# Each in a project of its own: a project's log may be read so often in a minute
GROUPS = {"machines": MACHINES, "containers": CONTAINERS, "scheduling": SCHEDULING, "requests": REQUESTS}


def project_of(group: str, name: str, case: Case) -> str:
    """The group's; one of its own where GetJob is struck: many jobs of one project are looked at with one list."""
    return name if any(fault.value("method") == "GetJob" for fault in case.faults) else group


CASES = {
    name: replace(case, options={**case.options, "project_id": project_of(group, name, case)})
    for group, cases in GROUPS.items()
    for name, case in cases.items()
}
FAILING = [name for name, case in CASES.items() if case.error is not None]


@pytest.fixture(scope="module")
def faulty() -> Iterator[Emulator]:
    # A bucket of its own name: a process remembers which buckets have its runner.
    runtime = ProcessRuntime(images={IDLE_IMAGE: ["/bin/true"]}, site_packages=True)
    with Emulator(buckets=(BUCKET,), runtime=runtime, tasks_at_once=6) as running:
        yield running


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def ran(faulty: Emulator, cache_dir: Path) -> Mapping[str, Ran]:
    return run_cases(faulty, BUCKET, CASES, cache_dir)


@pytest.mark.parametrize("name", CASES)
def test_it_ends_as_it_should(ran: Mapping[str, Ran], name: str) -> None:
    case, found = CASES[name], ran[name]
    if case.error is None:
        assert (found.value, found.error) == (case.value, None)
    else:
        assert type(found.error) is case.error, found.text


@pytest.mark.parametrize("name", FAILING)
def test_its_message_has_the_words_that_a_user_needs(ran: Mapping[str, Ran], name: str) -> None:
    assert [word for word in CASES[name].words if word not in ran[name].text] == [], ran[name].text


# The user's own exceptions are raised as they are
TOLD_BY_US = [name for name in FAILING if CASES[name].error is not ValueError]


@pytest.mark.parametrize("name", TOLD_BY_US)
def test_its_message_names_the_electron(ran: Mapping[str, Ran], name: str) -> None:
    assert f"electron '{CASES[name].function.__name__}' (node 0 of dispatch {name}-" in ran[name].text


@pytest.mark.parametrize("name", [name for name in TOLD_BY_US if CASES[name].jobs])
def test_its_message_names_the_job_on_the_emulator_and_nothing_of_googles(ran: Mapping[str, Ran], name: str) -> None:
    text = ran[name].text
    assert f"/locations/us-east1/jobs/covalent-{name}-" in text.partition("\nJob: projects/")[2]
    assert "console.cloud.google.com" not in text and "gcloud" not in text


@pytest.mark.parametrize("name", CASES)
def test_its_jobs_have_ended(ran: Mapping[str, Ran], name: str) -> None:
    assert [job.state for job in ran[name].jobs] == list(CASES[name].jobs)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.attempts is not None])
def test_its_task_ran_so_often(ran: Mapping[str, Ran], name: str) -> None:
    assert ran[name].jobs[-1].runs == CASES[name].attempts


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.faults])
def test_its_faults_took_place(ran: Mapping[str, Ran], name: str) -> None:
    assert 0 not in ran[name].consumed


@pytest.mark.parametrize("name", CASES)
def test_no_object_of_it_is_left_but_what_nobody_could_fetch(ran: Mapping[str, Ran], name: str) -> None:
    assert [found.rsplit("/", 1)[1] for found in ran[name].objects] == list(CASES[name].left)


@pytest.mark.usefixtures("ran")
def test_no_temporary_file_is_left(cache_dir: Path) -> None:
    assert list(cache_dir.iterdir()) == []


def test_the_job_on_a_standard_machine_has_a_name_of_its_own(ran: Mapping[str, Ran]) -> None:
    first, second = ran["fallback"].jobs
    assert first.labels["covalent-call"] == second.labels["covalent-call"]


def test_the_job_after_those_on_spot_machines_is_on_a_standard_one(ran: Mapping[str, Ran]) -> None:
    # The fault strikes all attempts on Spot machines, and no other
    assert ran["fallback"].consumed == [2]


# Cloud Logging is one for all jobs, so each of these has it for itself
LOGGING = {
    "log-down": Fault("logging.error", method="ListLogEntries", code="UNAVAILABLE"),
    "log-slow": Fault("logging.latency", method="ListLogEntries", seconds=20),
    "log-used-up": Fault("logging.error", method="ListLogEntries", code="RESOURCE_EXHAUSTED"),
}


@pytest.mark.parametrize("name", LOGGING)
def test_a_verdict_comes_without_the_log(faulty: Emulator, cache_dir: Path, name: str) -> None:
    case = Case(sleeps, [struck("exit", exit_code=137, after_output=BEGUN), LOGGING[name]], {"project_id": name})
    found = run_cases(faulty, BUCKET, {name: case}, cache_dir)[name]
    assert type(found.error) is TaskKilledError, found.text
    assert "137" in found.text
    assert "Last lines" not in found.text
    assert 0 not in found.consumed


def test_a_verdict_has_the_logs_last_lines(faulty: Emulator, cache_dir: Path) -> None:
    case = Case(sleeps, [struck("no_image", message="manifest for python:9 not found")], {"project_id": "log-there"})
    found = run_cases(faulty, BUCKET, {"log-there": case}, cache_dir)["log-there"]
    assert "manifest for python:9 not found" in found.text
