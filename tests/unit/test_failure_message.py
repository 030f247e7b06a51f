"""How an ending is put, and where it says to look further."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.batch.error_hints import find_hint
from covalent_parallel_plugin.batch.failure_message import (
    LINE_CHARACTERS,
    TAIL_LINES,
    FailureContext,
    format_failure,
    job_address,
    logs_address,
)
from covalent_parallel_plugin.cli.doctor.results import error, on_emulator
from covalent_parallel_plugin.cloud.batch import Event, JobStatus, TaskStatus
from covalent_parallel_plugin.electron.call import Call
from covalent_parallel_plugin.settings import Settings
from covalent_parallel_plugin.settings.validators import project_id

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


def test_on_an_emulator_there_is_no_console_and_no_gcloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_EMULATOR_HOST", "127.0.0.1:9")
    text = format_failure(place(JOB, TASK), "was lost.")
    assert text.endswith(f"Job: {JOB_NAME} on the emulator at 127.0.0.1:9")
    assert "console" not in text and "Logs:" not in text


@pytest.mark.parametrize(
    "text", ["CODE_MACHINE_TYPE_NOT_FOUND", "SERVICE_DISABLED", "CODE_GCE_QUOTA_EXCEEDED", "PERMISSION_DENIED"]
)
def test_the_remedies_on_an_emulator_are_its_own(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    google = find_hint(text)
    monkeypatch.setenv("BATCH_EMULATOR_HOST", "127.0.0.1:9")
    local = find_hint(text)
    assert google is not None and local is not None and google.meaning == local.meaning
    assert local.remedy and "gcloud" not in local.remedy and "console" not in local.remedy


def test_a_project_that_is_none_is_refused_on_an_emulator_without_gcloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_EMULATOR_HOST", "127.0.0.1:9")
    with pytest.raises(ValueError, match="my-project-123") as caught:
        project_id("My Project")
    assert "gcloud" not in str(caught.value)


@pytest.mark.parametrize(
    ("remedy", "told"),
    [
        ("gcloud services enable batch.googleapis.com", "change the emulator's --known file"),
        ("set machine_type to one of: gcloud compute machine-types list", "set machine_type to another one, or change"),
        ("set bucket_name", "set bucket_name"),
    ],
)
def test_doctors_remedies_on_an_emulator_are_its_own(remedy: str, told: str) -> None:
    shown = on_emulator(error("wrong", remedy)).remedy
    assert shown.startswith(told) and "gcloud" not in shown
