"""Sweeps put together without a file, for tests of what comes after its reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from covalent_parallel_plugin.programs.core_schema import ParameterValue, Plain
from covalent_parallel_plugin.settings import Settings
from covalent_parallel_plugin.sweep.combinations import Axis, Grid
from covalent_parallel_plugin.sweep.mistakes import LocatedText, Location
from covalent_parallel_plugin.sweep.sweep_file import FileEntry, SweepFile

HERE = Location(1, 1)


def value(data: Plain) -> ParameterValue:
    """A value, written as YAML does."""
    if isinstance(data, bool) or data is None:
        return ParameterValue({True: "true", False: "false", None: "null"}[data], data)
    return ParameterValue(str(data), data)


def text(written: str, line: int = 1) -> LocatedText:
    return LocatedText(written, Location(line, 1))


def grid(
    parameters: Mapping[str, Any], *, repeat: int | None = None, task_name: str | None = None, line: int = 1
) -> Grid:
    """A grid whose lists are axes."""
    axes = []
    for number, (name, values) in enumerate(parameters.items()):
        rows = [
            (each if isinstance(each, ParameterValue) else value(each),)
            for each in (values if isinstance(values, list) else [values])
        ]
        axes.append(Axis((name,), rows, Location(line + 1, 5 + number)))
    pattern = text(task_name, line + 2) if task_name is not None else None
    return Grid(tuple(axes), (), (), repeat, pattern, Location(line, 3))


def sweep_file(folder: Path, grids: Sequence[Grid], command: Sequence[str] = (), **changes: Any) -> SweepFile:
    """A sweep without an image, whose file is in a folder; `files`, `inputs` and `environment` by their texts."""
    for name in ("environment", "inputs"):
        if name in changes:
            changes[name] = {key: text(written, 5) for key, written in changes[name].items()}
    if "files" in changes:
        changes["files"] = tuple(
            entry if isinstance(entry, FileEntry) else FileEntry(text(entry, 6)) for entry in changes["files"]
        )
    if changes.get("entrypoint") is not None:
        changes["entrypoint"] = tuple(map(text, changes["entrypoint"]))
    file = SweepFile(
        path=folder / "sweep.yaml",
        text=b"",
        name="art",
        image="",
        command=tuple(text(word, 4) for word in command),
        entrypoint=None,
        workdir="",
        flags="",
        grids=tuple(grids),
        environment={},
        secrets={},
        files=(),
        inputs={},
        config="",
        outputs="",
        result=None,
        settings=Settings(),
        given_options=frozenset(),
        max_parallel=None,
        idle_limit_seconds=None,
        log_limit_bytes=1024**3,
        retry_on=frozenset(),
        stop_after=None,
        max_machine_hours=None,
        pull="missing",
        tasks_per_machine=None,
        bundle=None,
        after=(),
        locations={},
    )
    return replace(file, **changes)
