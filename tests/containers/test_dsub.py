"""dsub, unchanged from the package index, with its provider google-batch on the emulator, in containers.

Two things are the tests' own: `emulator_site/sitecustomize.py`, since dsub has no option for an endpoint, and, as
`gcloud` in the image of DSUB_CLOUD_SDK_IMAGE, `gcloud_program.py`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import do_without
from container_jobs import SECONDS, bucket_of, containers_of, waited
from program_environments import NotInstalled, program_environment

from covalent_parallel_plugin.emulator import ContainerRuntime, Emulator

pytestmark = pytest.mark.containers

HERE = Path(__file__).parent
PAGE = (HERE.parents[1] / "docs" / "how-to" / "other-programs.md").read_text()
WHERE = ("--provider", "google-batch", "--project", "local", "--location", "us-central1")


def job_of(ended: subprocess.CompletedProcess[str]) -> str:
    """The last line of what `dsub` prints, however the job ended."""
    return ended.stdout.strip().splitlines()[-1]


def page_block(start: str) -> str:
    """The lines of the first code of the page that begins with this."""
    block, *_ = re.findall(rf"^( *){re.escape(start)}(.*\n(?:(?!```)\1.+\n)*)", PAGE, re.M)
    return start + block[1].replace(f"\n{block[0]}", "\n")


class Dsub:
    """dsub's three programs, in a folder, with this emulator and these images."""

    def __init__(self, programs: Path, folder: Path, environment: dict[str, str], image: str) -> None:
        self._programs = programs
        self._folder = folder
        self._environment = environment
        self._image = image

    def submit(self, *words: str, command: str) -> subprocess.CompletedProcess[str]:
        """Run `dsub`."""
        own = ("--image", self._image, "--logging", "gs://data/logs/", "--poll-interval", "1", "--log-interval", "1s")
        return self._run("dsub", *own, "--command", command, *words)

    def job(self, *words: str, command: str) -> str:
        """Submit a job without waiting for it; return its id."""
        submitted = self.submit(*words, command=command)
        assert submitted.returncode == 0, submitted.stderr
        return job_of(submitted)

    def statuses(self, job: str) -> list[dict[str, Any]]:
        """Return what `dstat` knows of a job's tasks."""
        ended = self._run("dstat", "--jobs", job, "--users", "*", "--status", "*", "--full", "--format", "json")
        assert ended.returncode == 0, ended.stderr
        found: list[dict[str, Any]] = json.loads(ended.stdout)
        return found

    def status(self, job: str) -> str:
        """Return the status of a job's only task."""
        (task,) = self.statuses(job)
        return str(task["status"])

    def delete(self, job: str) -> subprocess.CompletedProcess[str]:
        """Run `ddel`."""
        return self._run("ddel", "--jobs", job, "--users", "*")

    def run_line(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line of a shell, where these programs are found."""
        path = f"{self._programs}{os.pathsep}{os.environ['PATH']}"
        return self._run_words(["sh", "-c", line], PATH=path)

    def _run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        return self._run_words([str(self._programs / program), *WHERE, *words])

    def _run_words(self, words: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self._folder,
            env={**self._environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )


@pytest.fixture(scope="module")
def programs() -> Path:
    """The folder of dsub's programs."""
    try:
        return program_environment("dsub==0.5.6") / "bin"
    except NotInstalled as error:
        do_without(f"dsub cannot be installed: {error}")
        raise


@pytest.fixture(scope="module")
def cloud_sdk_image(engine: str, image: str, names: Callable[[str], str]) -> str:
    """An image with the tests' own program as `gcloud`."""
    name = names("cloud-sdk")
    built = subprocess.run(
        [engine, "build", "--quiet", f"--tag={name}", "--file=-", str(HERE)],
        input=page_block("FROM "),
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert built.returncode == 0, built.stderr
    return name


@pytest.fixture
def dsub(programs: Path, cloud_sdk_image: str, image: str, emulator: Emulator, tmp_path: Path) -> Dsub:
    own = {
        "PYTHONPATH": str(HERE / "emulator_site"),
        "DSUB_CLOUD_SDK_IMAGE": cloud_sdk_image,
        **emulator.environment,
    }
    return Dsub(programs, tmp_path, {**os.environ, **own}, image)


def object_text(emulator: Emulator, name: str) -> str:
    return str(bucket_of(emulator, "data").blob(name).download_as_text())


def test_a_job_with_input_and_output_runs_to_its_end(dsub: Dsub, emulator: Emulator) -> None:
    bucket_of(emulator, "data").blob("one/in.txt").upload_from_string("b\na\n")
    ended = dsub.submit(
        *("--name", "sorting", "--input", "IN=gs://data/one/in.txt", "--output", "OUT=gs://data/one/out.txt"),
        *("--env", "WHO=dsub", "--label", "kind=test", "--wait"),
        command='sort "${IN}" > "${OUT}"; echo "sorted by ${WHO}"; echo aside >&2',
    )
    assert ended.returncode == 0, ended.stderr
    job = job_of(ended)
    assert object_text(emulator, "one/out.txt") == "a\nb\n"
    (task,) = dsub.statuses(job)
    assert (task["status"], task["job-name"], task["labels"]) == ("SUCCESS", "sorting", {"kind": "test"})
    assert [event["name"] for event in task["events"]][-3:] == ["scheduled", "start", "ok"]


def test_the_pages_command_runs_as_it_stands(dsub: Dsub, emulator: Emulator) -> None:
    bucket_of(emulator, "data").blob("in.txt").upload_from_string("b\na\n")
    ended = dsub.run_line(page_block("dsub "))
    assert ended.returncode == 0, ended.stderr
    assert object_text(emulator, "out.txt") == "a\nb\n"


def test_what_a_job_printed_is_where_its_logging_says(dsub: Dsub, emulator: Emulator) -> None:
    job = dsub.job("--wait", command="echo to the output; echo to the errors >&2")
    assert object_text(emulator, f"logs/{job}-stdout.log") == "to the output\n"
    assert object_text(emulator, f"logs/{job}-stderr.log") == "to the errors\n"
    log = object_text(emulator, f"logs/{job}.log")
    assert re.search(r"^\[batch_task_logs\].* INFO: \[task_id:task/[^,]*,runnable_index:3] to the output$", log, re.M)


def test_a_job_that_fails_is_failure_and_so_is_the_command_that_waits(dsub: Dsub, emulator: Emulator) -> None:
    # so that only the last runnable, which always runs, can copy what the failed one wrote
    rarely = ("--log-interval", "600s")
    command = "echo gone wrong >&2; exit 3"
    ended = dsub.submit(*rarely, "--output", "OUT=gs://data/failed/out.txt", "--wait", command=command)
    assert ended.returncode == 1, ended.stdout
    job = job_of(ended)
    assert dsub.status(job) == "FAILURE"
    assert object_text(emulator, f"logs/{job}-stderr.log") == "gone wrong\n"
    assert not bucket_of(emulator, "data").blob("failed/out.txt").exists()


def test_patterns_and_folders_come_and_go(dsub: Dsub, emulator: Emulator) -> None:
    bucket = bucket_of(emulator, "data")
    for name in ("many/a.txt", "many/b.txt", "tree/x", "tree/deep/y"):
        bucket.blob(name).upload_from_string(f"{name}\n")
    dsub.job(
        *("--input", "TEXTS=gs://data/many/*.txt", "--output", "COPIES=gs://data/copies/*.copy"),
        *("--input-recursive", "TREE=gs://data/tree", "--output-recursive", "OTHER=gs://data/other", "--wait"),
        command='for f in ${TEXTS}; do cp "$f" "$(dirname "${COPIES}")/$(basename "$f").copy"; done;'
        ' cp -r "${TREE}/." "${OTHER}"',
    )
    found = {name: object_text(emulator, name) for name in names_below(emulator, "copies/", "other/")}
    assert found == {
        "copies/a.txt.copy": "many/a.txt\n",
        "copies/b.txt.copy": "many/b.txt\n",
        "other/deep/y": "tree/deep/y\n",
        "other/x": "tree/x\n",
    }


def names_below(emulator: Emulator, *prefixes: str) -> list[str]:
    bucket = bucket_of(emulator, "data")
    return [blob.name for prefix in prefixes for blob in bucket.client.list_blobs(bucket, prefix=prefix)]


def test_each_row_of_a_table_is_a_task_of_the_job(dsub: Dsub, emulator: Emulator, tmp_path: Path) -> None:
    rows = ["--env WHO\t--output OUT", "ann\tgs://data/rows/ann.txt", "bob\tgs://data/rows/bob.txt"]
    (tmp_path / "table.tsv").write_text("\n".join(rows) + "\n")
    job = dsub.job("--tasks", "table.tsv", "--wait", command='echo "hello ${WHO}" > "${OUT}"')
    assert sorted((task["task-id"], task["status"]) for task in dsub.statuses(job)) == [
        ("1", "SUCCESS"),
        ("2", "SUCCESS"),
    ]
    assert object_text(emulator, "rows/bob.txt") == "hello bob\n"


def test_ddel_ends_a_job_and_leaves_no_container(dsub: Dsub, runtime: ContainerRuntime) -> None:
    job = dsub.job(command="sleep 600")
    waited(lambda: len(containers_of(runtime)), lambda count: count >= 2)
    assert dsub.status(job) == "RUNNING"
    deleted = dsub.delete(job)
    assert (deleted.returncode, deleted.stdout.splitlines()[-1]) == (0, "1 job deleted"), deleted
    waited(lambda: dsub.status(job), lambda status: status == "CANCELED")
    assert containers_of(runtime) == []


def test_a_second_run_skips_what_has_its_outputs(dsub: Dsub, emulator: Emulator) -> None:
    bucket_of(emulator, "data").blob("there/out.txt").upload_from_string("there\n")
    ended = dsub.submit("--output", "OUT=gs://data/there/out.txt", "--skip", "--wait", command="false")
    assert (ended.returncode, job_of(ended)) == (0, "NO_JOB"), ended.stderr
