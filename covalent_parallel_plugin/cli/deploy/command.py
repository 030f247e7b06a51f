"""`covalent-parallel deploy`: bucket, identity, repository and network, with the user's own Terraform or OpenTofu."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from covalent_parallel_plugin.cli import SuggestingGroup
from covalent_parallel_plugin.cli.exit_statuses import FAILED, INTERRUPTED, shown_error
from covalent_parallel_plugin.errors import MistakeError

if TYPE_CHECKING:
    from covalent_parallel_plugin.cli.deploy.deployment import Deployment, DeploymentStatus

F = TypeVar("F", bound=Callable[..., Any])

_PROJECT = click.option(
    "--project",
    metavar="ID",
    help="Google Cloud project; else from Covalent's configuration, else GOOGLE_CLOUD_PROJECT.",
)
_NAME = click.option("--name", metavar="NAME", default="covalent", show_default=True, help="Of several in one project.")
_TERRAFORM = click.option("--terraform", metavar="PATH", help="Terraform or OpenTofu, 1.5 or later; else from PATH.")
_REGION = click.option("--region", help="Else what it was, else from Covalent's configuration, else us-east1.")
_IMAGE = click.option("--image", metavar="NAME:TAG", help="Image in the repository made here that jobs are to run in.")
_SET = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of a variable, see `deploy variables`; repeatable.",
)
_YES = click.option("--yes", is_flag=True, help="Do not ask.")


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


@click.group(cls=SuggestingGroup)
def deploy() -> None:
    """Make, look at and take down what jobs need on Google Cloud.

    That is: the APIs, a bucket, a repository for images, an identity for the jobs' machines with the least roles that
    work and, on request, a network without addresses on the internet. Terraform or OpenTofu does it; files and state
    are in the user's data folder. Log in first: gcloud auth application-default login
    """


@deploy.command()
@_options(_PROJECT, _NAME, _REGION, _IMAGE, _SET, _TERRAFORM)
def plan(
    project: str | None,
    name: str,
    region: str | None,
    image: str | None,
    assignments: tuple[str, ...],
    terraform: str | None,
) -> None:
    """Show what `up` would change, and change nothing."""
    with _click_errors():
        given, otherwise = _values(region, image, assignments)
        _deployment(project, name, terraform).plan(given, otherwise)


@deploy.command()
@_options(_PROJECT, _NAME, _REGION, _IMAGE, _SET, _TERRAFORM, _YES)
def up(
    project: str | None,
    name: str,
    region: str | None,
    image: str | None,
    assignments: tuple[str, ...],
    terraform: str | None,
    yes: bool,
) -> None:
    """Make or change it: shows what will be done, asks, does exactly that, and writes the executor's options.

    Values are remembered: a later `up` changes only what it names.
    """
    with _click_errors():
        ask = _asking(yes)
        given, otherwise = _values(region, image, assignments)
        outputs = _deployment(project, name, terraform).up(given, otherwise, ask)
        for line in _next_steps(outputs):
            click.echo(line)


@deploy.command()
@_options(_PROJECT, _NAME, _TERRAFORM, _YES)
def down(project: str | None, name: str, terraform: str | None, yes: bool) -> None:
    """Take all of it down, with every object and image in it; shows that and asks first."""
    with _click_errors():
        _deployment(project, name, terraform).down(_asking(yes))


@deploy.command()
@_options(_PROJECT, _NAME, _TERRAFORM)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def status(project: str | None, name: str, terraform: str | None, as_json: bool) -> None:
    """Show what stands according to the state, and whether Covalent's configuration agrees (exit status 1 if not)."""
    with _click_errors():
        found = _deployment(project, name, terraform).status()
        click.echo(json.dumps(_as_json(found), indent=2) if as_json else _as_text(found))
        if found.resources and found.differences:
            raise SystemExit(FAILED)


@deploy.command()
def variables() -> None:
    """List what --set understands, with defaults."""
    from covalent_parallel_plugin.settings.infrastructure_variables import VARIABLES

    for variable in VARIABLES.values():
        default = json.dumps(variable.default)
        click.echo(f"{variable.name}  ({variable.type}, default {default})\n    {variable.help}")


@contextmanager
def _click_errors() -> Iterator[None]:
    """Turns what the package raises into the one error that the user is shown."""
    from covalent_parallel_plugin.errors import DeployInterruptedError

    try:
        yield
    except DeployInterruptedError as error:
        click.echo(f"\n{error}", err=True)
        raise SystemExit(INTERRUPTED) from error
    except ValueError as error:
        raise shown_error(error) from error


def _deployment(project: str | None, name: str, terraform: str | None) -> Deployment:
    from covalent_parallel_plugin.cli.deploy import option_changes
    from covalent_parallel_plugin.cli.deploy.deployment import Deployment
    from covalent_parallel_plugin.cli.deploy.deployment_folder import folder_of, known_deployments
    from covalent_parallel_plugin.cli.deploy.terraform import Terraform, find_terraform
    from covalent_parallel_plugin.covalent_api.config_file import import_configured_options

    configured = partial(import_configured_options, os.environ)
    chosen = project or configured().get("project_id") or os.environ.get("GOOGLE_CLOUD_PROJECT")
    if not chosen:
        known = "".join(f"\n  --project {known} --name {named}" for known, named in known_deployments(os.environ))
        raise MistakeError(
            "no project is named: add --project ID (gcloud projects list)"
            + (f"\nThere are folders of:{known}" if known else "")
        )
    checked = {key: _checked(key, value) for key, value in (("project_id", chosen), ("name", name))}
    folder = folder_of(checked["project_id"], checked["name"], os.environ)
    find = partial(find_terraform, terraform, os.environ.get("PATH"))
    return Deployment(
        checked["project_id"],
        checked["name"],
        Terraform(find, folder, os.environ),
        configured,
        option_changes.write,
        click.echo,
    )


def _values(
    region: str | None, image: str | None, assignments: tuple[str, ...]
) -> tuple[dict[str, object], dict[str, object]]:
    from covalent_parallel_plugin.covalent_api.config_file import import_configured_options
    from covalent_parallel_plugin.settings.infrastructure_variables import read_assignments

    given = read_assignments(assignments)
    for name, value in (("region", region), ("image", image)):
        if value is not None:
            given[name] = _checked(name, value)
    configured = import_configured_options(os.environ).get("region")
    return given, {"region": _checked("region", configured)} if configured else {}


def _checked(name: str, value: object) -> Any:
    from covalent_parallel_plugin.settings.infrastructure_variables import checked

    try:
        return checked(name, value)
    except ValueError as error:
        raise MistakeError(f"{name} = {value!r} {error}") from error


def _asking(yes: bool) -> Callable[[str], bool]:
    if yes:
        return lambda question: True
    if not sys.stdin.isatty():
        raise click.UsageError(
            "nobody can be asked here, since this is no terminal: look with `covalent-parallel deploy plan`, then add"
            " --yes"
        )
    return lambda question: click.confirm(question, default=False)


def _next_steps(outputs: Any) -> list[str]:
    """What is left to the user once the infrastructure stands."""
    image, repository = outputs.get("container_image_uri"), outputs.get("repository")
    if image:
        return [
            f"Jobs run in {image}. If it is not built yet: covalent-parallel image build --push --tag {image}",
        ]
    if outputs.get("external_ip") is False:
        return [
            "Machines without addresses on the internet reach Google's registries, and so the stock image, but no"
            " package index, unless `nat` is set. For packages build an image:"
            f" covalent-parallel image build --requirements FILE --push --tag {repository}/covalent-parallel:latest",
            "and have jobs run in it: covalent-parallel deploy up --image covalent-parallel:latest",
        ]
    return []


def _as_text(found: DeploymentStatus) -> str:
    if not found.resources:
        return f"Nothing of {found.project}/{found.name} stands."
    lines = [f"{len(found.resources)} resources of {found.project}/{found.name} stand, state in {found.folder}:"]
    lines += [f"  {address}" for address in found.resources]
    lines += ["The executor's options:", *(f"  {name} = {value!r}" for name, value in found.options.items())]
    if not found.differences:
        return "\n".join([*lines, "Covalent's configuration agrees."])
    lines += ["Covalent's configuration differs (`covalent-parallel deploy up` mends it):"]
    return "\n".join([*lines, *(f"  {change}" for change in found.differences)])


def _as_json(found: DeploymentStatus) -> dict[str, object]:
    return {
        "project": found.project,
        "name": found.name,
        "folder": str(found.folder),
        "resources": list(found.resources),
        "options": dict(found.options),
        "differences": [
            {"option": change.option, "configured": change.before, "deployed": change.after}
            for change in found.differences
        ],
    }
