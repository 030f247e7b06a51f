"""Judge the project, its APIs, and whether Batch takes requests for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ....cloud.apis import Answer
from ....errors import CloudError, MissingResourceError, PermissionDeniedError, UnavailableError
from ..results import Judged, error, ok
from .google_apis import judge_refusal

BATCH = "batch.googleapis.com"
COMPUTE = "compute.googleapis.com"
STORAGE = "storage.googleapis.com"
LOGGING = "logging.googleapis.com"
SECRETS = "secretmanager.googleapis.com"
ARTIFACTS = "artifactregistry.googleapis.com"
RESOURCES = "cloudresourcemanager.googleapis.com"
USAGE = "serviceusage.googleapis.com"
IAM = "iam.googleapis.com"

NEEDED_ALWAYS = (BATCH, STORAGE, LOGGING, COMPUTE)
ARTIFACT_HOST = "-docker.pkg.dev"


def needed_apis(image: str, uses_secrets: bool) -> list[str]:
    """The APIs that a job of these options needs."""
    needed = list(NEEDED_ALWAYS)
    if image.partition("/")[0].endswith(ARTIFACT_HOST):
        needed.append(ARTIFACTS)
    if uses_secrets:
        needed.append(SECRETS)
    return needed


def judge_project(answer: Answer, project_id: str, listing: CloudError | None) -> Judged:
    """`listing` is what Batch said to a list of the project's jobs, None if it gave one.

    The facts are the project's number, None where it is not told.
    """
    if answer.is_ok:
        state = str(answer.content.get("state", "ACTIVE"))
        if state != "ACTIVE":
            return error(f"the project {project_id!r} is {state}", f"gcloud projects undelete {project_id}")
        number = str(answer.content.get("name", "")).rpartition("/")[2] or None
        return ok(f"{project_id}, number {number}", facts=number)
    if answer.status in (403, 404) and (listing is None or "has not been used in project" in str(listing)):
        return judge_refusal(answer, f"the project {project_id!r}", "roles/browser", RESOURCES, project_id)
    if answer.status in (403, 404):
        return error(
            f"the project {project_id!r} does not exist, or this account has no rights in it",
            "set project_id to one of `gcloud projects list`, or have somebody grant you roles/batch.jobsEditor",
        )
    return judge_refusal(answer, f"the project {project_id!r}", "roles/browser", RESOURCES, project_id)


def judge_apis(answer: Answer, needed: Collection[str], project_id: str) -> Judged:
    """The facts are the services that are not enabled."""
    if not answer.is_ok:
        return judge_refusal(
            answer, "which APIs are enabled", "roles/serviceusage.serviceUsageViewer", USAGE, project_id
        )
    states: Mapping[str, str] = {
        str(service.get("name", "")).rpartition("/")[2]: str(service.get("state", ""))
        for service in answer.content.get("services", ())
    }
    disabled = [service for service in needed if states.get(service) != "ENABLED"]
    if disabled:
        return error(
            f"{'this API is' if len(disabled) == 1 else 'these APIs are'} not enabled: {', '.join(disabled)}",
            f"gcloud services enable {' '.join(disabled)} --project={project_id}",
            facts=frozenset(disabled),
        )
    return ok(", ".join(needed), facts=frozenset())


def judge_batch(listing: CloudError | None, project_id: str, region: str, member: str) -> Judged:
    """Whether Batch lets this account at the project's jobs."""
    if listing is None:
        return ok(f"Batch answers for {project_id} in {region}")
    if isinstance(listing, PermissionDeniedError):
        return error(
            str(listing),
            f"gcloud projects add-iam-policy-binding {project_id} --member={member} --role=roles/batch.jobsEditor",
        )
    if isinstance(listing, MissingResourceError):
        return error(str(listing), "see project.exists and region.known")
    if isinstance(listing, UnavailableError):
        return error(str(listing), "see that this machine reaches batch.googleapis.com:443 (gRPC), or the stand-in")
    return error(str(listing), "see the text")


def judge_region(answer: Answer, region: str, near: Sequence[str]) -> Judged:
    """Batch answers "permission denied" for a region that it does not know."""
    if answer.is_ok:
        return ok(f"Batch knows {region}")
    if answer.status == 404 or f"locations/{region}" in answer.message:
        hint = f"set region to {' or '.join(map(repr, near))}" if near else "set region"
        return error(
            f"Batch has no region {region!r}", f"{hint}; all of them: https://cloud.google.com/batch/docs/locations"
        )
    return judge_refusal(answer, f"the region {region!r}", "batch.locations.get", BATCH, "")
