"""snakemake, unchanged from the package index, with its executor googlebatch on the emulator, in containers.

Packages, image and command are those of docs/how-to/other-programs.md. One thing is the tests' own, as the page says
too: `emulator_site/sitecustomize.py`, since the executor has no option for an endpoint.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from conftest import do_without
from container_jobs import SECONDS, bucket_of, containers_of, waited
from google.cloud import batch_v1
from google.cloud.batch_v1.services.batch_service.transports import BatchServiceGrpcTransport
from outer_pip import outer_pip
from program_environments import NotInstalled, program_environment

from covalent_parallel_plugin.emulator import ContainerRuntime, Emulator

pytestmark = [
    pytest.mark.containers,
    pytest.mark.skipif(sys.version_info < (3, 11), reason="snakemake 9 needs Python 3.11"),
]

HERE = Path(__file__).parent
PARENT = "projects/local/locations/us-central1"
PAGE = (HERE.parents[1] / "docs" / "how-to" / "other-programs.md").read_text()
(SECTION,) = re.findall(r"^## Snakemake\n(.+?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
(REQUIREMENTS,) = re.findall(r"^pip install (.+)$", SECTION, re.MULTILINE)
(DOCKERFILE,) = re.findall(r"^```dockerfile\n(.+?)^```$", SECTION, re.MULTILINE | re.DOTALL)
(COMMAND,) = re.findall(r"^snakemake (.+?[^\\])$", SECTION, re.MULTILINE | re.DOTALL)
IMAGE, PREFIX = "localhost/snakemake", "gs://data/flow"
TWO_RULES = """
rule all:
    input: "out/count.txt"

rule sort:
    input: "in/words.txt"
    output: "out/sorted.txt"
    shell: "sort {input} > {output}; echo sorted >&2"

rule count:
    input: "out/sorted.txt"
    output: "out/count.txt"
    shell: "wc -l < {input} > {output}"
"""
ONE_RULE = """
rule only:
    output: "out/only.txt"
    shell: "echo the rule began >&2; %s"
"""


class Snakemake:
    """`snakemake` in a folder and with a prefix of its own in the bucket `data`."""

    def __init__(self, program: Path, image: str, folder: Path, emulator: Emulator) -> None:
        self._emulator = emulator
        self._program = program
        self._image = image
        self._folder = folder
        self._prefix = f"flow-{uuid.uuid4().hex[:8]}"

    def start(self, snakefile: str, *words: str) -> subprocess.Popen[str]:
        """Start a workflow; it writes all that it says to its output."""
        (self._folder / "Snakefile").write_text(snakefile)
        names = {IMAGE: self._image, PREFIX: f"gs://data/{self._prefix}"}
        given = [names.get(word, word) for word in shlex.split(COMMAND.replace("\\\n", ""))]
        return subprocess.Popen(
            [str(self._program), *given, *words],
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": str(HERE / "emulator_site"), **self._emulator.environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, snakefile: str, *words: str) -> tuple[int, str]:
        """Run a workflow; return its exit status and what it said."""
        with self.start(snakefile, *words) as running:
            return ended(running)

    def write(self, name: str, text: str) -> None:
        """Write an input."""
        bucket_of(self._emulator, "data").blob(f"{self._prefix}/{name}").upload_from_string(text)

    def files(self) -> dict[str, str]:
        """Return the text of each object of the workflow."""
        bucket = bucket_of(self._emulator, "data")
        found = bucket.client.list_blobs(bucket, prefix=f"{self._prefix}/")
        return {blob.name.removeprefix(f"{self._prefix}/"): blob.download_as_text() for blob in found}

    def log(self, rule: str) -> str:
        """Return what snakemake kept of a rule's log."""
        return (self._folder / ".snakemake" / "googlebatch_logs" / f"{rule}.log").read_text()


def ended(running: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for the end of a workflow; return its exit status and what it said."""
    try:
        output, _ = running.communicate(timeout=2 * SECONDS)
    finally:
        running.kill()
    return running.returncode, output


@pytest.fixture(scope="module")
def program() -> Path:
    """The program `snakemake`."""
    try:
        return program_environment(*REQUIREMENTS.split()) / "bin" / "snakemake"
    except NotInstalled as error:
        do_without(f"snakemake cannot be installed: {error}")
        raise


@pytest.fixture(scope="module")
def snakemake_image(
    engine: str, image: str, names: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The image of the page, from what has the name of Docker's official one."""
    assert f"FROM {image}\n" in DOCKERFILE
    conf, volumes = outer_pip(tmp_path_factory.mktemp("pip"))
    seen = [f"--volume={volume}" for volume in (*volumes, f"{conf}:/etc/pip.conf:ro")]
    name = names("snakemake")
    built = subprocess.run(
        [engine, "build", "--quiet", "--network=host", *seen, f"--tag={name}", "-"],
        input=DOCKERFILE,
        capture_output=True,
        text=True,
        timeout=2 * SECONDS,
    )
    if built.returncode != 0:
        do_without(f"snakemake cannot be installed into an image: {built.stderr[-2000:]}")
    return name


@pytest.fixture
def snakemake(program: Path, snakemake_image: str, emulator: Emulator, tmp_path: Path) -> Snakemake:
    return Snakemake(program, snakemake_image, tmp_path, emulator)


@pytest.fixture
def job_states(emulator: Emulator) -> Iterator[Callable[[], dict[str, str]]]:
    """What asks for the states of this test's jobs, by the rule that each is for."""
    with grpc.insecure_channel(emulator.environment["BATCH_EMULATOR_HOST"]) as channel:
        client = batch_v1.BatchServiceClient(transport=BatchServiceGrpcTransport(channel=channel))
        before = {job.name for job in client.list_jobs(parent=PARENT)}
        yield lambda: {
            job.labels["snakemake-job"]: job.status.state.name
            for job in client.list_jobs(parent=PARENT)
            if job.name not in before
        }


def test_a_workflow_of_two_rules_runs_to_its_end(
    snakemake: Snakemake, runtime: ContainerRuntime, job_states: Callable[[], dict[str, str]]
) -> None:
    snakemake.write("in/words.txt", "b\nc\na\n")
    status, output = snakemake.run(TWO_RULES)
    assert status == 0, output
    assert snakemake.files() == {"in/words.txt": "b\nc\na\n", "out/sorted.txt": "a\nb\nc\n", "out/count.txt": "3\n"}
    assert job_states() == {"sort": "SUCCEEDED", "count": "SUCCEEDED"}
    assert re.search("^sorted$", snakemake.log("sort"), re.MULTILINE), snakemake.log("sort")
    assert containers_of(runtime) == []
    # what is there and newer than its inputs is not made again
    status, output = snakemake.run(TWO_RULES)
    assert (status, "Nothing to be done" in output) == (0, True), output


# Without `set -e` the last that a rule's container does is to install a package, whose status is the container's then
@pytest.mark.parametrize(
    ("words", "state", "report"),
    [
        ((), "FAILED", r"Google Batch job '.*/jobs/only-\w+' failed"),
        (("--precommand", ""), "SUCCEEDED", r"gs://data/flow-\w+/out/only.txt \(missing in storage\)"),
    ],
    ids=["with set -e", "without"],
)
def test_a_rule_that_fails_is_reported_with_its_log(
    snakemake: Snakemake,
    job_states: Callable[[], dict[str, str]],
    words: tuple[str, ...],
    state: str,
    report: str,
) -> None:
    status, output = snakemake.run(ONE_RULE % "exit 3", "--googlebatch-retry-count", "0", *words)
    assert status == 1, output
    assert job_states() == {"only": state}
    assert re.search(report, output), output
    assert re.search("^the rule began$", snakemake.log("only"), re.MULTILINE), snakemake.log("only")
    assert "googlebatch_logs/only.log" in output
    assert snakemake.files() == {}


def test_ctrl_c_ends_the_jobs_and_their_containers(
    snakemake: Snakemake, runtime: ContainerRuntime, job_states: Callable[[], dict[str, str]]
) -> None:
    with snakemake.start(ONE_RULE % "sleep 600") as running:
        waited(lambda: containers_of(runtime), bool)
        running.send_signal(signal.SIGINT)
        status, output = ended(running)
    assert status == 1, output
    assert job_states() == {}
    waited(lambda: containers_of(runtime), lambda names: names == [])
