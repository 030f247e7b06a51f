"""Jobs in the form of a sweep's: a container that prepares the machine, then one that uses what it prepared."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from conftest import SECRET
from container_jobs import PARENT, ContainerJobs, container_jobs, volumes_of, waited
from google.cloud import batch_v1

from covalent_parallel_plugin.emulator import ContainerRuntime, Emulator, Fault, Faults, VmModel

pytestmark = pytest.mark.containers

PREPARE = """
exec 9>/mnt/shared/lock; flock 9
[ -e /mnt/shared/tool ] && exit 0
printf '#!/bin/sh\\necho "by the tool: $(id -u) $OWN $TOKEN [$LD_PRELOAD] $TMPDIR" "$@"\\n' > /mnt/shared/tool.part
chmod 755 /mnt/shared/tool.part; mv /mnt/shared/tool.part /mnt/shared/tool
chmod 1777 /mnt/tasks
echo prepared
"""


def job(image: str, tasks: int, per_vm: int, retries: int = 0, arguments: tuple[str, ...] = ("one",)) -> batch_v1.Job:
    prepare = batch_v1.Runnable(
        container=batch_v1.Runnable.Container(
            image_uri=image,
            entrypoint="sh",
            commands=["-c", PREPARE],
            volumes=["shared:/mnt/shared", "tasks:/mnt/tasks"],
        ),
        environment=batch_v1.Environment(variables={"TMPDIR": "/mnt/shared", "OWN": "prepare"}),
    )
    program = batch_v1.Runnable(
        container=batch_v1.Runnable.Container(
            image_uri=image,
            entrypoint="/mnt/shared/tool",
            commands=list(arguments),
            volumes=["shared:/mnt/shared:ro", "tasks:/mnt/tasks"],
            options="--user 0 --workdir /mnt/tasks",
        )
    )
    variables = {"OWN": "all", "LD_PRELOAD": ""}
    spec = batch_v1.TaskSpec(
        runnables=[prepare, program],
        environment=batch_v1.Environment(variables=variables, secret_variables={"TOKEN": SECRET}),
        max_retry_count=retries,
    )
    group = batch_v1.TaskGroup(task_spec=spec, task_count=tasks, parallelism=tasks, task_count_per_node=per_vm)
    logs = batch_v1.LogsPolicy(destination="CLOUD_LOGGING")
    return batch_v1.Job(task_groups=[group], logs_policy=logs)


@pytest.fixture
def machines(image: str, runtime: ContainerRuntime) -> Iterator[tuple[ContainerJobs, Emulator]]:
    with ExitStack() as stack:
        emulator = stack.enter_context(
            Emulator(
                runtime=ContainerRuntime(runtime.engine.name),
                secrets={SECRET: "s3cret"},
                tasks_at_once=2,
                machines=VmModel(vms=2),
                faults=Faults((Fault("attempt.preempt", task=0, attempt=0, before_run=True, job="struck"),)),
            )
        )
        yield stack.enter_context(container_jobs(emulator, image)), emulator


def ran(jobs: ContainerJobs, made: batch_v1.Job, job_id: str = "") -> list[str]:
    found = jobs.wait(jobs.client.create_job(parent=PARENT, job=made, job_id=job_id))
    assert found.status.state.name == "SUCCEEDED", jobs.output(found)
    return jobs.output(found)


def test_a_machine_is_prepared_once_for_all_tasks_that_it_gets(
    machines: tuple[ContainerJobs, Emulator], image: str
) -> None:
    jobs, emulator = machines
    lines = ran(jobs, job(image, tasks=6, per_vm=2))
    assert lines.count("prepared") == emulator.counts["vms"] == 2
    assert lines.count("by the tool: 0 all s3cret []  one") == 6


def test_a_machine_in_place_of_one_that_was_taken_away_is_prepared_anew(
    machines: tuple[ContainerJobs, Emulator], image: str
) -> None:
    jobs, emulator = machines
    lines = ran(jobs, job(image, tasks=1, per_vm=1, retries=1), "struck")
    assert emulator.counts["vms"] == 2
    assert lines == ["prepared", "by the tool: 0 all s3cret []  one"]


def test_volumes_with_a_name_are_read_only_where_the_job_says_so_and_go_with_it(
    emulator: Emulator, image: str, runtime: ContainerRuntime
) -> None:
    with container_jobs(emulator, image) as jobs:
        made = job(image, tasks=2, per_vm=2)
        made.task_groups[0].task_spec.runnables[1].container.entrypoint = "sh"
        made.task_groups[0].task_spec.runnables[1].container.commands = [
            "-c",
            "touch /mnt/shared/x || touch /mnt/tasks/$BATCH_TASK_INDEX && pwd",
        ]
        lines = ran(jobs, made)
        assert lines.count("/mnt/tasks") == 2 and sum("Read-only file system" in line for line in lines) == 2
        assert waited(lambda: volumes_of(runtime), lambda names: not names) == []


def test_a_container_of_any_user_is_told_of_its_machine(machines: tuple[ContainerJobs, Emulator], image: str) -> None:
    jobs, _ = machines
    code = (
        "import os, urllib.request as u; print(u.urlopen(u.Request('http://' + os.environ['GCE_METADATA_HOST'] +"
        " '/computeMetadata/v1/instance/name', headers={'Metadata-Flavor': 'Google'})).read().decode())"
    )
    state, lines = jobs.run(entrypoint="python3", commands=["-c", code], options="--user 4711")
    assert state == "SUCCEEDED" and lines[0].endswith("-group0-0-0000")
