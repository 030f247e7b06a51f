"""Compute how many tasks share a VM: vCPUs from a machine type's name, and Batch's rule."""

from __future__ import annotations

import re

MAX_TASKS_PER_VM = 20
"""Batch runs at most so many tasks of a job on a VM at a time."""
PICKED_VCPUS = (2, 4, 8, 16, 32)
"""Sizes of e2-standard, of which the smallest that holds one task is picked where a job names no machine type."""

_SHARED_CORE = {"e2-micro": 2, "e2-small": 2, "e2-medium": 2, "f1-micro": 1, "g1-small": 1}
# https://cloud.google.com/compute/docs/accelerator-optimized-machines: names that contain GPUs, with the vCPUs for each
_VCPUS_PER_GPU = {
    "a2-highgpu": 12,
    "a2-ultragpu": 12,
    "a2-megagpu": 6,
    "a3-ultragpu": 28,
    "a3": 26,
    "a4": 28,
    "a4x": 35,
}
_CUSTOM = re.compile(r"(?:[a-z0-9]+-)?custom-(\d+)-\d+(?:-ext)?")
_PREDEFINED = re.compile(r"[a-z0-9]+-[a-z]+-(\d+)(?:-[a-z0-9]+)*")
_WITH_GPUS = re.compile(r"([a-z0-9]+)-([a-z]+)-(\d+)g(?:-[a-z0-9]+)*")


def vcpus_of(machine_type: str) -> int | None:
    """Read the vCPUs off a machine type's name; None where it does not report."""
    if machine_type in _SHARED_CORE:
        return _SHARED_CORE[machine_type]
    gpus = _WITH_GPUS.fullmatch(machine_type)
    if gpus is not None:
        each = _VCPUS_PER_GPU.get(f"{gpus[1]}-{gpus[2]}", _VCPUS_PER_GPU.get(gpus[1]))
        return None if each is None else each * int(gpus[3])
    match = _CUSTOM.fullmatch(machine_type) or _PREDEFINED.fullmatch(machine_type)
    return None if match is None else int(match[1])


def picked_machine_type(machine_type: str, cpu_milli: int) -> str:
    """Return the machine type of a job's VMs: the one that it names, else the smallest of these that holds a task.

    Which one Batch picks is not documented. Above 32 vCPUs, where e2-standard ends, it is one of n2-standard.
    """
    if machine_type:
        return machine_type
    sizes = [("e2", size) for size in PICKED_VCPUS] + [("n2", size) for size in (48, 64, 80, 96, 128)]
    family, vcpus = next((size for size in sizes if 1000 * size[1] >= cpu_milli), sizes[-1])
    return f"{family}-standard-{vcpus}"


def tasks_per_vm(machine_type: str, cpu_milli: int, task_count_per_node: int) -> int:
    """Return how many tasks of a job one VM runs at a time.

    The job's own `task_count_per_node` (0: none), else the VM's vCPUs divided by a task's, at least 1 and at most 20.
    Without a machine type, or with one whose name does not say, the VM is the smallest of `PICKED_VCPUS` that holds a
    task; memory plays no part.
    """
    if task_count_per_node:
        return task_count_per_node
    vcpus = vcpus_of(machine_type)
    if vcpus is None:
        vcpus = next((size for size in PICKED_VCPUS if 1000 * size >= cpu_milli), 0)
    return min(max(1000 * vcpus // cpu_milli, 1), MAX_TASKS_PER_VM)
