"""The checks of what a job's machines are: zones, types, quotas, networks."""

from __future__ import annotations

from ...cloud.apis import Answer, part
from .check_runner import Check, Facts
from .checks import machines, network, project
from .checks_cloud import apis
from .checks_here import CREDENTIALS
from .results import Judged, ok
from .setup import Case

ZONES, MACHINE, SUBNETWORK, IMAGE, ACCOUNT = (
    "zones.known",
    "machine.known",
    "subnetwork.known",
    "image.reachable",
    "service_account.exists",
)
COMPUTE = f"https://{project.COMPUTE}/compute/v1"
IMAGE_SECONDS = 45.0
REGISTRY_SECONDS = 8.0


def machine_checks(case: Case) -> list[Check]:
    """All of them."""
    return [*_places(case), *_networks(case)]


def _places(case: Case) -> list[Check]:
    settings = case.settings
    base = f"{COMPUTE}/projects/{part(settings.project_id)}"

    def in_zones(facts: Facts, kind: str, name: str) -> dict[str, Answer]:
        there = machines.zones_of(facts[ZONES])
        zones = [zone for zone in settings.zones if zone in there] or there
        return {zone: apis(facts).get(f"{base}/zones/{zone}/{kind}/{part(name)}") for zone in zones}

    def zones(facts: Facts) -> Judged:
        answer = apis(facts).get(f"{base}/regions/{part(settings.region)}")
        return machines.judge_zones(answer, settings.region, settings.zones, settings.project_id)

    def machine(facts: Facts) -> Judged:
        if not settings.machine_type:
            return ok("none is named: Batch chooses one", facts={})
        answers = in_zones(facts, "machineTypes", settings.machine_type)
        return machines.judge_machine(answers, settings.machine_type, settings.project_id)

    def fit(facts: Facts) -> Judged:
        if not settings.machine_type:
            return ok("Batch chooses a machine that fits")
        return machines.judge_fit(facts[MACHINE], settings)

    def gpu(facts: Facts) -> Judged:
        if not settings.gpu_type:
            return ok("none is asked for")
        answers = in_zones(facts, "acceleratorTypes", settings.gpu_type)
        return machines.judge_gpu(answers, settings.gpu_type, settings.accelerators, settings.project_id)

    def cpus(facts: Facts) -> Judged:
        needed = float((facts[MACHINE] or {}).get("guestCpus") or settings.vcpus)
        metric = machines.cpu_metric(settings, facts[ZONES])
        return machines.judge_quota(facts[ZONES], metric, needed, "one machine", settings.project_id)

    def gpus(facts: Facts) -> Judged:
        needed, metric = machines.gpus_needed(settings), machines.gpu_metric(settings, facts[ZONES])
        if not needed or not metric:
            return ok("none are asked for" if not needed else "Compute Engine tells no quota of these")
        return machines.judge_quota(facts[ZONES], metric, needed, "one machine", settings.project_id)

    return [
        Check(
            ZONES,
            zones,
            "Compute Engine has the zones of `zones`, all in `region`",
            "set `zones` to some of those that are named, or leave it out",
            facts_of=(CREDENTIALS,),
            needs=("project.exists",),
            options=("project_id", "region"),
            service=project.COMPUTE,
        ),
        Check(
            MACHINE,
            machine,
            "`machine_type` exists in the zones",
            "set `machine_type` to one of `gcloud compute machine-types list`",
            facts_of=(CREDENTIALS, ZONES),
            options=("machine_type",),
        ),
        Check(
            "machine.fits",
            fit,
            "`vcpus` and `memory` fit the machine",
            "lower them, or take a larger machine",
            facts_of=(MACHINE,),
            options=("machine_type", "vcpus", "memory"),
        ),
        Check(
            "gpu.known",
            gpu,
            "`gpu_type` exists in the zones, and a machine may have `gpu_count` of them",
            "set `region`, `zones` or `gpu_type`: `gcloud compute accelerator-types list`",
            facts_of=(CREDENTIALS, ZONES),
            options=("gpu_type", "gpu_count"),
        ),
        Check(
            "quota.cpus",
            cpus,
            "the region's quota of vCPUs allows for one machine; past it jobs wait in the queue",
            "ask for more quota, or use another region",
            needs=(MACHINE,),
            facts_of=(ZONES,),
            options=("vcpus",),
        ),
        Check(
            "quota.gpus",
            gpus,
            "the region's quota of GPUs allows for one machine",
            "ask for more quota, or use another region",
            facts_of=(ZONES,),
            options=("gpu_type", "gpu_count", "machine_type"),
        ),
    ]


def _networks(case: Case) -> list[Check]:
    settings = case.settings
    wanted = settings.network or network.DEFAULT
    own, name = network.address_of(wanted, settings.project_id, "global/networks")
    collection = f"regions/{settings.region}/subnetworks"
    own_subnetwork, subnetwork_name = network.address_of(settings.subnetwork, settings.project_id, collection)

    def known(facts: Facts) -> Judged:
        return network.judge_network(apis(facts).get(f"{COMPUTE}/{own}"), name, settings.project_id)

    def subnetwork(facts: Facts) -> Judged:
        if not settings.subnetwork:
            return ok("none is named", facts={})
        answer = apis(facts).get(f"{COMPUTE}/{own_subnetwork}")
        return network.judge_subnetwork(
            answer, subnetwork_name, settings.region, name if settings.network else "", settings.project_id
        )

    def private_access(facts: Facts) -> Judged:
        if settings.external_ip:
            return ok("not needed: the machines have external addresses")
        return network.judge_private_access(facts[SUBNETWORK], subnetwork_name, settings.region, settings.project_id)

    return [
        Check(
            "network.known",
            known,
            "the network of `network` is there (empty: `default`)",
            "set `network` to one of `gcloud compute networks list`",
            needs=("project.exists",),
            facts_of=(CREDENTIALS,),
            options=("project_id", "network"),
            service=project.COMPUTE,
        ),
        Check(
            SUBNETWORK,
            subnetwork,
            "the subnetwork of `subnetwork` is there, in `region` and in `network`",
            "set `subnetwork` to one of `gcloud compute networks subnets list`",
            needs=("project.exists",),
            facts_of=(CREDENTIALS,),
            options=("project_id", "subnetwork", "region"),
            service=project.COMPUTE,
        ),
        Check(
            "subnetwork.private_access",
            private_access,
            "with `external_ip = false`: Private Google Access is on, without which machines do not reach Batch",
            "`gcloud compute networks subnets update ... --enable-private-ip-google-access`",
            facts_of=(SUBNETWORK,),
            options=("external_ip",),
        ),
    ]
