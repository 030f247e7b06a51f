"""What the checks that ask Google share: its hosts, its APIs with the credentials found, and what a denial means."""

from __future__ import annotations

from ....cloud.rest_client import SERVICE_DISABLED, RestClient, RestResponse
from ..check_runner import Facts
from ..results import CheckResult, error, warning

BATCH = "batch.googleapis.com"
COMPUTE = "compute.googleapis.com"
STORAGE = "storage.googleapis.com"
LOGGING = "logging.googleapis.com"
SECRETS = "secretmanager.googleapis.com"
ARTIFACTS = "artifactregistry.googleapis.com"
RESOURCES = "cloudresourcemanager.googleapis.com"
USAGE = "serviceusage.googleapis.com"
IAM = "iam.googleapis.com"

# The checks that those of Google's services rest on
CREDENTIALS, PROJECT = "credentials.found", "project.exists"


def apis(facts: Facts) -> RestClient:
    """Return the APIs, from the facts of the check of the credentials."""
    found: RestClient = facts[CREDENTIALS][0]
    return found


def member(facts: Facts) -> str:
    """Return who asks, as commands that grant roles name them."""
    return str(facts[CREDENTIALS][1].member)


def api_denied(answer: RestResponse, what: str, permission: str, service: str, project_id: str) -> CheckResult:
    """Return the result for an answer that is neither what was asked for nor "not found".

    That a thing could not be looked at is a warning, not an error.
    """
    if answer.reason == SERVICE_DISABLED:
        return warning(
            f"{what} cannot be looked at: {service} is not enabled",
            f"gcloud services enable {service} --project={project_id}",
        )
    if answer.status in (401, 403):
        return warning(
            f"{what} cannot be looked at: {answer.message}",
            f"have somebody grant you {permission}, or check it by hand",
        )
    return error(f"{what} could not be looked at: {answer.message}", "try again a little later")
