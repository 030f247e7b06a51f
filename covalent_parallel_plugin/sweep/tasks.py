"""The tasks of a sweep: each combination with its name and its key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .combinations import Combination


@dataclass(frozen=True)
class Task:
    """One task: its combination, its name, which is its folder's, and its key (64 hex digits)."""

    combination: Combination
    name: str
    key: str

    @property
    def index(self) -> int:
        """Its index in the sweep, from 0 on."""
        return self.combination.index


@dataclass(frozen=True)
class ImageConfig:
    """What an image says of itself, pinned.

    Attributes:
        digest: sha256:…, of the registry where it has one, else the image's own id.
        reference: what the engine runs: the image's id on this machine.
    """

    digest: str
    reference: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""


@dataclass(frozen=True)
class Pinned:
    """What tasks stand on that can move: the image, and the versions of inputs; found by `run`, kept in the journal.

    Attributes:
        image: None for a plain command, or where no run has found it yet.
        inputs: name -> digest of a local input's content, or generations of a bucket's objects.
    """

    image: ImageConfig | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LocalPaths:
    """Where a task finds things, as its program sees them (in the container, or on this machine)."""

    folder: str
    inputs: Mapping[str, str]
    prefix: str
    config: str
    config_object: str
    result_object: str


@dataclass(frozen=True)
class Launch:
    """All that is filled in for one start of a task.

    Attributes:
        arguments: the command's words, placeholders filled, flags appended.
        entrypoint: None: the image's own.
        environment: the file's variables and SWEEP_*; secrets not among them.
        values: of the combination and the placeholders, for templates.
    """

    arguments: tuple[str, ...]
    entrypoint: tuple[str, ...] | None
    environment: Mapping[str, str]
    values: Mapping[str, Any]
