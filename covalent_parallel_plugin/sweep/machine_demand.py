"""What a run on Batch needs at a time: tasks, machines, vCPUs and GPUs, as far as the file says."""

from __future__ import annotations

from dataclasses import dataclass

from ..settings import Settings
from ..settings.machine_rules import gpus_per_machine
from ..settings.machine_sizes import machine_size, tasks_per_machine
from .sweep_file import SweepFile


@dataclass(frozen=True)
class MachineDemand:
    """The most that runs at a time.

    Attributes:
        vcpus: those of the machines if their type says so, else those of the tasks.
        gpus: 0 also where the machine type does not report them.
    """

    tasks: int
    machines: int
    vcpus: float
    gpus: int

    @classmethod
    def of(cls, file: SweepFile, to_run: int) -> MachineDemand:
        """Return the machines, vCPUs and GPUs that so many tasks of a file need."""
        settings = file.settings
        # Those of a bundle run one after the other
        tasks = min(settings.max_parallel, -(-to_run // (file.bundle or 1)))
        machines = -(-tasks // (file.tasks_per_machine or _sharing(settings)))
        size = machine_size(settings.machine_type) if settings.machine_type else None
        vcpus = machines * size.vcpus if size is not None else tasks * settings.vcpus
        gpus = gpus_per_machine(settings.machine_type, settings.accelerators)
        return cls(tasks, machines, vcpus, machines * gpus)

    def __str__(self) -> str:
        tasks = "1 task" if self.tasks == 1 else f"{self.tasks:,} tasks at a time"
        machines = "1 machine" if self.machines == 1 else f"{self.machines:,} machines"
        gpus = f", {self.gpus:,} GPU{'' if self.gpus == 1 else 's'}" if self.gpus else ""
        return f"{tasks} on {machines}: {self.vcpus:,g} vCPUs{gpus}"


def _sharing(settings: Settings) -> int:
    """Return how many tasks share a machine, as `batch.job_definition.tasks_per_node` has it."""
    if not settings.machine_type or settings.needs_gpu_drivers:
        return 1
    return tasks_per_machine(settings.machine_type, max(1, round(settings.vcpus * 1000)), settings.memory)
