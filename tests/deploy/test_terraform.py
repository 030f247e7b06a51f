"""Terraform's command line as this package uses it: versions, answers, and programs that are something else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from covalent_parallel_plugin.cli.deploy.terraform import Terraform, find_terraform
from covalent_parallel_plugin.errors import DeployError


def terraform(program: str, folder: Path, **variables: str) -> Terraform:
    return Terraform(lambda: program, folder, {"PATH": os.environ["PATH"], **variables})


@pytest.mark.parametrize("version", ["1.5.0", "1.9.8", "1.10.0", "1.11.4-dev", "2.0.0"])
def test_versions_from_1_5_are_taken(stand_in: str, tmp_path: Path, version: str) -> None:
    assert terraform(stand_in, tmp_path, STAND_IN_VERSION=version).require_version() == version


@pytest.mark.parametrize("version", ["0.15.5", "1.4.7", "soon"])
def test_older_versions_are_refused_by_name(stand_in: str, tmp_path: Path, version: str) -> None:
    with pytest.raises(DeployError, match=f"has version {version}, and 1.5 or later is needed"):
        terraform(stand_in, tmp_path, STAND_IN_VERSION=version).require_version()


@pytest.mark.parametrize("program", [sys.executable, "/bin/true"])
def test_another_program_is_refused(program: str, tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="does not say its version as Terraform and OpenTofu do"):
        terraform(program, tmp_path).require_version()


def test_a_program_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="cannot be started"):
        terraform(str(tmp_path / "nothing"), tmp_path).require_version()


def test_an_answer_that_is_no_json_is_told(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="`true output -json` answered what is not JSON"):
        terraform("/bin/true", tmp_path).outputs()


def test_a_program_killed_by_a_signal_is_told_as_such(tmp_path: Path) -> None:
    program = tmp_path / "terraform"
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    program.chmod(0o755)
    with pytest.raises(DeployError, match=r"`terraform init` failed \(signal 9\)"):
        terraform(str(program), tmp_path).init()


def test_outputs_that_are_secret_are_left_out(tmp_path: Path) -> None:
    program = tmp_path / "terraform"
    program.write_text("""#!/bin/sh
echo '{"bucket_name": {"value": "b", "sensitive": false}, "registry_password": {"value": "x", "sensitive": true}}'
""")
    program.chmod(0o755)
    assert terraform(str(program), tmp_path).outputs() == {"bucket_name": "b"}


def answering(folder: Path, text: str) -> str:
    program = folder / "terraform"
    (folder / "answer").write_text(text)
    program.write_text(f"#!/bin/sh\ncat '{folder}/answer'\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.parametrize(
    "answer",
    [
        "null",
        "[" * 100_000,
        '{"resource_changes": null}',
        '{"resource_changes": [{}]}',
        '{"resource_changes": [5]}',
        '{"resource_changes": [{"address": ["a"], "change": {"actions": ["create"]}}]}',
        '{"resource_changes": [{"address": "a", "change": {"actions": 5}}]}',
        '{"resource_changes": [{"address": "a", "change": null}]}',
        '{"output_changes": null}',
        '{"output_changes": {"region": 5}}',
    ],
)
def test_a_plan_of_another_form_is_told_with_what_to_do(tmp_path: Path, answer: str) -> None:
    with pytest.raises(DeployError, match=r"`terraform show -json .*saved` answered (?s:.*)--terraform"):
        terraform(answering(tmp_path, answer), tmp_path).read_plan(tmp_path / "saved")


@pytest.mark.parametrize("answer", ["null", "[" * 100_000, '{"region": 5}', '{"region": {"sensitive": false}}'])
def test_outputs_of_another_form_are_told_with_what_to_do(tmp_path: Path, answer: str) -> None:
    with pytest.raises(DeployError, match=r"`terraform output -json` answered (?s:.*)--terraform"):
        terraform(answering(tmp_path, answer), tmp_path).outputs()


def test_a_version_nested_too_deeply_is_told(tmp_path: Path) -> None:
    with pytest.raises(DeployError, match="does not say its version"):
        terraform(answering(tmp_path, "[" * 100_000), tmp_path).require_version()


def make_programs(folder: Path, *names: str) -> str:
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return str(folder)


def test_terraform_is_found_before_tofu(tmp_path: Path) -> None:
    path = make_programs(tmp_path, "terraform", "tofu")
    assert find_terraform(None, path) == str(tmp_path / "terraform")


def test_the_named_program_wins(tmp_path: Path) -> None:
    path = make_programs(tmp_path, "terraform", "terraform-1.5")
    assert find_terraform("terraform-1.5", path) == str(tmp_path / "terraform-1.5")


def test_a_relative_path_is_made_absolute(tmp_path: Path) -> None:
    make_programs(tmp_path, "terraform")
    found = Path(find_terraform(os.path.relpath(tmp_path / "terraform"), None))
    assert found.is_absolute()
    assert found.samefile(tmp_path / "terraform")
