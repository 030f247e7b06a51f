"""Judge through whom Google is spoken to: credentials, or the local stand-in."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from urllib.parse import urlsplit

from ....cloud.apis import Identity
from ..results import Judged, error, ok, warning
from ..setup import SERVICES

CONNECT_SECONDS = 3.0
START = "start it with `covalent-parallel emulator`, export the variables that it prints, and restart the server"
# The kind of identity that the stand-in has
STAND_IN = "stand-in"
LOGIN = "gcloud auth application-default login"


def judge_stand_ins(addresses: Mapping[str, str], unreachable: Mapping[str, str]) -> Judged:
    """`addresses` by variable; `unreachable` those that nothing answers at, and why."""
    if not addresses:
        return ok("none of the *_EMULATOR_HOST variables is set: Google itself is asked")
    shown = ", ".join(f"{name}={address}" for name, address in addresses.items())
    misshapen = [f"{name}={addresses[name]}" for name in _misshapen(addresses)]
    if misshapen:
        return error(
            f"not the form that clients understand: {', '.join(misshapen)}",
            "STORAGE_EMULATOR_HOST is http://host:port, the other two are host:port",
        )
    if unreachable:
        why = "; ".join(f"{name}={addresses[name]}: {reason}" for name, reason in unreachable.items())
        return error(f"the stand-in does not answer: {why}", f"{START}; or, for Google: unset {' '.join(addresses)}")
    missing = [name for name in SERVICES if name not in addresses]
    if missing:
        return warning(
            f"the stand-in is used for {', '.join(addresses)} only: {' and '.join(missing)} not set, so the rest goes"
            " to Google",
            f"set all three variables, or none: unset {' '.join(addresses)}",
        )
    return ok(f"the local stand-in is used, not Google: {shown}")


def judge_identity(identity: Identity) -> Judged:
    """Whose credentials they are."""
    return ok(f"{identity.kind} {identity.account}".rstrip())


def judge_no_credentials(why: str) -> Judged:
    return error(why, LOGIN)


def judge_quota_project(identity: Identity, project_id: str) -> Judged:
    """The project that API calls are counted against, for a user's credentials."""
    if identity.kind == STAND_IN:
        return ok("not asked for: the stand-in has none")
    if identity.quota_project and identity.quota_project != project_id:
        return warning(
            f"the credentials count API calls against {identity.quota_project!r}, and the jobs run in {project_id!r}",
            f"gcloud auth application-default set-quota-project {project_id}",
        )
    if identity.kind == "user" and not identity.quota_project:
        return warning(
            "the user's credentials name no project to count API calls against",
            f"gcloud auth application-default set-quota-project {project_id}",
        )
    return ok(identity.quota_project or "the service account's own")


def unreachable(addresses: Mapping[str, str]) -> dict[str, str]:
    """Those variables at whose address nothing answers, with the reason."""
    found = {}
    for name, address in addresses.items():
        try:
            parts = urlsplit(address if "//" in address else f"//{address}")
            with socket.create_connection((parts.hostname, parts.port or 80), CONNECT_SECONDS):
                pass
        except (OSError, ValueError) as problem:
            found[name] = str(problem)
    return found


def _misshapen(addresses: Mapping[str, str]) -> list[str]:
    """Cloud Storage's variable without the scheme that its clients want, and the others with one."""
    return [name for name, address in addresses.items() if (name == "STORAGE_EMULATOR_HOST") != ("://" in address)]
