"""The command `covalent-parallel image`, as a shell sees it."""

from __future__ import annotations

import json

import pytest
from image_commands import Command
from registry_server import AMD64, Registry
from shelf import Shelf

from covalent_parallel_plugin.cli.image.versions import LABELS, versions_here


def fitting(registry: Registry, **changes: str) -> str:
    versions = {**vars(versions_here()), **changes}
    labels = {LABELS[name]: value for name, value in versions.items()}
    registry.put("a", "t", {**AMD64, "config": {"Labels": labels, "User": "7"}})
    return f"{registry.host}/a:t"


def test_build_prints_the_configuration_line_and_nothing_else_to_standard_output(
    shelf: Shelf, command: Command
) -> None:
    shelf.put("docker", "echo output of docker")
    ended = command("build", "--tag", "user/name:1", "--push")
    assert (ended.returncode, ended.stdout) == (0, 'container_image_uri = "user/name:1"\n')
    assert "output of docker" in ended.stderr


def test_a_build_without_push_says_where_the_image_is(shelf: Shelf, command: Command) -> None:
    shelf.put("podman", "echo 4")
    ended = command("build")
    assert "podman on this machine has it" in ended.stderr


def test_dry_run_needs_no_engine(command: Command) -> None:
    ended = command("build", "--dry-run", "--python", "3.12")
    assert ended.returncode == 0
    assert "python:3.12-slim" in ended.stdout and ".whl" in ended.stdout


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["build"], 1, "docker is not installed"),
        (["build", "--engine", "cloud-build", "--project", "p"], 1, "gcloud"),
        (["build", "--requirements", "nothing.txt"], 2, "nothing.txt cannot be read"),
        (["build", "--engine", "docker", "--tag", "A"], 2, "no capital letters"),
        (["check", "no such"], 2, "is no image"),
        (["check", "localhost/none"], 1, "was not found here"),
    ],
)
def test_every_bad_input_is_one_clear_error(command: Command, words: list[str], status: int, text: str) -> None:
    ended = command(*words)
    assert ended.returncode == status
    (error,) = [line for line in ended.stderr.splitlines() if line.startswith("Error: ")]
    assert text in error
    assert "Traceback" not in ended.stderr


def test_a_refused_push_ends_with_status_1_and_the_way_in(shelf: Shelf, command: Command) -> None:
    shelf.put(
        "docker", '[ "$1" = push ] && { echo "denied: requested access to the resource is denied"; exit 1; }; echo 27'
    )
    ended = command("build", "--tag", "user/name:1", "--push")
    assert ended.returncode == 1
    assert "docker login docker.io" in ended.stderr


def test_check_ends_with_status_0_where_the_image_fits(registry: Registry, command: Command) -> None:
    ended = command("check", fitting(registry))
    assert ended.returncode == 0, ended.stderr
    assert "ERROR" not in ended.stdout and "warning" not in ended.stdout


def test_check_ends_with_status_1_where_it_does_not(registry: Registry, command: Command) -> None:
    ended = command("check", fitting(registry, python="3.8"))
    assert ended.returncode == 1
    assert "ERROR   python" in ended.stdout


def test_a_warning_is_no_failure(registry: Registry, command: Command) -> None:
    ended = command("check", fitting(registry, covalent="0.1"))
    assert ended.returncode == 0
    assert "warning covalent" in ended.stdout


def test_check_can_pass_over_what_this_machine_has(shelf: Shelf, registry: Registry, command: Command) -> None:
    shelf.put("docker", """echo '[{"Os": "linux", "Architecture": "arm64"}]'""")
    uri = fitting(registry)
    assert command("check", uri).returncode == 1
    assert command("check", "--registry", uri).returncode == 0


def test_check_prints_json_on_request(registry: Registry, command: Command) -> None:
    record = json.loads(command("check", "--json", fitting(registry)).stdout)
    assert (record["fits"], record["source"], record["user"]) == (True, "registry", "7")


def test_an_image_that_cannot_be_read_is_json_too(registry: Registry, command: Command) -> None:
    ended = command("check", "--json", f"{registry.host}/missing:t")
    assert ended.returncode == 1
    assert "manifest unknown" in json.loads(ended.stdout)["error"]
