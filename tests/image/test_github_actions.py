"""The workflow of examples/github-actions: what starts it, who may what, and its commands as far as they run here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

EXAMPLES = Path(__file__).parents[2] / "examples"
FILE = EXAMPLES / "github-actions" / "image.yml"
PUBLISHING = ("ghcr", "artifact-registry")


class Loader(yaml.SafeLoader):
    """YAML as GitHub reads it: `on` is a word."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:bool"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@pytest.fixture(scope="module")
def workflow() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.load(FILE.read_text(), Loader)
    return loaded


def test_it_starts_on_changes_below_the_path_and_of_itself(workflow: dict[str, Any]) -> None:
    paths = ["calculator/**", ".github/workflows/image.yml"]
    assert workflow["on"]["push"] == {"branches": ["main"], "tags": ["v*"], "paths": paths}
    assert workflow["on"]["pull_request"] == {"paths": paths}
    assert workflow["env"] == {"FOLDER": "calculator"}


def test_nothing_is_built_before_all_pythons_are_tested(workflow: dict[str, Any]) -> None:
    jobs = workflow["jobs"]
    assert set(jobs) == {"test", "build", *PUBLISHING}
    assert len(jobs["test"]["strategy"]["matrix"]["python"]) > 1 and "needs" not in jobs["test"]
    assert {job["needs"] for name, job in jobs.items() if name != "test"} == {"test"}


def test_a_job_may_do_only_what_it_needs(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    assert {name: job.get("permissions") for name, job in workflow["jobs"].items()} == {
        "test": None,
        "build": None,
        "ghcr": {"contents": "read", "packages": "write"},
        "artifact-registry": {"contents": "read", "id-token": "write"},
    }
    assert FILE.read_text().count("secrets.") == FILE.read_text().count("secrets.GITHUB_TOKEN") == 1


def test_each_push_is_published_once_and_a_pull_request_never(workflow: dict[str, Any]) -> None:
    conditions = {name: workflow["jobs"][name]["if"] for name in ("build", *PUBLISHING)}
    assert conditions == {
        "build": "github.event_name == 'pull_request'",
        "ghcr": "github.event_name == 'push' && vars.ARTIFACT_REGISTRY == ''",
        "artifact-registry": "github.event_name == 'push' && vars.ARTIFACT_REGISTRY != ''",
    }


def test_no_command_has_what_others_may_write_filled_into_it(workflow: dict[str, Any]) -> None:
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert [step["run"] for step in steps if "${{" in step.get("run", "")] == []
    assert all(("run" in step) != ("uses" in step) for step in steps)


def test_the_commands_of_the_test_job_pass(workflow: dict[str, Any], tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "calculator", tmp_path / "calculator", ignore=shutil.ignore_patterns("__pycache__"))
    commands = {step["name"]: step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step}
    assert set(commands) == {"Install", "Lint", "Test"}
    assert commands["Install"].split()[:4] == ["python", "-m", "pip", "install"]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tmp_path / "bin" / "python").chmod(0o755)
    environment = {**os.environ, **workflow["env"], "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    for name in ("Lint", "Test"):
        ended = subprocess.run(
            ["bash", "-e", "-c", commands[name]],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("job", PUBLISHING)
def test_the_commands_that_publish_name_the_image_by_latest_and_by_its_ref(
    workflow: dict[str, Any], tmp_path: Path, job: str
) -> None:
    (tmp_path / "docker").write_text('#!/bin/sh\nprintf "%s\\n" "$*"\n')
    (tmp_path / "docker").chmod(0o755)
    variables = {
        **workflow["env"],
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "IMAGE": "ghcr.io/Some-One/Project/calculator",
        "REF": "feature/x y",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
    }
    steps = [step for step in workflow["jobs"][job]["steps"] if step.get("name") in ("Build", "Push")]
    shown = [
        subprocess.run(
            ["bash", "-e", "-c", step["run"]], env=variables, capture_output=True, text=True, check=True, timeout=60
        ).stdout.splitlines()
        for step in steps
    ]
    image = "ghcr.io/some-one/project/calculator"
    assert shown == [
        [f"build --platform linux/amd64 --tag {image}:latest --tag {image}:feature-x-y calculator"],
        [f"push {image}:feature-x-y", f"push {image}:latest"],
    ]
    assert image in (tmp_path / "summary").read_text()
