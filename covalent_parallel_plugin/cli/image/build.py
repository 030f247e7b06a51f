"""Build the image with docker, podman or Cloud Build, and say what went wrong in the user's terms."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from ...cloud.registry.image_reference import parse_reference
from ...containers.engine import names_of
from ...errors import MistakeError, ParallelError
from .build_context import write_context
from .build_failures import OWN_REMEDIES, REPOSITORY, explain_failure
from .external_programs import CLOUD_BUILD, ProgramResult, Programs
from .versions import Versions

PLATFORM = "linux/amd64"
"""Batch's machines."""
NAME = "covalent-parallel"
"""The image's own."""
LIMIT_SECONDS = 3600.0
INSPECT_SECONDS = 60.0
# https://packaging.python.org: Covalent 0.240.0 declares 3.10 to 3.12
_PYTHON = re.compile(r"3\.\d{1,2}")
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?")


class BuildError(ParallelError):
    """The image was not built or not pushed; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class ImageTarget:
    """What an image is called, for which machines and where it is built, and whether it is pushed.

    `engine_arguments` go to the engine's build command.
    """

    tag: str
    platform: str = PLATFORM
    push: bool = False
    engine_arguments: tuple[str, ...] = ()
    project: str = ""
    region: str = ""
    # What else than --tag may name a registry
    registry_hint: ClassVar[str] = ""


@dataclass(frozen=True, kw_only=True)
class BuildOptions(ImageTarget):
    """What to build from this package's own Dockerfile: `requirements` is the file's text."""

    registry_hint: ClassVar[str] = ", or give --project and --region for it"

    base: str
    python: str
    requirements: str = ""
    pip_conf: str = ""


def default_tag(versions: Versions, project: str, region: str) -> str:
    """A name of this machine, or one in the project's Artifact Registry."""
    name = f"{NAME}:{versions.plugin}-py{versions.python}"
    return f"{region}-docker.pkg.dev/{project}/{REPOSITORY}/{name}" if project else name


def check(options: BuildOptions, engine: str) -> None:
    """Refuse what could only fail later. Raises BuildError with the remedies."""
    raise_mistakes([*_own_mistakes(options, engine), *target_mistakes(options, engine)])


def raise_mistakes(mistakes: Sequence[str]) -> None:
    """Raise MistakeError with all mistakes, if there are any."""
    if mistakes:
        raise MistakeError("\n".join(mistakes))


def _own_mistakes(options: BuildOptions, engine: str) -> Iterator[str]:
    if not _PYTHON.fullmatch(options.python):
        yield f"--python {options.python} is no minor version of Python: write one such as 3.11"
    try:
        parse_reference(options.base)
    except ValueError as error:
        yield f"--base: {error}"
    if options.pip_conf and not Path(options.pip_conf).is_file():
        yield f"--pip-conf {options.pip_conf} is no file"
    elif options.pip_conf and engine == CLOUD_BUILD:
        yield f"--pip-conf is for docker and podman; {CLOUD_BUILD} has no access to this machine's file"


def target_mistakes(target: ImageTarget, engine: str) -> Iterator[str]:
    """Yield what is wrong with an image's name, platform and place, whatever it is built from."""
    if not _PLATFORM.fullmatch(target.platform):
        yield f"--platform {target.platform} is no platform: write {PLATFORM}, which Batch's machines are"
    is_cloud = engine == CLOUD_BUILD
    if is_cloud and not target.project:
        yield f"--engine {CLOUD_BUILD} needs --project, the project that builds and keeps the image"
    try:
        tag = parse_reference(target.tag)
    except ValueError as error:
        yield f"--tag: {error}"
        return
    if tag.digest:
        yield f"--tag {target.tag} has a digest, which only comes from building: leave @sha256:… out"
    if is_cloud and not tag.is_google:
        yield f"--tag {target.tag}: Cloud Build pushes to Google's registries, *-docker.pkg.dev or gcr.io"
    if target.push and not is_cloud and (tag.path.startswith("library/") or tag.host == "localhost"):
        yield (
            f"--tag {target.tag} names no registry to push to: use one such as"
            f" REGION-docker.pkg.dev/PROJECT/{REPOSITORY}/{NAME}:TAG{target.registry_hint}"
        )


def arguments(options: BuildOptions, versions: Versions, created: str) -> dict[str, str]:
    """The Dockerfile's build arguments; `created` is a time in RFC 3339's form."""
    return {
        "BASE_IMAGE": options.base,
        "PYTHON_MINOR": options.python,
        "COVALENT_VERSION": versions.covalent or "",
        "CLOUDPICKLE_VERSION": versions.cloudpickle or "",
        "PLUGIN_VERSION": versions.plugin or "",
        "CREATED": created,
    }


def commands(
    engine: str, options: BuildOptions, versions: Versions, context: str, created: str
) -> list[tuple[str, ...]]:
    """What is run, in this order."""
    given = arguments(options, versions, created)
    if engine == CLOUD_BUILD:
        values = {**given, "PLATFORM": options.platform, "TAG": options.tag}
        substitutions = ",".join(f"_{name}={value}" for name, value in values.items())
        submit = submit_command(options, context, f"{context}/cloudbuild.yaml")
        return [(*submit, f"--substitutions={substitutions}", *options.engine_arguments)]
    build = [engine, "build", f"--platform={options.platform}", f"--tag={options.tag}"]
    build += [f"--build-arg={name}={value}" for name, value in given.items()]
    if options.pip_conf:
        build.append(f"--secret=id=pip.conf,src={options.pip_conf}")
    made = [(*build, *options.engine_arguments, context)]
    return [*made, (engine, "push", options.tag)] if options.push else made


def submit_command(target: ImageTarget, context: str, config: str) -> tuple[str, ...]:
    """Return the command that has Cloud Build build a folder as a file of its own says."""
    places = [f"--project={target.project}", *([f"--region={target.region}"] if target.region else [])]
    return ("gcloud", "builds", "submit", context, f"--config={config}", *places)


def build(
    engine: str,
    options: BuildOptions,
    versions: Versions,
    created: str,
    programs: Programs,
    tell: Callable[[str], None],
) -> None:
    """Build, and push where that is wanted.

    Raises:
        BuildError: a command failed.
    """
    options = replace(options, base=_name_here(options.base, engine, programs))
    with tempfile.TemporaryDirectory(prefix="covalent-parallel-image-") as folder:
        write_context(Path(folder), options.requirements)
        run_all(
            commands(engine, options, versions, folder, created),
            programs,
            tell,
            lambda command, ended: diagnosis(command, ended, options),
        )


def run_all(
    commands: Sequence[tuple[str, ...]],
    programs: Programs,
    tell: Callable[[str], None],
    diagnose: Callable[[Sequence[str], ProgramResult], str],
) -> ProgramResult:
    """Run commands one after the other, and return how the last one ended.

    Raises:
        BuildError: a command failed; `diagnose` says why.
    """
    ended = ProgramResult(0, "", "")
    for command in commands:
        tell("$ " + " ".join(command[:2]))
        ended = programs.show(command, LIMIT_SECONDS, tell)
        if ended.status != 0:
            raise BuildError(diagnose(command, ended))
    return ended


def _name_here(base: str, engine: str, programs: Programs) -> str:
    """The name under which the engine has the base; the given one where it does not have it, or there is no other."""
    names = names_of(base)
    if len(names) == 1 or engine == CLOUD_BUILD:
        return base
    here = (name for name in names if programs.run((engine, "image", "inspect", name), INSPECT_SECONDS).status == 0)
    return next(here, base)


def diagnosis(command: Sequence[str], ended: ProgramResult, options: BuildOptions) -> str:
    """Why a command failed, as far as its last lines tell, and what to do."""
    # docker puts a step and a time before each line
    own = re.findall(r"^(?:#\d+ [\d.]+ )?covalent-parallel: (.+)$", ended.said, re.MULTILINE)
    if own:
        return f"{own[-1]}: choose another --base or --python"
    return explain_failure(command, ended, ended.said, OWN_REMEDIES, options.tag, base=options.base)
