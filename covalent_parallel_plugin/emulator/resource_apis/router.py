"""Serve the JSON APIs that describe a project, one HTTP port for all their hosts.

The paths are Google's own: Compute Engine, Service Usage, Resource Manager, IAM, Secret Manager and Batch's locations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from ..faults.fault import Fault
from ..model.errors import BODILESS, service_disabled_text
from ..project.resources import ProjectResources
from ..project.secrets import project_number
from . import compute
from .request import ApiRefusal, ResourceRequest, error_json

PREFIXES = ("/compute/v1/", "/v1/projects/", "/v3/projects/")
# The one request that needs no permission
TESTED = "iam.serviceAccounts.testPermissions"

Handler = Callable[[ProjectResources, ResourceRequest], dict[str, Any]]
Struck = Callable[[Request, str], Awaitable[ASGIApp | None]]


class ApiFaults(Protocol):
    """What goes wrong with requests to these APIs, by the request's name."""

    async def before_api(self, request: str, client: Any) -> Fault | ASGIApp | None:
        """Return the fault that refuses a request, or the answer in place of its own."""

    def after_api(self, request: str, response: ASGIApp) -> ASGIApp:
        """Return the answer, spoilt or as it is."""


def json_apis(resources: ProjectResources, counts: Counter[str], faults: ApiFaults) -> Router:
    """Return the ASGI application that answers for them, and counts each request under the name of what it asks for."""

    async def struck(request: Request, name: str) -> ASGIApp | None:
        counts[name] += 1
        try:
            fault = await faults.before_api(name, request.scope["client"])
        except ClientDisconnect:
            return Response(status_code=499)
        if not isinstance(fault, Fault):
            return fault
        code = int(fault.value("code"))
        if code in BODILESS:
            return Response(status_code=code)
        refusal = ApiRefusal(code, str(fault.value("message") or f"The request failed ({code})."))
        return JSONResponse(error_json(refusal), code)

    return Router([_route(resources, struck, faults, *row) for row in _ROUTES])


def _route(
    resources: ProjectResources,
    struck: Struck,
    faults: ApiFaults,
    method: str,
    path: str,
    service: str,
    permission: str,
    answer: Handler,
) -> Route:
    async def respond(request: Request) -> ASGIApp:
        refused = await struck(request, permission or TESTED)
        if refused is not None:
            return refused
        names = request.query_params.getlist("names")
        if request.method == "POST":
            body = await request.json()
            names = list(body.get("permissions", ()))
        parsed = ResourceRequest(request.path_params, names)
        try:
            _check_allowed(resources, parsed, service, permission)
            return faults.after_api(permission or TESTED, JSONResponse(answer(resources, parsed)))
        except ApiRefusal as refusal:
            return JSONResponse(error_json(refusal), refusal.status)

    return Route(path, respond, methods=[method])


def _check_allowed(resources: ProjectResources, request: ResourceRequest, service: str, permission: str) -> None:
    project = request.parts.get("project", "-")
    if project != "-" and resources.projects is not None and project not in resources.projects:
        # Google does not distinguish a project that is not there from one that the caller may not see.
        raise ApiRefusal(403, f"Permission denied on resource project {project}.", "CONSUMER_INVALID", service)
    if service in resources.disabled_apis:
        text = service_disabled_text(service, _TITLES[service], project)
        raise ApiRefusal(403, text, "SERVICE_DISABLED", service)
    if permission in resources.denied:
        where = "/".join(f"{kind}/{name}" for kind, name in request.parts.items())
        text = f"Required '{permission}' permission for '{where}' (or it may not exist)."
        raise ApiRefusal(403, text, "IAM_PERMISSION_DENIED", service)


def _project(resources: ProjectResources, request: ResourceRequest) -> dict[str, Any]:
    project = request["project"]
    return {
        "name": f"projects/{project_number(project)}",
        "projectId": project,
        "state": "ACTIVE",
        "displayName": project,
    }


def _services(resources: ProjectResources, request: ResourceRequest) -> dict[str, Any]:
    return {"services": [_service(resources, name) for name in request.names]}


def _service(resources: ProjectResources, name: str) -> dict[str, Any]:
    service = name.rpartition("/")[2]
    state = "DISABLED" if service in resources.disabled_apis else "ENABLED"
    return {"name": name, "state": state, "config": {"name": service}}


def _location(resources: ProjectResources, request: ResourceRequest) -> dict[str, Any]:
    location = request["location"]
    if resources.zones_of(location) is None:
        raise ApiRefusal(403, f"Permission denied on 'locations/{location}' (or it may not exist).")
    return {"name": f"projects/{request['project']}/locations/{location}", "locationId": location}


def _locations(resources: ProjectResources, request: ResourceRequest) -> dict[str, Any]:
    base = f"projects/{request['project']}/locations"
    return {"locations": [{"name": f"{base}/{name}", "locationId": name} for name in resources.region_names]}


def _service_account(resources: ProjectResources, request: ResourceRequest) -> dict[str, Any]:
    account = resources.service_account(request["email"])
    if account is None:
        raise ApiRefusal(404, "Unknown service account")
    found: dict[str, Any] = {"name": f"projects/-/serviceAccounts/{request['email']}", "email": request["email"]}
    # Google leaves a field out that is false.
    return {**found, "disabled": True} if account.disabled else found


def _test_service_account(resources: ProjectResources, request: ResourceRequest) -> dict[str, Any]:
    account = resources.service_account(request["email"])
    if account is None:
        raise ApiRefusal(404, "Unknown service account")
    granted = [name for name in request.names if not resources.is_denied(name) and account.may_act_as]
    return {"permissions": granted} if granted else {}


def _secret_version(resources: ProjectResources, request: ResourceRequest) -> dict[str, Any]:
    name = f"projects/{request['project']}/secrets/{request['secret']}"
    if not resources.has_secret(request["secret"]):
        raise ApiRefusal(404, f"Secret [{name}] not found or has no versions.")
    version = resources.secret_version(request["secret"], request["version"])
    if version is None:
        raise ApiRefusal(404, f"Secret Version [{name}/versions/{request['version']}] not found.")
    return {"name": f"{name}/versions/{version}", "state": "ENABLED"}


_TITLES = {
    "batch.googleapis.com": "Batch API",
    "cloudresourcemanager.googleapis.com": "Cloud Resource Manager API",
    "compute.googleapis.com": "Compute Engine API",
    "iam.googleapis.com": "Identity and Access Management (IAM) API",
    "secretmanager.googleapis.com": "Secret Manager API",
    "serviceusage.googleapis.com": "Service Usage API",
}
_COMPUTE = "/compute/v1/projects/{project}"
_ACCOUNT = "/v1/projects/{project}/serviceAccounts/{email}"
_ROUTES: list[tuple[str, str, str, str, Handler]] = [
    ("GET", "/v3/projects/{project}", "cloudresourcemanager.googleapis.com", "resourcemanager.projects.get", _project),
    (
        "GET",
        "/v1/projects/{project}/services:batchGet",
        "serviceusage.googleapis.com",
        "serviceusage.services.get",
        _services,
    ),
    ("GET", "/v1/projects/{project}/locations", "batch.googleapis.com", "batch.locations.list", _locations),
    ("GET", "/v1/projects/{project}/locations/{location}", "batch.googleapis.com", "batch.locations.get", _location),
    ("GET", _COMPUTE + "/regions/{region}", "compute.googleapis.com", "compute.regions.get", compute.region),
    (
        "GET",
        _COMPUTE + "/zones/{zone}/machineTypes/{name}",
        "compute.googleapis.com",
        "compute.machineTypes.get",
        compute.machine_type,
    ),
    (
        "GET",
        _COMPUTE + "/zones/{zone}/acceleratorTypes/{name}",
        "compute.googleapis.com",
        "compute.acceleratorTypes.get",
        compute.accelerator_type,
    ),
    (
        "GET",
        _COMPUTE + "/global/networks/{name}",
        "compute.googleapis.com",
        "compute.networks.get",
        compute.network,
    ),
    (
        "GET",
        _COMPUTE + "/regions/{region}/subnetworks/{name}",
        "compute.googleapis.com",
        "compute.subnetworks.get",
        compute.subnetwork,
    ),
    ("POST", _ACCOUNT + ":testIamPermissions", "iam.googleapis.com", "", _test_service_account),
    ("GET", _ACCOUNT, "iam.googleapis.com", "iam.serviceAccounts.get", _service_account),
    (
        "GET",
        "/v1/projects/{project}/secrets/{secret}/versions/{version}",
        "secretmanager.googleapis.com",
        "secretmanager.versions.get",
        _secret_version,
    ),
]
