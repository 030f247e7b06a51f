"""Assign each machine a loopback address, at which its tasks query its metadata."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from ..model.task_plan import TaskPlan
from ..project.secrets import project_number

# Google's clients ask there instead of metadata.google.internal
VARIABLE = "GCE_METADATA_HOST"
# 127.0.x.y has uses of its own; no address ends in 0 or 255
_FIRST, _LAST = 1, 254
_PER_OCTET = _LAST - _FIRST + 1


class MachineAddresses:
    """The addresses of the machines of jobs; without a `port`, that of who answers there, machines have none.

    Called from one thread, but for `facts`.
    """

    def __init__(self) -> None:
        self.port: int | None = None
        self._numbers = itertools.count()
        self._machines: dict[str, tuple[TaskPlan, str]] = {}
        self._of_jobs: dict[str, dict[str, str]] = {}

    def variables(self, plan: TaskPlan, instance: str) -> dict[str, str]:
        """Return variables for the tasks of a machine; `instance` is its name, zones/ZONE/instances/NAME."""
        if self.port is None:
            return {}
        addresses = self._of_jobs.setdefault(plan.uid, {})
        if instance not in addresses:
            addresses[instance] = address = _address(next(self._numbers))
            self._machines[address] = (plan, instance)
        return {VARIABLE: f"{addresses[instance]}:{self.port}"}

    def forget(self, job_uid: str) -> None:
        """Nothing of a job runs any more."""
        for address in self._of_jobs.pop(job_uid, {}).values():
            self._machines.pop(address, None)

    def facts(self, address: str) -> Mapping[str, Any] | None:
        """Return what the metadata server reports to the machine at an address; None if there is none."""
        plan, instance = self._machines.get(address, (None, ""))
        if plan is None:
            return None
        _, zone, _, name = instance.split("/")
        number = project_number(plan.project)
        return {
            "instance": {
                "hostname": f"{name}.{zone}.c.{plan.project}.internal",
                "machine-type": f"projects/{number}/machineTypes/{plan.machine_type}",
                "name": name,
                "scheduling": {
                    "preemptible": str(plan.provisioning == "SPOT").upper(),
                    "provisioning-model": plan.provisioning,
                },
                "zone": f"projects/{number}/zones/{zone}",
            },
            "project": {"numeric-project-id": int(number), "project-id": plan.project},
        }


def _address(number: int) -> str:
    octets = [number // _PER_OCTET**power % _PER_OCTET + _FIRST for power in (2, 1, 0)]
    return ".".join(map(str, (127, *octets)))
