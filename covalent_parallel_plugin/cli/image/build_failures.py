"""Why docker, podman or gcloud failed, as far as their output says, and the remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ...cloud.registry.image_reference import parse_reference
from .external_programs import ProgramResult

REPOSITORY = "covalent"
"""In Artifact Registry, as assets/infra names it by default."""
_MISSING_IMAGE = r"manifest unknown|manifest for .{0,200}not found|not found: manifest|initializing source"
_NO_NETWORK = (
    r"temporary failure in name resolution|no such host|network is unreachable|i/o timeout|connection refused"
    r"|newconnectionerror|failed to establish a new connection"
)
_NOT_REACHED = "The build cannot reach the network: --engine-arg=--network=host may help"
# Of commands that are no build, and take no such argument
_UNREACHED_REMEDY = {_NO_NETWORK: "Check that the name {host} is right, and that this machine reaches it."}
_COMMON = {
    r"cannot connect to the docker daemon|is the docker daemon running": "Start Docker and try again.",
    r"repository .{0,200}not found|name_unknown|name unknown": (
        "The repository does not exist: `covalent-parallel deploy up` makes one, or `gcloud artifacts repositories"
        " create {repository} --repository-format=docker --location=REGION --project=PROJECT`."
    ),
    r"denied|unauthorized|authentication required|forbidden|insufficient_scope|no basic auth": (
        "The registry {host} did not let this user in: {login}; the account needs roles/artifactregistry.writer there."
    ),
    r"no space left on device": "The disk is full: the engine's `system prune` frees what it does not use.",
}
# Patterns in lower case -> what to do; the first one that is found counts
OWN_REMEDIES = {
    r"no matching distribution found|could not find a version": (
        "A package has no version for this Python: change --requirements or --python."
    ),
    r"resolutionimpossible|conflicting dependencies": (
        "The packages of --requirements exclude one another, or this environment's Covalent or cloudpickle."
    ),
    **_COMMON,
    _MISSING_IMAGE: "The base image {base} cannot be had: check --base.",
    _NO_NETWORK: f"{_NOT_REACHED}, or --pip-conf for another index.",
}
"""For this package's own Dockerfile."""
DOCKERFILE_REMEDIES = {
    _NO_NETWORK: f"{_NOT_REACHED}.",
    f"{_MISSING_IMAGE}|pull access denied|failed to resolve source metadata|short-name": (
        "An image that the Dockerfile starts from cannot be had: check its FROM lines, and that this user may pull it."
    ),
    **_COMMON,
}
"""For a Dockerfile of the user's own."""


def explain_failure(
    command: Sequence[str], ended: ProgramResult, searched: str, remedies: Mapping[str, str], tag: str, base: str = ""
) -> str:
    """Return a failed command's last line, and the first remedy whose pattern is in the text that is searched."""
    step = " ".join(command[:2])
    last = last_line(ended)
    if command[1] != "build":
        remedies = {**remedies, **_UNREACHED_REMEDY}
    for pattern, remedy in remedies.items():
        if re.search(pattern, searched.lower()):
            return f"{step} failed: {last}\n{remedy.format(**_places(command, tag), base=base)}"
    return f"{step} ended with status {ended.status}: {last}"


def last_line(ended: ProgramResult) -> str:
    """Return the last line that a program wrote."""
    lines = (line.strip() for line in reversed(ended.said.splitlines()))
    return next(filter(None, lines), "it said nothing")


def _places(command: Sequence[str], tag: str) -> dict[str, str]:
    image = parse_reference(tag)
    login = f"{command[0]} login {image.host}"
    if image.is_google:
        login = f"gcloud auth configure-docker {image.host}"
        if command[0] == "podman":
            login = f"gcloud auth print-access-token | podman login -u oauth2accesstoken --password-stdin {image.host}"
    return {"login": login, "host": image.host, "repository": REPOSITORY}
