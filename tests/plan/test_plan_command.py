"""`covalent-parallel plan` without a workflow: options, their mistakes, differences, and where what is printed."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
from typing import Any

import pytest
import yaml
from planner import COMMAND, SECONDS, Planner

WORKFLOW = """
import covalent as ct

here = {"project_id": "my-project", "bucket_name": "some-bucket"}

@ct.electron(executor=ct.executor.GCPBatchExecutor(**here, vcpus=4))
def prepare():
    return 1

@ct.electron(executor=ct.executor.GCPBatchExecutor(**here, machine_type="n2-standard-8"))
def train(x):
    return x

@ct.lattice
def flow():
    return train(prepare())
"""


def changed(text: str) -> list[str]:
    """The lines that a unified diff takes away or adds."""
    return [line for line in text.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]


def test_without_a_workflow_the_job_has_the_configured_options(plan: Planner) -> None:
    plan.configure(
        '[executors.gcpbatch]\nproject_id = "p-1"\nbucket_name = "b-1"\nvcpus = 3\nlabels = {team = "blue"}\n'
    )
    job = plan("--format", "json").job
    assert job.task_groups[0].task_spec.compute_resource.cpu_milli == 3000
    assert job.labels["team"] == "blue"


def test_set_wins_over_the_configuration_and_an_empty_value_is_the_default(plan: Planner) -> None:
    plan.configure('[executors.gcpbatch]\nproject_id = "p-1"\nbucket_name = "b-1"\nvcpus = 3\nmemory = 9000\n')
    resource = plan("--format", "json", "--set", "vcpus=5", "--set", "memory=").job.task_groups[0].task_spec
    assert (resource.compute_resource.cpu_milli, resource.compute_resource.memory_mib) == (5000, 512)


def test_everything_that_is_wrong_is_said_at_once_and_nothing_is_printed(plan: Planner) -> None:
    plan.configure('[executors.gcpbatch]\nproject_id = "my-project"\nregion = "US East"\n')
    wrong = ["machine_typ=n2", "memory=-1", "spot=perhaps", "labels={bad", "zzzzzz=1"]
    ended = plan(*(part for text in wrong for part in ("--set", text)))
    assert (ended.status, ended.stdout) == (2, "")
    for said in (
        "'machine_typ' is not an option (did you mean 'machine_type'?)",
        "'zzzzzz' is not an option\n",
        "memory = '-1' is out of range",
        "spot = 'perhaps' is neither True nor False",
        "labels = '{bad' is not JSON",
        "region = 'US East' is not a region",
        "bucket_name is missing",
    ):
        assert said in ended.stderr
    assert "7 options need attention" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--set", "vcpus"], "'vcpus' is not key=value"),
        (["--arg", "x=1"], "need a workflow"),
        (["--node", "1"], "need a workflow"),
        (["--diff"], "--diff needs something that differs"),
        (["--against", "spot=true"], "--against needs --diff"),
        (["--tasks", "0"], "0 is not in the range"),
        (["--format", "toml"], "'toml' is not one of"),
    ],
)
def test_a_wrong_call_ends_with_2_and_says_why(plan: Planner, arguments: list[str], said: str) -> None:
    ended = plan(*arguments)
    assert (ended.status, ended.stdout) == (2, "")
    assert said in ended.stderr


def test_a_job_that_is_too_large_is_refused_with_the_reason(plan: Planner) -> None:
    values = json.dumps({f"V{number}": "x" * 10_000 for number in range(10)})
    options = [part for number in range(11) for part in ("--set", f"environment={values.replace('V', f'V{number}_')}")]
    ended = plan(*options)
    assert (ended.status, ended.stdout) == (2, "")
    assert "1,000,000" in ended.stderr
    assert "environment" in ended.stderr


@pytest.mark.parametrize(
    "text",
    ["[executors.gcpbatch", "a =", "executors = 3", '[sdk]\nlog_dir = ""\n[[', "\x00"],
)
def test_a_broken_configuration_file_is_named(plan: Planner, text: str) -> None:
    plan.configure(text)
    ended = plan()
    assert (ended.status, ended.stdout) == (2, "")
    assert f"cannot use its configuration file {plan.configuration}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_configuration_file_that_cannot_be_opened_is_named(plan: Planner) -> None:
    plan.configuration.unlink()
    plan.configuration.mkdir()
    ended = plan.alone()
    assert ended.status == 2
    assert f"cannot use its configuration file {plan.configuration}: [Errno 21] Is a directory" in ended.stderr


def test_a_key_of_the_file_that_is_no_option_is_pointed_out(plan: Planner) -> None:
    plan.configure('[executors.gcpbatch]\nproject_id = "my-project"\nbucket_name = "some-bucket"\nmemroy = 9\n')
    ended = plan()
    assert ended.status == 0
    assert "has the key 'memroy', which is not an option (did you mean 'memory'?); it is ignored" in ended.stderr


def test_the_short_of_it_goes_to_standard_error(plan: Planner) -> None:
    ended = plan(
        *("--set", "machine_type=n1-standard-8", "--set", "gpu_type=nvidia-tesla-t4", "--set", "gpu_count=2"),
        *("--set", "spot=true", "--set", "spot_fallback=true", "--set", "zones=us-east1-c", "--tasks", "2000"),
        *("--set", "requirements=numpy", "--set", "max_machine_hours=2.5"),
    )
    assert ended.stderr.splitlines() == [
        "the Job",
        "  machine  n1-standard-8, 2 x nvidia-tesla-t4, GPU drivers, SPOT, then once more on STANDARD;"
        " 30 GB boot disk; us-east1-c",
        "  task     2 vCPU, 512 MiB, 300 s and 60 s to report, 3 retries",
        "  tasks    2,000, 16 at a time, at most 1 of them on a machine",
        "  image    " + yaml_image(ended.stdout),
        "  pip      numpy",
        "  budget   2.5 machine-hours for all jobs of its dispatch together",
        "  at most  4,000 machine-hours (5 jobs x 2,000 tasks x 360 s x 4 attempts), no price",
        "Nothing was submitted.",
    ]


def yaml_image(text: str) -> str:
    job: Any = yaml.safe_load(text)
    return str(job["taskGroups"][0]["taskSpec"]["runnables"][0]["container"]["imageUri"])


def test_a_difference_shows_what_set_changes_and_nothing_else(plan: Planner) -> None:
    ended = plan("--diff", "--set", "spot=true", "--set", "memory=4000")
    assert ended.status == 0, ended.stderr
    assert changed(ended.stdout) == [
        "-      provisioningModel: STANDARD",
        "+      provisioningModel: SPOT",
        "-      memoryMib: '512'",
        "+      memoryMib: '4000'",
    ]
    assert ended.stdout.startswith("--- the Job, before\n+++ the Job, after\n@@ ")
    assert "before: the Job\n  machine  a machine of Batch's choice, STANDARD;" in ended.stderr
    assert "after: the Job\n  machine  a machine of Batch's choice, SPOT;" in ended.stderr


def test_a_difference_against_other_options_starts_from_them(plan: Planner) -> None:
    ended = plan("--diff", "--against", "machine_type=n2-standard-4", "--set", "machine_type=n2-standard-8")
    assert changed(ended.stdout) == [
        "-      machineType: n2-standard-4",
        "+      machineType: n2-standard-8",
        "-  taskCountPerNode: '2'",
        "+  taskCountPerNode: '4'",
    ]
    only_against = plan("--diff", "--against", "spot=true")
    assert changed(only_against.stdout) == ["-      provisioningModel: SPOT", "+      provisioningModel: STANDARD"]


def test_a_difference_may_be_one_of_json(plan: Planner) -> None:
    ended = plan("--diff", "--set", "spot=true", "--format", "json")
    assert [line.strip("+- ") for line in changed(ended.stdout)] == [
        '"provisioningModel": "STANDARD"',
        '"provisioningModel": "SPOT"',
    ]


def test_options_that_do_not_reach_the_job_make_no_difference(plan: Planner) -> None:
    ended = plan("--diff", "--set", "poll_freq=1", "--set", "vcpus=2.0")
    assert (ended.status, ended.stdout) == (0, "")
    assert "The Jobs are the same." in ended.stderr


def test_mistakes_of_a_difference_say_on_which_side_they_are(plan: Planner) -> None:
    plan.configure('[executors.gcpbatch]\nproject_id = "my-project"\n')
    ended = plan("--diff", "--set", "memory=0", "--against", "spot_fallback=true", "--against", "memry=1")
    assert (ended.status, ended.stdout) == (2, "")
    assert "with --set: memory = '0' is out of range" in ended.stderr
    assert "with --against: 'memry' is not an option" in ended.stderr
    assert "with --against: spot_fallback = True has no meaning" in ended.stderr
    assert "  - bucket_name is missing" in ended.stderr


def test_an_option_that_nobody_typed_is_not_blamed(plan: Planner) -> None:
    plan.configure('[executors.gcpbatch]\nproject_id = "my-project"\n')
    ended = plan("--diff", "--set", "bucket_name=mine")
    assert ended.status == 2
    assert "without --set: bucket_name is missing" in ended.stderr
    assert "with --against" not in ended.stderr
    other = plan("--diff", "--against", "bucket_name=mine")
    assert "without --against: bucket_name is missing" in other.stderr
    assert "give --set and --against bucket_name=..." in other.stderr


def test_what_is_missing_is_given_on_the_command_line_too(plan: Planner) -> None:
    plan.configure('[executors.gcpbatch]\nproject_id = "my-project"\n')
    ended = plan()
    assert "give --set bucket_name=... or set it under [executors.gcpbatch]" in ended.stderr
    assert "GCPBatchExecutor" not in ended.stderr


def test_a_difference_of_a_workflow_has_each_pair_of_jobs_once(plan: Planner) -> None:
    ended = plan(plan.write("workflow.py", WORKFLOW), "--diff", "--set", "vcpus=4")
    assert ended.status == 0, ended.stderr
    assert ended.stdout.startswith("--- train [node 1], before\n+++ train [node 1], after\n")
    assert changed(ended.stdout) == [
        "-  taskCountPerNode: '4'",
        "+  taskCountPerNode: '2'",
        "-      cpuMilli: '2000'",
        "+      cpuMilli: '4000'",
    ]


def test_a_difference_that_joins_jobs_does_not_mix_up_their_nodes(plan: Planner) -> None:
    ended = plan(plan.write("workflow.py", WORKFLOW), "--diff", "--set", "vcpus=8", "--set", "machine_type=")
    assert changed(ended.stdout) == [
        "-      cpuMilli: '4000'",
        "+      cpuMilli: '8000'",
        "-      machineType: n2-standard-8",
        "-  taskCountPerNode: '4'",
        "+  taskCountPerNode: '1'",
        "-      cpuMilli: '2000'",
        "+      cpuMilli: '8000'",
    ]


@pytest.mark.parametrize("arguments", [[], ["--format", "json"], ["--diff", "--set", "spot=true"]])
def test_nothing_is_coloured_in_a_pipe(plan: Planner, arguments: list[str]) -> None:
    ended = plan.alone(*arguments, environment={"TERM": "xterm-256color", "COLORTERM": "truecolor"})
    assert "\x1b" not in ended.stdout + ended.stderr
    assert ended.stdout


def test_a_terminal_gets_colours_and_the_same_text(plan: Planner) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "plan", "--short"],
        cwd=plan.folder,
        env={**plan.environment, "TERM": "xterm-256color"},
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    shown = b""
    while select.select([ours], [], [], SECONDS)[0]:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux says EIO when the other side is closed
            piece = b""
        if not piece:
            break
        shown += piece
    os.close(ours)
    assert process.wait(SECONDS) == 0
    text = shown.decode()
    assert "\x1b[" in text
    plain = "".join(part.partition("m")[2] if number else part for number, part in enumerate(text.split("\x1b[")))
    assert plain.replace("\r\n", "\n") == plan("--short").stdout


def test_a_reader_that_goes_away_is_no_error_to_speak_of(plan: Planner) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [*COMMAND, "plan"],
        cwd=plan.folder,
        env=plan.environment,
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 1
    assert done.stderr == ""


def test_help_names_every_option_and_needs_no_configuration(plan: Planner) -> None:
    plan.configure("[broken")
    ended = plan("--help")
    assert ended.status == 0
    for option in ("--set", "--against", "--diff", "--tasks", "--node", "--format", "--short", "--arg", "--args"):
        assert option in ended.stdout
