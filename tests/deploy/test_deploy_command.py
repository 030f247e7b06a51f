"""`covalent-parallel deploy` as a process of its own, with Terraform's stand-in on its PATH."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import toml
import warm_python
from click.testing import CliRunner
from deploy_worlds import write_program
from make_schema import SCHEMA
from stand_in_provider import StandInProvider, serving

from covalent_parallel_plugin.cli import main

SECONDS = 60.0


@dataclass
class Shell:
    """Somebody's home, PATH and variables."""

    home: Path
    program: str
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": str(Path(self.program).parent),
            "HOME": str(self.home),
            "XDG_DATA_HOME": str(self.home / "data"),
            "COVALENT_CONFIG_DIR": str(self.home / "covalent"),
            "STAND_IN_CALLS": str(self.home / "calls"),
            **self.variables,
        }

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main()", "deploy", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return warm_python.run(*self.command(*arguments)[2:], environment=self.environment)

    def calls(self) -> list[dict[str, Any]]:
        file = self.home / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    @property
    def section(self) -> dict[str, Any]:
        section: dict[str, Any] = toml.load(self.home / "covalent" / "covalent.conf")["executors"]["gcpbatch"]
        return section

    def configure(self, **values: object) -> None:
        folder = self.home / "covalent"
        folder.mkdir(exist_ok=True)
        (folder / "covalent.conf").write_text(toml.dumps({"executors": {"gcpbatch": values}}))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    home = tmp_path / "home"
    home.mkdir()
    return Shell(home, write_program(tmp_path / "bin" / "terraform"))


def test_up_writes_covalents_configuration_file(shell: Shell) -> None:
    shell.configure(vcpus=8)
    ended = shell.run("up", "--project", "my-project", "--region", "europe-west4", "--yes")
    assert ended.returncode == 0, ended.stderr
    assert shell.section == {"vcpus": 8, "project_id": "my-project", "region": "europe-west4"}


def test_terraforms_own_output_is_seen(shell: Shell) -> None:
    ended = shell.run("up", "--project", "my-project", "--yes")
    assert "Terraform has been successfully initialized!" in ended.stdout
    assert "Apply complete!" in ended.stdout


def test_exactly_the_plan_that_was_shown_is_applied(shell: Shell) -> None:
    shell.run("up", "--project", "my-project", "--yes")
    words = {call["arguments"][0]: call["arguments"] for call in shell.calls()}
    (saved,) = [word.removeprefix("-out=") for word in words["plan"] if word.startswith("-out=")]
    assert words["apply"] == ["apply", "-input=false", saved]


def test_the_environment_is_passed_on(shell: Shell) -> None:
    shell.variables = {"GOOGLE_APPLICATION_CREDENTIALS": "/key", "HTTPS_PROXY": "http://proxy", "TF_LOG": "ERROR"}
    shell.run("plan", "--project", "my-project")
    assert [call["arguments"][0] for call in shell.calls()] == ["version", "init", "plan", "show", "output"]
    for call in shell.calls():
        assert {name: call["environment"][name] for name in shell.variables} == shell.variables


def test_without_a_terminal_and_without_yes_nothing_is_started(shell: Shell) -> None:
    ended = shell.run("up", "--project", "my-project")
    assert ended.returncode == 2
    assert "add --yes" in ended.stderr
    assert shell.calls() == []


def test_at_a_terminal_it_asks_and_a_no_is_a_no(shell: Shell) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"n\n")
    ended = subprocess.run(
        shell.command("up", "--project", "my-project"), env=shell.environment, stdin=theirs, capture_output=True,
        text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    assert ended.returncode == 0
    assert "Do this? [y/N]" in ended.stdout
    assert "apply" not in [call["arguments"][0] for call in shell.calls()]


def test_the_project_comes_from_covalents_configuration(shell: Shell) -> None:
    shell.configure(project_id="configured-project", region="europe-west4")
    assert "configured-project/covalent" in shell.run("status").stdout
    shell.run("up", "--yes")
    assert shell.section == {"project_id": "configured-project", "region": "europe-west4"}


def test_the_project_comes_from_googles_variable_last(shell: Shell) -> None:
    shell.variables = {"GOOGLE_CLOUD_PROJECT": "other-project"}
    assert "other-project/covalent" in shell.run("status").stdout


def test_without_a_project_the_known_deployments_are_named(shell: Shell) -> None:
    shell.run("plan", "--project", "my-project", "--name", "team")
    ended = shell.run("status")
    assert ended.returncode == 2
    assert "--project my-project --name team" in ended.stderr


def test_tofu_serves_where_there_is_no_terraform(shell: Shell) -> None:
    program = Path(shell.program)
    shell.program = str(program.rename(program.with_name("tofu")))
    assert shell.run("up", "--project", "my-project", "--yes").returncode == 0


def test_a_machine_without_terraform_is_told_where_to_get_it(shell: Shell, tmp_path: Path) -> None:
    shell.program = str(tmp_path / "nowhere" / "terraform")
    ended = shell.run("plan", "--project", "my-project")
    assert ended.returncode == 1
    assert "neither terraform nor tofu is on PATH" in ended.stderr


def test_an_old_terraform_is_refused_by_its_version(shell: Shell) -> None:
    shell.variables = {"STAND_IN_VERSION": "1.4.6"}
    ended = shell.run("plan", "--project", "my-project")
    assert ended.returncode == 1
    assert "has version 1.4.6, and 1.5 or later is needed" in ended.stderr


@pytest.mark.parametrize(
    ("command", "errors", "told"),
    [
        ("init", "Error: Failed to query available provider packages", "could not be fetched"),
        ("plan", "Error: could not find default credentials.", "gcloud auth application-default login"),
        ("plan", "Error: Error acquiring the state lock", "wait for its end"),
        ("apply", "Error: googleapi: Error 403: Permission denied", "Go on with: covalent-parallel deploy up"),
    ],
)
def test_a_failure_is_told_once_with_what_to_do(shell: Shell, command: str, errors: str, told: str) -> None:
    shell.variables = {"STAND_IN_FAILS": command, "STAND_IN_ERRORS": errors}
    ended = shell.run("up", "--project", "my-project", "--yes")
    assert ended.returncode == 1
    assert told in ended.stderr
    assert ended.stderr.count(errors) == 1
    assert "Traceback" not in ended.stderr


def test_an_end_that_is_asked_for_from_outside_reaches_terraform(shell: Shell) -> None:
    started = shell.home / "started"
    shell.variables = {"STAND_IN_WAITS": str(started)}
    with subprocess.Popen(
        shell.command("up", "--project", "my-project", "--yes"), env=shell.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        until = time.monotonic() + SECONDS
        while not started.exists() and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert "Go on with: covalent-parallel deploy up --project my-project" in errors
    shell.variables = {}
    assert shell.run("up", "--project", "my-project", "--yes").returncode == 0


def test_status_agrees_after_up(shell: Shell) -> None:
    shell.run("up", "--project", "my-project", "--yes")
    ended = shell.run("status", "--project", "my-project", "--json")
    found = json.loads(ended.stdout)
    assert ended.returncode == 0
    assert found["options"] == {"project_id": "my-project", "region": "us-east1"}
    assert found["differences"] == []
    assert "google_service_account.jobs" in found["resources"]


def test_status_tells_where_the_configuration_differs(shell: Shell) -> None:
    shell.run("up", "--project", "my-project", "--yes")
    shell.configure(project_id="my-project", region="asia-east1")
    ended = shell.run("status", "--project", "my-project")
    assert ended.returncode == 1
    assert "region: 'asia-east1' -> 'us-east1'" in ended.stdout


def test_down_takes_it_down(shell: Shell) -> None:
    shell.run("up", "--project", "my-project", "--yes")
    assert shell.run("down", "--project", "my-project", "--yes").returncode == 0
    assert "Nothing of my-project/covalent stands." in shell.run("status", "--project", "my-project").stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--region", "us-east1-b"), "use its region, 'us-east1'"),
        (("--project", "My Project"), "is not a project id"),
        (("--name", "A"), "is not a name"),
        (("--image", "a/b:c:d"), "is not an image"),
        (("--set", "object_days=soon"), "is not a number"),
        (("--set", "nat=true"), "nat = true needs create_network = true"),
        (("--terraform", "/nowhere"), "/nowhere is not a program"),
    ],
)
def test_bad_input_is_told_in_one_error(tmp_path: Path, arguments: tuple[str, str], told: str) -> None:
    given = arguments if "--project" in arguments else (*arguments, "--project", "my-project")
    ended = CliRunner().invoke(main, ["deploy", "plan", *given], env={"XDG_DATA_HOME": str(tmp_path)})
    assert ended.exit_code == 2
    assert ended.output.startswith("Error: ")
    assert told in ended.output


def test_variables_are_listed() -> None:
    assert "object_days  (number, default 7)" in CliRunner().invoke(main, ["deploy", "variables"]).output


@pytest.mark.skipif(shutil.which("terraform") is None, reason="terraform is not installed")
def test_all_of_it_works_with_the_real_terraform(shell: Shell) -> None:
    shell.program = str(shutil.which("terraform"))
    schemas = list(json.loads(SCHEMA.read_text()).values())
    with serving(StandInProvider(schemas[-1])) as reattach:
        shell.variables = {"TF_REATTACH_PROVIDERS": reattach}
        up = shell.run("up", "--project", "my-project", "--image", "mine:1", "--set", "create_network=true", "--yes")
        assert up.returncode == 0, up.stderr
        image = "us-east1-docker.pkg.dev/my-project/covalent/mine:1"
        assert shell.section["container_image_uri"] == image
        assert shell.section["external_ip"] is False
        assert f"covalent-parallel image build --push --tag {image}" in up.stdout
        assert shell.run("status", "--project", "my-project").returncode == 0
        assert shell.run("down", "--project", "my-project", "--yes").returncode == 0
    assert shell.section["container_image_uri"] == shell.section["network"] == shell.section["external_ip"] == ""
