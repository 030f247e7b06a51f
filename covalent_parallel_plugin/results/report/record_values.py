"""The values of a trace's records, whatever they hold: what is of another type counts as not there; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...batch.attempt_times import is_time
from .model import Asked, UsedMachine
from .phases import plausible_time

# Of a name in a trace
LONGEST_NAME = 1000
# Of rounds, tasks, attempts, and of a list's indexes
MOST = 2**31 - 1
MIB = 2**20
UNKNOWN = Asked()


def asked_of(record: Mapping[str, Any]) -> Asked:
    """Return what a job asked for, from its `submitted` record."""
    asked = record.get("asked")
    asked = asked if isinstance(asked, Mapping) else {}
    vcpus, memory, zones = asked.get("vcpus"), asked.get("memory_mib"), asked.get("zones")
    spot, requirements = asked.get("spot"), asked.get("requirements")
    return Asked(
        vcpus=float(vcpus) if is_time(vcpus) and vcpus > 0 else None,
        memory_bytes=round(memory * MIB) if is_time(memory) and 0 < memory < MOST else None,
        machine_type=text(asked.get("machine_type")),
        spot=spot if isinstance(spot, bool) else None,
        image=text(asked.get("image")),
        gpu_type=text(asked.get("gpu_type")),
        gpu_count=natural(asked.get("gpu_count")) or 0,
        region=region_of_job(text(record.get("job"))),
        zones=tuple(filter(None, map(text, zones if isinstance(zones, list) else ()))),
        max_parallel=natural(asked.get("max_parallel")) or None,
        tasks_per_machine=natural(asked.get("tasks_per_machine")) or None,
        has_requirements=requirements if isinstance(requirements, bool) else None,
        provisioning=text(asked.get("provisioning")),
    )


def region_of_job(job: str) -> str:
    """Return the region in a job's name projects/P/locations/R/jobs/J; "" for another name."""
    parts = job.split("/")
    return parts[3] if len(parts) == 6 and parts[2] == "locations" else ""


def parent_of_job(job: str) -> str:
    """Return the projects/P/locations/R of a job's name; "" for another name."""
    return job.rpartition("/jobs/")[0] if region_of_job(job) else ""


def machine_of(value: object) -> UsedMachine:
    """Return an attempt's machine, from its record."""
    machine = value if isinstance(value, Mapping) else {}
    spot = machine.get("spot")
    kind, zone, instance = (text(machine.get(name)) for name in ("type", "zone", "instance"))
    return UsedMachine(kind, spot if isinstance(spot, bool) else None, zone, instance)


def natural(value: object, most: int = MOST) -> int | None:
    """Return a whole number from 0 on; None for what is none."""
    return value if type(value) is int and 0 <= value <= most else None


def text(value: object, longest: int = LONGEST_NAME) -> str:
    """Return a text, not longer than that; "" for what is none."""
    return value[:longest] if isinstance(value, str) else ""


def times_of(found: object) -> dict[str, float]:
    """Return the times in a record that has no attempt."""
    if not isinstance(found, Mapping):
        return {}
    times = {name: plausible_time(value) for name, value in found.items() if isinstance(name, str)}
    return {name: seconds for name, seconds in times.items() if seconds is not None}
