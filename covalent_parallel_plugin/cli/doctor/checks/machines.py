"""Check zones, machine type, accelerators and quotas of the region, as Compute Engine describes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....cloud.rest_client import RestResponse, part
from ....settings import Settings, machine_rules
from ..check_runner import Facts, check
from ..results import CheckResult, error, ok, warning
from ..setup import Setup
from .google_apis import COMPUTE, CREDENTIALS, PROJECT, api_denied, apis

ZONES, MACHINE = "zones.known", "machine.known"
# The metrics of https://cloud.google.com/compute/resource-usage#cpu_quota; families not listed count as CPUS
OWN_CPU_QUOTA = ("n2", "n2d", "n2a", "c2", "c2d", "c3", "t2d", "t2a", "m1", "m2", "a2", "h3", "z3")
GPU_METRICS = {
    "nvidia-tesla-t4": "NVIDIA_T4_GPUS",
    "nvidia-tesla-p4": "NVIDIA_P4_GPUS",
    "nvidia-tesla-p100": "NVIDIA_P100_GPUS",
    "nvidia-tesla-v100": "NVIDIA_V100_GPUS",
    "a2-highgpu": "NVIDIA_A100_GPUS",
    "a2-megagpu": "NVIDIA_A100_GPUS",
    "a2-ultragpu": "NVIDIA_A100_80GB_GPUS",
    "g2-standard": "NVIDIA_L4_GPUS",
}


@check(
    ZONES,
    "Compute Engine has the zones of `zones`, all in `region`",
    "set `zones` to some of those that are named, or leave it out",
    facts_of=(CREDENTIALS,),
    needs=(PROJECT,),
    options=("project_id", "region"),
    service=COMPUTE,
)
def zones(setup: Setup, facts: Facts) -> CheckResult:
    """The facts are the region as Compute Engine describes it."""
    settings, region, wanted = setup.settings, setup.settings.region, setup.settings.zones
    answer = apis(facts).get(f"{_address(settings)}/regions/{part(region)}")
    if answer.status == 404:
        return error(f"Compute Engine has no region {region!r}", "set region: gcloud compute regions list")
    if not answer.is_ok:
        return api_denied(answer, f"the zones of {region}", "compute.regions.get", COMPUTE, settings.project_id)
    there = _zones_of(answer.content)
    unknown = [zone for zone in wanted if zone not in there]
    if unknown:
        remedy = f"set zones to some of {', '.join(there)}, or leave it out"
        # Machines are looked for all the same, where there are zones.
        return error(f"{region} has no zone {', '.join(unknown)}", remedy, facts=answer.content, blocks=False)
    return ok(", ".join(wanted) if wanted else f"any of {', '.join(there)}", facts=answer.content)


@check(
    MACHINE,
    "`machine_type` exists in the zones",
    "set `machine_type` to one of `gcloud compute machine-types list`",
    facts_of=(CREDENTIALS, ZONES),
    options=("machine_type",),
)
def machine_type(setup: Setup, facts: Facts) -> CheckResult:
    """The facts are the type's description, empty for none."""
    name, project_id = setup.settings.machine_type, setup.settings.project_id
    if not name:
        return ok("none is named: Batch chooses one", facts={})
    having, described, answers = _in_zones(setup.settings, facts, "machineTypes", name)
    if not having:
        zones = ",".join(answers)
        return _denied(answers, f"the machine type {name}", "compute.machineTypes.get", project_id) or error(
            f"there is no machine type {name!r} in {zones}",
            f"set machine_type to one of: gcloud compute machine-types list --project={project_id} --zones={zones}",
        )
    text = f"{name} ({described.get('guestCpus')} vCPUs, {described.get('memoryMb')} MB)"
    return ok(f"{text} in {', '.join(having)}", facts=described)


@check(
    "machine.fits",
    "`vcpus` and `memory` fit the machine",
    "lower them, or take a larger machine",
    facts_of=(MACHINE,),
    options=("machine_type", "vcpus", "memory"),
)
def machine_fits(setup: Setup, facts: Facts) -> CheckResult:
    """Batch takes a job whose task does not fit the machine, and it then fails or waits for ever."""
    settings, machine = setup.settings, facts[MACHINE]
    if not settings.machine_type:
        return ok("Batch chooses a machine that fits")
    cpus, memory = float(machine.get("guestCpus", 0)), float(machine.get("memoryMb", 0))
    if settings.vcpus > cpus:
        return error(
            f"vcpus = {settings.vcpus:g} is more than a {settings.machine_type} has ({cpus:g})",
            "set vcpus lower, or machine_type to a larger one",
        )
    if settings.memory > memory:
        return error(
            f"memory = {settings.memory} MB is more than a {settings.machine_type} has ({memory:g} MB)",
            "set memory lower, or machine_type to a larger one",
        )
    return ok(f"{settings.vcpus:g} vCPUs and {settings.memory} MB fit a {settings.machine_type}")


@check(
    "gpu.known",
    "`gpu_type` exists in the zones, and a machine may have `gpu_count` of them",
    "set `region`, `zones` or `gpu_type`: `gcloud compute accelerator-types list`",
    facts_of=(CREDENTIALS, ZONES),
    options=("gpu_type", "gpu_count"),
)
def gpu_type(setup: Setup, facts: Facts) -> CheckResult:
    name, count, project_id = setup.settings.gpu_type, setup.settings.accelerators, setup.settings.project_id
    if not name:
        return ok("none is asked for")
    having, described, answers = _in_zones(setup.settings, facts, "acceleratorTypes", name)
    if not having:
        return _denied(answers, f"the accelerator {name}", "compute.acceleratorTypes.get", project_id) or error(
            f"there is no accelerator {name!r} in {', '.join(answers)}",
            f"set region, zones or gpu_type to one of: gcloud compute accelerator-types list --project={project_id}"
            f" --filter=name={name}",
        )
    most = int(described.get("maximumCardsPerInstance", count))
    if count > most:
        return error(f"one machine has at most {most} of {name}, not {count}", f"set gpu_count to {most} or less")
    return ok(f"{name} in {', '.join(having)}")


@check(
    "quota.cpus",
    "the region's quota of vCPUs allows for one machine; past it jobs wait in the queue",
    "ask for more quota, or use another region",
    needs=(MACHINE,),
    facts_of=(ZONES,),
    options=("vcpus",),
)
def cpu_quota(setup: Setup, facts: Facts) -> CheckResult:
    return look_at_cpu_quota(setup.settings, facts, machines=1)


@check(
    "quota.gpus",
    "the region's quota of GPUs allows for one machine",
    "ask for more quota, or use another region",
    facts_of=(ZONES,),
    options=("gpu_type", "gpu_count", "machine_type"),
)
def gpu_quota(setup: Setup, facts: Facts) -> CheckResult:
    return look_at_gpu_quota(setup.settings, facts, machines=1)


def look_at_cpu_quota(settings: Settings, facts: Facts, machines: int) -> CheckResult:
    """Look whether the region's quota of vCPUs allows for so many machines at a time."""
    each = float((facts[MACHINE] or {}).get("guestCpus") or settings.vcpus)
    return _quota(settings, facts[ZONES], cpu_metric(settings, facts[ZONES]), each, machines)


def look_at_gpu_quota(settings: Settings, facts: Facts, machines: int) -> CheckResult:
    """Look whether the region's quota of GPUs allows for so many machines at a time."""
    each, metric = gpus_needed(settings), gpu_metric(settings, facts[ZONES])
    if not each or not metric:
        return ok("none are asked for" if not each else "Compute Engine reports no quota of these")
    return _quota(settings, facts[ZONES], metric, each, machines)


def cpu_metric(settings: Settings, region: Mapping[str, Any]) -> str:
    """Return the quota that the machine's vCPUs count against."""
    family = settings.machine_type.partition("-")[0]
    has_own = family in OWN_CPU_QUOTA and not settings.spot
    return _spot_metric(f"{family.upper()}_CPUS" if has_own else "CPUS", settings, region)


def gpu_metric(settings: Settings, region: Mapping[str, Any]) -> str:
    """Return the quota that the machine's GPUs count against; "" if it is not known which."""
    metric = GPU_METRICS.get(settings.gpu_type or settings.machine_type.rpartition("-")[0], "")
    return _spot_metric(metric, settings, region) if metric else ""


def gpus_needed(settings: Settings) -> int:
    """Return how many GPUs one machine of the job has; 0 for none, or if its name does not say."""
    return machine_rules.gpus_per_machine(settings.machine_type, settings.accelerators)


def _address(settings: Settings) -> str:
    return f"https://{COMPUTE}/compute/v1/projects/{part(settings.project_id)}"


def _zones_of(region: Mapping[str, Any]) -> list[str]:
    """Return the names of the zones in a region's description."""
    return [str(url).rpartition("/")[2] for url in region.get("zones", ())]


def _in_zones(
    settings: Settings, facts: Facts, kind: str, name: str
) -> tuple[list[str], Mapping[str, Any], Mapping[str, RestResponse]]:
    """Ask each zone for a type; return the zones that have it, its description there, and all answers."""
    there = _zones_of(facts[ZONES])
    zones = [zone for zone in settings.zones if zone in there] or there
    answers = {zone: apis(facts).get(f"{_address(settings)}/zones/{zone}/{kind}/{part(name)}") for zone in zones}
    having = [zone for zone, answer in answers.items() if answer.is_ok]
    return having, answers[having[0]].content if having else {}, answers


def _denied(answers: Mapping[str, RestResponse], what: str, permission: str, project_id: str) -> CheckResult | None:
    """Return the result for the first zone that did not even say that it has no such thing; None for no such zone."""
    denied = next((answer for answer in answers.values() if not answer.is_ok and answer.status != 404), None)
    return None if denied is None else api_denied(denied, what, permission, COMPUTE, project_id)


def _quota(settings: Settings, region: Mapping[str, Any], metric: str, each: float, machines: int) -> CheckResult:
    """A job past its quota does not fail: it waits in QUEUED, for two days at most (FACTS of Batch's documentation)."""
    quota = next((quota for quota in region.get("quotas", ()) if quota.get("metric") == metric), None)
    if quota is None:
        return ok(f"Compute Engine reports no {metric} of {region.get('name')}")
    limit, usage = float(quota.get("limit", 0)), float(quota.get("usage", 0))
    needed = each * machines
    if machines == 1:
        found = f"{metric} in {region.get('name')}: {usage:g} of {limit:g} used, and one machine needs {needed:g}"
    else:
        used = f", {usage:g} of them in use" if usage else ""
        found = f"{machines} machines need {needed:g} {metric}, the region has {limit:g}{used}"
    remedy = (
        f"ask for more: https://console.cloud.google.com/iam-admin/quotas?project={settings.project_id}, or set another"
        " region"
    )
    if each > limit:
        return warning(f"{found}: such a job waits in the queue until queue_limit", remedy)
    if each > limit - usage:
        return warning(f"{found}: it waits until others have ended", remedy)
    if needed > limit - usage:
        return warning(f"{found}: fewer run at a time", remedy)
    return ok(found)


def _spot_metric(metric: str, settings: Settings, region: Mapping[str, Any]) -> str:
    """Spot machines have a quota of their own where the project has any of it, else they share the other's."""
    own = f"PREEMPTIBLE_{metric}"
    limits = {str(quota.get("metric")): float(quota.get("limit", 0)) for quota in region.get("quotas", ())}
    return own if settings.spot and limits.get(own) else metric
