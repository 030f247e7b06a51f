"""Batch over gRPC, spoken to by Google's own clients."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud import batch_v1
from google.cloud.batch_v1.services.batch_service.transports import (
    BatchServiceGrpcAsyncIOTransport,
    BatchServiceGrpcTransport,
)
from google.longrunning import operations_pb2
from process_table import living_members

from covalent_parallel_plugin.emulator import Emulator, Timing
from covalent_parallel_plugin.emulator.model.log_store import LogStore

PARENT = "projects/science/locations/us-east1"
Job = batch_v1.Job
State = batch_v1.JobStatus.State
TaskState = batch_v1.TaskStatus.State
ENDED = (State.SUCCEEDED, State.FAILED, State.CANCELLED)


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    timing = Timing(queue_seconds=0.02, schedule_seconds=0.02, grace_seconds=0.3)
    with Emulator(storage_port=None, logging_port=None, timing=timing, tasks_at_once=4) as running:
        yield running


@pytest.fixture(scope="module")
def client(emulator: Emulator) -> Iterator[batch_v1.BatchServiceClient]:
    channel = grpc.insecure_channel(emulator.environment["BATCH_EMULATOR_HOST"])
    yield batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel))
    channel.close()


def script(text: str, **fields: Any) -> batch_v1.Runnable:
    return batch_v1.Runnable(script=batch_v1.Runnable.Script(text=text), **fields)


def job_of(*runnables: batch_v1.Runnable, group: Mapping[str, Any] | None = None, **spec: Any) -> Job:
    task_spec = batch_v1.TaskSpec(runnables=list(runnables), **spec)
    return Job(
        task_groups=[batch_v1.TaskGroup(task_spec=task_spec, **(group or {}))],
        logs_policy=batch_v1.LogsPolicy(destination="CLOUD_LOGGING"),
    )


def create(client: batch_v1.BatchServiceClient, job: Job, job_id: str = "", **request: Any) -> Job:
    return client.create_job(batch_v1.CreateJobRequest(parent=PARENT, job=job, job_id=job_id, **request))


def wait_for(client: batch_v1.BatchServiceClient, job: Job, is_there: Callable[[Job], bool]) -> Job:
    deadline = time.monotonic() + 120
    while not is_there(job := client.get_job(name=job.name)):
        assert time.monotonic() < deadline, job.status
        time.sleep(0.02)
    return job


def run(client: batch_v1.BatchServiceClient, job: Job, **request: Any) -> Job:
    return wait_for(client, create(client, job, **request), lambda job: job.status.state in ENDED)


def task(client: batch_v1.BatchServiceClient, job: Job, index: int = 0) -> batch_v1.Task:
    return client.get_task(name=f"{job.name}/taskGroups/group0/tasks/{index}")


def exit_codes(found: batch_v1.Task) -> list[int]:
    return [event.task_execution.exit_code for event in found.status.status_events if event.task_execution]


def lines(logs: LogStore, job: Job, index: int = 0) -> list[tuple[str, str]]:
    wanted = {"job_uid": job.uid, "task_id": f"{job.uid}-group0-{index}"}
    names = {200: "INFO", 500: "ERROR"}
    return [(names[record.severity], record.text) for record in logs.records() if record.labels == wanted]


def texts(logs: LogStore, job: Job, index: int = 0) -> list[str]:
    return [text for _, text in lines(logs, job, index)]


def test_a_job_succeeds_and_tells_its_way(client: batch_v1.BatchServiceClient) -> None:
    job = run(client, job_of(script("exit 0")))
    assert job.status.state == State.SUCCEEDED
    assert dict(job.status.task_groups["group0"].counts) == {"SUCCEEDED": 1}
    ways = [event.description.split(" for ")[0] for event in job.status.status_events]
    assert ways == [
        "Job state is set from QUEUED to SCHEDULED",
        "Job state is set from SCHEDULED to RUNNING",
        "Job state is set from RUNNING to SUCCEEDED",
    ]


def test_a_failed_task_tells_its_exit_code(client: batch_v1.BatchServiceClient) -> None:
    job = run(client, job_of(script("exit 42")))
    assert job.status.state == State.FAILED
    assert exit_codes(task(client, job)) == [42]
    assert "task with index 0 failed" in job.status.status_events[-1].description
    assert 'with exit code 42."' in job.status.status_events[-1].description


def test_a_created_job_carries_its_defaults(client: batch_v1.BatchServiceClient) -> None:
    job = create(client, job_of(script("exit 0")), "with-defaults")
    group = job.task_groups[0]
    assert job.name == f"{PARENT}/jobs/with-defaults" and job.uid and job.create_time == job.update_time
    assert (group.task_count, group.parallelism) == (1, 1)
    resource = group.task_spec.compute_resource
    assert (resource.cpu_milli, resource.memory_mib) == (2000, 2000)
    assert list(job.allocation_policy.location.allowed_locations) == ["regions/us-east1"]
    assert job.status.state == State.QUEUED


def test_a_job_without_an_id_gets_one(client: batch_v1.BatchServiceClient) -> None:
    assert create(client, job_of(script("exit 0"))).name.startswith(f"{PARENT}/jobs/j-")


def test_the_names_of_the_group_and_of_tasks_carry_the_project_number_and_are_understood(
    client: batch_v1.BatchServiceClient,
) -> None:
    job = run(client, job_of(script("exit 0")))
    found = next(iter(client.list_tasks(parent=job.task_groups[0].name)))
    assert found.name.split("/")[1].isdigit()
    assert client.get_task(name=found.name) == found


def test_output_goes_to_the_log_line_by_line(client: batch_v1.BatchServiceClient, emulator: Emulator) -> None:
    job = run(client, job_of(script("echo one; echo; printf two")))
    assert lines(emulator.logs, job) == [("INFO", "one"), ("INFO", ""), ("INFO", "two")]
    job = run(client, job_of(script("echo wrong >&2")))
    assert lines(emulator.logs, job) == [("ERROR", "wrong")]


def test_output_is_not_kept_without_a_logs_policy(client: batch_v1.BatchServiceClient, emulator: Emulator) -> None:
    job = job_of(script("echo one"))
    job.logs_policy = batch_v1.LogsPolicy()
    assert lines(emulator.logs, run(client, job)) == []


def test_a_task_knows_who_it_is(client: batch_v1.BatchServiceClient, emulator: Emulator) -> None:
    text = "echo $BATCH_TASK_INDEX $BATCH_TASK_COUNT $BATCH_TASK_RETRY_ATTEMPT $BATCH_JOB_UID $BATCH_JOB_ID"
    job = run(client, job_of(script(text), group={"task_count": 2}))
    job_id = job.name.rpartition("/")[2]
    assert texts(emulator.logs, job, 1) == [f"1 2 0 {job.uid} {job_id}"]


def test_variables_of_the_runnable_win_over_those_of_the_group_and_of_the_task(
    client: batch_v1.BatchServiceClient, emulator: Emulator
) -> None:
    environments = [batch_v1.Environment(variables={"B": "group", "C": "group"}) for _ in range(2)]
    job = run(
        client,
        job_of(
            script("echo $A $B $C", environment=batch_v1.Environment(variables={"C": "runnable"})),
            group={"task_environments": environments},
            environment=batch_v1.Environment(variables={"A": "task", "B": "task", "C": "task"}),
        ),
    )
    assert job.task_groups[0].task_count == 2
    assert texts(emulator.logs, job, 1) == ["task group runnable"]


def test_without_a_policy_every_failure_is_tried_again(client: batch_v1.BatchServiceClient, emulator: Emulator) -> None:
    job = run(client, job_of(script("echo $BATCH_TASK_RETRY_ATTEMPT; exit 9"), max_retry_count=2))
    assert texts(emulator.logs, job) == ["0", "1", "2"]
    assert exit_codes(task(client, job)) == [9, 9, 9]


def test_a_task_that_succeeds_later_is_a_success_that_still_lists_its_failure(
    client: batch_v1.BatchServiceClient,
) -> None:
    job = run(client, job_of(script("[ $BATCH_TASK_RETRY_ATTEMPT = 1 ]"), max_retry_count=3))
    found = task(client, job)
    assert (job.status.state, found.status.state) == (State.SUCCEEDED, TaskState.SUCCEEDED)
    assert exit_codes(found) == [1]


@pytest.mark.parametrize(
    ("action", "codes", "attempts"), [("RETRY_TASK", [7], 3), ("RETRY_TASK", [8], 1), ("FAIL_TASK", [7], 1)]
)
def test_a_lifecycle_policy_decides_which_failures_are_tried_again(
    client: batch_v1.BatchServiceClient, action: str, codes: list[int], attempts: int
) -> None:
    policy = batch_v1.LifecyclePolicy(action=action, action_condition={"exit_codes": codes})
    job = run(client, job_of(script("exit 7"), max_retry_count=2, lifecycle_policies=[policy]))
    assert len(exit_codes(task(client, job))) == attempts


def test_a_task_past_its_time_is_killed_and_says_50005(client: batch_v1.BatchServiceClient) -> None:
    job = run(client, job_of(script("trap '' TERM; sleep 60"), max_run_duration="0.2s"))
    assert exit_codes(task(client, job)) == [50005]


def test_a_runnable_past_its_timeout_says_50005(client: batch_v1.BatchServiceClient) -> None:
    job = run(client, job_of(script("sleep 60", timeout="0.2s")))
    assert exit_codes(task(client, job)) == [50005]


def test_runnables_run_in_sequence_until_one_fails(client: batch_v1.BatchServiceClient, emulator: Emulator) -> None:
    job = run(
        client,
        job_of(
            script("echo first; exit 1", ignore_exit_status=True),
            script("echo second; exit 2"),
            script("echo third"),
            script("echo last", always_run=True),
        ),
    )
    assert texts(emulator.logs, job) == ["first", "second", "last"]
    assert exit_codes(task(client, job)) == [2]


def test_a_task_killed_by_a_signal_says_128_and_its_number(client: batch_v1.BatchServiceClient) -> None:
    assert exit_codes(task(client, run(client, job_of(script("kill -9 $$"))))) == [137]


def test_an_array_runs_no_more_tasks_at_once_than_its_parallelism(
    client: batch_v1.BatchServiceClient, emulator: Emulator
) -> None:
    job = run(client, job_of(script("date +%s%N; sleep 0.05; date +%s%N"), group={"task_count": 4, "parallelism": 1}))
    spans = sorted([int(text) for text in texts(emulator.logs, job, index)] for index in range(4))
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    assert dict(job.status.task_groups["group0"].counts) == {"SUCCEEDED": 4}


def test_the_siblings_of_a_failed_task_run_on(client: batch_v1.BatchServiceClient) -> None:
    job = run(client, job_of(script("exit $BATCH_TASK_INDEX"), group={"task_count": 3, "parallelism": 1}))
    assert dict(job.status.task_groups["group0"].counts) == {"SUCCEEDED": 1, "FAILED": 2}


def test_tasks_are_listed_in_pages_and_by_state(client: batch_v1.BatchServiceClient) -> None:
    job = run(client, job_of(script("exit $((BATCH_TASK_INDEX % 2))"), group={"task_count": 5}))
    parent = f"{job.name}/taskGroups/group0"
    request = batch_v1.ListTasksRequest(parent=parent, page_size=2)
    pages = [[found.name.rpartition("/")[2] for found in page.tasks] for page in client.list_tasks(request).pages]
    assert pages == [["0", "1"], ["2", "3"], ["4"]]
    for written in ("State=FAILED", 'status.state="FAILED"'):
        failed = client.list_tasks(batch_v1.ListTasksRequest(parent=parent, filter=written))
        assert [found.name.rpartition("/")[2] for found in failed] == ["1", "3"]


def test_jobs_are_listed_by_filter_order_and_page(client: batch_v1.BatchServiceClient) -> None:
    names = []
    for name in ("list-b", "list-a", "list-c"):
        job = job_of(script("exit 0"))
        job.labels["sweep"] = "listed"
        names.append(run(client, job, job_id=name).name)

    def listed(**request: Any) -> list[str]:
        wanted = batch_v1.ListJobsRequest(parent=PARENT, **request)
        return [job.name.rpartition("/")[2] for job in client.list_jobs(wanted)]

    mine = 'labels."sweep"="listed"'
    assert listed(filter=mine) == ["list-b", "list-a", "list-c"]
    assert listed(filter=mine, order_by="name desc", page_size=2) == ["list-c", "list-b", "list-a"]
    assert listed(filter=mine, order_by="create_time", page_size=1) == ["list-b", "list-a", "list-c"]
    assert listed(filter=f'{mine} AND status.state="RUNNING"') == []
    assert listed(filter=f'{mine} AND name="{names[0]}"') == ["list-b"]


def test_a_cancelled_job_is_cancelled_and_its_process_is_gone(
    client: batch_v1.BatchServiceClient, emulator: Emulator
) -> None:
    job = create(client, job_of(script("echo $$; sleep 600 & wait"), group={"task_count": 9, "parallelism": 1}))
    wait_for(client, job, lambda job: bool(texts(emulator.logs, job)))
    operation = client.cancel_job(name=job.name)
    operation.result(timeout=120)
    job = client.get_job(name=job.name)
    assert job.status.state == State.CANCELLED
    assert dict(job.status.task_groups["group0"].counts) == {"FAILED": 1, "UNEXECUTED": 8}
    group = int(texts(emulator.logs, job)[0])
    for _ in range(600):
        # On a busy machine the kernel may take a moment to bury what was killed.
        if not living_members(group):
            break
        time.sleep(0.1)
    assert living_members(group) == []


def test_a_finished_or_cancelled_job_cannot_be_cancelled(client: batch_v1.BatchServiceClient) -> None:
    finished = run(client, job_of(script("exit 0")))
    cancelled = create(client, job_of(script("sleep 600")))
    client.cancel_job(name=cancelled.name).result(timeout=120)
    for job in (finished, cancelled):
        with pytest.raises(exceptions.FailedPrecondition):
            client.cancel_job(name=job.name)


def test_a_deleted_job_is_gone(client: batch_v1.BatchServiceClient) -> None:
    job = create(client, job_of(script("sleep 600")))
    operation = client.delete_job(name=job.name)
    assert operation.metadata.verb == "delete" and operation.metadata.target == job.name
    operation.result(timeout=120)
    with pytest.raises(exceptions.NotFound):
        client.get_job(name=job.name)


def test_operations_can_be_read_listed_waited_for_and_forgotten(
    client: batch_v1.BatchServiceClient, emulator: Emulator
) -> None:
    job = run(client, job_of(script("exit 0")))
    name = client.delete_job(name=job.name).operation.name
    with grpc.insecure_channel(emulator.environment["BATCH_EMULATOR_HOST"]) as channel:
        # the Batch client has no method for it
        waited = channel.unary_unary(
            "/google.longrunning.Operations/WaitOperation",
            request_serializer=operations_pb2.WaitOperationRequest.SerializeToString,
            response_deserializer=operations_pb2.Operation.FromString,
        )(operations_pb2.WaitOperationRequest(name=name))
    assert waited.done
    listed = client.list_operations(operations_pb2.ListOperationsRequest(name=PARENT, filter="done=true"))
    assert name in [operation.name for operation in listed.operations]
    client.cancel_operation(operations_pb2.CancelOperationRequest(name=name))
    client.delete_operation(operations_pb2.DeleteOperationRequest(name=name))
    with pytest.raises(exceptions.NotFound):
        client.get_operation(operations_pb2.GetOperationRequest(name=name))


def test_a_duplicate_job_id_is_refused(client: batch_v1.BatchServiceClient) -> None:
    create(client, job_of(script("exit 0")), "twice")
    with pytest.raises(exceptions.AlreadyExists):
        create(client, job_of(script("exit 0")), "twice")


def test_the_same_request_id_answers_the_job_first_made(client: batch_v1.BatchServiceClient) -> None:
    request_id = str(uuid.uuid4())
    first = create(client, job_of(script("exit 0")), request_id=request_id)
    assert create(client, job_of(script("exit 0")), request_id=request_id).uid == first.uid


def test_what_does_not_exist_is_not_found(client: batch_v1.BatchServiceClient) -> None:
    job = run(client, job_of(script("exit 0")))
    for call in (
        lambda: client.get_job(name=f"{PARENT}/jobs/nothing"),
        lambda: client.cancel_job(name=f"{PARENT}/jobs/nothing"),
        lambda: client.delete_job(name=f"{PARENT}/jobs/nothing"),
        lambda: client.get_task(name=f"{job.name}/taskGroups/group0/tasks/1"),
        lambda: client.list_tasks(parent=f"{job.name}/taskGroups/group1"),
    ):
        with pytest.raises(exceptions.NotFound):
            call()


def _changed(change: Callable[[Job], object]) -> Job:
    job = job_of(script("exit 0"))
    change(job)
    return job


def _set(path: str, value: Any) -> Callable[[Job], object]:
    def change(job: Job) -> None:
        target: Any = job
        *parts, last = path.split(".")
        for part in parts:
            target = target[int(part)] if part.isdigit() else getattr(target, part)
        setattr(target, last, value)

    return change


SPEC = "task_groups.0.task_spec"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_set("task_groups", []), "task_groups"),
        (lambda job: job.task_groups.append(job.task_groups[0]), "task_groups"),
        (_set("task_groups.0.task_count", 100_001), "task_count"),
        (_set("task_groups.0.parallelism", 5_001), "parallelism"),
        (_set("task_groups.0.task_count_per_node", 21), "task_count_per_node 21 must be between 1 and 20"),
        (_set("task_groups.0.task_count_per_node", -1), "task_count_per_node"),
        (_set("task_groups.0.task_environments", [batch_v1.Environment()] * 201), "task_environments"),
        (_set(f"{SPEC}.max_retry_count", 11), "max_retry_count"),
        (_set(f"{SPEC}.max_retry_count", -1), "max_retry_count"),
        (_set(f"{SPEC}.max_run_duration", "-5s"), "max_run_duration"),
        (_set(f"{SPEC}.runnables", []), "runnables"),
        (_set(f"{SPEC}.compute_resource.memory_mib", -1), "memory_mib"),
        (_set(f"{SPEC}.environment.variables", {"A": "x" * (1 << 20)}), "limit is 1048576"),
        (_set(f"{SPEC}.environment.secret_variables", {"A": "projects/p/secrets/s"}), "versions/VERSION"),
        (_set(f"{SPEC}.environment.encrypted_variables", {"cipher_text": "x"}), "encrypted"),
        (_set(f"{SPEC}.lifecycle_policies", [batch_v1.LifecyclePolicy()] * 2), "lifecycle_policies"),
        (_set(f"{SPEC}.volumes", [batch_v1.Volume(mount_path="/mnt/disks/x")]), "needs a source"),
        (_set(f"{SPEC}.volumes", [batch_v1.Volume(gcs={"remote_path": "b"}, mount_path="x")]), "absolute path"),
        (_set(f"{SPEC}.volumes", [batch_v1.Volume(nfs={"server": "s"}, mount_path="/x")]), "remote_path"),
        (_set("labels", {"Upper": "x"}), "labels key"),
        (_set("labels", {"goog-x": "x"}), "reserved"),
        (_set("labels", {"x": "A B"}), "labels value"),
        (_set("priority", 100), "priority"),
        (_set("allocation_policy.location.allowed_locations", ["regions/europe-west1"]), "region"),
        (
            _set("allocation_policy.network.network_interfaces", [{"no_external_ip_address": True}]),
            "network and subnetwork",
        ),
    ],
)
def test_a_job_that_breaks_a_rule_is_refused(
    client: batch_v1.BatchServiceClient, change: Callable[[Job], object], reason: str
) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=reason):
        create(client, _changed(change))


def test_labels_of_other_alphabets_and_ai_zones_are_taken(client: batch_v1.BatchServiceClient) -> None:
    labels = {"équipe": "bleu", "チーム": "青", "दल": "नीला"}
    job = job_of(script("exit 0"))
    job.labels = labels
    job.allocation_policy.location.allowed_locations = ["zones/us-south1-ai1b"]
    parent = PARENT.replace("us-east1", "us-south1")
    made = client.create_job(batch_v1.CreateJobRequest(parent=parent, job=job))
    assert made.labels == labels
    assert list(made.allocation_policy.location.allowed_locations) == ["zones/us-south1-ai1b"]
    assert wait_for(client, made, lambda job: job.status.state in ENDED).status.state.name == "SUCCEEDED"


@pytest.mark.parametrize(
    ("runnable", "reason"),
    [
        (batch_v1.Runnable(), "container, a script"),
        (batch_v1.Runnable(container=batch_v1.Runnable.Container(entrypoint="sh")), "image_uri"),
        (batch_v1.Runnable(script=batch_v1.Runnable.Script()), "text or a path"),
        (batch_v1.Runnable(barrier=batch_v1.Runnable.Barrier(name="b"), background=True), "background"),
        (script("exit 0", timeout="-1s"), "timeout"),
    ],
)
def test_a_runnable_that_breaks_a_rule_is_refused(
    client: batch_v1.BatchServiceClient, runnable: batch_v1.Runnable, reason: str
) -> None:
    with pytest.raises(exceptions.InvalidArgument, match=reason):
        create(client, job_of(runnable))


@pytest.mark.parametrize("job_id", ["Upper", "1st", "ends-", "a" * 64, "under_score"])
def test_an_illegal_job_id_is_refused(client: batch_v1.BatchServiceClient, job_id: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="job_id"):
        create(client, job_of(script("exit 0")), job_id)


@pytest.mark.parametrize("request_id", ["not-a-uuid", "00000000-0000-0000-0000-000000000000"])
def test_a_request_id_that_is_no_uuid_is_refused(client: batch_v1.BatchServiceClient, request_id: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="request_id"):
        create(client, job_of(script("exit 0")), request_id=request_id)


def test_a_page_token_that_nobody_gave_is_refused(client: batch_v1.BatchServiceClient) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="page_token"):
        client.list_jobs(batch_v1.ListJobsRequest(parent=PARENT, page_token="x"))


def test_a_filter_that_cannot_be_read_is_refused(client: batch_v1.BatchServiceClient) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="filter"):
        client.list_jobs(batch_v1.ListJobsRequest(parent=PARENT, filter="status.state="))


def test_the_asynchronous_client_is_served_too(emulator: Emulator) -> None:
    async def use() -> list[State]:
        channel = grpc.aio.insecure_channel(emulator.environment["BATCH_EMULATOR_HOST"])
        client = batch_v1.BatchServiceAsyncClient(transport=BatchServiceGrpcAsyncIOTransport(channel=channel))
        jobs = await asyncio.gather(
            *(client.create_job(parent=PARENT, job=job_of(script("exit 0"))) for _ in range(20))
        )
        states = []
        for job in jobs:
            deadline = time.monotonic() + 120
            while job.status.state not in ENDED and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
                job = await client.get_job(name=job.name)
            states.append(job.status.state)
        deletion = await client.delete_job(name=jobs[0].name)
        await deletion.result(timeout=120)
        await client.transport.close()
        return states

    assert asyncio.run(use()) == [State.SUCCEEDED] * 20


def test_calls_attempts_and_tasks_are_counted() -> None:
    with Emulator(storage_port=None, logging_port=None) as fresh:
        channel = grpc.insecure_channel(fresh.environment["BATCH_EMULATOR_HOST"])
        client = batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel))
        job = run(client, job_of(script("exit 1"), max_retry_count=1, group={"task_count": 2}))
        with pytest.raises(exceptions.NotFound):
            client.get_task(name=f"{job.name}/taskGroups/group0/tasks/7")
        assert (fresh.counts["attempts"], fresh.counts["tasks"], fresh.counts["vms"]) == (4, 2, 4)
        assert {name: fresh.rpc_counts[name] for name in ("CreateJob", "GetTask")} == {"CreateJob": 1, "GetTask": 1}
        channel.close()
