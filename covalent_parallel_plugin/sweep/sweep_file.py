"""A sweep as its file describes it, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..programs.result_values import ResultSource
from ..settings import Settings
from .combinations import Grid
from .mistakes import LocatedText, Location


@dataclass(frozen=True)
class FileEntry:
    """An entry of `files`: a path or a pattern below the file's folder; `keep` False: removed after each task."""

    path: LocatedText
    keep: bool = True


@dataclass(frozen=True)
class StopAfter:
    """Failures after which nothing more is started: a number, or a share of all tasks (0.1 for 10%)."""

    failures: int | None = None
    share: float | None = None


@dataclass(frozen=True)
class SweepFile:
    """A sweep's file.

    Attributes:
        path: of the file, absolute; relative paths in it start in its folder. "-" stands for nothing else.
        text: the file's bytes, for OUT/sweep.yaml.
        name: the sweep's.
        image: "" is a plain command.
        command, entrypoint: words with placeholders; entrypoint None: the image's.
        flags: "joined" appends every parameter as --name=value, "separate" as --name value, "" none.
        environment: variables with placeholders in their values.
        inputs: by name: a path, absolute, or gs://….
        config: "json", "yaml" or "" for none.
        outputs: the absolute path in the container at which the program expects its folder; "": anywhere.
        settings: the options of the executor, resolved and checked (vcpus, memory, time_limit, retries, spot …).
        given_options: names of the options that the file itself gives.
        max_parallel: None: as many as fit.
        idle_limit_seconds: None: no limit.
        log_limit_bytes: the limit of each stream.
        max_machine_hours: at the top of the file, which no plan may be above; None: no limit.
        secrets: variable -> the secret's name.
        after: names or folders of other sweeps.
        is_local: whether its tasks run on this machine, and not on Google Batch.
    """

    path: Path
    text: bytes
    name: str
    image: str
    command: tuple[LocatedText, ...]
    entrypoint: tuple[LocatedText, ...] | None
    workdir: str
    flags: Literal["", "joined", "separate"]
    grids: tuple[Grid, ...]
    environment: Mapping[str, LocatedText]
    secrets: Mapping[str, str]
    files: tuple[FileEntry, ...]
    inputs: Mapping[str, LocatedText]
    config: Literal["", "json", "yaml"]
    outputs: str
    result: ResultSource | None
    settings: Settings
    given_options: frozenset[str]
    max_parallel: int | None
    idle_limit_seconds: float | None
    log_limit_bytes: int
    retry_on: frozenset[int]
    stop_after: StopAfter | None
    max_machine_hours: float | None
    pull: Literal["always", "missing"]
    tasks_per_machine: int | None
    bundle: int | None
    after: tuple[LocatedText, ...]
    locations: Mapping[str, Location]
    is_local: bool = True

    @property
    def most_machine_hours(self) -> float | None:
        """At how many machine-hours a run stops: the lower of both limits, at the top and of `resources`; or None."""
        limits = [limit for limit in (self.max_machine_hours, self.settings.max_machine_hours) if limit is not None]
        return min(limits, default=None)
