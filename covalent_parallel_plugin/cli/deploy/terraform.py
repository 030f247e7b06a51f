"""Terraform or OpenTofu in one folder, through its command line (https://developer.hashicorp.com/terraform/cli)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from ...errors import DeployError, DeployInterruptedError, DeployMistakeError
from .error_hints import hint_for
from .interruptible_process import CommandResult, Run, run

PROGRAMS = ("terraform", "tofu")
LEAST_VERSION = (1, 5, 0)
# `plan -detailed-exitcode`
NOTHING_TO_CHANGE, FAILED, CHANGES = 0, 1, 2


T = TypeVar("T")


@dataclass(frozen=True)
class TerraformPlan:
    """What a saved plan would do: addresses of resources by action, and outputs (None where not known before)."""

    created: tuple[str, ...]
    changed: tuple[str, ...]
    deleted: tuple[str, ...]
    outputs: Mapping[str, object]
    unknown_outputs: tuple[str, ...]


def find_terraform(named: str | None, search_path: str | None) -> str:
    """The program's path: the one named, else `terraform`, else `tofu` on PATH.

    Raises:
        DeployError: there is none.
    """
    for name in (named,) if named else PROGRAMS:
        found = shutil.which(name, path=search_path)
        if found:
            # It is run in the deployment's folder.
            return str(Path(found).absolute())
    if named:
        raise DeployMistakeError(f"{named} is not a program: name Terraform's or OpenTofu's with --terraform")
    raise DeployError(
        "neither terraform nor tofu is on PATH: install one (https://developer.hashicorp.com/terraform/install or"
        " https://opentofu.org/docs/intro/install), 1.5 or later, or name it with --terraform"
    )


class Terraform:
    """Terraform in one folder.

    Args:
        find: gives its path, when it is needed first.
        folder: where the files and the state are.
        environment: passed on, credentials, proxies and TF_ variables included.
        run: runs a command.
    """

    def __init__(self, find: Callable[[], str], folder: Path, environment: Mapping[str, str], run: Run = run):
        self._find = find
        self.folder = folder
        # Leaves out hints at commands that are not the ones to type here
        self._environment = {"TF_IN_AUTOMATION": "1", **environment}
        self._run = run

    @cached_property
    def program(self) -> str:
        """The program's path. Raises DeployError: there is none."""
        return self._find()

    def require_version(self) -> str:
        """The version, such as "1.9.8".

        Raises:
            DeployError: older than 1.5, or no Terraform at all.
        """
        # Not in the deployment's folder, which need not be there yet
        answer = self._ask("version", "-json", folder=Path.cwd(), may_fail=True)
        try:
            version = str(json.loads(answer.output)["terraform_version"])
        except (ValueError, KeyError, TypeError, RecursionError):
            raise DeployError(
                f"{self.program} does not say its version as Terraform and OpenTofu do: name another with --terraform"
            ) from None
        numbers = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
        if numbers is None or tuple(map(int, numbers.groups())) < LEAST_VERSION:
            raise DeployError(f"{self.program} has version {version}, and 1.5 or later is needed: install a newer one")
        return version

    def init(self, upgrade: bool = False) -> None:
        """Fetch the providers; with `upgrade` newer ones than at the last time where the files ask for them."""
        self._do("init", "-input=false", *(["-upgrade"] if upgrade else []))

    def plan(self, into: Path, variables: Path | None = None, destroy: bool = False) -> bool:
        """Write a plan into a file and show it; whether it changes anything."""
        arguments = ["plan", "-input=false", "-detailed-exitcode", f"-out={into}"]
        if destroy:
            arguments.append("-destroy")
        if variables is not None:
            arguments.append(f"-var-file={variables}")
        return self._do(*arguments, good=(NOTHING_TO_CHANGE, CHANGES)).status == CHANGES

    def read_plan(self, plan: Path) -> TerraformPlan:
        """What a saved plan would do."""
        return self._read(_plan_in, "show", "-json", str(plan))

    def apply(self, plan: Path) -> None:
        """Do what a saved plan says, and nothing else."""
        self._do("apply", "-input=false", str(plan))

    def outputs(self) -> dict[str, object]:
        """The outputs in the state, by name; without those that are kept secret."""
        return self._read(_outputs_in, "output", "-json")

    def resources(self) -> list[str]:
        """The addresses of what stands, according to the state."""
        answer = self._ask("state", "list", may_fail=True)
        if answer.status != 0:
            if "No state file was found" in answer.errors:
                return []
            raise self._failure("state list", answer, was_shown=False)
        return [line for line in answer.output.splitlines() if line.strip()]

    def _read(self, read: Callable[[dict[str, Any]], T], *arguments: str) -> T:
        answer = self._ask(*arguments)
        try:
            return read(_as(dict, json.loads(answer.output)))
        except json.JSONDecodeError as error:
            why = f"what is not JSON: {error}"
        except RecursionError:
            why = "JSON nested too deeply"
        except _OtherForm as error:
            why = f"JSON of another form than Terraform and OpenTofu: {error}"
        raise DeployError(f"{self._called(*arguments)} answered {why}\nName another program with --terraform")

    def _ask(self, *arguments: str, folder: Path | None = None, may_fail: bool = False) -> CommandResult:
        answer = self._started(arguments, folder or self.folder, wants_output=True)
        if answer.status != 0 and not may_fail:
            raise self._failure(" ".join(arguments), answer, was_shown=False)
        return answer

    def _do(self, *arguments: str, good: tuple[int, ...] = (0,)) -> CommandResult:
        ended = self._started(arguments, self.folder, wants_output=False)
        if ended.is_interrupted:
            raise DeployInterruptedError(f"interrupted during `{arguments[0]}`")
        if ended.status not in good:
            raise self._failure(arguments[0], ended, was_shown=True)
        return ended

    def _started(self, arguments: tuple[str, ...], folder: Path, wants_output: bool) -> CommandResult:
        try:
            return self._run([self.program, *arguments], folder, self._environment, wants_output)
        except subprocess.TimeoutExpired as error:
            raise DeployError(f"{self._called(*arguments)} did not answer within {error.timeout:.0f} s") from error
        except OSError as error:
            raise DeployError(f"{self.program} cannot be started: {error}: name another with --terraform") from error

    def _failure(self, what: str, ended: CommandResult, was_shown: bool) -> DeployError:
        how = f"signal {-ended.status}" if ended.status < 0 else f"status {ended.status}"
        lines = [
            f"{self._called(what)} failed ({how})",
            "" if was_shown else ended.errors.strip(),
            hint_for(ended.errors),
        ]
        return DeployError("\n".join(line for line in lines if line))

    def _called(self, *arguments: str) -> str:
        return f"`{Path(self.program).name} {' '.join(arguments)}`"


class _OtherForm(Exception):
    """JSON that is not what https://developer.hashicorp.com/terraform/internals/json-format describes."""


def _plan_in(loaded: dict[str, Any]) -> TerraformPlan:
    """A saved plan in JSON. Raises _OtherForm."""
    actions: dict[str, list[object]] = {}
    for entry in _as(list, loaded.get("resource_changes", [])):
        change = _as(dict, _as(dict, entry).get("change"))
        actions[_as(str, entry.get("address"))] = _as(list, change.get("actions"))
    outputs = {name: _as(dict, change) for name, change in _as(dict, loaded.get("output_changes", {})).items()}
    return TerraformPlan(
        created=tuple(address for address, done in actions.items() if done == ["create"]),
        changed=tuple(address for address, done in actions.items() if done == ["update"]),
        deleted=tuple(address for address, done in actions.items() if "delete" in done),
        outputs={name: change.get("after") for name, change in outputs.items()},
        unknown_outputs=tuple(name for name, change in outputs.items() if change.get("after_unknown") is True),
    )


def _outputs_in(loaded: dict[str, Any]) -> dict[str, object]:
    """Outputs by name, without those that are kept secret. Raises _OtherForm."""
    entries = {name: _as(dict, entry) for name, entry in loaded.items()}
    for name, entry in entries.items():
        if "value" not in entry:
            raise _OtherForm(f"{name} has no value")
    return {name: entry["value"] for name, entry in entries.items() if not entry.get("sensitive")}


def _as(kind: type[T], value: object) -> T:
    if not isinstance(value, kind):
        raise _OtherForm(f"{type(value).__name__} for {kind.__name__}")
    return value
