"""`sweep plan` of a sweep on Batch: the plan, the bare Job, and what Google says to it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from batch_sweeps import FakeMachines, by_value
from google.cloud import batch_v1
from registry_server import AMD64, Registry, running_registry
from sweep_command import SweepCommand

from covalent_parallel_plugin.emulator import Emulator
from covalent_parallel_plugin.emulator.project.resources import ProjectResources
from covalent_parallel_plugin.results.report.prices import PriceRow, write_prices
from covalent_parallel_plugin.sweep.batch.planned_job import machines_of

FILE = """\
image: {image}
command: [x, "{{i}}", "{{sweep.folder}}"]
parameters: {{i: {{start: 0, stop: 640}}}}
"""
RESOURCES = "resources: {project_id: local, bucket_name: covalent, region: us-east1}\n"
QUOTAS = {"us-east1": {"N2_CPUS": 24.0}}


@pytest.fixture
def sweep(tmp_path: Path) -> SweepCommand:
    return SweepCommand(tmp_path)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with running_registry() as running:
        yield running


def test_the_plan_has_dollars_where_the_machine_has_a_price(sweep: SweepCommand) -> None:
    sweep.write(FILE.format(image="r.example/pi:1") + RESOURCES)
    words = ("--set", "resources.machine_type=n1-standard-2", "--set", "resources.gpu_type=nvidia-tesla-t4")
    assert ", no price\n" in sweep("plan", "art.yaml", *words).stdout
    assert "price" not in sweep("plan", "art.yaml", "--local").stdout
    # Nobody asks such prices: 2 vCPUs at 7, and a GPU
    asked = {"n1": 7.0, "nvidia-tesla-t4": 6.0}
    prices = [PriceRow(name, "", dollars, None, "2026-09-28", "us") for name, dollars in asked.items()]
    write_prices(sweep.folder / "data" / "covalent-parallel" / "prices.json", prices)
    text = sweep("plan", "art.yaml", *words).stdout
    hours, dollars = re.findall(r" = (\S+) machine-hours, about \$(\S+) \(", text)[0]
    assert float(dollars.replace(",", "")) == pytest.approx(20 * float(hours.replace(",", "")), rel=0.01)
    document = yaml.safe_load(sweep("plan", "art.yaml", *words, "--format", "yaml").stdout)
    assert document["dollars"] == pytest.approx(20 * document["machine_hours"])
    assert "dollars" not in yaml.safe_load(sweep("plan", "art.yaml", "--local", "--format", "yaml").stdout)


def test_the_plan_shows_the_commands_of_batch_and_what_would_share_machines(sweep: SweepCommand) -> None:
    sweep.write(FILE.format(image="r.example/pi:1") + RESOURCES)
    shown = sweep("plan", "art.yaml")
    assert shown.stderr == ""
    lines = shown.stdout.splitlines()
    assert "         x 0 /mnt/covalent-parallel-tasks/0-0/files" in lines
    assert "8 tasks on one with machine_type: e2-standard-16 under resources" in shown.stdout
    for words in (
        ("--set", "resources.machine_type=n2-standard-2"),
        ("--set", "tasks_per_machine=4"),
        ("--set", "resources.gpu_type=nvidia-tesla-t4"),
        ("--set", "resources.vcpus=32"),
        ("--only", "i=3"),
        ("--local",),
    ):
        assert "share machines" not in sweep("plan", "art.yaml", *words).stdout


@pytest.mark.parametrize("words", [(), ("--local",)])
def test_the_plan_names_the_limit_on_machine_hours(sweep: SweepCommand, words: tuple[str, ...]) -> None:
    sweep.write(FILE.format(image="r.example/pi:1") + RESOURCES)
    assert "max_machine_hours" not in sweep("plan", "art.yaml", *words).stdout
    limited = (*words, "--set", "resources.max_machine_hours=0.5")
    shown = sweep("plan", "art.yaml", *limited)
    assert shown.stdout.count("limit    max_machine_hours = 0.5: it stops there\n") == 1
    document = yaml.safe_load(sweep("plan", "art.yaml", *limited, "--format", "yaml").stdout)
    assert (document["max_machine_hours"], document["used_machine_hours"]) == (0.5, 0)
    lower = sweep("plan", "art.yaml", *limited, "--set", "max_machine_hours=1000", "--format", "yaml")
    assert yaml.safe_load(lower.stdout)["max_machine_hours"] == 0.5


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), "64 tasks at a time on 64 machines: 128 vCPUs"),
        (("--set", "resources.vcpus=0.5"), "64 tasks at a time on 64 machines: 32 vCPUs"),
        (("--first", "10"), "10 tasks at a time on 10 machines: 20 vCPUs"),
        (("--only", "i=3"), "1 task on 1 machine: 2 vCPUs"),
        (("--set", "bundle=320"), "2 tasks at a time on 2 machines: 4 vCPUs"),
        (("--set", "resources.machine_type=e2-standard-16"), "64 tasks at a time on 8 machines: 128 vCPUs"),
        (
            ("--set", "resources.machine_type=e2-standard-16", "--set", "tasks_per_machine=4"),
            "on 16 machines: 256 vCPUs",
        ),
        (("--set", "resources.gpu_type=nvidia-tesla-t4", "--set", "resources.gpu_count=2"), "128 vCPUs, 128 GPUs"),
        (("--set", "resources.machine_type=g2-standard-24"), "64 machines: 1,536 vCPUs, 128 GPUs"),
    ],
)
def test_the_plan_says_what_it_wants_at_a_time(sweep: SweepCommand, words: tuple[str, ...], wanted: str) -> None:
    sweep.write(FILE.format(image="r.example/pi:1") + RESOURCES + "max_parallel: 64\n")
    (line,) = [line for line in sweep("plan", "art.yaml", *words).stdout.splitlines() if line.startswith("wants ")]
    assert line.endswith(wanted)


def test_what_is_wanted_is_what_the_job_asks_for(sweep: SweepCommand) -> None:
    sweep.write(FILE.format(image="r.example/pi:1") + RESOURCES)
    for words in ((), ("--set", "resources.machine_type=e2-standard-16"), ("--set", "bundle=7")):
        planned = yaml.safe_load(sweep("plan", "art.yaml", "--format", "yaml", *words).stdout)
        job = batch_v1.Job.from_json(sweep("plan", "art.yaml", "--format", "json", *words).stdout)
        wanted = planned["wanted"]
        assert wanted["machines"] == machines_of(job) and wanted["tasks"] == job.task_groups[0].parallelism
    assert json.loads(sweep("plan", "art.yaml", "--format", "json", "--local").stdout)["wanted"] is None


def test_json_is_the_bare_job(sweep: SweepCommand) -> None:
    sweep.write(FILE.format(image="r.example/pi:1") + RESOURCES)
    text = sweep("plan", "art.yaml", "--format", "json", "--set", "bundle=4").stdout
    job = batch_v1.Job.from_json(text, ignore_unknown_fields=False)
    assert job.task_groups[0].task_count == 160
    spec = job.task_groups[0].task_spec
    assert [runnable.container.image_uri for runnable in spec.runnables][1:] == ["r.example/pi:1"]
    variables = spec.environment.variables
    assert variables["COVALENT_PARALLEL_KEY"] == "made-when-it-runs"
    assert variables["COVALENT_PARALLEL_FOLDER"] == "covalent-sweeps/art/made-when-it-runs"
    assert json.loads(text)["labels"]["covalent-sweep"] == "art"
    assert text == sweep("plan", "art.yaml", "--format", "json", "--set", "bundle=4").stdout
    assert "reasons" in json.loads(sweep("plan", "art.yaml", "--format", "json", "--local").stdout)
    assert [path.name for path in sweep.folder.iterdir()] == ["art.yaml"]


def test_a_file_that_lacks_what_batch_needs_is_planned_with_that_as_warnings(sweep: SweepCommand) -> None:
    sweep.write(FILE.format(image="r.example/pi:1"))
    shown = sweep("plan", "art.yaml")
    assert shown.stdout.startswith("art: 640 tasks")
    warned = shown.stderr.splitlines()
    assert [line.split(" ")[2:5] for line in warned] == [
        ["bucket_name", "is", "missing"],
        ["project_id", "is", "missing"],
    ]
    assert all("--local" in line for line in warned)
    assert "project_id is missing" in sweep("plan", "art.yaml", "--check", status=2).stderr


def test_secrets_of_batch_are_no_variables_of_this_machine(sweep: SweepCommand) -> None:
    sweep.write(FILE.format(image="r.example/pi:1") + RESOURCES + "secrets: {TOKEN_OF_ART: art-token}\n")
    shown = sweep("plan", "art.yaml", "--format", "json")
    assert shown.stderr == ""
    spec = json.loads(shown.stdout)["taskGroups"][0]["taskSpec"]
    secrets = spec["environment"]["secretVariables"]
    assert secrets == {"TOKEN_OF_ART": "projects/local/secrets/art-token/versions/latest"}
    assert "which is not set" in sweep("plan", "art.yaml", "--local").stderr


@pytest.fixture
def check(sweep: SweepCommand) -> Callable[..., str]:
    """The lines of `plan --check` on an emulator in which these things exist."""

    def run(*words: str, status: int = 0, **known: Any) -> str:
        machines, resources = FakeMachines(by_value({})), ProjectResources(**known)
        with Emulator(buckets=("covalent",), known=resources, runtime=machines) as emulator:
            return sweep("plan", "art.yaml", "--check", *words, status=status, more=emulator.environment).stdout

    return run


def test_what_google_says_is_added_to_the_plan(
    sweep: SweepCommand, registry: Registry, check: Callable[..., str]
) -> None:
    digest = registry.put("pi", "1", {**AMD64, "config": {"Entrypoint": ["pi"]}})
    sweep.write(FILE.format(image=f"{registry.host}/pi:1") + RESOURCES)
    shown = check()
    assert shown.startswith("art: 640 tasks")
    (image,) = [line for line in shown.splitlines() if " image.reachable " in line]
    assert image.split() == ["ok", "image.reachable", f"{registry.host}/pi:1,", digest]
    assert "error" not in shown


def test_a_quota_that_is_too_small_for_all_machines_is_told(
    sweep: SweepCommand, registry: Registry, check: Callable[..., str]
) -> None:
    registry.put("pi", "1", {**AMD64, "config": {"Entrypoint": ["pi"]}})
    sweep.write(FILE.format(image=f"{registry.host}/pi:1") + RESOURCES + "max_parallel: 64\n")
    words = ("--set", "resources.machine_type=n2-standard-2")
    shown = check(*words, quotas=QUOTAS)
    assert "64 machines need 128 N2_CPUS, the region has 24" in shown
    assert "machines need" not in check(*words, "--only", "i=3", quotas=QUOTAS)


def test_what_is_not_there_is_an_error(sweep: SweepCommand, registry: Registry, check: Callable[..., str]) -> None:
    sweep.write(FILE.format(image=f"{registry.host}/pi:1") + RESOURCES)
    shown = check("--set", "resources.bucket_name=another", status=1)
    assert "the bucket 'another' does not exist" in shown
    assert "pi:1' is not there" in shown


def test_an_emulator_whose_tasks_are_processes_is_an_error(sweep: SweepCommand, registry: Registry) -> None:
    registry.put("pi", "1", {**AMD64, "config": {"Entrypoint": ["pi"]}})
    sweep.write(FILE.format(image=f"{registry.host}/pi:1") + RESOURCES)
    with Emulator(buckets=("covalent",)) as emulator:
        shown = sweep("plan", "art.yaml", "--check", status=1, more=emulator.environment).stdout
    (runtime,) = [line for line in shown.splitlines() if " services.runtime " in line]
    assert runtime.startswith("error") and "a sweep needs containers" in runtime
