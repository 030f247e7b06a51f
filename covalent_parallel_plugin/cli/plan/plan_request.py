"""What was asked for on the command line, made into a document and remarks."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...covalent_api.server_client import EXECUTOR
from ...errors import SettingsError
from ...settings import OPTIONS, SECTION, nearest
from ..option_assignments import OptionAssignments, RequestError, read_option_assignments
from . import document, lattice_nodes, planned_jobs
from .outlook import PlanOutlook
from .user_script import load


@dataclass(frozen=True)
class PlanRequest:
    """The command line.

    Attributes:
        workflow: FILE or FILE:LATTICE; None for the Job of an electron of which nothing is known.
        args, arguments: the lattice's, each as NAME=JSON, or all of them as JSON.
        changes, against: KEY=VALUE, the options of the Jobs and of the Jobs to compare them with.
        is_difference: whether the document is the difference of the two.
        tasks: of an electron's Job.
        node: the only one whose Job is wanted.
        form: "yaml" or "json".
        is_short: whether the bootstrap's source is left out.
    """

    workflow: str | None = None
    args: Sequence[str] = ()
    arguments: str | None = None
    changes: Sequence[str] = ()
    against: Sequence[str] = ()
    is_difference: bool = False
    tasks: int = 1
    node: int | None = None
    form: str = "yaml"
    is_short: bool = False


@dataclass(frozen=True)
class PlanResult:
    """A document and what else there is to say."""

    document: str
    remarks: tuple[str, ...]


def plan(request: PlanRequest, configured: Mapping[str, object], outlook: PlanOutlook) -> PlanResult:
    """Make the Jobs, and write them, with the machine-hours that they use.

    Raises:
        RequestError: the command line cannot be followed.
        SettingsError: mistakes in options, all of them.
        WorkflowError: the user's file raised.
    """
    changes, against = read_option_assignments(request.changes), read_option_assignments(request.against)
    nodes, lattice = [planned_jobs.standalone_electron()], planned_jobs.PLACEHOLDER
    if request.workflow is not None:
        nodes, lattice = _nodes(request.workflow, *read_arguments(request.args, request.arguments))
    nodes = planned_jobs.resolve_nodes(nodes, configured, changes)
    chosen = _chosen(nodes, request.node)

    def jobs(changed: OptionAssignments, option: str = "--set") -> list[planned_jobs.PlannedJob]:
        return planned_jobs.plan_nodes(chosen, configured, changed, request.tasks, lattice, option)

    remarks = [*_unknown_keys(configured), *_remarks(chosen, request.workflow or "")]
    if request.is_difference:
        before, after = _all_or_mistakes(jobs, (against, bool(request.against)), (changes, bool(request.changes)))
        text = document.differences(before, after, request.form)
        said = [
            *_summaries(planned_jobs.merge_equal_jobs(before), outlook, "before: "),
            *_summaries(planned_jobs.merge_equal_jobs(after), outlook, "after: "),
        ]
        return PlanResult(text, (*said, *remarks, *([] if text else ["The Jobs are the same."])))
    planned = planned_jobs.merge_equal_jobs(jobs(changes))
    said = _summaries(planned, outlook) or ["No node goes to Batch."]
    unseen = [node for node in chosen if node.kind == lattice_nodes.SUBLATTICE]
    said += outlook.remarks(planned, unseen) if planned else []
    if request.workflow is None or request.node is not None:
        text = document.single_job(planned[0], request.form, request.is_short)
    else:
        elsewhere = [node for node in nodes if node.executor != EXECUTOR]
        text = document.workflow(planned, elsewhere, outlook, request.form, request.is_short)
    return PlanResult(text, (*said, *remarks))


def read_arguments(pairs: Sequence[str], together: str | None) -> tuple[list[object], dict[str, object]]:
    """A lattice's arguments, by position and by name.

    Raises:
        RequestError: something is not JSON, or no NAME=JSON.
    """
    positional: list[object] = []
    named: dict[str, object] = {}
    if together is not None:
        value = _json(together, "--args")
        if isinstance(value, list):
            positional = value
        elif isinstance(value, dict):
            named = value
        else:
            raise RequestError(f"--args {together!r} is neither a list nor an object")
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise RequestError(f"--arg {pair!r} is not NAME=JSON")
        named[name.strip()] = _json(text, f"--arg {name.strip()}")
    return positional, named


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise RequestError(
            f"{where}: {text!r} is not JSON ({error}); text is written as {json.dumps(text)!r}"
        ) from error


def _nodes(
    target: str, positional: Sequence[object], named: Mapping[str, object]
) -> tuple[list[lattice_nodes.LatticeNode], str]:
    path, name = lattice_nodes.split_target(target)
    module = load(path)
    lattice = lattice_nodes.choose_lattice(module, path, name)
    known = {found.__name__: key for key, found in lattice_nodes.lattices_in(module).items()}
    nodes = [
        replace(node, lattice=known.get(node.name, "")) if node.kind == lattice_nodes.SUBLATTICE else node
        for node in lattice_nodes.nodes_of(lattice, path, positional, named)
    ]
    return nodes, lattice.__name__


def _chosen(nodes: Sequence[lattice_nodes.LatticeNode], only: int | None) -> list[lattice_nodes.LatticeNode]:
    if only is None:
        return list(nodes)
    chosen = [node for node in nodes if node.node_id == only]
    if not chosen or chosen[0].executor != EXECUTOR:
        there = lattice_nodes.listed([node for node in nodes if node.executor == EXECUTOR])
        raise RequestError(f"node {only} has no Job; there are: {there or 'none'}")
    return chosen


def _all_or_mistakes(
    jobs: Callable[[OptionAssignments, str], list[planned_jobs.PlannedJob]],
    against: tuple[OptionAssignments, bool],
    changes: tuple[OptionAssignments, bool],
) -> tuple[list[planned_jobs.PlannedJob], list[planned_jobs.PlannedJob]]:
    """The Jobs for both; where one has mistakes, the error has those of both, and says whose they are.

    With each goes whether its option was given: one that nobody typed is not named as the cause.
    """
    made: list[list[planned_jobs.PlannedJob]] = []
    mistakes: dict[str, list[str]] = {}
    for (changed, is_given), option, other in ((against, "--against", "--set"), (changes, "--set", "--against")):
        try:
            made.append(jobs(changed, "--set and --against"))
        except SettingsError as error:
            for mistake in error.mistakes:
                mistakes.setdefault(mistake, []).append(f"with {option}" if is_given else f"without {other}")
    if mistakes:
        raise SettingsError(
            [f"{whose[0]}: {mistake}" if len(whose) == 1 else mistake for mistake, whose in mistakes.items()]
        )
    before, after = made
    return before, after


def _unknown_keys(configured: Mapping[str, object]) -> list[str]:
    """A sentence for each key of the section that is not an option."""
    found = []
    for name in configured:
        if name not in OPTIONS:
            near = nearest(name, OPTIONS)
            hint = f" (did you mean {near!r}?)" if near else ""
            found.append(f"[{SECTION}] has the key {name!r}, which is not an option{hint}; it is ignored")
    return found


def _summaries(jobs: Sequence[planned_jobs.PlannedJob], outlook: PlanOutlook, when: str = "") -> list[str]:
    titles = [f"{when}{lattice_nodes.listed(planned.nodes) or 'the Job'}" for planned in jobs]
    return [
        "\n  ".join([title, *document.summary(planned), *outlook.lines(planned)])
        for title, planned in zip(titles, jobs, strict=True)
    ]


def _remarks(nodes: Sequence[lattice_nodes.LatticeNode], target: str) -> list[str]:
    """What there is to know of the nodes of a target (FILE.py:LATTICE) beside their Jobs."""
    found = []
    installed = [*lattice_nodes.installed_executors(), planned_jobs.HERE]
    for executor, names in lattice_nodes.by_executor([node for node in nodes if node.executor != EXECUTOR]).items():
        near = nearest(executor, installed)
        unknown = f", which is not installed here{f' (did you mean {near!r}?)' if near else ''}"
        found.append(f"without a Job, on {executor}{'' if executor in installed else unknown}: {names}")
    # Its own electrons may be Batch's wherever the one runs that builds its graph.
    lattices = [node for node in nodes if node.kind == lattice_nodes.SUBLATTICE]
    file = target if Path(target).is_file() else target.rpartition(":")[0]
    for name in dict.fromkeys(node.lattice for node in lattices):
        command = f"covalent-parallel plan {shlex.quote(f'{file}:{name}')}"
        how = f"see its Jobs: {command}" if name else "see its Jobs, once it stands at the top of the file"
        titles = lattice_nodes.listed([node for node in lattices if node.lattice == name])
        found.append(f"{titles}: builds a graph of its own when it runs; plan it by itself to {how}")
    by_name = [node for node in nodes if node.executor == EXECUTOR and node.options is None and node.name]
    if by_name:
        found.append(
            f"{lattice_nodes.listed(by_name)}: the executor is given by its name, so that the Covalent server's"
            " configuration counts, which was taken to be the one here"
        )
    return found
