"""Judge zones, machine types, accelerators and quotas of a region, as Compute Engine tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .... import machines
from ....cloud.apis import Answer
from ....settings import Settings
from ..results import Judged, error, ok, warning
from .google_apis import judge_refusal
from .project import COMPUTE

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


def judge_zones(answer: Answer, region: str, wanted: Sequence[str], project_id: str) -> Judged:
    """The facts are the region as Compute Engine describes it."""
    if answer.status == 404:
        return error(f"Compute Engine has no region {region!r}", "set region: gcloud compute regions list")
    if not answer.is_ok:
        return judge_refusal(answer, f"the zones of {region}", "compute.regions.get", COMPUTE, project_id)
    zones = zones_of(answer.content)
    unknown = [zone for zone in wanted if zone not in zones]
    if unknown:
        remedy = f"set zones to some of {', '.join(zones)}, or leave it out"
        # Machines are looked for all the same, where there are zones.
        return error(f"{region} has no zone {', '.join(unknown)}", remedy, facts=answer.content, blocks=False)
    return ok(", ".join(wanted) if wanted else f"any of {', '.join(zones)}", facts=answer.content)


def zones_of(region: Mapping[str, Any]) -> list[str]:
    """The names of the zones in a region's description."""
    return [str(url).rpartition("/")[2] for url in region.get("zones", ())]


def judge_machine(answers: Mapping[str, Answer], name: str, project_id: str) -> Judged:
    """`answers` by zone. The facts are the type's description."""
    having = [zone for zone, answer in answers.items() if answer.is_ok]
    refused = next((answer for answer in answers.values() if not answer.is_ok and answer.status != 404), None)
    if not having and refused is not None:
        return judge_refusal(refused, f"the machine type {name}", "compute.machineTypes.get", COMPUTE, project_id)
    if not having:
        zones = ",".join(answers)
        return error(
            f"there is no machine type {name!r} in {zones}",
            f"set machine_type to one of: gcloud compute machine-types list --project={project_id} --zones={zones}",
        )
    described = answers[having[0]].content
    text = f"{name} ({described.get('guestCpus')} vCPUs, {described.get('memoryMb')} MB)"
    return ok(f"{text} in {', '.join(having)}", facts=described)


def judge_fit(machine: Mapping[str, Any], settings: Settings) -> Judged:
    """A task has to fit the machine: Batch takes the job, and it then fails or waits for ever."""
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


def judge_gpu(answers: Mapping[str, Answer], name: str, count: int, project_id: str) -> Judged:
    """`answers` by zone."""
    having = [zone for zone, answer in answers.items() if answer.is_ok]
    refused = next((answer for answer in answers.values() if not answer.is_ok and answer.status != 404), None)
    if not having and refused is not None:
        return judge_refusal(refused, f"the accelerator {name}", "compute.acceleratorTypes.get", COMPUTE, project_id)
    if not having:
        return error(
            f"there is no accelerator {name!r} in {', '.join(answers)}",
            f"set region, zones or gpu_type to one of: gcloud compute accelerator-types list --project={project_id}"
            f" --filter=name={name}",
        )
    most = int(answers[having[0]].content.get("maximumCardsPerInstance", count))
    if count > most:
        return error(f"one machine has at most {most} of {name}, not {count}", f"set gpu_count to {most} or less")
    return ok(f"{name} in {', '.join(having)}")


def judge_quota(region: Mapping[str, Any], metric: str, needed: float, what: str, project_id: str) -> Judged:
    """A job past its quota does not fail: it waits in QUEUED, for two days at most (FACTS of Batch's documentation)."""
    quota = next((quota for quota in region.get("quotas", ()) if quota.get("metric") == metric), None)
    if quota is None:
        return ok(f"Compute Engine tells no {metric} of {region.get('name')}")
    limit, usage = float(quota.get("limit", 0)), float(quota.get("usage", 0))
    told = f"{metric} in {region.get('name')}: {usage:g} of {limit:g} used, and {what} needs {needed:g}"
    remedy = (
        f"ask for more: https://console.cloud.google.com/iam-admin/quotas?project={project_id}, or set another region"
    )
    if needed > limit:
        return warning(f"{told}: such a job waits in the queue until queue_limit", remedy)
    if needed > limit - usage:
        return warning(f"{told}: it waits until others have ended", remedy)
    return ok(told)


def cpu_metric(settings: Settings, region: Mapping[str, Any]) -> str:
    """The quota that the machine's vCPUs count against."""
    family = settings.machine_type.partition("-")[0]
    metric = f"{family.upper()}_CPUS" if family in OWN_CPU_QUOTA else "CPUS"
    return _spot_metric(metric if not settings.spot else "CPUS", settings, region)


def gpu_metric(settings: Settings, region: Mapping[str, Any]) -> str:
    """The quota that the machine's GPUs count against; "" if it is not known which."""
    metric = GPU_METRICS.get(settings.gpu_type or settings.machine_type.rpartition("-")[0], "")
    return _spot_metric(metric, settings, region) if metric else ""


def gpus_needed(settings: Settings) -> int:
    """How many GPUs one machine of the job has; 0 for none, or if its name does not tell."""
    if machines.has_built_in_gpus(settings.machine_type):
        return machines.built_in_gpus(settings.machine_type) or 0
    return settings.accelerators


def _spot_metric(metric: str, settings: Settings, region: Mapping[str, Any]) -> str:
    """Spot machines have a quota of their own where the project has any of it, else they share the other's."""
    own = f"PREEMPTIBLE_{metric}"
    limits = {str(quota.get("metric")): float(quota.get("limit", 0)) for quota in region.get("quotas", ())}
    if settings.spot:
        return own if limits.get(own) else metric
    return metric
