"""Check the project, its APIs, and whether Batch takes requests for it."""

from __future__ import annotations

import asyncio
import os

from ....cloud.batch import BatchApi, connect
from ....cloud.rest_client import RestResponse, part
from ....errors import CloudError, MissingResourceError, PermissionDeniedError, UnavailableError
from ....settings import Settings
from ....settings.near_names import near_names
from ..check_runner import Facts, check
from ..results import CheckResult, error, ok
from ..setup import Setup
from . import google_apis

NEEDED_ALWAYS = (google_apis.BATCH, google_apis.STORAGE, google_apis.LOGGING, google_apis.COMPUTE)
ARTIFACT_HOST = "-docker.pkg.dev"
LIST_SECONDS = 8.0
# No job has it, so that the list is short
NO_JOB = 'labels."covalent-dispatch"="doctor"'


@check(
    google_apis.PROJECT,
    "the project of `project_id` is there, active, and this account may see it",
    "set `project_id` to one of `gcloud projects list`",
    facts_of=(google_apis.CREDENTIALS,),
    options=("project_id",),
)
def exists(setup: Setup, facts: Facts) -> CheckResult:
    """The facts are the project's number, None where it is not told."""
    settings = setup.settings
    answer = google_apis.apis(facts).get(f"https://{google_apis.RESOURCES}/v3/projects/{part(settings.project_id)}")
    listing = _list_jobs(settings.parent) if answer.status in (403, 404) else None
    return evaluate_project(answer, settings.project_id, listing)


@check(
    "project.apis",
    "the APIs that the jobs need are enabled: Batch, Cloud Storage, Logging, Compute Engine; Artifact Registry for an"
    " image there, Secret Manager with secrets",
    "`gcloud services enable ...`",
    needs=(google_apis.PROJECT,),
    facts_of=(google_apis.CREDENTIALS,),
    options=("project_id",),
)
def enabled_apis(setup: Setup, facts: Facts) -> CheckResult:
    """The facts are the services that are not enabled."""
    name, needed = setup.settings.project_id, _needed_apis(setup.settings)
    query = [("names", f"projects/{name}/services/{service}") for service in needed]
    answer = google_apis.apis(facts).get(
        f"https://{google_apis.USAGE}/v1/projects/{part(name)}/services:batchGet", query
    )
    if not answer.is_ok:
        return google_apis.api_denied(
            answer, "which APIs are enabled", "roles/serviceusage.serviceUsageViewer", google_apis.USAGE, name
        )
    states = {
        str(service.get("name", "")).rpartition("/")[2]: str(service.get("state", ""))
        for service in answer.content.get("services", ())
    }
    disabled = [service for service in needed if states.get(service) != "ENABLED"]
    if disabled:
        return error(
            f"{'this API is' if len(disabled) == 1 else 'these APIs are'} not enabled: {', '.join(disabled)}",
            f"gcloud services enable {' '.join(disabled)} --project={name}",
            facts=frozenset(disabled),
        )
    return ok(", ".join(needed), facts=frozenset())


@check(
    "region.known",
    "Batch has the region of `region`",
    "set `region`",
    needs=(google_apis.PROJECT,),
    facts_of=(google_apis.CREDENTIALS,),
    options=("project_id", "region"),
    service=google_apis.BATCH,
)
def region(setup: Setup, facts: Facts) -> CheckResult:
    """Batch answers "permission denied" for a region that it does not know."""
    name, project_id = setup.settings.region, setup.settings.project_id
    base = f"https://{google_apis.BATCH}/v1/projects/{part(project_id)}/locations"
    answer = google_apis.apis(facts).get(f"{base}/{part(name)}")
    if answer.is_ok:
        return ok(f"Batch knows {name}")
    if answer.status == 404 or f"locations/{name}" in answer.message:
        listed = google_apis.apis(facts).get(base)
        known = [str(location.get("locationId", "")) for location in listed.content.get("locations", ())]
        near = " or ".join(map(repr, near_names(name, known, cutoff=0.6)))
        return error(
            f"Batch has no region {name!r}",
            f"set region{f' to {near}' if near else ''}; all of them: https://cloud.google.com/batch/docs/locations",
        )
    return google_apis.api_denied(answer, f"the region {name!r}", "batch.locations.get", google_apis.BATCH, project_id)


@check(
    "batch.usable",
    "Batch answers over gRPC, and lets this account see the project's jobs",
    "have somebody grant you `roles/batch.jobsEditor`",
    needs=(google_apis.PROJECT, "region.known"),
    facts_of=(google_apis.CREDENTIALS,),
    options=("project_id", "region"),
    service=google_apis.BATCH,
)
def batch(setup: Setup, facts: Facts) -> CheckResult:
    return evaluate_batch(_list_jobs(setup.settings.parent), setup.settings, google_apis.member(facts))


def evaluate_project(answer: RestResponse, project_id: str, listing: CloudError | None) -> CheckResult:
    """Judge the project; `listing` is what Batch said to a list of its jobs, None if it gave one."""
    if answer.is_ok:
        state = str(answer.content.get("state", "ACTIVE"))
        if state != "ACTIVE":
            return error(f"the project {project_id!r} is {state}", f"gcloud projects undelete {project_id}")
        number = str(answer.content.get("name", "")).rpartition("/")[2] or None
        return ok(f"{project_id}, number {number}", facts=number)
    is_listed = listing is None or "has not been used in project" in str(listing)
    if answer.status in (403, 404) and not is_listed:
        return error(
            f"the project {project_id!r} does not exist, or this account has no rights in it",
            "set project_id to one of `gcloud projects list`, or have somebody grant you roles/batch.jobsEditor",
        )
    return google_apis.api_denied(
        answer, f"the project {project_id!r}", "roles/browser", google_apis.RESOURCES, project_id
    )


def evaluate_batch(listing: CloudError | None, settings: Settings, member: str) -> CheckResult:
    """Judge whether Batch lets this account at the project's jobs."""
    if listing is None:
        return ok(f"Batch answers for {settings.project_id} in {settings.region}")
    if isinstance(listing, PermissionDeniedError):
        grant = f"gcloud projects add-iam-policy-binding {settings.project_id} --member={member}"
        return error(str(listing), f"{grant} --role=roles/batch.jobsEditor")
    if isinstance(listing, MissingResourceError):
        return error(str(listing), "see project.exists and region.known")
    if isinstance(listing, UnavailableError):
        return error(str(listing), "see that this machine reaches batch.googleapis.com:443 (gRPC), or the emulator")
    return error(str(listing), "see the text")


def _needed_apis(settings: Settings) -> list[str]:
    needed = list(NEEDED_ALWAYS)
    if settings.container_image_uri.partition("/")[0].endswith(ARTIFACT_HOST):
        needed.append(google_apis.ARTIFACTS)
    if settings.secrets or settings.registry_password:
        needed.append(google_apis.SECRETS)
    return needed


def _list_jobs(parent: str) -> CloudError | None:
    """Return what Batch says to a list of jobs; None if it gives one."""

    async def ask() -> None:
        api = BatchApi(connect(os.environ.get("BATCH_EMULATOR_HOST", "")), LIST_SECONDS)
        try:
            await api.list(parent, NO_JOB)
        finally:
            await api.close()

    try:
        asyncio.run(ask())
    except CloudError as problem:
        return problem
    return None
