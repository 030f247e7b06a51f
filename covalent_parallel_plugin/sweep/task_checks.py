"""What is wrong with the tasks of a sweep, found before any of them starts: placeholders, values, names, files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from ..programs.core_schema import ParameterValue
from .combinations import Grid
from .mistakes import LocatedText, Location, Mistake
from .names import NAME_PLACEHOLDERS
from .near_names import NearNames
from .placeholders import SWEEP_NAMES, Template
from .reading.resource_options import options_without_effect
from .staging.config_file import is_in_json
from .staging.task_files import TaskFiles
from .sweep_file import SweepFile

# More mistakes of one kind, or names in one of them, help nobody
SHOWN = 100
MOST_LISTED = 60


def text_mistakes(file: SweepFile) -> Iterator[Mistake]:
    """Yield placeholders that stand for nothing, and values that a configuration file cannot hold, some of each."""
    yield from islice(_unknown_placeholders(file), SHOWN)
    yield from islice(chain.from_iterable(_value_mistakes(grid, file.config) for grid in file.grids), SHOWN)


def _unknown_placeholders(file: SweepFile) -> Iterator[Mistake]:
    names = NearNames()
    for where, text in _texts(file):
        yield from _placeholder_mistakes(file, where, text, file.grids, SWEEP_NAMES, names)
    for grid in file.grids:
        if grid.task_name is not None:
            yield from _placeholder_mistakes(file, "task_name", grid.task_name, [grid], NAME_PLACEHOLDERS, names)


def template_mistakes(file: SweepFile, files: TaskFiles) -> Iterator[Mistake]:
    """Yield templates among `files` that cannot be filled in."""
    for grid in file.grids:
        values = _trial_values(file, grid)
        for source in files.sources:
            try:
                if source.name in files.templates:
                    files.templates[source.name].fill(values)
            except ValueError as error:
                yield Mistake(
                    f"files: {source.name} cannot be filled in: {error}; it may use {', '.join(_names(file, [grid]))}",
                    source.location,
                )


def warnings(file: SweepFile, files: TaskFiles) -> Iterator[Mistake]:
    """Yield options without an effect, parameters that nothing uses, and placeholders that may be misspelt."""
    if ignored := options_without_effect(file):
        why = "on this machine" if file.image else "without image"
        yield Mistake(f"resources: these have no effect {why}: {', '.join(ignored)}", file.locations.get("resources"))
    used = {name for _, text in _texts(file) for name in Template.parse(text.text).names}
    used |= files.names_in_templates
    used |= {name for grid in file.grids if grid.task_name for name in Template.parse(grid.task_name.text).names}
    # What a function reads is not known
    is_all_used = file.flags or file.config or files.preparation is not None
    unused: dict[str, Location] = {}
    for grid in () if is_all_used else file.grids:
        for axis in grid.axes:
            unused |= {name: axis.location for name in axis.names if name not in used and name not in unused}
    for name, location in islice(unused.items(), SHOWN):
        yield Mistake(f"the parameter {name} is used nowhere: write {{{name}}} where it belongs", location)
    known, names = _names(file, file.grids), NearNames()
    for source in files.sources:
        template = files.templates.get(source.name)
        # What Jinja2 does not know is an error
        for name in template.names if isinstance(template, Template) else ():
            if name not in known and (near := names.near(name, known)):
                text = f"files: {source.name}: {{{name}}} is not a parameter and stays: did you mean {{{near}}}?"
                yield Mistake(text, source.location)


def _texts(file: SweepFile) -> Iterator[tuple[str, LocatedText]]:
    """Yield all in which placeholders are filled in, but names, with what it is."""
    yield from (("command", word) for word in file.command)
    yield from (("entrypoint", word) for word in file.entrypoint or ())
    yield from ((f"environment: {name}", text) for name, text in file.environment.items())


def _names(file: SweepFile, grids: Iterable[Grid], sweep_names: Iterable[str] = SWEEP_NAMES) -> list[str]:
    """Return what a placeholder may be called in at least one of the grids."""
    parameters = dict.fromkeys(name for grid in grids for name in _grid_names(grid))
    return [*parameters, *(f"inputs.{name}" for name in file.inputs), *sweep_names]


def _grid_names(grid: Grid) -> list[str]:
    return [*grid.names, *(["repeat"] if grid.repeat is not None else [])]


def _placeholder_mistakes(
    file: SweepFile,
    where: str,
    text: LocatedText,
    grids: Sequence[Grid],
    sweep_names: Iterable[str],
    names: NearNames,
) -> Iterator[Mistake]:
    is_name = where == "task_name"
    common = set(_names(file, [], sweep_names)) - ({f"inputs.{name}" for name in file.inputs} if is_name else set())
    for name in Template.parse(text.text).names:
        lacking = [grid for grid in grids if name not in common and name not in _grid_names(grid)]
        if not lacking:
            continue
        which = f" in the grid of line {lacking[0].location.line}" if len(lacking) < len(grids) else ""
        known = [*_grid_names(lacking[0]), *sorted(common)]
        near = names.near(name, known)
        listed = ", ".join(f"{{{each}}}" for each in known[:MOST_LISTED])
        remedy = f"did you mean {{{near}}}?" if near else f"there are {listed};"
        text_itself = f"{{{{{name}}}}} is the text {{{name}}}"
        yield Mistake(f"{where}: {_why_unknown(name, is_name)}{which}: {remedy} {text_itself}", text.location)


def _why_unknown(name: str, is_name: bool) -> str:
    if name == "repeat":
        return "{repeat} is available only with `repeat`, how often each combination runs"
    group, _, key = name.rpartition(".")
    if is_name and (name in SWEEP_NAMES or group == "inputs"):
        return f"{{{name}}} is not known yet when tasks are named"
    return {
        "": f"{{{name}}} is not a parameter",
        "sweep": f"there is no {{{name}}}",
        "inputs": f"{{{name}}}: there is no input {key!r}",
    }[group]


def _value_mistakes(grid: Grid, config: str) -> Iterator[Mistake]:
    for location, values in _all_values(grid) if config == "json" else ():
        for name, value in values:
            if not is_in_json(value.data):
                yield Mistake(
                    f"parameter {name} is {value.text}, which JSON does not have: write `config: yaml`", location
                )


def _all_values(grid: Grid) -> Iterator[tuple[Location, Iterable[tuple[str, ParameterValue]]]]:
    for axis in grid.axes:
        yield from ((axis.location, zip(axis.names, row, strict=True)) for row in axis.rows)
    yield from ((included.location, included.values.items()) for included in grid.include)


def _trial_values(file: SweepFile, grid: Grid) -> dict[str, str]:
    """Return a value for each placeholder: the grid's first combination, and others of the right form."""
    values = dict.fromkeys(_names(file, []), "/") | {"sweep.index": "0", "sweep.count": "1", "repeat": "0"}
    values |= {name: value.text for axis in grid.axes for name, value in zip(axis.names, axis.rows[0], strict=True)}
    return {name: text for name, text in values.items() if name != "repeat" or grid.repeat is not None}
