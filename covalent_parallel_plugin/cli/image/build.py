"""Build the image with docker, podman or Cloud Build, and say what went wrong in the user's terms."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...cloud.registry.image_reference import ImageReference, parse_reference
from ...containers.engine import names_of
from ...errors import ParallelError
from .build_context import write_context
from .external_programs import CLOUD_BUILD, ProgramResult, Programs
from .versions import Versions

PLATFORM = "linux/amd64"
"""Batch's machines."""
REPOSITORY = "covalent"
"""In Artifact Registry, as assets/infra names it by default."""
NAME = "covalent-parallel"
"""The image's own."""
LIMIT_SECONDS = 3600.0
INSPECT_SECONDS = 60.0
# https://packaging.python.org: Covalent 0.240.0 declares 3.10 to 3.12
_PYTHON = re.compile(r"3\.\d{1,2}")
_PLATFORM = re.compile(r"[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?")


class BuildError(ParallelError):
    """The image was not built or not pushed; the text says why and what to do."""


@dataclass(frozen=True)
class BuildOptions:
    """What to build: `requirements` is the file's text; `engine_arguments` go to the engine's build command."""

    tag: str
    base: str
    python: str
    platform: str = PLATFORM
    requirements: str = ""
    push: bool = False
    pip_conf: str = ""
    engine_arguments: tuple[str, ...] = ()
    project: str = ""
    region: str = ""


def default_tag(versions: Versions, project: str, region: str) -> str:
    """A name of this machine, or one in the project's Artifact Registry."""
    name = f"{NAME}:{versions.plugin}-py{versions.python}"
    return f"{region}-docker.pkg.dev/{project}/{REPOSITORY}/{name}" if project else name


def check(options: BuildOptions, engine: str) -> None:
    """Refuse what could only fail later. Raises BuildError with the remedy."""
    if not _PYTHON.fullmatch(options.python):
        raise BuildError(f"--python {options.python} is no minor version of Python: write one such as 3.11")
    if not _PLATFORM.fullmatch(options.platform):
        raise BuildError(f"--platform {options.platform} is no platform: write {PLATFORM}, which Batch's machines are")
    tag = _reference("--tag", options.tag)
    _reference("--base", options.base)
    if tag.digest:
        raise BuildError(f"--tag {options.tag} has a digest, which only comes from building: leave @sha256:… out")
    if options.push and engine != CLOUD_BUILD and (tag.path.startswith("library/") or tag.host == "localhost"):
        raise BuildError(
            f"--tag {options.tag} names no registry to push to: use one such as"
            f" REGION-docker.pkg.dev/PROJECT/{REPOSITORY}/{NAME}:TAG, or give --project and --region for it"
        )
    if options.pip_conf and not Path(options.pip_conf).is_file():
        raise BuildError(f"--pip-conf {options.pip_conf} is no file")
    if engine == CLOUD_BUILD:
        if not options.project:
            raise BuildError(f"--engine {CLOUD_BUILD} needs --project, the project that builds and keeps the image")
        if not tag.is_google:
            raise BuildError(
                f"--tag {options.tag}: Cloud Build pushes to Google's registries, *-docker.pkg.dev or gcr.io"
            )
        if options.pip_conf:
            raise BuildError(f"--pip-conf is for docker and podman; {CLOUD_BUILD} has no access to this machine's file")


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
        places = [f"--project={options.project}", *([f"--region={options.region}"] if options.region else [])]
        submit = ("gcloud", "builds", "submit", context, f"--config={context}/cloudbuild.yaml", *places)
        return [(*submit, f"--substitutions={substitutions}", *options.engine_arguments)]
    build = [engine, "build", f"--platform={options.platform}", f"--tag={options.tag}"]
    build += [f"--build-arg={name}={value}" for name, value in given.items()]
    if options.pip_conf:
        build.append(f"--secret=id=pip.conf,src={options.pip_conf}")
    made = [(*build, *options.engine_arguments, context)]
    return [*made, (engine, "push", options.tag)] if options.push else made


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
        for command in commands(engine, options, versions, folder, created):
            tell("$ " + " ".join(command[:2]))
            ended = programs.show(command, LIMIT_SECONDS, tell)
            if ended.status != 0:
                raise BuildError(diagnosis(command, ended, options))


def _name_here(base: str, engine: str, programs: Programs) -> str:
    """The name under which the engine has the base; the given one where it does not have it, or there is no other."""
    names = names_of(base)
    if len(names) == 1 or engine == CLOUD_BUILD:
        return base
    here = (name for name in names if programs.run((engine, "image", "inspect", name), INSPECT_SECONDS).status == 0)
    return next(here, base)


def diagnosis(command: Sequence[str], ended: ProgramResult, options: BuildOptions) -> str:
    """Why a command failed, as far as its last lines tell, and what to do."""
    step = " ".join(command[:2])
    # docker puts a step and a time before each line
    own = re.findall(r"^(?:#\d+ [\d.]+ )?covalent-parallel: (.+)$", ended.said, re.MULTILINE)
    if own:
        return f"{own[-1]}: choose another --base or --python"
    said = ended.said.lower()
    last = next((line for line in reversed(ended.said.splitlines()) if line.strip()), "it said nothing").strip()
    for pattern, remedy in _REMEDIES:
        if re.search(pattern, said):
            return f"{step} failed: {last}\n{remedy.format(**_places(command, options))}"
    return f"{step} ended with status {ended.status}: {last}"


def _places(command: Sequence[str], options: BuildOptions) -> dict[str, str]:
    tag = parse_reference(options.tag)
    login = f"{command[0]} login {tag.host}"
    if tag.is_google:
        login = f"gcloud auth configure-docker {tag.host}"
        if command[0] == "podman":
            login = f"gcloud auth print-access-token | podman login -u oauth2accesstoken --password-stdin {tag.host}"
    return {"login": login, "host": tag.host, "base": options.base, "tag": options.tag, "repository": REPOSITORY}


_REMEDIES = (
    (r"cannot connect to the docker daemon|is the docker daemon running", "Start Docker and try again."),
    (
        r"no matching distribution found|could not find a version",
        "A package has no version for this Python: change --requirements or --python.",
    ),
    (
        r"resolutionimpossible|conflicting dependencies",
        "The packages of --requirements exclude one another, or this environment's Covalent or cloudpickle.",
    ),
    (
        r"repository .{0,200}not found|name_unknown|name unknown",
        "The repository does not exist: `covalent-parallel deploy up` makes one, or `gcloud artifacts repositories"
        " create {repository} --repository-format=docker --location=REGION --project=PROJECT`.",
    ),
    (
        r"denied|unauthorized|authentication required|forbidden|insufficient_scope|no basic auth",
        "The registry {host} did not let this user in: {login}; the account needs roles/artifactregistry.writer there.",
    ),
    (
        r"manifest unknown|manifest for .{0,200}not found|not found: manifest|initializing source",
        "The base image {base} cannot be had: check --base.",
    ),
    (r"no space left on device", "The disk is full: the engine's `system prune` frees what it does not use."),
    (
        r"temporary failure in name resolution|no such host|network is unreachable|i/o timeout|connection refused"
        r"|newconnectionerror|failed to establish a new connection",
        "The build cannot reach the network: --engine-arg=--network=host may help, or --pip-conf for another index.",
    ),
)
"""What the last lines of docker, podman, gcloud and pip contain, in lower case -> what to do about it."""


def _reference(option: str, text: str) -> ImageReference:
    try:
        return parse_reference(text)
    except ValueError as error:
        raise BuildError(f"{option}: {error}") from error
