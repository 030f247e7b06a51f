"""Behaviours that the samples of Batch's documentation rely on, for jobs that need no containers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_jobs import PARENT, BatchJobs, batch_jobs, output, run_json, script
from google.api_core import exceptions
from google.cloud import batch_v1

from covalent_parallel_plugin.emulator import Emulator, Timing
from covalent_parallel_plugin.emulator.model.log_store import SEVERITIES


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator(timing=Timing(0.0, 0.0)) as running:
        yield running


@pytest.fixture
def jobs(emulator: Emulator) -> Iterator[BatchJobs]:
    with batch_jobs(emulator) as made:
        yield made


def run(jobs: BatchJobs, text: str, tasks: int = 1, **group: object) -> batch_v1.Job:
    """Run a job as the samples write one: JSON, with one script."""
    spec = {"runnables": [{"script": {"text": text}}]}
    job = {
        "taskGroups": [{"taskCount": tasks, "taskSpec": spec, **group}],
        "logsPolicy": {"destination": "CLOUD_LOGGING"},
    }
    return jobs.wait(jobs.client.create_job(parent=PARENT, job=batch_v1.Job.from_json(json.dumps(job))))


def test_a_job_that_requires_a_hosts_file_has_one_with_a_line_for_each_machine(
    jobs: BatchJobs, emulator: Emulator
) -> None:
    job = run(jobs, 'test -s "$BATCH_HOSTS_FILE" && cat "$BATCH_HOSTS_FILE"', tasks=2, requireHostsFile=True)
    assert job.status.state.name == "SUCCEEDED"
    assert output(emulator, job) == ["127.0.0.1"] * 2


def test_other_jobs_have_no_hosts_file(jobs: BatchJobs) -> None:
    assert run(jobs, 'test -z "${BATCH_HOSTS_FILE+set}"').status.state.name == "SUCCEEDED"


def test_a_structured_log_line_is_a_custom_status_event_of_its_task(jobs: BatchJobs) -> None:
    line = json.dumps({"batch/custom/event": "half of it is done", "severity": "NOTICE"})
    job = run(jobs, f"echo '{line}'")
    events = [event.description for event in jobs.task(job).status.status_events]
    assert events.count("half of it is done") == 1
    assert events.index("half of it is done") < len(events) - 1, "before the task's end"


def test_an_event_that_looks_like_an_error_fails_no_job(jobs: BatchJobs) -> None:
    line = json.dumps({"batch/custom/event": "not so good", "severity": "ERROR"})
    assert run(jobs, f"echo '{line}'").status.state.name == "SUCCEEDED"


HELLO = "echo Hello world! This is task ${BATCH_TASK_INDEX}. This job has a total of ${BATCH_TASK_COUNT} tasks."


def state(job: batch_v1.Job) -> str:
    return job.status.state.name


def refusal(jobs: BatchJobs, *runnables: dict[str, Any], **fields: Any) -> str:
    with pytest.raises(exceptions.InvalidArgument) as caught:
        jobs.create_from_json(*runnables, **fields)
    return str(caught.value)


def test_a_script_runs_in_each_of_four_tasks(jobs: BatchJobs, emulator: Emulator) -> None:
    resources = {"cpuMilli": "2000", "memoryMib": "16"}
    spec = {"computeResource": resources, "maxRetryCount": 2, "maxRunDuration": "3600s"}
    machine = {"allocationPolicy": {"instances": [{"policy": {"machineType": "e2-standard-4"}}]}}
    job = run_json(jobs, script(HELLO), spec=spec, job=machine, taskCount="4", parallelism="2")
    lines = [f"Hello world! This is task {index}. This job has a total of 4 tasks." for index in range(4)]
    assert (state(job), sorted(output(emulator, job))) == ("SUCCEEDED", lines)


def test_a_container_runs_its_entrypoint_with_its_commands(jobs: BatchJobs, emulator: Emulator) -> None:
    container = {"imageUri": "gcr.io/google-containers/busybox", "entrypoint": "/bin/sh", "commands": ["-c", HELLO]}
    job = run_json(jobs, {"container": container}, taskCount="2")
    assert state(job) == "SUCCEEDED" and len(output(emulator, job)) == 2


def test_a_script_is_run_from_its_path(jobs: BatchJobs, emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "script.sh"
    path.write_text("#!/bin/bash\necho from a file\n")
    path.chmod(0o755)
    assert output(emulator, run_json(jobs, {"script": {"path": str(path)}})) == ["from a file"]


@pytest.mark.parametrize(
    "volume",
    [
        {"gcs": {"remotePath": "bucket"}, "mountPath": "/mnt/disks/share"},
        {"nfs": {"server": "10.0.0.2", "remotePath": "/share"}, "mountPath": "/mnt/disks/share"},
        {"deviceName": "new-pd", "mountPath": "/mnt/disks/share", "mountOptions": ["rw", "async"]},
    ],
)
def test_volumes_are_refused_in_words_where_tasks_are_processes(
    jobs: BatchJobs, emulator: Emulator, volume: dict[str, Any]
) -> None:
    job = run_json(jobs, script("echo ran > /mnt/disks/share/x"), spec={"volumes": [volume]})
    (line,) = output(emulator, job)
    assert (state(job), jobs.exit_codes(job)) == ("FAILED", [125])
    assert "/mnt/disks/share cannot be mounted" in line and "--runtime podman or docker" in line


def test_a_job_with_gpus_runs_and_shows_them(jobs: BatchJobs) -> None:
    accelerator = {"type": "nvidia-tesla-t4", "count": "1"}
    instance = {"installGpuDrivers": True, "policy": {"machineType": "n1-standard-4", "accelerators": [accelerator]}}
    policy = {"instances": [instance], "location": {"allowedLocations": ["zones/us-east1-c"]}}
    job = run_json(jobs, script("exit 0"), job={"allocationPolicy": policy})
    shown = job.allocation_policy.instances[0]
    assert (state(job), shown.policy.accelerators[0].type_) == ("SUCCEEDED", "nvidia-tesla-t4")
    assert "zones/us-east1-c/instances/" in jobs.task(job).status.status_events[0].description


def test_a_job_of_an_instance_template_runs(jobs: BatchJobs) -> None:
    policy = {"instances": [{"instanceTemplate": "my-template"}]}
    job = run_json(jobs, script("exit 0"), job={"allocationPolicy": policy})
    assert (state(job), job.allocation_policy.instances[0].instance_template) == ("SUCCEEDED", "my-template")


def test_a_spot_job_of_a_service_account_and_network_keeps_its_policy(jobs: BatchJobs) -> None:
    network = "projects/science/global/networks/lab"
    interface = {"network": network, "subnetwork": "projects/science/regions/us-east1/subnetworks/lab"}
    policy = {
        "location": {"allowedLocations": ["regions/us-east1", "zones/us-east1-b"]},
        "instances": [{"policy": {"provisioningModel": "SPOT", "minCpuPlatform": "Intel Ice Lake", "bootDisk": {}}}],
        "serviceAccount": {"email": "runner@science.iam.gserviceaccount.com"},
        "network": {"networkInterfaces": [{**interface, "noExternalIpAddress": True}]},
        "tags": ["batch"],
    }
    shown = run_json(jobs, script("exit 0"), job={"allocationPolicy": policy}).allocation_policy
    assert shown.service_account.email == "runner@science.iam.gserviceaccount.com"
    assert shown.instances[0].policy.provisioning_model.name == "SPOT"
    assert shown.network.network_interfaces[0].network == network and list(shown.tags) == ["batch"]


def test_notifications_are_refused_in_words(jobs: BatchJobs) -> None:
    notification = {
        "pubsubTopic": "projects/science/topics/jobs",
        "message": {"type": "JOB_STATE_CHANGED", "newJobState": "SUCCEEDED"},
    }
    assert "publishes no notifications" in refusal(jobs, script("exit 0"), job={"notifications": [notification]})


def test_a_container_without_a_network_is_refused_in_words(jobs: BatchJobs) -> None:
    container = {"imageUri": "busybox", "commands": ["true"], "blockExternalNetwork": True}
    assert "blocks no network" in refusal(jobs, {"container": container})


def test_jobs_are_found_by_their_labels(jobs: BatchJobs) -> None:
    labels = {"department": "finance", "env": "testing"}
    job = run_json(jobs, script("exit 0", labels={"step": "only"}), job={"labels": labels})
    found = jobs.client.list_jobs({"parent": PARENT, "filter": 'labels.department="finance"'})
    assert [each.name for each in found] == [job.name]
    assert job.task_groups[0].task_spec.runnables[0].labels == {"step": "only"}


def test_display_names_describe_what_becomes_of_runnables_in_the_history(jobs: BatchJobs) -> None:
    steps = [
        script("exit 0", displayName="script 1"),
        {"barrier": {}, "displayName": "all are there"},
        script("exit 3", displayName="script 2", ignoreExitStatus=True),
    ]
    job = run_json(jobs, *steps, taskCount="2")
    for index in range(2):
        events = [(event.type_, event.description) for event in jobs.task(job, index).status.status_events]
        assert [text for kind, text in events if kind != "STATUS_CHANGED"] == [
            "Runnable 'script 1' started.",
            "Runnable 'script 1' finished with exit code 0.",
            "Barrier 'all are there' reached.",
            "Runnable 'script 2' started.",
            "Runnable 'script 2' finished with exit code 3.",
        ]
        assert events[-1][0] == "STATUS_CHANGED", "the task's end comes last"


def test_without_display_names_there_are_no_events_of_runnables(jobs: BatchJobs) -> None:
    job = run_json(jobs, script("exit 0"))
    assert {event.type_ for event in jobs.task(job).status.status_events} == {"STATUS_CHANGED"}


def test_variables_of_task_group_and_runnable_come_together(jobs: BatchJobs, emulator: Emulator) -> None:
    text = "echo $A $B $C $BATCH_TASK_INDEX"
    environments = [{"variables": {"B": "group0"}}, {"variables": {"B": "group1"}}]
    spec = {"environment": {"variables": {"A": "task", "B": "task", "C": "task"}}}
    step = script(text, environment={"variables": {"C": "runnable"}})
    job = run_json(jobs, step, spec=spec, taskEnvironments=environments)
    assert sorted(output(emulator, job)) == ["task group0 runnable 0", "task group1 runnable 1"]


def test_tasks_in_order_run_one_after_another(jobs: BatchJobs, emulator: Emulator) -> None:
    text = "echo begin $BATCH_TASK_INDEX; sleep 0.2; echo end $BATCH_TASK_INDEX"
    job = run_json(jobs, script(text), taskCount="3", parallelism="3", schedulingPolicy="IN_ORDER")
    assert output(emulator, job) == [f"{what} {index}" for index in range(3) for what in ("begin", "end")]
    steps = [{"barrier": {}}, script("exit 0")]
    assert "IN_ORDER" in refusal(jobs, *steps, taskCount="2", schedulingPolicy="IN_ORDER")


def test_the_log_has_both_streams_with_the_labels_of_the_task(jobs: BatchJobs, emulator: Emulator) -> None:
    job = run_json(jobs, script("echo out; echo err >&2"))
    records = [record for record in emulator.logs.records() if record.labels.get("job_uid") == job.uid]
    severities = {"out": SEVERITIES["INFO"], "err": SEVERITIES["ERROR"]}
    assert {record.text: record.severity for record in records} == severities
    assert {record.labels["task_id"] for record in records} == {f"{job.uid}-group0-0"}


def to_path(path: object) -> dict[str, Any]:
    return {"logsPolicy": {"destination": "PATH", "logsPath": str(path)}}


def test_logs_to_a_folder_are_three_files_for_each_task(jobs: BatchJobs, emulator: Emulator, tmp_path: Path) -> None:
    text = "echo out $BATCH_TASK_INDEX; echo err >&2"
    job = run_json(jobs, script("exit 0"), script(text), job=to_path(f"{tmp_path}/logs/"), taskCount="2")
    assert (state(job), output(emulator, job)) == ("SUCCEEDED", [])
    parts = ("output", "stdout", "stderr")
    names = {f"{part}-{job.uid}-group0-{index}.log" for part in parts for index in range(2)}
    assert {path.name for path in (tmp_path / "logs").iterdir()} == names
    line = (tmp_path / "logs" / f"stdout-{job.uid}-group0-1.log").read_text()
    task = f"task_id:task/{job.uid}-group0-1/0/0,runnable_index:1"
    assert re.fullmatch(rf"\[batch_task_logs\]\d{{4}}/\d\d/\d\d \d\d:\d\d:\d\d INFO: \[{task}\] out 1\n", line)
    assert len((tmp_path / "logs" / f"output-{job.uid}-group0-1.log").read_text().splitlines()) == 2


def test_a_task_that_is_tried_again_keeps_the_log_of_before(jobs: BatchJobs, tmp_path: Path) -> None:
    text = "echo attempt $BATCH_TASK_RETRY_ATTEMPT; exit $((1 - BATCH_TASK_RETRY_ATTEMPT))"
    run_json(jobs, script(text), job=to_path(tmp_path), spec={"maxRetryCount": 1})
    (log,) = tmp_path.glob("stdout-*.log")
    lines = [line.split("] ")[-1] for line in log.read_text().splitlines()]
    assert lines == ["attempt 0", "attempt 1"]


def test_logs_to_a_path_that_cannot_be_fail_the_task_and_its_history_says_so(jobs: BatchJobs, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    job = run_json(jobs, script("exit 0"), job=to_path(f"{tmp_path}/file/logs/"))
    texts = [event.description for event in jobs.task(job).status.status_events]
    assert (state(job), jobs.exit_codes(job)) == ("FAILED", [125])
    assert any(text.startswith(f"Logs cannot be written to {tmp_path}/file/logs/:") for text in texts)
