"""How an ending is put, and where it says to look further."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.batch.failure_message import (
    LINE_CHARACTERS,
    TAIL_LINES,
    FailureContext,
    format_failure,
    job_address,
    logs_address,
)
from covalent_parallel_plugin.cloud.batch import Event, JobStatus, TaskStatus
from covalent_parallel_plugin.electron.call import Call
from covalent_parallel_plugin.settings import Settings

CALL = Call("d", 7, "train", "3.11.7", "0.240.0")
SETTINGS = Settings(bucket_name="some-bucket", project_id="example.com:my-project", region="europe-west4")
JOB_NAME = "projects/my-project/locations/europe-west4/jobs/covalent-d-7"
JOB = JobStatus(JOB_NAME, "uid-1", "FAILED", events=[Event("job, early", 1.0), Event("job, late", 2.0)])
TASK = TaskStatus(0, "FAILED", [Event("task, early", 1.0), Event("task, late", 1.5)])


def place(job: JobStatus | None = None, task: TaskStatus | None = None) -> FailureContext:
    return FailureContext(CALL, SETTINGS, JOB_NAME, job, task)


def test_a_whole_message_names_everything_in_a_fixed_order() -> None:
    assert format_failure(place(JOB, TASK), "was lost.", "Raise `retries`.", "one\ntwo\n") == "\n".join(
        [
            "electron 'train' (node 7 of dispatch d) was lost. Raise `retries`.",
            'Batch says: "task, late"',
            "Last lines of its output:",
            "  one",
            "  two",
            f"Job: {job_address(SETTINGS, JOB_NAME)}",
            f"Logs: {logs_address(SETTINGS, 'uid-1')}",
        ]
    )


def test_a_message_without_remedy_events_and_output_has_no_empty_lines() -> None:
    assert format_failure(place(), "was lost.").splitlines() == [
        "electron 'train' (node 7 of dispatch d) was lost.",
        f"Job: {job_address(SETTINGS, JOB_NAME)}",
    ]


@pytest.mark.parametrize(
    ("job", "task", "last"),
    [
        (None, None, ""),
        (JOB, None, "job, late"),
        (JOB, TASK, "task, late"),
        (None, TASK, "task, late"),
        (JOB, TaskStatus(0, "FAILED"), "job, late"),
    ],
)
def test_the_tasks_own_last_event_goes_before_the_jobs(
    job: JobStatus | None, task: TaskStatus | None, last: str
) -> None:
    assert place(job, task).last_event == last


@pytest.mark.parametrize("count", [0, 1, TAIL_LINES, TAIL_LINES + 1, 1000])
def test_the_last_twenty_lines_are_shown_and_no_more(count: int) -> None:
    lines = [f"<{number}>" for number in range(count)]
    for text in (format_failure(place(), "x", output="\n".join(lines)), format_failure(place(), "x", lines=lines)):
        shown = [line.strip() for line in text.splitlines() if line.startswith("  ")]
        assert shown == lines[-TAIL_LINES:]
        assert len(shown) <= 20


def test_output_goes_before_the_logs_lines() -> None:
    assert "logged" not in format_failure(place(), "x", output="printed", lines=["logged"])


def test_a_line_that_is_megabytes_long_is_cut() -> None:
    assert len(format_failure(place(JOB), "x", output="y" * 2**21)) < 2 * LINE_CHARACTERS


@given(st.text(), st.lists(st.text()), st.text())
def test_no_text_of_the_electrons_or_batchs_breaks_a_message(output: str, lines: list[str], event: str) -> None:
    job = JobStatus(JOB_NAME, "uid-1", "FAILED", events=[Event(event, 1.0)])
    text = format_failure(place(job), "x", output=output, lines=lines)
    assert text.startswith("electron 'train'")
    assert text.endswith(logs_address(SETTINGS, "uid-1"))


def test_the_addresses_are_the_consoles_own_pages() -> None:
    page = urlsplit(job_address(SETTINGS, JOB_NAME))
    assert (page.scheme, page.netloc) == ("https", "console.cloud.google.com")
    assert page.path == "/batch/jobsDetail/regions/europe-west4/jobs/covalent-d-7/details"
    assert page.query == "project=example.com:my-project"


@pytest.mark.parametrize("uid", ["uid-1", 'x"&?#/ \n'])
def test_the_logs_address_asks_for_this_job_whatever_its_uid(uid: str) -> None:
    page = urlsplit(logs_address(SETTINGS, uid))
    assert (page.netloc, page.query) == ("console.cloud.google.com", "project=example.com:my-project")
    assert unquote(page.path) == f'/logs/query;query=labels.job_uid="{uid}"'
