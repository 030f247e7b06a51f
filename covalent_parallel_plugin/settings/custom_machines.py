"""Custom machine types: how many vCPUs and how much memory a machine of a family may be made of.

https://cloud.google.com/compute/docs/instances/creating-instance-with-custom-machine-type; families that are not here
are taken to allow what is asked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Same page: memory comes in steps of so many MiB
MEMORY_STEP_MIB = 256

_NAME = re.compile(r"(?:([a-z0-9]+)-)?custom-(\d+|micro|small|medium)-(\d+)(-ext)?")


@dataclass(frozen=True)
class CustomFamily:
    """The vCPUs that machines of a family may have, and their memory for each vCPU in GB, without `-ext`."""

    vcpus: Sequence[int]
    least_gb: float
    most_gb: float
    is_extensible: bool = True


_FAMILIES: Mapping[str, CustomFamily] = {
    "n1": CustomFamily((1, *range(2, 97, 2)), 0.9, 6.5),
    "n2": CustomFamily((*range(2, 33, 2), *range(36, 129, 4)), 0.5, 8),
    "n2d": CustomFamily((2, 4, 8, *range(16, 97, 16)), 0.5, 8),
    "n4": CustomFamily(range(2, 81, 2), 0.5, 8),
    "e2": CustomFamily(range(2, 33, 2), 0.5, 8, is_extensible=False),
}


def custom_machine_problem(name: str) -> str:
    """What keeps such a machine from being made, with the remedy; "" if nothing does, or its family is not known."""
    found = _NAME.fullmatch(name)
    if found is None:
        return (
            "is not a custom machine type: use FAMILY-custom-VCPUS-MEMORY, with MEMORY in MB, such as n2-custom-4-8192"
        )
    series, vcpus, memory_mib = found[1] or "n1", found[2], int(found[3])
    family = _FAMILIES.get(series)
    if family is None or not vcpus.isdecimal():
        return ""
    count = min(family.vcpus, key=lambda known: (abs(known - int(vcpus)), -known))
    steps_per_gb = 1024 / MEMORY_STEP_MIB
    # Rounded first: 0.9 has no exact float.
    least = MEMORY_STEP_MIB * math.ceil(round(count * family.least_gb * steps_per_gb, 6))
    most = MEMORY_STEP_MIB * math.floor(round(count * family.most_gb * steps_per_gb, 6))
    extension = found[4] or "" if family.is_extensible else ""
    whole_mib = max(least, MEMORY_STEP_MIB * math.ceil(memory_mib / MEMORY_STEP_MIB))
    start = f"{found[1]}-custom" if found[1] else "custom"
    remedy = f"use {start}-{count}-{whole_mib if extension else min(whole_mib, most)}{extension}"
    if found[4] and not family.is_extensible:
        return f"has extended memory, which {series} machines do not take: {remedy}"
    if count != int(vcpus):
        return f"has {vcpus} vCPUs, which no custom {series} machine has: {remedy}"
    if memory_mib < least:
        return f"has less than {family.least_gb:g} GB of memory for each vCPU, the least of {series} machines: {remedy}"
    if memory_mib % MEMORY_STEP_MIB:
        return f"has {memory_mib} MB of memory, which is not a multiple of {MEMORY_STEP_MIB}: {remedy}"
    if memory_mib > most and not extension:
        more = f", or {start}-{count}-{memory_mib}-ext" if family.is_extensible else ""
        remedy += more
        return f"has more than {family.most_gb:g} GB of memory for each vCPU, the most of {series} machines: {remedy}"
    return ""
