"""Whatever goes wrong on Batch, in the bucket or in the log: `run()` ends, says why, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import cloudpickle
import pytest
from faulty_runs import Case, Ran, run_cases

from covalent_parallel_plugin.emulator import Emulator, Fault, ProcessRuntime
from covalent_parallel_plugin.errors import (
    CloudError,
    ImageError,
    JobCancelledError,
    MachineLostError,
    MissingResourceError,
    NoCapacityError,
    NoOutcomeError,
    OutcomeError,
    PermissionDeniedError,
    SchedulingError,
    TaskKilledError,
    TaskRefusedError,
    TimeLimitError,
)

# The tasks cannot import the tests
cloudpickle.register_pickle_by_value(sys.modules[__name__])

BUCKET = "faulty"
IDLE_IMAGE = "idle:latest"


def seven() -> int:
    return 7


def slowly() -> int:
    """Long enough for what strikes after half a second, and short enough to come to its end."""
    print("has begun", flush=True)
    time.sleep(1.5)
    return 7


def sleeps() -> None:
    print("has begun", flush=True)
    time.sleep(120)


def raises() -> None:
    raise ValueError("the user's own")


def raises_at_first() -> int:
    if os.environ["BATCH_TASK_RETRY_ATTEMPT"] != "2":
        raise ValueError("not yet")
    return 7


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def struck(kind: str, **fields: object) -> Fault:
    return Fault(f"attempt.{kind}", **fields)  # type: ignore[arg-type]  # one of several types, by name


def refused(method: str, code: str, **fields: object) -> Fault:
    return Fault("rpc.error", method=method, code=code, **fields)  # type: ignore[arg-type]  # as above


def http(status: int, request: str, name: str, **fields: object) -> Fault:
    return Fault("storage.error", code=status, request=request, object=name, **fields)  # type: ignore[arg-type]  # as above


MACHINES: dict[str, Case] = {
    "preempted-once": Case(slowly, [struck("preempt", attempt=0, after_seconds=0.5)], attempts=2),
    "preempted-before-it-ran": Case(seven, [struck("preempt", attempt=0, before_run=True)], attempts=1),
    "preempted-always": Case(
        sleeps,
        [struck("preempt", after_seconds=1)],
        {"spot": True, "retries": 1},
        error=MachineLostError,
        words=["50001", "preempted", "spot_fallback", "has begun"],
        jobs=["FAILED"],
        attempts=2,
    ),
    "preempted-never-ran": Case(
        seven,
        [struck("preempt", before_run=True)],
        {"spot": True, "retries": 1},
        error=MachineLostError,
        words=["50001", "preempted"],
        jobs=["FAILED"],
        attempts=0,
    ),
    "fallback": Case(
        seven,
        [struck("preempt", provisioning="SPOT")],
        {"spot": True, "spot_fallback": True, "retries": 1},
        jobs=["FAILED", "SUCCEEDED"],
        attempts=1,
    ),
    "lost-once": Case(slowly, [struck("lost", attempt=0, after_seconds=0.5)], attempts=2),
    "rebooted-once": Case(slowly, [struck("reboot", attempt=0, after_seconds=0.5)], attempts=2),
    "recreated-once": Case(slowly, [struck("recreate", attempt=0, after_seconds=0.5)], attempts=2),
    "lost-always": Case(
        slowly,
        [struck("lost", after_seconds=0.3)],
        {"retries": 1},
        error=MachineLostError,
        words=["50002", "stopped reporting", "retries"],
        jobs=["FAILED"],
        attempts=2,
    ),
    "rebooted-always": Case(
        slowly,
        [struck("reboot", after_seconds=0.3)],
        {"retries": 0},
        error=MachineLostError,
        words=["50003", "rebooted"],
        jobs=["FAILED"],
        attempts=1,
    ),
    "recreated-always": Case(
        slowly,
        [struck("recreate", after_seconds=0.3)],
        {"retries": 0},
        error=MachineLostError,
        words=["50006", "recreated"],
        jobs=["FAILED"],
        attempts=1,
    ),
    "unresponsive": Case(
        slowly,
        [struck("unresponsive", after_seconds=0.3)],
        error=MachineLostError,
        words=["50004", "respond"],
        jobs=["FAILED"],
        attempts=1,
    ),
    "went-on-unseen": Case(slowly, [struck("lost", attempt=0, after_seconds=0.5, goes_on=True)], attempts=2),
    # Batch says that the task failed, and its outcome comes
    "outcome-of-a-failed-job": Case(
        slowly, [struck("lost", after_seconds=0.5, goes_on=True)], {"retries": 0}, jobs=["FAILED"], attempts=1
    ),
    "twice-at-once": Case(slowly, [struck("twice", after_seconds=0.2)]),
    "twice-in-turn": Case(slowly, [struck("twice", after_seconds=0.5, concurrent=False)]),
    "told-late": Case(seven, [struck("late", seconds=2)], attempts=1),
}

CONTAINERS: dict[str, Case] = {
    "no-image": Case(
        seven,
        [struck("no_image")],
        error=ImageError,
        words=["125", "image", "container_image_uri"],
        jobs=["FAILED"],
    ),
    "no-python": Case(
        seven,
        [struck("exit", exit_code=127, before_run=True)],
        error=ImageError,
        words=["127", "python3", "python:3.11-slim"],
        jobs=["FAILED"],
    ),
    "killed-whole": Case(
        sleeps,
        [struck("exit", exit_code=137, after_seconds=1)],
        error=TaskKilledError,
        words=["137", "memory"],
        jobs=["FAILED"],
        attempts=1,
    ),
    "killed-child": Case(killed, error=TaskKilledError, words=["SIGKILL", "137", "memory", "512 MB"], attempts=1),
    "time-limit": Case(
        sleeps,
        options={"time_limit": 1},
        error=TimeLimitError,
        words=["time_limit of 1 s", "has begun"],
        attempts=1,
    ),
    "batchs-time-limit": Case(
        sleeps,
        [struck("exit", exit_code=50005, after_seconds=0.5)],
        error=TimeLimitError,
        words=["50005", "time_limit"],
        jobs=["FAILED"],
        attempts=1,
    ),
    "raises": Case(raises, error=ValueError, words=["the user's own"], attempts=1),
    "raises-and-is-retried": Case(raises_at_first, options={"retry_exceptions": True}, attempts=3),
    "raises-to-the-end": Case(
        raises,
        options={"retry_exceptions": True, "retries": 1},
        error=ValueError,
        words=["the user's own"],
        attempts=2,
    ),
    # The image's python3 is another program, which does nothing
    "no-outcome": Case(
        seven,
        options={"container_image_uri": IDLE_IMAGE},
        error=NoOutcomeError,
        words=["no outcome", "succeeded"],
    ),
}

SCHEDULING: dict[str, Case] = {
    "machine-refused": Case(
        seven,
        [Fault("job.refused")],
        error=SchedulingError,
        words=["no such machine type", "machine_type", "CODE_MACHINE_TYPE_NOT_FOUND"],
        jobs=["FAILED"],
        attempts=0,
    ),
    "field-refused": Case(
        seven,
        [Fault("job.refused", code="CODE_GCE_INVALID_FIELD_VALUE")],
        error=SchedulingError,
        words=["refuses the machine", "CODE_GCE_INVALID_FIELD_VALUE"],
        jobs=["FAILED"],
        attempts=0,
    ),
    "no-agent": Case(
        seven,
        [Fault("job.no_agent", window_seconds=120)],
        error=SchedulingError,
        words=["roles/batch.agentReporter", "Private Google Access", "within time window 120 seconds"],
        jobs=["FAILED"],
    ),
    "quota-for-ever": Case(
        seven,
        [Fault("job.quota")],
        {"queue_limit": 1},
        error=NoCapacityError,
        words=["quota", "queue_limit of 1 s", "CODE_GCE_QUOTA_EXCEEDED"],
        jobs=["CANCELLED"],
        attempts=0,
    ),
    "quota-for-a-while": Case(seven, [Fault("job.quota", seconds=2)], {"queue_limit": 60}),
    "no-capacity-for-ever": Case(
        seven,
        [Fault("job.no_capacity", state="SCHEDULED")],
        {"queue_limit": 1},
        error=NoCapacityError,
        words=["no such machine free", "queue_limit of 1 s", "spot=False"],
        jobs=["CANCELLED"],
        attempts=0,
    ),
    "no-capacity-for-a-while": Case(seven, [Fault("job.no_capacity", seconds=2)], {"queue_limit": 60}),
    "somebody-cancels": Case(
        sleeps,
        [Fault("job.cancelled", state="RUNNING", after_seconds=0.5)],
        error=JobCancelledError,
        words=["somebody else cancelled"],
        jobs=["CANCELLED"],
    ),
    "somebody-cancels-for-ever": Case(
        sleeps,
        [Fault("job.cancelled", state="RUNNING", after_seconds=0.5), Fault("job.stuck_cancelling")],
        error=JobCancelledError,
        words=["somebody else cancelled"],
        jobs=["CANCELLATION_IN_PROGRESS"],
    ),
    "somebody-deletes": Case(
        sleeps,
        [Fault("job.vanish", state="RUNNING", after_seconds=1)],
        error=JobCancelledError,
        words=["somebody deleted it, or it vanished"],
        jobs=[],
    ),
}

REQUESTS: dict[str, Case] = {
    "may-not-create": Case(
        seven,
        [refused("CreateJob", "PERMISSION_DENIED", message="Permission 'batch.jobs.create' denied on resource")],
        error=PermissionDeniedError,
        words=["batch.jobs.create", "roles/batch.jobsEditor"],
        jobs=[],
    ),
    "may-not-act-as": Case(
        seven,
        [Fault("rpc.service_account")],
        {"service_account_email": "runner@local.iam.gserviceaccount.com"},
        error=PermissionDeniedError,
        words=["act as", "roles/iam.serviceAccountUser", "service_account_email"],
        jobs=[],
    ),
    "api-disabled": Case(
        seven,
        [Fault("rpc.api_disabled", method="CreateJob")],
        error=PermissionDeniedError,
        words=["gcloud services enable batch.googleapis.com"],
        jobs=[],
    ),
    "machine-refused-at-once": Case(
        seven,
        [Fault("rpc.machine_type")],
        {"machine_type": "e2-nonsense-4"},
        error=CloudError,
        words=["machine type", "gcloud compute machine-types list"],
        jobs=[],
    ),
    "bucket-missing": Case(
        seven,
        [Fault("storage.no_bucket", request="writes")],
        error=MissingResourceError,
        words=[BUCKET, "bucket_name", "gcloud storage buckets create"],
        jobs=[],
    ),
    "bucket-not-writable": Case(
        seven,
        [http(403, "writes", "*/call")],
        error=PermissionDeniedError,
        words=["roles/storage.objectUser", BUCKET],
        jobs=[],
    ),
    "task-may-not-read": Case(
        seven,
        [http(403, "objects.download", "*/call")],
        error=NoOutcomeError,
        words=["69", "could not read", "roles/storage.objectViewer", "403"],
        jobs=["FAILED"],
        attempts=1,
    ),
    "task-may-not-write": Case(
        seven,
        [http(403, "objects.insert", "*/outcome*")],
        error=NoOutcomeError,
        words=["73", "could not write", "roles/storage.objectCreator", "403"],
        jobs=["FAILED"],
        attempts=1,
    ),
    "call-deleted": Case(
        seven,
        [http(404, "objects.download", "*/call")],
        error=NoOutcomeError,
        words=["66", "not in the bucket"],
        jobs=["FAILED"],
        attempts=1,
    ),
    "call-changed": Case(
        seven,
        [Fault("storage.corrupt", request="objects.download", object="*/call", keeps_hash=False)],
        error=TaskRefusedError,
        words=["changed on its way", "not the one that was sealed"],
        attempts=1,
    ),
    "outcome-not-readable": Case(
        seven,
        [http(403, "objects.download", "*/outcome*")],
        error=PermissionDeniedError,
        words=["roles/storage.objectUser", BUCKET],
    ),
    "outcome-cut-off-once": Case(seven, [Fault("storage.truncate", object="*/outcome*", first=1)]),
    "outcome-changed-once": Case(seven, [Fault("storage.corrupt", object="*/outcome*", first=1)]),
    "outcome-always-changed": Case(
        seven,
        [Fault("storage.corrupt", object="*/outcome*")],
        error=OutcomeError,
        words=["no usable outcome", "its checksum does not fit"],
    ),
    "outcome-changed": Case(
        seven,
        [Fault("storage.corrupt", object="*/outcome*", keeps_hash=False)],
        error=OutcomeError,
        words=["no usable outcome", "who else writes to the bucket"],
    ),
    "batch-unavailable-at-first": Case(seven, [refused("CreateJob", "UNAVAILABLE", first=2)], attempts=1),
    "batch-late-at-first": Case(seven, [refused("CreateJob", "DEADLINE_EXCEEDED", first=1)], attempts=1),
    "creation-unanswered": Case(seven, [Fault("rpc.lost", method="CreateJob", first=1)], attempts=1),
    "creation-unanswered-late": Case(
        seven, [Fault("rpc.lost", method="CreateJob", code="DEADLINE_EXCEEDED", first=2)], attempts=1
    ),
    "looks-fail": Case(seven, [refused("GetJob", "UNAVAILABLE", first=4)], attempts=1),
    "looks-break": Case(seven, [refused("GetJob", "INTERNAL", first=4)], attempts=1),
    "looks-are-too-many": Case(seven, [refused("GetJob", "RESOURCE_EXHAUSTED", first=2)], attempts=1),
    "looks-are-late": Case(seven, [Fault("rpc.latency", method="GetJob", seconds=1)], attempts=1),
    "not-found-at-first": Case(seven, [Fault("rpc.not_found", method="GetJob", first=3)], attempts=1),
    "task-not-told-at-first": Case(
        sleeps,
        [struck("exit", exit_code=137, after_seconds=0.3), refused("GetTask", "UNAVAILABLE", first=2)],
        error=TaskKilledError,
        words=["137"],
        jobs=["FAILED"],
        attempts=1,
    ),
    "cancelling-fails-at-first": Case(
        seven,
        [Fault("job.quota"), refused("CancelJob", "UNAVAILABLE", first=2)],
        {"queue_limit": 1},
        error=NoCapacityError,
        jobs=["CANCELLED"],
    ),
    "cancelling-is-unanswered": Case(
        seven,
        [Fault("job.quota"), Fault("rpc.lost", method="CancelJob", first=1)],
        {"queue_limit": 1},
        error=NoCapacityError,
        jobs=["CANCELLED"],
    ),
    "cancelling-is-not-there": Case(
        seven,
        [Fault("job.quota"), refused("CancelJob", "UNIMPLEMENTED")],
        {"queue_limit": 1},
        error=NoCapacityError,
        jobs=[],
    ),
    "deleting-fails-at-first": Case(
        seven,
        [
            Fault("job.quota"),
            refused("CancelJob", "UNIMPLEMENTED"),
            refused("DeleteJob", "UNAVAILABLE", first=2),
        ],
        {"queue_limit": 1},
        error=NoCapacityError,
        jobs=[],
    ),
    "uploads-fail-at-first": Case(seven, [http(503, "objects.insert", "*/call", first=3)], attempts=1),
    "uploads-are-too-many": Case(seven, [http(429, "objects.insert", "*/call", first=2)], attempts=1),
    "upload-unanswered": Case(
        seven, [Fault("storage.lost", request="objects.insert", object="*/call", first=1)], attempts=1
    ),
    "upload-dropped": Case(
        seven, [Fault("storage.drop", request="objects.insert", object="*/call", first=1)], attempts=1
    ),
    "storage-slow": Case(seven, [Fault("storage.slow", object="*", seconds=1)], attempts=1),
    "call-not-read-at-first": Case(seven, [http(503, "objects.download", "*/call", first=2)], attempts=1),
    "call-cut-off-at-first": Case(
        seven,
        [Fault("storage.truncate", request="objects.download", object="*/call", first=1)],
        attempts=1,
    ),
    "outcome-not-written-at-first": Case(seven, [http(503, "objects.insert", "*/outcome*", first=2)], attempts=1),
    "outcome-unanswered": Case(
        seven, [Fault("storage.lost", request="objects.insert", object="*/outcome*", first=1)], attempts=1
    ),
    "outcome-not-read-at-first": Case(seven, [http(503, "objects.download", "*/outcome*", first=2)], attempts=1),
    "deletions-fail-at-first": Case(seven, [http(503, "objects.delete", "*", first=2)], attempts=1),
    "deletions-unanswered": Case(
        seven, [Fault("storage.lost", request="objects.delete", object="*", first=1)], attempts=1
    ),
}

# Each in a project of its own: a project's log may be read so often in a minute
GROUPS = {"machines": MACHINES, "containers": CONTAINERS, "scheduling": SCHEDULING, "requests": REQUESTS}
CASES = {
    name: replace(case, options={**case.options, "project_id": project})
    for project, cases in GROUPS.items()
    for name, case in cases.items()
}
FAILING = [name for name, case in CASES.items() if case.error is not None]


@pytest.fixture(scope="module")
def faulty() -> Iterator[Emulator]:
    # A bucket of its own name: a process remembers which buckets have its runner.
    runtime = ProcessRuntime(images={IDLE_IMAGE: ["/bin/true"]})
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
def test_its_message_has_the_address_of_the_jobs_page(ran: Mapping[str, Ran], name: str) -> None:
    assert f"\nJob: https://console.cloud.google.com/batch/jobsDetail/regions/us-east1/jobs/covalent-{name}-" in (
        ran[name].text
    )


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
def test_no_object_of_it_is_left(ran: Mapping[str, Ran], name: str) -> None:
    assert ran[name].objects == []


@pytest.mark.usefixtures("ran")
def test_no_temporary_file_is_left(cache_dir: Path) -> None:
    assert list(cache_dir.iterdir()) == []


def test_the_job_on_a_standard_machine_has_a_name_of_its_own(ran: Mapping[str, Ran]) -> None:
    first, second = ran["fallback"].jobs
    assert first.labels["covalent-call"] == second.labels["covalent-call"]


# Cloud Logging is one for all jobs, so each of these has it for itself
LOGGING = {
    "log-down": Fault("logging.error", method="ListLogEntries", code="UNAVAILABLE"),
    "log-slow": Fault("logging.latency", method="ListLogEntries", seconds=20),
    "log-used-up": Fault("logging.error", method="ListLogEntries", code="RESOURCE_EXHAUSTED"),
}


@pytest.mark.parametrize("name", LOGGING)
def test_a_verdict_comes_without_the_log(faulty: Emulator, cache_dir: Path, name: str) -> None:
    case = Case(sleeps, [struck("exit", exit_code=137, after_seconds=0.5), LOGGING[name]], {"project_id": name})
    found = run_cases(faulty, BUCKET, {name: case}, cache_dir)[name]
    assert type(found.error) is TaskKilledError, found.text
    assert "137" in found.text
    assert "Last lines" not in found.text
    assert 0 not in found.consumed


def test_a_verdict_has_the_logs_last_lines(faulty: Emulator, cache_dir: Path) -> None:
    case = Case(sleeps, [struck("no_image", message="manifest for python:9 not found")], {"project_id": "log-there"})
    found = run_cases(faulty, BUCKET, {"log-there": case}, cache_dir)["log-there"]
    assert "manifest for python:9 not found" in found.text
