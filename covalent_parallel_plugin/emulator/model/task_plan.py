"""Describe what a job runs, as plain values: the commands of each attempt of each task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from .runtime_interface import HOSTS_FILE, HOSTS_VARIABLE, Command, Mount, ResourceLimits, VmSpec


@dataclass(frozen=True)
class Step:
    """One runnable of a task; a `timeout_seconds` of None is no limit.

    A runnable that is a barrier has its name in `barrier`, which may be ""; None is any other.
    """

    command: Command
    timeout_seconds: float | None = None
    ignores_exit_status: bool = False
    always_runs: bool = False
    is_background: bool = False
    barrier: str | None = None
    display_name: str = ""


@dataclass(frozen=True)
class SecretVariables:
    """Variables with the names of secrets' versions: those of all tasks, of each task, of each runnable."""

    task: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[Mapping[str, str], ...] = ()
    steps: tuple[Mapping[str, str], ...] = ()


@dataclass(frozen=True)
class TaskPlan:
    """A job's tasks. `steps` carry the environment of their own runnable only; durations are seconds.

    `keeps_logs` says that output goes to Cloud Logging, `logs_path` to which folder of the VM it goes instead.
    """

    project: str
    job_id: str
    uid: str
    zone: str
    task_count: int
    steps: tuple[Step, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    task_environments: tuple[Mapping[str, str], ...] = ()
    secret_variables: SecretVariables = field(default_factory=SecretVariables)
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    mounts: tuple[Mount, ...] = ()
    max_run_seconds: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    provisioning: str = "STANDARD"
    machine_type: str = ""
    tasks_per_vm: int = 1
    keeps_logs: bool = False
    logs_path: str = ""
    has_hosts_file: bool = False

    def task_id(self, index: int) -> str:
        """Name a task as its log entries' labels do."""
        return f"{self.uid}-group0-{index}"

    def instance(self, slot: int) -> str:
        """Name the VM with this number."""
        return f"zones/{self.zone}/instances/{self.uid}-group0-0-{slot:04x}"

    @property
    def has_barriers(self) -> bool:
        """Whether tasks wait for one another, so that all of them must be able to run at a time."""
        return any(step.barrier is not None for step in self.steps)

    @property
    def vm(self) -> VmSpec:
        """What the job's VMs have."""
        volumes = tuple(volume for step in self.steps for volume in step.command.volumes)
        return VmSpec(self.uid, self.mounts, volumes=volumes)

    def attempt_steps(
        self, index: int, attempt: int, services: Mapping[str, str], secret: Callable[[str], str]
    ) -> list[Step]:
        """Return the steps of an attempt with their whole environment.

        A runnable's variables win over the task's, those over the group's, those over `services`; Batch's own
        BATCH_* variables win over all. `secret` gives the value of a secret's version, and any other text as it is.
        Raises SecretDenied.
        """
        group = self.task_environments[index] if self.task_environments else {}
        secrets = self.secret_variables
        common = {**self.environment, **_values(secrets.task, secret)}
        common |= {**group, **_values(secrets.groups[index] if secrets.groups else {}, secret)}
        batch = {
            "BATCH_TASK_INDEX": str(index),
            "BATCH_TASK_COUNT": str(self.task_count),
            "BATCH_TASK_RETRY_ATTEMPT": str(attempt),
            "BATCH_JOB_UID": self.uid,
            "BATCH_JOB_ID": self.job_id,
        }
        if self.has_hosts_file:
            batch[HOSTS_VARIABLE] = HOSTS_FILE
        steps = []
        for number, step in enumerate(self.steps):
            own = {**step.command.environment, **_values(secrets.steps[number] if secrets.steps else {}, secret)}
            command = replace(
                step.command,
                environment={**services, **common, **own, **batch},
                username=secret(step.command.username),
                password=secret(step.command.password),
            )
            steps.append(replace(step, command=command))
        return steps


def _values(names: Mapping[str, str], secret: Callable[[str], str]) -> dict[str, str]:
    return {variable: secret(name) for variable, name in names.items()}
