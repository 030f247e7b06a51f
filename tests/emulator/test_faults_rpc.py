"""Faults of calls to Batch and to Cloud Logging: that they take place, and that they are counted."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest
from batch_jobs import PARENT, SECONDS, BatchJobs, State, batch_jobs, wait_until
from google.api_core import exceptions
from google.cloud.batch_v1 import Job
from google.cloud.logging_v2.services.logging_service_v2 import LoggingServiceV2Client
from google.cloud.logging_v2.services.logging_service_v2.transports import LoggingServiceV2GrpcTransport

from covalent_parallel_plugin.emulator import Emulator, Fault, Faults, Timing
from covalent_parallel_plugin.emulator.faults.target_names import BATCH_METHODS, LOGGING_METHODS, STATUS_CODES


@pytest.fixture(scope="module")
def running() -> Iterator[Emulator]:
    with Emulator(storage_port=None, timing=Timing(queue_seconds=0.02, schedule_seconds=0.02)) as emulator:
        yield emulator


@pytest.fixture
def emulator(running: Emulator) -> Iterator[Emulator]:
    yield running
    running.faults.set(Faults())


@pytest.fixture
def jobs(emulator: Emulator) -> Iterator[BatchJobs]:
    with batch_jobs(emulator) as made:
        yield made


@pytest.fixture
def logging_client(emulator: Emulator) -> Iterator[LoggingServiceV2Client]:
    with grpc.insecure_channel(emulator.environment["LOGGING_EMULATOR_HOST"]) as channel:
        yield LoggingServiceV2Client(transport=LoggingServiceV2GrpcTransport(channel=channel))


def put(emulator: Emulator, fault: Fault) -> str:
    emulator.faults.set(Faults((fault,)))
    return fault.title


def read(client: LoggingServiceV2Client) -> None:
    client.list_log_entries(resource_names=["projects/science"], retry=None)


def test_a_method_is_refused_so_many_times_and_another_not(emulator: Emulator, jobs: BatchJobs) -> None:
    job = jobs.run()
    title = put(emulator, Fault("rpc.error", name="a", method="GetJob", code="UNAVAILABLE", first=2))
    for _ in range(2):
        with pytest.raises(exceptions.ServiceUnavailable):
            jobs.get(job)
    assert jobs.get(job).status.state == State.SUCCEEDED
    assert emulator.faults.consumed[title] == 2


def test_a_refused_create_makes_no_job(emulator: Emulator, jobs: BatchJobs) -> None:
    title = put(emulator, Fault("rpc.error", name="b", method="CreateJob", code="INTERNAL", message="sorry", first=1))
    with pytest.raises(exceptions.InternalServerError, match="sorry"):
        jobs.create(job_id="refused")
    with pytest.raises(exceptions.NotFound):
        jobs.client.get_job(name=f"{PARENT}/jobs/refused")
    assert emulator.faults.consumed[title] == 1


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED"])
def test_a_create_whose_answer_is_lost_has_made_the_job(emulator: Emulator, jobs: BatchJobs, code: str) -> None:
    title = put(emulator, Fault("rpc.lost", method="CreateJob", code=code, first=1))
    error = {"UNAVAILABLE": exceptions.ServiceUnavailable, "DEADLINE_EXCEEDED": exceptions.DeadlineExceeded}[code]
    job_id = f"lost-{code.lower().replace('_', '-')}"
    with pytest.raises(error):
        jobs.create(job_id=job_id)
    assert jobs.client.get_job(name=f"{PARENT}/jobs/{job_id}").uid
    with pytest.raises(exceptions.AlreadyExists):
        jobs.create(job_id=job_id)
    assert emulator.faults.consumed[title] == 1


def test_a_call_that_is_refused_anyway_consumes_no_lost_answer(emulator: Emulator, jobs: BatchJobs) -> None:
    title = put(emulator, Fault("rpc.lost", name="c", method="GetJob"))
    with pytest.raises(exceptions.NotFound):
        jobs.client.get_job(name=f"{PARENT}/jobs/none")
    assert emulator.faults.consumed[title] == 0


def test_a_rule_for_a_job_or_a_label_leaves_others_alone(emulator: Emulator, jobs: BatchJobs) -> None:
    marked, other = jobs.create(job_id="one-a", labels={"kind": "marked"}), jobs.create(job_id="two-a")
    by_job = Fault("rpc.error", name="d", method="GetJob", job="one-*", code="ABORTED")
    by_label = Fault("rpc.error", name="e", method="GetJob", labels={"kind": "mark*"}, code="ABORTED")
    for fault in (by_job, by_label):
        title = put(emulator, fault)
        with pytest.raises(exceptions.Aborted):
            jobs.get(marked)
        assert jobs.get(other).name == other.name
        assert emulator.faults.consumed[title] == 1


def test_a_late_call_is_past_its_clients_deadline(emulator: Emulator, jobs: BatchJobs) -> None:
    job = jobs.run()
    title = put(emulator, Fault("rpc.latency", method="GetJob", seconds=20, first=1))
    with pytest.raises(exceptions.DeadlineExceeded):
        jobs.client.get_job(name=job.name, timeout=0.3, retry=None)
    assert jobs.get(job).status.state == State.SUCCEEDED
    assert emulator.faults.consumed[title] == 1


def test_a_late_create_takes_effect_though_the_client_has_gone(emulator: Emulator, jobs: BatchJobs) -> None:
    job = jobs.create()
    put(emulator, Fault("rpc.latency", name="f", method="CreateJob", seconds=20, first=1))
    with pytest.raises(exceptions.DeadlineExceeded):
        jobs.client.create_job(parent=PARENT, job=job, job_id="late", timeout=0.2)
    wait_until(lambda: not jobs.is_gone(Job(name=f"{PARENT}/jobs/late")))
    assert emulator.faults.consumed["f"] == 1


def test_a_new_job_is_not_found_for_so_many_calls_each(emulator: Emulator, jobs: BatchJobs) -> None:
    title = put(emulator, Fault("rpc.not_found", method="GetJob", first=2, per="job"))
    for job in (jobs.create(), jobs.create()):
        assert [jobs.is_gone(job) for _ in range(3)] == [True, True, False]
    assert emulator.faults.consumed[title] == 4


def test_a_new_job_is_not_found_for_so_many_seconds(emulator: Emulator, jobs: BatchJobs) -> None:
    job = jobs.run()
    title = put(emulator, Fault("rpc.not_found", name="g", seconds=3600))
    assert jobs.is_gone(job)
    put(emulator, Fault("rpc.not_found", name="g", seconds=0.001))
    assert not jobs.is_gone(job)
    assert emulator.faults.consumed[title] == 1


def test_an_api_that_is_not_enabled_is_told_in_googles_words_and_details(emulator: Emulator, jobs: BatchJobs) -> None:
    title = put(emulator, Fault("rpc.api_disabled"))
    with pytest.raises(exceptions.PermissionDenied, match="has not been used in project science before") as caught:
        jobs.create()
    assert caught.value.reason == "SERVICE_DISABLED"
    assert emulator.faults.consumed[title] == 1


@pytest.mark.parametrize(
    ("kind", "error", "text"),
    [
        ("rpc.service_account", exceptions.PermissionDenied, "act as the specified service account: "),
        ("rpc.machine_type", exceptions.InvalidArgument, "machine type"),
    ],
)
def test_a_create_is_refused_for_what_it_asks(
    emulator: Emulator, jobs: BatchJobs, kind: str, error: type[Exception], text: str
) -> None:
    title = put(emulator, Fault(kind))
    with pytest.raises(error, match=text):
        jobs.create()
    assert emulator.faults.consumed[title] == 1


def test_log_reads_past_the_quota_are_refused(emulator: Emulator, logging_client: LoggingServiceV2Client) -> None:
    title = put(emulator, Fault("logging.quota", per_minute=2))
    read(logging_client)
    read(logging_client)
    with pytest.raises(exceptions.ResourceExhausted, match="Read requests per minute"):
        read(logging_client)
    assert emulator.faults.consumed[title] == 1


def test_the_stand_ins_own_limit_of_log_reads_needs_no_fault() -> None:
    with (
        Emulator(storage_port=None, batch_port=None, log_reads_per_minute=1) as emulator,
        grpc.insecure_channel(emulator.environment["LOGGING_EMULATOR_HOST"]) as channel,
    ):
        client = LoggingServiceV2Client(transport=LoggingServiceV2GrpcTransport(channel=channel))
        read(client)
        with pytest.raises(exceptions.ResourceExhausted):
            read(client)


def test_log_reads_fail_and_writes_do_not(emulator: Emulator, logging_client: LoggingServiceV2Client) -> None:
    title = put(emulator, Fault("logging.error", method="ListLogEntries", code="PERMISSION_DENIED"))
    with pytest.raises(exceptions.PermissionDenied):
        read(logging_client)
    logging_client.list_logs(parent="projects/science")
    assert emulator.faults.consumed[title] == 1


def test_a_log_read_is_late(emulator: Emulator, logging_client: LoggingServiceV2Client) -> None:
    title = put(emulator, Fault("logging.latency", seconds=20))
    with pytest.raises(exceptions.DeadlineExceeded):
        logging_client.list_log_entries(resource_names=["projects/science"], timeout=0.3, retry=None)
    assert emulator.faults.consumed[title] == 1


def code_of(channel: grpc.Channel, service: str, method: str) -> str:
    """Call a method with an empty request; return the name of the status."""
    try:
        channel.unary_unary(f"/{service}/{method}")(b"", timeout=SECONDS)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


@pytest.mark.parametrize("code", STATUS_CODES)
def test_every_method_gets_every_status(emulator: Emulator, code: str) -> None:
    emulator.faults.set(Faults((Fault("rpc.error", code=code), Fault("logging.error", code=code))))
    with grpc.insecure_channel(emulator.environment["BATCH_EMULATOR_HOST"]) as batch:
        for method in BATCH_METHODS:
            service = "google.longrunning.Operations" if "Operation" in method else "google.cloud.batch.v1.BatchService"
            assert code_of(batch, service, method) == code
    with grpc.insecure_channel(emulator.environment["LOGGING_EMULATOR_HOST"]) as logging:
        for method in LOGGING_METHODS:
            assert code_of(logging, "google.logging.v2.LoggingServiceV2", method) == code


def test_an_answer_is_no_message(emulator: Emulator, jobs: BatchJobs, logging_client: LoggingServiceV2Client) -> None:
    job = jobs.run()
    emulator.faults.set(Faults((Fault("rpc.garbage", first=1), Fault("logging.garbage", first=1))))
    with pytest.raises(exceptions.InternalServerError, match="deserializing"):
        jobs.get(job)
    with pytest.raises(exceptions.InternalServerError, match="deserializing"):
        read(logging_client)
    assert (emulator.faults.consumed["rpc.garbage"], emulator.faults.consumed["logging.garbage"]) == (1, 1)


@pytest.mark.parametrize("token", ["same", "new"])
def test_lists_do_not_end_while_the_rule_strikes(
    emulator: Emulator, jobs: BatchJobs, logging_client: LoggingServiceV2Client, token: str
) -> None:
    job = jobs.run("echo here")
    rules = [
        Fault(f"{family}.endless", name=f"{family} {token}", token=token, first=3) for family in ("rpc", "logging")
    ]
    for count, pages in enumerate(
        [
            lambda: jobs.client.list_jobs(parent=PARENT).pages,
            lambda: jobs.client.list_tasks(parent=f"{job.name}/taskGroups/group0").pages,
            lambda: logging_client.list_log_entries(resource_names=["projects/science"]).pages,
            lambda: logging_client.list_logs(parent="projects/science").pages,
        ]
    ):
        emulator.faults.set(Faults(tuple(rules)))
        found = list(pages())
        assert len(found) == 4, count
        assert all(page.__class__.pb(page).ByteSize() > 0 for page in found)
        assert len({page.next_page_token for page in found[:3]}) == (1 if token == "same" else 3)
        assert found[-1].next_page_token == ""


def test_without_faults_nothing_is_consumed(jobs: BatchJobs, emulator: Emulator) -> None:
    before = emulator.faults.consumed
    assert jobs.run().status.state == State.SUCCEEDED
    assert emulator.faults.consumed == before
