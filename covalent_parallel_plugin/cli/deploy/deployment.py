"""One deployment: plan a change, confirm it, apply exactly that plan, and write the outputs into the configuration."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...errors import DeployError, DeployInterruptedError, DeployMistakeError
from ...settings import OPTIONS, SECTION, infrastructure_variables
from ...settings.infrastructure_variables import VARIABLES
from . import option_changes
from .deployment_folder import INFRA, prepare_folder
from .option_changes import OptionChange
from .saved_variables import FILE_NAME, read_saved_variables, write_variables
from .terraform import Terraform, TerraformPlan

BUCKETS, REPOSITORIES = "google_storage_bucket.", "google_artifact_registry_repository."


@dataclass(frozen=True)
class DeploymentStatus:
    """What stands, according to the state: resources by address, the executor's options, and where these differ from
    Covalent's configuration."""

    project: str
    name: str
    folder: Path
    resources: Sequence[str]
    options: Mapping[str, object]
    differences: Sequence[OptionChange]


class Deployment:
    """The infrastructure of one project under one name.

    Args:
        project, name: whose.
        terraform: Terraform in the deployment's folder.
        configured: the section of Covalent's configuration, read anew for each call.
        write: writes changes into it.
        say: takes a line for the user.
        source: the Terraform files.
    """

    def __init__(
        self,
        project: str,
        name: str,
        terraform: Terraform,
        configured: Callable[[], Mapping[str, object]],
        write: Callable[[Sequence[OptionChange]], None],
        say: Callable[[str], None],
        source: Path = INFRA,
    ):
        self.project = project
        self.name = name
        self._terraform = terraform
        self._folder = terraform.folder
        self._configured = configured
        self._write = write
        self._say = say
        self._source = source

    def plan(self, given: Mapping[str, object], otherwise: Mapping[str, object]) -> bool:
        """Show what `up` with the same values would do; whether that is anything.

        Raises:
            DeployError: values that contradict each other, or Terraform failed.
        """
        with self._planned(given, otherwise) as (planned, _, chosen):
            if planned is None:
                self._say("Nothing would change.")
            else:
                self._show_configuration(option_changes.changes(*self._expected(planned)))
                self._say(f"Nothing was touched. To do it: {self.command('up')}{_repeated(chosen)}")
            return planned is not None

    def up(
        self, given: Mapping[str, object], otherwise: Mapping[str, object], ask: Callable[[str], bool]
    ) -> Mapping[str, object]:
        """Make or change the infrastructure, and have Covalent's configuration name it.

        Args:
            given: values of variables that the user named; they are remembered for the next time.
            otherwise: values for what was never named.
            ask: asks the user yes or no.

        Returns:
            The outputs; none where the user said no.

        Raises:
            DeployError: nothing was done, or not all; the message says which, and how to go on.
        """
        with self._planned(given, otherwise) as (planned, plan_file, chosen):
            if planned is not None:
                self._show_configuration(option_changes.changes(*self._expected(planned)))
                if planned.deleted:
                    self._say(f"Careful: this deletes (some to make them anew) {', '.join(planned.deleted)}")
                    self._warn_of_contents(planned, chosen)
                if not ask("Do this?"):
                    self._say("Nothing was touched.")
                    return {}
            earlier = self._terraform.outputs() if planned is not None else {}
            # Before the attempt: what it makes is to be found again with the same values.
            write_variables(self._folder / FILE_NAME, chosen)
            if planned is not None:
                self._apply(plan_file, "up")
        outputs = self._terraform.outputs()
        self._say(f"The infrastructure stands: {len(self._terraform.resources())} resources, state in {self._folder}")
        option_changes.check(outputs, self._folder)
        self._configure(option_changes.changes(outputs, earlier, self._configured()))
        return outputs

    def down(self, ask: Callable[[str], bool]) -> bool:
        """Take the infrastructure down, and out of Covalent's configuration what named it.

        Returns:
            Whether nothing stands any more.

        Raises:
            DeployError: it is not down, or not all of it; the message says how to go on.
        """
        if not self._folder.is_dir() or not self._terraform.resources():
            self._say(f"Nothing of {self.project}/{self.name} stands: nothing is to be taken down.")
            return True
        earlier = self._terraform.outputs()
        with self._planned({}, {}, destroy=True) as (planned, plan_file, chosen):
            if planned is not None:
                self._warn_of_contents(planned, chosen)
                self._show_configuration(option_changes.emptied(earlier, self._configured()))
                if not ask("Take all of this down?"):
                    self._say("Nothing was touched.")
                    return False
                self._apply(plan_file, "down")
        self._configure(option_changes.emptied(earlier, self._configured()))
        self._forget_providers()
        self._say(f"Nothing stands any more. The APIs stay enabled; an empty state stays in {self._folder}")
        return True

    def status(self) -> DeploymentStatus:
        """What stands, according to the state: Google is not asked."""
        resources: Sequence[str] = ()
        outputs: Mapping[str, object] = {}
        if self._folder.is_dir():
            resources = self._terraform.resources()
            outputs = self._terraform.outputs() if resources else {}
            option_changes.check(outputs, self._folder)
        options = {name: outputs[name] for name in outputs if name in OPTIONS}
        differences = option_changes.changes(options, {}, self._configured())
        return DeploymentStatus(self.project, self.name, self._folder, resources, options, differences)

    def command(self, what: str) -> str:
        """The command line that does something with this deployment."""
        named = "" if self.name == VARIABLES["name"].default else f" --name {self.name}"
        return f"covalent-parallel deploy {what} --project {self.project}{named}"

    @contextmanager
    def _planned(
        self, given: Mapping[str, object], otherwise: Mapping[str, object], destroy: bool = False
    ) -> Iterator[tuple[TerraformPlan | None, Path, Mapping[str, object]]]:
        """A saved plan, shown and read, None if there is nothing to do; its file; and the values it was made with."""
        self._terraform.require_version()
        own = {"project_id": self.project, "name": self.name}
        is_other = prepare_folder(self._folder, self._source)
        chosen = {**otherwise, **read_saved_variables(self._folder), **given, **own}
        mistakes = infrastructure_variables.contradictions(chosen)
        if mistakes:
            raise DeployMistakeError(
                "\n".join(["these values cannot be used:", *(f"  - {mistake}" for mistake in mistakes)])
            )
        with tempfile.TemporaryDirectory(prefix="plan-", dir=self._folder) as place:
            values, plan_file = Path(place) / "values.tfvars.json", Path(place) / "saved.tfplan"
            write_variables(values, chosen)
            try:
                self._terraform.init(upgrade=is_other)
                has_changes = self._terraform.plan(plan_file, values, destroy)
                planned = self._terraform.read_plan(plan_file) if has_changes else None
            except DeployInterruptedError as error:
                raise DeployInterruptedError(f"{error}: nothing was touched") from error
            yield planned, plan_file, chosen

    def _apply(self, plan_file: Path, what: str) -> None:
        other = "down" if what == "up" else "up"
        try:
            self._terraform.apply(plan_file)
        except DeployError as error:
            kind = DeployInterruptedError if isinstance(error, DeployInterruptedError) else DeployError
            raise kind(
                f"{error}\nWhat was done until then is in the state ({self.command('status')}).\n"
                f"Go on with: {self.command(what)}\nOr go back with: {self.command(other)}"
            ) from error

    def _forget_providers(self) -> None:
        """A hundred megabytes, which the next `up` fetches again."""
        providers = self._folder / ".terraform"
        try:
            if providers.is_dir():
                shutil.rmtree(providers)
        except OSError as error:
            self._say(f"{providers} is needed no more and could not be deleted: {error}")

    def _expected(
        self, planned: TerraformPlan
    ) -> tuple[Mapping[str, object], Mapping[str, object], Mapping[str, object], Sequence[str]]:
        option_changes.check(planned.outputs, self._folder)
        return planned.outputs, self._terraform.outputs(), self._configured(), planned.unknown_outputs

    def _show_configuration(self, wanted: Sequence[OptionChange]) -> None:
        if wanted:
            self._say(f"Then in [{SECTION}] of Covalent's configuration:")
            for change in wanted:
                self._say(f"  {change}")

    def _configure(self, wanted: Sequence[OptionChange]) -> None:
        if not wanted:
            self._say("Covalent's configuration needs no change.")
            return
        self._write(wanted)
        self._say(f"Changed in [{SECTION}] of Covalent's configuration:")
        for change in wanted:
            self._say(f"  {change}")

    def _warn_of_contents(self, planned: TerraformPlan, chosen: Mapping[str, object]) -> None:
        bucket = "Every object in the bucket is deleted with it."
        if chosen.get("force_destroy") is False:
            bucket = "The bucket is deleted only if it is empty (force_destroy = false); else this stops there."
        for prefix, warning in ((BUCKETS, bucket), (REPOSITORIES, "Every image in the repository is deleted with it.")):
            if any(address.startswith(prefix) for address in planned.deleted):
                self._say(warning)


def _repeated(chosen: Mapping[str, object]) -> str:
    """The values as options, for the command that does what was shown."""
    words = []
    for name, value in chosen.items():
        if name in ("project_id", "name") or name not in VARIABLES or value == VARIABLES[name].default:
            continue
        text = json.dumps(value) if isinstance(value, (list, bool)) else str(value)
        own = infrastructure_variables.OWN_OPTIONS.get(name)
        words.append(f" {own} {text}" if own else f" --set {name}={_quoted(text)}")
    return "".join(words)


def _quoted(text: str) -> str:
    return f"'{text}'" if set(text) & set(' "[]') else text
