"""What an image is built from, the commands that build it, and what is said when they fail."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from shelf import Shelf

from covalent_parallel_plugin.cli.image.build import (
    BuildError,
    BuildOptions,
    arguments,
    build,
    check,
    commands,
    default_tag,
    diagnosis,
)
from covalent_parallel_plugin.cli.image.build_context import COPIED, RequirementsError, read_requirements, write_context
from covalent_parallel_plugin.cli.image.external_programs import CLOUD_BUILD, ProgramResult
from covalent_parallel_plugin.cli.image.versions import LABELS, Versions
from covalent_parallel_plugin.errors import MistakeError
from covalent_parallel_plugin.settings.container_rules import stock_image

HERE = Versions("3.11", "0.240.0", "3.1.2", "0.1.0")
WANTED = BuildOptions(tag="us-docker.pkg.dev/p/r/i:t", base="python:3.11-slim", python="3.11")
CREATED = "2026-11-21T09:00:00+00:00"
RECIPE = COPIED["Dockerfile"].read_text()


def test_the_engine_gets_all_that_the_dockerfile_asks_for() -> None:
    asked = set(re.findall(r"^ARG (\w+)", RECIPE, re.MULTILINE))
    assert set(arguments(WANTED, HERE, CREATED)) == asked


def test_cloud_build_gets_all_that_the_dockerfile_asks_for() -> None:
    recipe = yaml.safe_load(COPIED["cloudbuild.yaml"].read_text())
    (words,) = [step["args"] for step in recipe["steps"]]
    given = {word.split("=")[1]: word.split("=")[2] for word in words if word.startswith("--build-arg=")}
    assert given == {name: f"$_{name}" for name in arguments(WANTED, HERE, CREATED)}


def test_cloud_builds_substitutions_are_those_that_its_recipe_uses() -> None:
    used = set(re.findall(r"\$(_\w+)", COPIED["cloudbuild.yaml"].read_text()))
    (command,) = commands(CLOUD_BUILD, replace(WANTED, project="p"), HERE, "CONTEXT", CREATED)
    (given,) = [word.partition("=")[2] for word in command if word.startswith("--substitutions=")]
    assert {pair.split("=")[0] for pair in given.split(",")} == used


def test_every_label_that_is_read_is_written() -> None:
    assert [label for label in LABELS.values() if f"{label}=" not in RECIPE] == []


def test_no_argument_is_hidden_by_a_variable_of_the_official_images() -> None:
    assert not {"PYTHON_VERSION", "PYTHON_SHA256", "GPG_KEY", "LANG", "PATH"} & set(arguments(WANTED, HERE, CREATED))


def test_docker_builds_for_batchs_machines_and_pushes_afterwards() -> None:
    built, pushed = commands("docker", replace(WANTED, push=True), HERE, "CONTEXT", CREATED)
    assert built[:3] == ("docker", "build", "--platform=linux/amd64")
    assert built[-1] == "CONTEXT"
    assert pushed == ("docker", "push", WANTED.tag)


def test_pips_settings_are_a_secret_of_the_build() -> None:
    (built,) = commands("podman", replace(WANTED, pip_conf="/f", engine_arguments=("--a=b",)), HERE, "CONTEXT", CREATED)
    assert built[-3:] == ("--secret=id=pip.conf,src=/f", "--a=b", "CONTEXT")


def test_a_base_that_the_engine_has_under_another_name_is_not_pulled(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put("podman", f'[ "$1" = image ] && [ "$3" != python:3.11-slim ] && exit 1; echo "$@" >>"{tmp_path}/asked"')
    wanted = replace(WANTED, base=stock_image("3.11"))
    build("podman", wanted, HERE, CREATED, shelf.programs, lambda line: None)
    assert "--build-arg=BASE_IMAGE=python:3.11-slim " in (tmp_path / "asked").read_text()


@pytest.mark.parametrize(
    ("project", "tag"),
    [("", "covalent-parallel:0.1.0-py3.11"), ("p", "r-docker.pkg.dev/p/covalent/covalent-parallel:0.1.0-py3.11")],
)
def test_the_tag_names_versions_and_the_projects_registry(project: str, tag: str) -> None:
    assert default_tag(HERE, project, "r") == tag


@pytest.mark.parametrize(
    ("engine", "changes", "why"),
    [
        ("docker", {"tag": "Bad Tag"}, "--tag: 'Bad Tag' is no image"),
        ("docker", {"tag": "i@sha256:" + "0" * 64}, "leave @sha256"),
        ("docker", {"base": "no such"}, "--base: 'no such'"),
        ("docker", {"python": "3.11.2"}, "--python 3.11.2"),
        ("docker", {"platform": "amd64"}, "linux/amd64"),
        ("docker", {"tag": "name:1", "push": True}, "names no registry"),
        ("podman", {"tag": "localhost/name:1", "push": True}, "names no registry"),
        ("docker", {"pip_conf": "/nonexistent"}, "--pip-conf /nonexistent"),
        (CLOUD_BUILD, {}, "needs --project"),
        (CLOUD_BUILD, {"project": "p", "tag": "user/name"}, "Google's registries"),
    ],
)
def test_what_could_only_fail_later_is_refused_at_once(engine: str, changes: dict[str, object], why: str) -> None:
    with pytest.raises(MistakeError, match=re.escape(why)):
        check(replace(WANTED, **changes), engine)  # type: ignore[arg-type]  # one of the fields each


@pytest.mark.parametrize("engine", ["docker", "podman", CLOUD_BUILD])
def test_what_is_right_is_not_refused(engine: str) -> None:
    check(replace(WANTED, push=True, project="p"), engine)


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        (
            "denied: Permission 'artifactregistry.repositories.uploadArtifacts' denied",
            "gcloud auth configure-docker us-docker.pkg.dev",
        ),
        ('name unknown: Repository "r" not found', "gcloud artifacts repositories create"),
        ("ERROR: Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "Start Docker"),
        ("ERROR: python:3.99-slim: manifest unknown", "--base"),
        ("ERROR: No matching distribution found for nosuch==1", "--requirements"),
        ("ERROR: ResolutionImpossible: for help visit", "exclude one another"),
        ("write /x: no space left on device", "disk is full"),
        ("Temporary failure in name resolution", "--engine-arg=--network=host"),
    ],
)
def test_a_failure_is_told_with_what_to_do(said: str, remedy: str) -> None:
    text = diagnosis(("docker", "build", WANTED.tag), ProgramResult(1, "", said), WANTED)
    assert said.splitlines()[-1] in text
    assert remedy in text


def test_podman_logs_in_at_google_in_its_own_way() -> None:
    text = diagnosis(("podman", "push", WANTED.tag), ProgramResult(1, "", "denied"), WANTED)
    assert "| podman login -u oauth2accesstoken" in text


@pytest.mark.parametrize("prefix", ["", "#12 0.345 "])
def test_what_the_build_itself_refuses_is_told_in_its_words(prefix: str) -> None:
    said = (
        f"{prefix}covalent-parallel: the base image has Python 3.12.1, and Python 3.11 is wanted\nError: exit status 1"
    )
    text = diagnosis(("docker", "build"), ProgramResult(1, "", said), WANTED)
    assert text.startswith("the base image has Python 3.12.1, and Python 3.11 is wanted: choose")


def test_a_step_that_could_have_refused_is_not_taken_for_one_that_did() -> None:
    said = 'STEP 6/21: RUN true || { echo "covalent-parallel: no python3"; exit 1; }\nError: ResolutionImpossible'
    assert "exclude one another" in diagnosis(("podman", "build"), ProgramResult(1, "", said), WANTED)


def test_an_unknown_failure_is_told_with_status_and_last_line() -> None:
    assert "status 9: odd" in diagnosis(("docker", "build"), ProgramResult(9, "", "x\nodd\n\n"), WANTED)


def test_a_failed_build_is_not_pushed(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put("docker", f'echo "$1" >> "{tmp_path}/calls"; exit 1')
    with pytest.raises(BuildError):
        build("docker", replace(WANTED, push=True), HERE, CREATED, shelf.programs, lambda line: None)
    assert [call for call in (tmp_path / "calls").read_text().split() if call != "image"] == ["build"]


def test_the_engine_finds_all_files_that_the_dockerfile_copies(tmp_path: Path) -> None:
    names = [file.name for file in write_context(tmp_path, "numpy\n")]
    for pattern in re.findall(r"^COPY (\S+)", RECIPE, re.MULTILINE):
        assert [name for name in names if Path(name).match(pattern)], pattern
    assert (tmp_path / "requirements.txt").read_text() == "numpy\n"


@pytest.mark.parametrize(
    "line", ["-r more.txt", "  --constraint c.txt", "-e .", "./wheel.whl", "../x", "/abs/x", "file:x"]
)
def test_requirements_in_other_files_are_refused_by_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "r.txt").write_text(f"numpy\n{line}\n")
    with pytest.raises(RequirementsError, match="line 2 of"):
        read_requirements(str(tmp_path / "r.txt"))


def test_plain_requirements_are_taken_as_they_are(tmp_path: Path) -> None:
    text = "# mine\nnumpy>=1.2; python_version > '3'\n--extra-index-url https://example.com\n"
    (tmp_path / "r.txt").write_text(text)
    assert read_requirements(str(tmp_path / "r.txt")) == text


@pytest.mark.parametrize("name", ["missing.txt", "."])
def test_a_requirements_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(RequirementsError, match="cannot be read"):
        read_requirements(str(tmp_path / name))


@pytest.mark.parametrize(
    "line",
    [
        "-i https://user:hunter2@host/simple",
        "--extra-index-url https://hunter2@host/simple",
        "package @ git+ssh://user:hunter2@host/repository",
        "package @ git+https://hunter2@host/repository",
    ],
)
def test_a_password_in_the_requirements_is_refused_without_repeating_it(tmp_path: Path, line: str) -> None:
    (tmp_path / "r.txt").write_text(f"numpy\n{line}\n")
    with pytest.raises(RequirementsError, match=r"line 2 of .* --pip-conf") as refused:
        read_requirements(str(tmp_path / "r.txt"))
    assert "hunter2" not in str(refused.value)


def test_a_users_name_without_a_password_is_no_secret(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("package @ git+ssh://git@host/repository@v1\n")
    assert "git@host" in read_requirements(str(tmp_path / "r.txt"))
