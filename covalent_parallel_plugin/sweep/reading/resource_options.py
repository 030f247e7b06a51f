"""`resources`: the options of the executor, with their own rules and messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from ...settings import OPTIONS, SECTION, Settings, contradictions, is_given, mistakes_in, plain, resolve
from ..mistakes import Location
from ..sweep_file import SweepFile
from .node_reader import NodeReader
from .yaml_nodes import location_of, plain_data

# These stand at the top of the file
TOP_OPTIONS = ("time_limit", "retries", "max_parallel")
_ELSEWHERE = {
    **dict.fromkeys((*TOP_OPTIONS, "environment", "secrets"), "write it at the top of the file, not in resources"),
    "container_image_uri": "write image at the top of the file",
    "own_modules": "list what the command needs in files; leave it out",
    "cache_dir": "a sweep's results are in its own folder; leave it out",
    "requirements": "a sweep's image holds what its command needs; leave it out",
    "service_nodes": "a sweep has no nodes of Covalent; leave it out",
    "keep_objects": "what a sweep leaves stays until `sweep clean`; leave it out",
    "checkpoint": "a sweep's task runs again from its start; leave it out",
    **dict.fromkeys(
        ("cache", "cache_version"), "a sweep's runs are not run again once they have a result; leave it out"
    ),
    "retry_exceptions": "write retry_on, with the exit statuses, at the top of the file",
}
IN_RESOURCES = [name for name in OPTIONS if name not in _ELSEWHERE]
# What counts on this machine: with an image, and for a plain command
_LOCAL_OF_COMMANDS = {"vcpus", "project_id", "max_machine_hours", "trace", "trace_days"}
_LOCAL_OF_IMAGES = _LOCAL_OF_COMMANDS | {"memory", "gpu_type", "gpu_count", "container_options"}
_REQUIRED = [name for name, option in OPTIONS.items() if option.required]


@dataclass(frozen=True)
class Resources:
    """The options that a sweep has, and which of them the file itself gives."""

    settings: Settings
    given: frozenset[str]


def options_without_effect(file: SweepFile) -> list[str]:
    """Return the options in a file's `resources` that change nothing where its tasks run on this machine."""
    if not file.is_local:
        return []
    effective = set(_LOCAL_OF_IMAGES if file.image else _LOCAL_OF_COMMANDS)
    if file.image and file.settings.needs_gpu_drivers:
        effective.add("machine_type")
    return [name for name in IN_RESOURCES if name in file.given_options - effective]


def read_resources(
    reader: NodeReader,
    node: yaml.Node | None,
    top: Mapping[str, yaml.Node],
    configured: Mapping[str, object],
    is_local: bool,
) -> Resources:
    """Return the options: those of `resources` and of the top of the file, else configured, else the defaults."""
    nodes = {name: top[name] for name in TOP_OPTIONS if name in top}
    nodes |= reader.fields(node, "resources", IN_RESOURCES, _ELSEWHERE) if node is not None else {}
    given: dict[str, object] = {name: plain_data(value) for name, value in nodes.items()}
    for name in given:
        for problem in mistakes_in({name: given[name]}):
            reader.mistake(nodes[name], problem)
    configured = _usable(reader, configured)
    _contradictions(reader, given, configured, nodes, location_of(node) if node is not None else None)
    values = {
        name: OPTIONS[name].default if mistakes_in({name: chosen}) else plain(name, chosen)
        for name, chosen in resolve(given, configured).items()
    }
    for name in _REQUIRED if not is_local else ():
        if not is_given(values[name]):
            reader.mistake(
                location_of(node) if node is not None else None,
                f"{name} is missing ({OPTIONS[name].help}): write it under resources, or set it under [{SECTION}] in"
                " Covalent's configuration file; or run on this machine with --local",
            )
    return Resources(Settings(**values), frozenset(given))  # type: ignore[arg-type]  # each rule returns its field's type


def _usable(reader: NodeReader, configured: Mapping[str, object]) -> Mapping[str, object]:
    """Return what the configuration file says of resources; other versions' keys are not."""
    usable = {name: value for name, value in configured.items() if name in IN_RESOURCES or name in TOP_OPTIONS}
    for name, value in usable.items():
        for problem in mistakes_in({name: value}):
            reader.mistake(None, f"[{SECTION}] in Covalent's configuration file: {problem}")
    return usable


def _contradictions(
    reader: NodeReader,
    given: Mapping[str, object],
    configured: Mapping[str, object],
    nodes: Mapping[str, yaml.Node],
    otherwise: Location | None,
) -> None:
    known = contradictions(resolve({}, configured))
    for problem in contradictions(resolve(given, configured)):
        names = [name for name in re.findall(r"\w+", problem) if name in nodes]
        if problem not in known:
            reader.mistake(nodes[names[0]] if names else otherwise, problem)
