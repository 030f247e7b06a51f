"""Describe a container: what it runs, its limits, its folders and variables, and why it could not start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

CANNOT_START = 125
NOT_EXECUTABLE = 126
NOT_FOUND = 127
"""Exit codes of `docker run`: no image or container; a program that cannot run, or is not there."""


class StartFailed(Exception):
    """A container, or what runs in place of one, could not be started; `exit_code` is 125, 126 or 127."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class ResourceLimits:
    """CPU in thousandths of a core, memory in MiB."""

    cpu_milli: int = 2000
    memory_mib: int = 2000


@dataclass(frozen=True)
class ContainerSpec:
    """What a container runs; without an entrypoint its image's own. `options` are further ones of `docker run`."""

    image: str
    entrypoint: str = ""
    arguments: Sequence[str] = ()
    options: str = ""
    limits: ResourceLimits = field(default_factory=ResourceLimits)


@dataclass(frozen=True)
class ContainerIdentity:
    """A container's name, and the owner that its label carries."""

    name: str
    owner: str


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
