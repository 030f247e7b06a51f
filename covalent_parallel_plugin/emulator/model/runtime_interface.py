"""Define the interface of a runtime: it opens workspaces, and a workspace starts processes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from ...containers.container import CANNOT_START, NOT_EXECUTABLE, NOT_FOUND, Process, ResourceLimits, StartFailed

__all__ = [
    "BARE_VM",
    "CANNOT_START",
    "NOT_EXECUTABLE",
    "NOT_FOUND",
    "Command",
    "LogFolder",
    "Mount",
    "Process",
    "ResourceLimits",
    "Runtime",
    "StartFailed",
    "VmSpec",
    "Workspace",
]

# google.cloud.batch.v1.TaskGroup.require_hosts_file: the variable, and where Batch's agent puts the file on its VMs
HOSTS_VARIABLE, HOSTS_FILE = "BATCH_HOSTS_FILE", "/etc/cloudbatch-taskgroup-hosts"
# All VMs of a job are this machine
HOSTS_TEXT = "127.0.0.1\n"


@dataclass(frozen=True)
class Command:
    """What one runnable starts: a container if `image` is set, else a script.

    A script is text (`script`) or a file's path (`script_path`). `entrypoint` and `arguments` replace what the image
    would start, as `docker run --entrypoint` does; `options` are docker's own; `volumes` have the form of docker's
    --volume, with paths of the VM; `username` and `password` are for the image's registry. `environment` is all that
    the job and the emulator set.
    """

    image: str = ""
    entrypoint: str = ""
    arguments: tuple[str, ...] = ()
    options: str = ""
    volumes: tuple[str, ...] = ()
    username: str = ""
    password: str = field(default="", repr=False)
    script: str = ""
    script_path: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def has_hosts_file(self) -> bool:
        """Whether the job asked for the file that lists its VMs."""
        return self.environment.get(HOSTS_VARIABLE) == HOSTS_FILE


@dataclass(frozen=True)
class Mount:
    """What a task has mounted on its VM at `path`.

    `kind` is "gcs" (`source` is BUCKET or BUCKET/PREFIX), "nfs" (SERVER:/PATH) or "disk" (a disk's device name).
    `options` are those of the mount, such as "ro". A disk that `was_there` before the job is read-only for containers
    that do not say otherwise.
    """

    path: str
    kind: str
    source: str = ""
    options: tuple[str, ...] = ()
    was_there: bool = False

    @property
    def is_read_only(self) -> bool:
        """Whether the mount itself lets nothing be written, whatever the container's volume says."""
        words = " ".join(self.options).replace("-o", " ").replace(",", " ").split()
        return "ro" in words


@dataclass(frozen=True)
class VmSpec:
    """What a task's VM has: the uid of the one job it serves, and what is mounted.

    `name` is "" where no VMs are modelled: then all tasks of a job are on one. `volumes` are those of all containers of
    a task, in docker's form: a script, which runs on the VM itself, finds their paths there.
    """

    job_uid: str = ""
    mounts: tuple[Mount, ...] = ()
    name: str = ""
    volumes: tuple[str, ...] = ()


BARE_VM = VmSpec()


@dataclass(frozen=True)
class LogFolder:
    """The folder of this machine in which a task's log files are, while they are written.

    `deliver`, which may take its time, brings them to where they belong, and gives what went wrong.
    """

    path: Path
    deliver: Callable[[], Sequence[str]] = tuple


class Workspace(Protocol):
    """What the runnables of one attempt share."""

    def log_folder(self, path: str, services: Mapping[str, str]) -> LogFolder:
        """Return the folder for the log files that a job wants at this path of its VM. Raises StartFailed, OSError."""

    def start(self, command: Command) -> Process:
        """Start a runnable. Raises StartFailed."""

    def close(self) -> None:
        """Remove what the attempt left; call after its last process is closed."""


class Runtime(Protocol):
    """Starts attempts. Methods are called from one thread and must return soon."""

    def open(self, attempt: str, limits: ResourceLimits, vm: VmSpec = BARE_VM) -> Workspace:
        """Prepare for an attempt, whose name is made of letters, digits and dashes."""

    def release(self, job_uid: str) -> None:
        """Remove what the tasks of a job shared on its VMs, once none of them runs or will run."""

    def task_users(self) -> Collection[int]:
        """List the users (uids of this machine) that tasks run as now, besides this process's own.

        May take its time, and be called from any thread.
        """

    def close(self) -> None:
        """End and remove whatever is left of all attempts."""
