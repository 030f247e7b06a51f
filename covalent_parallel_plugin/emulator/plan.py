"""What a job asks to be run, as plain values: the commands of each attempt of each task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .attempt import Step
from .runtime import Limits


@dataclass(frozen=True)
class Plan:
    """A job's tasks. `steps` carry the environment of their own runnable only; durations are seconds."""

    project: str
    job_id: str
    uid: str
    zone: str
    task_count: int
    steps: tuple[Step, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    task_environments: tuple[Mapping[str, str], ...] = ()
    limits: Limits = field(default_factory=Limits)
    max_run_seconds: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    provisioning: str = "STANDARD"
    tasks_per_vm: int = 1
    keeps_logs: bool = False

    def task_id(self, index: int) -> str:
        """Name a task as its log entries' labels do."""
        return f"{self.uid}-group0-{index}"

    def instance(self, slot: int) -> str:
        """Name the VM with this number."""
        return f"zones/{self.zone}/instances/{self.uid}-group0-0-{slot:04x}"

    def attempt_steps(self, index: int, attempt: int, services: Mapping[str, str]) -> list[Step]:
        """Give the steps of an attempt with their whole environment.

        A runnable's variables win over the task's, those over the group's, those over `services`; Batch's own
        BATCH_* variables win over all.
        """
        group = self.task_environments[index] if self.task_environments else {}
        batch = {
            "BATCH_TASK_INDEX": str(index),
            "BATCH_TASK_COUNT": str(self.task_count),
            "BATCH_TASK_RETRY_ATTEMPT": str(attempt),
            "BATCH_JOB_UID": self.uid,
            "BATCH_JOB_ID": self.job_id,
        }
        return [
            replace(
                step,
                command=replace(
                    step.command,
                    environment={**services, **self.environment, **group, **step.command.environment, **batch},
                ),
            )
            for step in self.steps
        ]
