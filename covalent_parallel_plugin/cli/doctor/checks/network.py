"""Check the network, the subnetwork and its way to Google where machines have no external address."""

from __future__ import annotations

from ..check_runner import Facts, check
from ..results import CheckResult, error, ok
from ..setup import Setup
from .google_apis import COMPUTE, CREDENTIALS, PROJECT, api_denied, apis

SUBNETWORK = "subnetwork.known"
# What Compute Engine gives a machine for which no network is named; a project may have removed it
DEFAULT = "default"


@check(
    "network.known",
    "the network of `network` is there (empty: `default`)",
    "set `network` to one of `gcloud compute networks list`",
    needs=(PROJECT,),
    facts_of=(CREDENTIALS,),
    options=("project_id", "network"),
    service=COMPUTE,
)
def network(setup: Setup, facts: Facts) -> CheckResult:
    project_id = setup.settings.project_id
    path, name = address_of(setup.settings.network or DEFAULT, project_id, "global/networks")
    answer = apis(facts).get(f"https://{COMPUTE}/compute/v1/{path}")
    if answer.is_ok:
        return ok(name)
    if answer.status == 404:
        return error(
            f"the project {project_id} has no network {name!r}",
            f"set network (and subnetwork) to one of: gcloud compute networks list --project={project_id}",
        )
    return api_denied(answer, f"the network {name}", "compute.networks.get", COMPUTE, project_id)


@check(
    SUBNETWORK,
    "the subnetwork of `subnetwork` is there, in `region` and in `network`",
    "set `subnetwork` to one of `gcloud compute networks subnets list`",
    needs=(PROJECT,),
    facts_of=(CREDENTIALS,),
    options=("project_id", "subnetwork", "region"),
    service=COMPUTE,
)
def subnetwork(setup: Setup, facts: Facts) -> CheckResult:
    """The facts are its description, empty for none."""
    settings, project_id, region = setup.settings, setup.settings.project_id, setup.settings.region
    if not settings.subnetwork:
        return ok("none is named", facts={})
    path, name = address_of(settings.subnetwork, project_id, f"regions/{region}/subnetworks")
    answer = apis(facts).get(f"https://{COMPUTE}/compute/v1/{path}")
    if answer.status == 404:
        return error(
            f"the project {project_id} has no subnetwork {name!r} in {region}",
            f"set subnetwork to one of: gcloud compute networks subnets list --project={project_id} --regions={region}",
        )
    if not answer.is_ok:
        return api_denied(answer, f"the subnetwork {name}", "compute.subnetworks.get", COMPUTE, project_id)
    wanted, own = settings.network.rpartition("/")[2], str(answer.content.get("network", "")).rpartition("/")[2]
    if wanted and own and own != wanted:
        return error(
            f"the subnetwork {name!r} belongs to the network {own!r}, not to {wanted!r}",
            f"set network to {own!r}, or subnetwork to one of {wanted!r}",
        )
    return ok(f"{name} of {own}", facts=answer.content)


@check(
    "subnetwork.private_access",
    "with `external_ip = false`: Private Google Access is on, without which machines do not reach Batch",
    "`gcloud compute networks subnets update ... --enable-private-ip-google-access`",
    facts_of=(SUBNETWORK,),
    options=("external_ip",),
)
def private_access(setup: Setup, facts: Facts) -> CheckResult:
    """Without an external address, the machine reaches Batch and the bucket through Private Google Access only."""
    settings, name = setup.settings, setup.settings.subnetwork.rpartition("/")[2]
    if settings.external_ip:
        return ok("not needed: the machines have external addresses")
    if facts[SUBNETWORK].get("privateIpGoogleAccess"):
        return ok(f"on in {name}")
    return error(
        f"Private Google Access is off in {name!r}: machines without an external address cannot reach Batch, and the"
        " job ends with 'No VM has agent reporting correctly'",
        f"gcloud compute networks subnets update {name} --project={settings.project_id} --region={settings.region}"
        " --enable-private-ip-google-access",
    )


def address_of(value: str, project_id: str, collection: str) -> tuple[str, str]:
    """Return the path below compute/v1 of a network or subnetwork given by name or by (partial) URL, and its bare name.

    `collection` is "global/networks" or "regions/REGION/subnetworks".
    """
    name = value.rpartition("/")[2]
    if "projects/" in value:
        return value[value.index("projects/") :], name
    return f"projects/{project_id}/{value if '/' in value else f'{collection}/{name}'}", name
