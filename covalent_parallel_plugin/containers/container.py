"""Describe a container: what it runs, its limits, its folders and variables, and why it could not start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

CANNOT_START = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127
"""Exit codes of `docker run`: no image or container; a program that cannot run, or is not there."""
OWNER_LABEL = "covalent-parallel-emulator"
"""The label of a container that the emulator runs; its value is the owner."""


class StartFailed(Exception):
    """A container, or what runs in place of one, could not be started; `exit_code` is 125, 126 or 127."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Process(Protocol):
    """A container or a process of this machine that has been started. All methods return at once."""

    stdout: int
    """File descriptor of its standard output, not blocking."""
    stderr: int
    """File descriptor of its standard error, not blocking."""
    ending: int | None
    """File descriptor that becomes readable when it ends; None where the system has none: then call `poll`."""

    def poll(self) -> int | None:
        """Return the exit code once it has ended (128 + signal where one killed it), None while it runs."""

    def terminate(self) -> None:
        """Ask it to end: SIGTERM to its first process, as a container's stop does."""

    def kill(self) -> None:
        """End it and all that it started."""

    def close(self) -> None:
        """Release its descriptors; call after its end."""


@dataclass(frozen=True)
class ResourceLimits:
    """CPU in thousandths of a core, memory in MiB."""

    cpu_milli: int = 2000
    memory_mib: int = 2000


@dataclass(frozen=True)
class ContainerSpec:
    """What a container runs; without an entrypoint its image's own.

    Attributes:
        options: further ones of `docker run`, as one text.
        words: further ones, after these.
        pull: when the engine pulls the image: missing, or never.
    """

    image: str
    entrypoint: str = ""
    arguments: Sequence[str] = ()
    options: str = ""
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    words: Sequence[str] = ()
    pull: str = "missing"


@dataclass(frozen=True)
class ContainerIdentity:
    """A container's name, and the owner that its label carries."""

    name: str
    owner: str
    label: str = OWNER_LABEL


@dataclass(frozen=True)
class Bind:
    """A folder of this machine, or a volume of the engine's, as a container sees it; `options` as docker has them."""

    source: str
    target: str
    options: str = ""

    def __str__(self) -> str:
        return ":".join(filter(None, (self.source, self.target, self.options)))


@dataclass(frozen=True)
class ContainerVariables:
    """A container's variables: lines of a file, and those that do not fit into one, which the client hands on."""

    lines: Sequence[str]
    handed_on: Mapping[str, str]
