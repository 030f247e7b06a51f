"""Nodes and options as the Jobs that would be submitted, made by the same function, with what equals another once."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version

from google.cloud import batch_v1

from ...batch.job_json import fill_placeholders, to_json
from ...covalent_api.server_client import EXECUTOR
from ...electron.call import Call
from ...electron.electron_job import electron_job, tasks_for
from ...electron.modules.missing_packages import missing_packages
from ...electron.modules.module_files import ModuleFile, find_files
from ...errors import SettingsError
from ...protocol.identity import CallIdentity
from ...settings import Settings
from ...settings import options as options
from ..option_assignments import OptionAssignments
from .lattice_nodes import ELECTRON, LatticeNode, listed

# Where Covalent's own small nodes run, unless `service_nodes` says otherwise
HERE = "the server (service_nodes)"
# Stands where a dispatch puts ids of its own: legal in a label and in an object's name
PLACEHOLDER = "made-at-dispatch"


@dataclass(frozen=True)
class PlannedJob:
    """One Job and the nodes it is for; what names a node in it names the first.

    Attributes:
        nodes: at least one.
        settings: the options it was made of.
        job: what CreateJob would get, with placeholders for what is made at dispatch.
        nodeless: its JSON as it would be for node 0, by which equal Jobs of several nodes are known.
        modules: the files of own modules that travel with its nodes.
        missing: packages that they import and the image is known to lack.
    """

    nodes: tuple[LatticeNode, ...]
    settings: Settings
    job: batch_v1.Job
    nodeless: str
    modules: frozenset[ModuleFile] = frozenset()
    missing: frozenset[str] = frozenset()


def standalone_electron() -> LatticeNode:
    """An electron of which nothing is known but that this Python pickled it."""
    return LatticeNode(0, "", ELECTRON, platform.python_version(), EXECUTOR, None)


def resolve_nodes(
    nodes: Iterable[LatticeNode], configured: Mapping[str, object], changes: OptionAssignments
) -> list[LatticeNode]:
    """The nodes, with those that the server runs itself on an executor of that name."""
    found = []
    for node in nodes:
        values = {**(configured if node.options is None else node.options), **changes.values}
        is_here = options.resolve(values, {})["service_nodes"] == "local"
        if node.executor == EXECUTOR and node.is_covalents_own and not node.has_hooks and is_here:
            node = replace(node, executor=HERE)
        found.append(node)
    return found


def plan_nodes(
    nodes: Iterable[LatticeNode],
    configured: Mapping[str, object],
    changes: OptionAssignments,
    tasks: int = 1,
    lattice: str = PLACEHOLDER,
    option: str = "--set",
) -> list[PlannedJob]:
    """A Job for each node that goes to Batch.

    Args:
        nodes: of one lattice; those on other executors are passed over.
        configured: the options of an executor that is given by its name.
        changes: options on top of each executor's.
        tasks: of an electron's Job; Covalent's own nodes and sublattices have one.
        lattice: its name.
        option: of the command line, which gives what is missing.

    Raises:
        SettingsError: all mistakes, those in the changes too, each with the nodes that have it.
    """
    changed = dict.fromkeys((*changes.mistakes, *options.mistakes_in(changes.values)))
    mistakes: dict[str, list[LatticeNode]] = {}
    found = []
    for node in nodes:
        if node.executor == EXECUTOR:
            values = {**(configured if node.options is None else node.options), **changes.values}
            try:
                found.append(_planned(node, values, tasks if node.kind == ELECTRON else 1, lattice, option))
            except SettingsError as error:
                for mistake in error.mistakes:
                    mistakes.setdefault(mistake, []).append(node)
    if changed or mistakes:
        blamed = [
            f"{listed(blamed)}: {mistake}".removeprefix(": ")
            for mistake, blamed in mistakes.items()
            if mistake not in changed
        ]
        raise SettingsError([*changed, *blamed])
    return found


def merge_equal_jobs(jobs: Iterable[PlannedJob]) -> list[PlannedJob]:
    """The Jobs with equal ones once, in the order of their first nodes."""
    found: dict[str, PlannedJob] = {}
    for planned in jobs:
        first = found.setdefault(planned.nodeless, planned)
        if first is not planned:
            found[planned.nodeless] = replace(
                first,
                nodes=(*first.nodes, *planned.nodes),
                modules=first.modules | planned.modules,
                missing=first.missing | planned.missing,
            )
    return list(found.values())


def _planned(node: LatticeNode, values: Mapping[str, object], tasks: int, lattice: str, option: str) -> PlannedJob:
    def way(name: str) -> str:
        # An instance carries its own options, so that the configuration file does not reach it here.
        python = "" if node.options is None else f", {options.in_python(name)} in the workflow"
        return f"give {option} {name}=...{python}"

    settings = options.check(options.resolve(values, {}), way)
    if node.map is not None and tasks == 1:
        tasks = tasks_for(node.map.items, settings.max_parallel)
    job, nodeless = (_job(settings, replace(node, node_id=number), tasks, lattice) for number in (node.node_id, 0))
    modules, missing = _modules(settings, node)
    return PlannedJob((node,), settings, job, to_json(nodeless), modules, missing)


def _modules(settings: Settings, node: LatticeNode) -> tuple[frozenset[ModuleFile], frozenset[str]]:
    """The own modules that travel with a node, and the packages that it lacks. Raises SettingsError."""
    needs = node.needs
    if needs is None or node.is_covalents_own:
        return frozenset(), frozenset()
    call = Call("plan", node.node_id, node.name, node.python, "", before=(("", ""),) if node.has_hooks else ())
    missing = missing_packages(call, needs, settings)
    found = find_files(needs.own if settings.own_modules else (), needs.paths)
    if found.mistakes:
        raise SettingsError(found.mistakes)
    return frozenset(found.files), frozenset(missing)


def _job(settings: Settings, node: LatticeNode, tasks: int, lattice: str) -> batch_v1.Job:
    """The Job, with a placeholder also where a call's key would stand: no key is made here."""
    call = Call(
        dispatch_id=PLACEHOLDER,
        node_id=node.node_id,
        name=node.name,
        python=node.python,
        covalent=version("covalent"),
        lattice=lattice,
        map=node.map,
    )
    identity = CallIdentity(PLACEHOLDER, bytes(32), call.folder(PLACEHOLDER))
    job = electron_job(settings, call, identity, tasks)
    fill_placeholders(job, identity.key, PLACEHOLDER)
    return job
