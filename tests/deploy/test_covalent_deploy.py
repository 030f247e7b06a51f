"""`covalent deploy`: what Covalent's own command wants of a plugin, in processes with a copy of the package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import toml
from deploy_worlds import write_program

import covalent_parallel_plugin
from covalent_parallel_plugin import gcpbatch
from covalent_parallel_plugin.covalent_api.deploy_defaults import infra_defaults, plugin_defaults
from covalent_parallel_plugin.settings import OPTIONS
from covalent_parallel_plugin.settings.infrastructure_variables import VARIABLES

SECONDS = 60.0


class Site:
    """A home, and a copy of the package, since Covalent runs Terraform where the package is installed."""

    def __init__(self, folder: Path):
        self.home = folder / "home"
        self.packages = folder / "site"
        self.infra = folder / "site" / "covalent_parallel_plugin" / "assets" / "infra"
        shutil.copytree(
            Path(covalent_parallel_plugin.__file__).parent,
            folder / "site" / "covalent_parallel_plugin",
            ignore=shutil.ignore_patterns("__pycache__", "*.tfstate*", "*.tfvars", "gcpbatch.conf", ".terraform*"),
        )
        self.home.mkdir()
        programs = folder / "bin"
        write_program(programs / "terraform")
        for name in ("git", "docker"):
            # Covalent only asks whether they are there
            (programs / name).write_text("#!/bin/sh\n")
            (programs / name).chmod(0o755)
        self.environment = {
            "PATH": f"{programs}:/usr/bin:/bin",
            "HOME": str(self.home),
            "COVALENT_CONFIG_DIR": str(self.home / "covalent"),
            "PYTHONPATH": str(folder / "site"),
        }

    def covalent(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        code = f"""
import sys
import covalent_parallel_plugin
# Terraform's files would otherwise lie in the package that is tested
assert covalent_parallel_plugin.__file__.startswith({str(self.packages)!r})
from covalent_dispatcher._cli.cli import cli
sys.exit(cli())
"""
        return subprocess.run(
            [sys.executable, "-c", code, "deploy", *arguments],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    @property
    def section(self) -> dict[str, object]:
        section: dict[str, object] = toml.load(self.home / "covalent" / "covalent.conf")["executors"]["gcpbatch"]
        return section

    def configure(self, **values: object) -> None:
        folder = self.home / "covalent"
        folder.mkdir(exist_ok=True)
        (folder / "covalent.conf").write_text(toml.dumps({"executors": {"gcpbatch": values}}))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_up_writes_what_terraform_says_into_the_configuration(site: Site) -> None:
    ended = site.covalent("up", "gcpbatch", "--project_id=my-project", "--region=europe-west4")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert site.section == {
        "project_id": "my-project",
        "region": "europe-west4",
        "bucket_name": "made-by-terraform",
        "external_ip": False,
    }


def test_up_leaves_the_other_options_of_the_user_alone(site: Site) -> None:
    site.configure(vcpus=8, bucket_name="before")
    site.covalent("up", "gcpbatch", "--project_id=my-project")
    assert site.section["vcpus"] == 8
    assert site.section["bucket_name"] == "made-by-terraform"


def test_up_takes_the_project_from_the_configuration(site: Site) -> None:
    site.configure(project_id="configured-project")
    assert site.covalent("up", "gcpbatch").returncode == 0
    assert site.section["project_id"] == "configured-project"


def test_status_follows_up_and_down(site: Site) -> None:
    assert "down" in site.covalent("status", "gcpbatch").stdout
    site.covalent("up", "gcpbatch", "--project_id=my-project")
    assert "up" in site.covalent("status", "gcpbatch").stdout
    assert site.covalent("down", "gcpbatch").returncode == 0
    assert not (site.infra / "terraform.tfstate").exists()


def test_its_help_lists_the_variables(site: Site) -> None:
    ended = site.covalent("up", "gcpbatch", "--help")
    assert ended.returncode == 0, ended.stderr
    assert "create_network" in ended.stdout


def test_it_refuses_terraform_1_10_for_its_own_reasons(site: Site) -> None:
    """Not ours to change: `docs/how-to/deploy.md` says so, and this test will say when it is true no more."""
    site.environment["STAND_IN_VERSION"] = "1.10.0"
    ended = site.covalent("up", "gcpbatch", "--project_id=my-project")
    assert ended.returncode == 1
    assert "Old version of terraform" in ended.stdout + ended.stderr


def test_an_option_of_the_wrong_kind_is_refused_by_its_rule() -> None:
    with pytest.raises(ValueError, match="is a zone"):
        plugin_defaults()(region="us-east1-b")
    with pytest.raises(ValueError, match="out of range"):
        infra_defaults({})(object_days="0")


def test_the_classes_are_found_where_covalent_looks_for_them() -> None:
    assert set(gcpbatch.ExecutorPluginDefaults.model_fields) == set(OPTIONS)
    scalar = {name for name, variable in VARIABLES.items() if variable.type != "list(string)"}
    assert set(gcpbatch.ExecutorInfraDefaults.model_fields) == scalar


def test_only_what_was_given_is_written() -> None:
    made = plugin_defaults()(region="us-east1", external_ip="False", network=None)
    assert made.dict() == {"region": "us-east1", "external_ip": False}


def test_other_names_of_the_plugins_module_are_still_missing() -> None:
    with pytest.raises(AttributeError, match="no attribute 'ExecutorDefaults'"):
        gcpbatch.ExecutorDefaults  # noqa: B018


def test_importing_covalent_does_not_make_the_classes(tmp_path: Path) -> None:
    code = "import sys, covalent; print('covalent_parallel_plugin.covalent_api.deploy_defaults' in sys.modules)"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "COVALENT_CONFIG_DIR": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert ended.stdout.strip() == "False"
