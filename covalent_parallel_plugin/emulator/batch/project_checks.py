"""Reject a request, or accept it and fail its job, when it names a resource that does not exist.

Only what `ProjectResources` says explicitly counts. The texts are those that Batch has been seen to use.
"""

from __future__ import annotations

from typing import Any

from google.cloud import batch_v1

from ..model.errors import RpcError, batch_disabled
from ..project.resources import ProjectResources
from ..project.secrets import project_number

BATCH = "batch.googleapis.com"


def check_request(resources: ProjectResources, request: Any) -> None:
    """Check project, API, location and, of a new job, the service account. Raises RpcError."""
    named = getattr(request, "parent", "") or getattr(request, "name", "")
    project, location = _project_and_location(named)
    projects = resources.projects
    if projects is not None and project not in {*projects, *map(project_number, projects)}:
        raise RpcError("PERMISSION_DENIED", f"Permission denied on resource project {project}.")
    if BATCH in resources.disabled_apis:
        raise batch_disabled(project)
    if resources.regions is not None and location not in ("", "-") and location not in resources.regions:
        raise RpcError("PERMISSION_DENIED", f"Permission denied on 'locations/{location}' (or it may not exist).")
    if isinstance(request, batch_v1.CreateJobRequest):
        _check_service_account(resources, request)


def machine_error(resources: ProjectResources, job: batch_v1.Job, zone: str) -> str:
    """The error that ends a job before it runs: for its machines, which Compute Engine does not have; "" for none."""
    for instance in job.allocation_policy.instances:
        policy = instance.policy
        machine = policy.machine_type
        if machine and resources.machine_types is not None and machine not in resources.machine_types:
            return _fatal("CODE_MACHINE_TYPE_NOT_FOUND", f"The machine type {machine} was not found in zone {zone}.")
        for accelerator in policy.accelerators:
            if resources.accelerator_types is not None and accelerator.type_ not in resources.accelerator_types:
                return _fatal(
                    "CODE_GCE_INVALID_FIELD_VALUE",
                    f"The accelerator type {accelerator.type_} was not found in zone {zone}.",
                )
    return ""


def _fatal(code: str, described: str) -> str:
    return f"Job gets non-retryable information Batch Error: code - {code}, description - {described}"


def _check_service_account(resources: ProjectResources, request: batch_v1.CreateJobRequest) -> None:
    email = request.job.allocation_policy.service_account.email
    if not email or resources.service_accounts is None:
        return
    account = resources.service_accounts.get(email)
    if account is None or account.disabled or not account.may_act_as:
        raise RpcError(
            "PERMISSION_DENIED", f"caller does not have access to act as the specified service account: {email}"
        )


def _project_and_location(named: str) -> tuple[str, str]:
    parts = named.split("/")
    return parts[1] if len(parts) > 1 else "", parts[3] if len(parts) > 3 else ""
