"""Judge the network, the subnetwork and its way to Google where machines have no external address."""

from __future__ import annotations

from ....cloud.apis import Answer
from ..results import Judged, error, ok
from .google_apis import judge_refusal
from .project import COMPUTE

# What Compute Engine gives a machine for which no network is named; a project may have removed it
DEFAULT = "default"


def judge_network(answer: Answer, name: str, project_id: str) -> Judged:
    if answer.is_ok:
        return ok(name)
    if answer.status == 404:
        return error(
            f"the project {project_id} has no network {name!r}",
            f"set network (and subnetwork) to one of: gcloud compute networks list --project={project_id}",
        )
    return judge_refusal(answer, f"the network {name}", "compute.networks.get", COMPUTE, project_id)


def judge_subnetwork(answer: Answer, name: str, region: str, network: str, project_id: str) -> Judged:
    """The facts are its description."""
    if answer.status == 404:
        return error(
            f"the project {project_id} has no subnetwork {name!r} in {region}",
            f"set subnetwork to one of: gcloud compute networks subnets list --project={project_id} --regions={region}",
        )
    if not answer.is_ok:
        return judge_refusal(answer, f"the subnetwork {name}", "compute.subnetworks.get", COMPUTE, project_id)
    own = str(answer.content.get("network", "")).rpartition("/")[2]
    if network and own and own != network:
        return error(
            f"the subnetwork {name!r} belongs to the network {own!r}, not to {network!r}",
            f"set network to {own!r}, or subnetwork to one of {network!r}",
        )
    return ok(f"{name} of {own}", facts=answer.content)


def judge_private_access(subnetwork: object, name: str, region: str, project_id: str) -> Judged:
    """Without an external address, the machine reaches Batch and the bucket through Private Google Access only."""
    if isinstance(subnetwork, dict) and subnetwork.get("privateIpGoogleAccess"):
        return ok(f"on in {name}")
    return error(
        f"Private Google Access is off in {name!r}: machines without an external address cannot reach Batch, and the"
        " job ends with 'No VM has agent reporting correctly'",
        f"gcloud compute networks subnets update {name} --project={project_id} --region={region}"
        " --enable-private-ip-google-access",
    )


def address_of(value: str, project_id: str, collection: str) -> tuple[str, str]:
    """The path below compute/v1 of a network or subnetwork given by name or by (partial) URL, and its bare name.

    `collection` is "global/networks" or "regions/REGION/subnetworks".
    """
    name = value.rpartition("/")[2]
    if "projects/" in value:
        return value[value.index("projects/") :], name
    return f"projects/{project_id}/{value if '/' in value else f'{collection}/{name}'}", name
