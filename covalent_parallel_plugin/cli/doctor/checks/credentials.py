"""Check through whom Google is asked: credentials, or the local emulator."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from ....cloud.rest_client import Principal, RestClient, default_credentials
from ....errors import PermissionDeniedError
from ....protocol.environment import SERVICES
from ..check_runner import Facts, check
from ..results import CheckResult, error, ok, warning
from ..setup import Setup
from .google_apis import CREDENTIALS

CONNECT_SECONDS = 3.0
START = "start it with `covalent-parallel emulator`, export the variables that it prints, and restart the server"
# The kind of identity that the emulator has
EMULATOR = "emulator"
LOGIN = "gcloud auth application-default login"


@check(
    "services.stand_in",
    "the `*_EMULATOR_HOST` variables: all of them or none are set, and what they name answers",
    "start `covalent-parallel emulator` and export what it prints, or unset them",
)
def emulator(setup: Setup, facts: Facts) -> CheckResult:
    addresses = setup.emulator_addresses
    if not addresses:
        return ok("none of the *_EMULATOR_HOST variables is set: Google itself is asked")
    misshapen = [f"{name}={address}" for name, address in addresses.items() if not _has_its_form(name, address)]
    if misshapen:
        return error(
            f"not the form that clients understand: {', '.join(misshapen)}",
            "STORAGE_EMULATOR_HOST is http://host:port, the other two are host:port",
        )
    unreachable = _unreachable(addresses)
    if unreachable:
        why = "; ".join(f"{name}={addresses[name]}: {reason}" for name, reason in unreachable.items())
        return error(f"the emulator does not answer: {why}", f"{START}; or, for Google: unset {' '.join(addresses)}")
    missing = [name for name in SERVICES if name not in addresses]
    if missing:
        return warning(
            f"the emulator is used for {', '.join(addresses)} only: {' and '.join(missing)} not set, so the rest goes"
            " to Google",
            f"set all three variables, or none: unset {' '.join(addresses)}",
        )
    shown = ", ".join(f"{name}={address}" for name, address in addresses.items())
    return ok(f"the emulator is used, not Google: {shown}")


@check(
    CREDENTIALS,
    "Google's default credentials are there and work, and whose they are",
    "`gcloud auth application-default login`",
    needs=("services.stand_in",),
)
def found(setup: Setup, facts: Facts) -> CheckResult:
    """The facts are the APIs and whose credentials they are asked with."""
    if "STORAGE_EMULATOR_HOST" in setup.emulator_addresses:
        return ok("none are needed for the emulator", facts=(RestClient.connect(), Principal(EMULATOR)))
    try:
        google, identity = default_credentials()
    except PermissionDeniedError as problem:
        return error(str(problem), LOGIN)
    return ok(f"{identity.kind} {identity.account}".rstrip(), facts=(RestClient.connect(google), identity))


@check(
    "credentials.quota_project",
    "a user's credentials count API calls against `project_id`",
    "`gcloud auth application-default set-quota-project PROJECT`",
    facts_of=(CREDENTIALS,),
    options=("project_id",),
)
def quota_project(setup: Setup, facts: Facts) -> CheckResult:
    identity, project_id = facts[CREDENTIALS][1], setup.settings.project_id
    remedy = f"gcloud auth application-default set-quota-project {project_id}"
    if identity.kind == EMULATOR:
        return ok("not asked for: the emulator has none")
    if identity.quota_project and identity.quota_project != project_id:
        return warning(
            f"the credentials count API calls against {identity.quota_project!r}, and the jobs run in {project_id!r}",
            remedy,
        )
    if identity.kind == "user" and not identity.quota_project:
        return warning("the user's credentials name no project to count API calls against", remedy)
    return ok(identity.quota_project or "the service account's own")


def _has_its_form(name: str, address: str) -> bool:
    """Cloud Storage's variable has the scheme that its clients want, and the others have none."""
    return (name == "STORAGE_EMULATOR_HOST") == ("://" in address)


def _unreachable(addresses: Mapping[str, str]) -> dict[str, str]:
    """Return the variables at whose address nothing answers, with the reason."""
    found = {}
    for name, address in addresses.items():
        try:
            parts = urlsplit(address if "//" in address else f"//{address}")
            with socket.create_connection((parts.hostname, parts.port or 80), CONNECT_SECONDS):
                pass
        except (OSError, ValueError) as problem:
            found[name] = str(problem)
    return found
