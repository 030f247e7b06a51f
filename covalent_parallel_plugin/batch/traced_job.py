"""What a trace says of a job: what it asked for, and what Batch said while it waited; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from google.cloud import batch_v1

from ..cloud.job_status import SPOT_MODELS, JobStatus
from .attempt_times import rounded
from .error_hints import find_hint
from .trace import shortened_message


def asked_of(job: batch_v1.Job, has_requirements: bool = False) -> dict[str, object]:
    """Return what a job asks for; `has_requirements`: whether pip installs packages first, which no job says."""
    raw = batch_v1.Job.pb(job)
    group = raw.task_groups[0]
    spec = group.task_spec
    policy = raw.allocation_policy.instances[0].policy
    places = [place.partition("/") for place in raw.allocation_policy.location.allowed_locations]
    return {
        "vcpus": spec.compute_resource.cpu_milli / 1000,
        "memory_mib": spec.compute_resource.memory_mib,
        "machine_type": policy.machine_type or None,
        "spot": policy.provisioning_model in SPOT_MODELS,
        "provisioning": batch_v1.AllocationPolicy.ProvisioningModel(policy.provisioning_model).name,
        "image": spec.runnables[-1].container.image_uri or None,
        "gpu_type": policy.accelerators[0].type_ if policy.accelerators else None,
        "gpu_count": sum(each.count for each in policy.accelerators),
        "zones": [name for kind, _, name in places if kind == "zones"],
        "max_parallel": group.parallelism,
        "tasks_per_machine": group.task_count_per_node,
        "requirements": has_requirements,
    }


def new_waits(job: JobStatus, known: Collection[str]) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield why a job waited for machines, each cause once and with the fields of its record; not those `known`."""
    found = set(known)
    for event in job.events:
        hint = find_hint(event.description)
        if hint is not None and hint.may_pass and hint.kind not in found:
            found.add(hint.kind)
            message = shortened_message(event.description)
            yield hint.kind, {"cause": hint.kind, "message": message, "t": rounded({"said": event.seconds})}
