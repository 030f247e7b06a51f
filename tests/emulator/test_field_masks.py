"""Answers of which the caller wants some fields only, and lists long enough for several pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from batch_jobs import PARENT, BatchJobs, State, TaskState, batch_jobs, wait_until
from google.api_core import exceptions
from google.cloud import batch_v1

from covalent_parallel_plugin.emulator import Emulator, Timing


@pytest.fixture(scope="module")
def jobs() -> Iterator[BatchJobs]:
    with Emulator() as emulator, batch_jobs(emulator) as made:
        made.run("exit 0", "first", tasks=3, labels={"owner": "me", "kind": "test"})
        made.run("exit 1", "second")
        yield made


def get(jobs: BatchJobs, mask: str, name: str = "first") -> batch_v1.Job:
    return jobs.client.get_job(name=f"{PARENT}/jobs/{name}", metadata=[("x-goog-fieldmask", mask)])


def fields(message: object) -> set[str]:
    return {field.name for field, _ in type(message).pb(message).ListFields()}  # type: ignore[attr-defined]


def test_without_a_mask_and_with_a_star_all_is_there(jobs: BatchJobs) -> None:
    whole = jobs.client.get_job(name=f"{PARENT}/jobs/first")
    assert get(jobs, "*") == get(jobs, "") == whole
    assert {
        "name",
        "uid",
        "task_groups",
        "allocation_policy",
        "labels",
        "status",
        "create_time",
        "update_time",
    } <= fields(whole)


def test_only_the_fields_of_the_mask_are_there(jobs: BatchJobs) -> None:
    job = get(jobs, "name,uid,status,labels,create_time")
    assert fields(job) == {"name", "uid", "status", "labels", "create_time"}
    assert job.status == jobs.client.get_job(name=f"{PARENT}/jobs/first").status


def test_names_may_be_those_of_json(jobs: BatchJobs) -> None:
    assert get(jobs, "createTime,taskGroups.taskCount") == get(jobs, "create_time,task_groups.task_count")


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("status.state", {"state"}),
        ("status.state,status.run_duration", {"state", "run_duration"}),
        ("status.task_groups", {"task_groups"}),
        ("status.state,status", {"state", "status_events", "run_duration", "task_groups"}),
        ("status,status.state", {"state", "status_events", "run_duration", "task_groups"}),
        ("status.*", {"state", "status_events", "run_duration", "task_groups"}),
    ],
)
def test_a_path_leads_into_a_message(jobs: BatchJobs, mask: str, expected: set[str]) -> None:
    job = get(jobs, mask)
    assert (fields(job), fields(job.status)) == ({"status"}, expected)


def test_a_path_leads_into_maps_by_key_and_through_lists(jobs: BatchJobs) -> None:
    job = get(jobs, "labels.owner,status.task_groups.group0.counts,task_groups.task_count,status.status_events.*.type")
    assert dict(job.labels) == {"owner": "me"}
    assert dict(job.status.task_groups["group0"].counts) == {"SUCCEEDED": 3}
    assert fields(job.task_groups[0]) == {"task_count"}
    assert {event.type_ for event in job.status.status_events} == {"STATUS_CHANGED"}
    assert not any(event.description for event in job.status.status_events)


def test_a_mask_of_a_list_names_the_lists_fields(jobs: BatchJobs) -> None:
    request = batch_v1.ListJobsRequest(parent=PARENT, page_size=1)
    metadata = [("x-goog-fieldmask", "jobs.name,jobs.status.state,next_page_token")]
    listed = list(jobs.client.list_jobs(request, metadata=metadata))
    assert [(job.name, job.status.state) for job in listed] == [
        (f"{PARENT}/jobs/first", State.SUCCEEDED),
        (f"{PARENT}/jobs/second", State.FAILED),
    ]
    assert all(fields(job) == {"name", "status"} for job in listed)


def test_a_list_without_its_token_is_what_was_asked_for(jobs: BatchJobs) -> None:
    request = batch_v1.ListJobsRequest(parent=PARENT, page_size=1)
    pages = list(jobs.client.list_jobs(request, metadata=[("x-goog-fieldmask", "jobs.name")]).pages)
    assert len(pages) == 1 and pages[0].next_page_token == ""


@pytest.mark.parametrize(
    "mask", ["nothing", "name,", "status.nothing", "name.more", "*.name", "jobs.name", "name, uid"]
)
def test_a_bad_path_is_refused_and_named(jobs: BatchJobs, mask: str) -> None:
    with pytest.raises(exceptions.InvalidArgument, match="x-goog-fieldmask"):
        get(jobs, mask)


def test_an_answer_follows_the_jobs_changes(jobs: BatchJobs) -> None:
    job = jobs.create("exit 0", tasks=2)
    seen = set()
    while (now := get(jobs, "status.state", job.name.rpartition("/")[2])).status.state != State.SUCCEEDED:
        seen.add(now.status.state)
        assert seen <= {State.QUEUED, State.SCHEDULED, State.RUNNING}
    whole = jobs.get(job)
    assert (whole.status.state, whole.task_groups[0].task_count) == (State.SUCCEEDED, 2)
    assert whole.update_time >= whole.create_time and len(whole.status.status_events) == 3


def test_a_tasks_answer_follows_its_changes(jobs: BatchJobs, tmp_path: Path) -> None:
    job = jobs.create(f"while [ ! -e {tmp_path}/go ]; do sleep 0.02; done")
    wait_until(lambda: jobs.task(job).status.state == TaskState.RUNNING if jobs.tasks(job) else False)
    assert [task.status.state for task in jobs.tasks(job)] == [TaskState.RUNNING]
    (tmp_path / "go").touch()
    jobs.wait(job)
    assert jobs.task(job).status.state == jobs.tasks(job)[0].status.state == TaskState.SUCCEEDED


def test_all_jobs_are_in_the_pages_once_and_in_order() -> None:
    with Emulator(timing=Timing(queue_seconds=600)) as emulator, batch_jobs(emulator) as jobs:
        made = [jobs.create(labels={"third": "yes"} if number % 3 == 0 else {}).name for number in range(250)]
        request = batch_v1.ListJobsRequest(parent=PARENT, page_size=40)
        assert [job.name for job in jobs.client.list_jobs(request)] == made
        request.filter = 'labels."third"="yes"'
        assert [job.name for job in jobs.client.list_jobs(request)] == made[::3]


def test_all_tasks_are_in_the_pages_once_and_in_order() -> None:
    with Emulator(timing=Timing(queue_seconds=0, schedule_seconds=600)) as emulator, batch_jobs(emulator) as jobs:
        job = jobs.wait(jobs.create(tasks=2500), lambda job: job.status.state == State.SCHEDULED)
        request = batch_v1.ListTasksRequest(parent=f"{job.name}/taskGroups/group0", page_size=1000)
        pages = list(jobs.client.list_tasks(request).pages)
    assert [len(page.tasks) for page in pages] == [1000, 1000, 500]
    names = [task.name.rpartition("/")[2] for page in pages for task in page.tasks]
    assert names == [str(index) for index in range(2500)]
