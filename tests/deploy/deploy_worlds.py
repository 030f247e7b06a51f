"""A small Terraform module, and a deployment of it that writes to nobody's files."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from covalent_parallel_plugin.cli.deploy.deployment import Deployment
from covalent_parallel_plugin.cli.deploy.option_changes import OptionChange
from covalent_parallel_plugin.cli.deploy.terraform import Terraform

HERE = Path(__file__).resolve().parent
# Resources that need no provider, outputs named as options; `stumble` and `linger` are for the real program, which is
# told to misbehave through its files
MODULE = {
    "variables.tf": """\
# Part of covalent-parallel-plugin: a small module.
variable "project_id" {
  default = ""
}
variable "region" {
  default = "us-east1"
}
variable "bucket_name" {
  default = "first-bucket"
}
variable "create_network" {
  type    = bool
  default = false
}
""",
    "main.tf": """\
# Part of covalent-parallel-plugin: a small module.
resource "terraform_data" "bucket" {
  input            = var.bucket_name
  triggers_replace = var.bucket_name
}

resource "terraform_data" "network" {
  count = var.create_network ? 1 : 0
}
""",
    "outputs.tf": """\
# Part of covalent-parallel-plugin: a small module.
output "project_id" {
  value = var.project_id
}
output "region" {
  value = var.region
}
output "bucket_name" {
  value = terraform_data.bucket.output
}
output "network" {
  value = var.create_network ? "made-network" : null
}
output "external_ip" {
  value = var.create_network ? false : null
}
output "repository" {
  value = var.region
}
""",
}
# A second resource whose making goes wrong, or takes long
STUMBLE = """\
resource "terraform_data" "stumble" {
  depends_on = [terraform_data.bucket]
  provisioner "local-exec" {
    command = "echo 'Error 403: somebody does not have permission' >&2; exit 1"
  }
}
"""
LINGER = """\
resource "terraform_data" "linger" {
  depends_on = [terraform_data.bucket]
  provisioner "local-exec" {
    command = "touch STARTED; sleep 20; touch STARTED.finished"
  }
}
"""


def write_program(path: Path) -> str:
    """The stand-in as an executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!{sys.executable}\n" + (HERE / "stand_in_terraform.py").read_text())
    path.chmod(0o755)
    return str(path)


# One that takes as long as the test wants
HOLD = """\
resource "terraform_data" "hold" {
  depends_on = [terraform_data.bucket]
  provisioner "local-exec" {
    command = "touch STARTED; while [ ! -e RELEASED ]; do sleep 0.1; done"
  }
}
"""


@dataclass
class World:
    """One deployment, what it told, was asked and wrote."""

    program: str
    folder: Path
    source: Path
    configured: dict[str, object] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    answer: bool = True

    def deployment(self) -> Deployment:
        return Deployment(
            "my-project",
            "covalent",
            self.terraform(),
            lambda: dict(self.configured),
            self.write,
            self.told.append,
            self.source,
        )

    def terraform(self) -> Terraform:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder.parent), **self.environment}
        return Terraform(lambda: self.program, self.folder, environment)

    def write(self, wanted: Sequence[OptionChange]) -> None:
        self.configured.update({change.option: change.after for change in wanted})

    def ask(self, question: str) -> bool:
        self.asked.append(question)
        return self.answer

    def up(self, **given: object) -> Mapping[str, object]:
        return self.deployment().up(given, {}, self.ask)

    def down(self) -> bool:
        return self.deployment().down(self.ask)

    def says(self, text: str) -> bool:
        return text in "\n".join(self.told)


def make_world(program: str, tmp_path: Path, files: Mapping[str, str] = MODULE) -> World:
    source = tmp_path / "source"
    source.mkdir()
    for name, text in files.items():
        (source / name).write_text(text)
    return World(program, tmp_path / "data" / "my-project" / "covalent", source)


@dataclass
class Lingering:
    """A deployment whose `apply` waits after the first resource: whether it does, and whether it did to the end."""

    world: World
    started: Path

    def is_applying(self) -> bool:
        return self.started.exists()

    def has_finished(self) -> bool:
        return self.started.with_name("started.finished").exists()
