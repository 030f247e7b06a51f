"""What Covalent's server reports of a dispatch, in the words of reports: kinds and states of electrons, and parents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from ...covalent_api.builtin_nodes.classify import PREFIX
from ...covalent_api.server_client import OVER, DispatchRecord, ElectronRecord
from ..wanted_output import is_sublattice, is_users
from .model import CANCELLED, COMPLETED, ELSEWHERE, FAILED, LONE, NOT_RUN, RUNNING, SERVICE, SUBLATTICE, WAITS

# A node of Covalent's own that took no longer than that has no place in a report
BRIEF_SECONDS = 1.0
_STATES = {"COMPLETED": COMPLETED, "PENDING_REUSE": COMPLETED, "FAILED": FAILED, "POSTPROCESSING_FAILED": FAILED,
           "CANCELLED": CANCELLED}  # fmt: skip
# Nodes whose turn has not come
_UNBEGUN = ("NEW_OBJECT", "PENDING_REPLACEMENT")


def shown_electrons(record: DispatchRecord) -> dict[int, ElectronRecord]:
    """Return the electrons that a report shows, by node: of Covalent's own nodes those that failed or took a while."""
    found = {int(node): electron for node, electron in record.electrons.items()}
    return {node: electron for node, electron in sorted(found.items()) if is_users(electron.name) or _counts(electron)}


def _counts(electron: ElectronRecord) -> bool:
    begun, ended = electron.began_seconds, electron.ended_seconds
    is_long = begun is not None and ended is not None and ended - begun > BRIEF_SECONDS
    is_parameter = electron.name.startswith(f"{PREFIX}parameter{PREFIX}")
    return not is_parameter and (is_long or electron.status == "FAILED")


def kind_of(electron: ElectronRecord) -> str:
    """Return the kind of an electron that has no jobs."""
    if is_sublattice(electron.name):
        return SUBLATTICE
    if not is_users(electron.name):
        return SERVICE
    return LONE if electron.is_on_batch else ELSEWHERE


def electron_state(electron: ElectronRecord, dispatch: DispatchRecord) -> str:
    """Return the state of an electron."""
    if electron.status in _UNBEGUN:
        return NOT_RUN if dispatch.state in OVER else WAITS
    return _STATES.get(electron.status, RUNNING)


def dispatch_state(record: DispatchRecord) -> str:
    """Return the state of a dispatch."""
    return _STATES.get(record.state, RUNNING)


def parents_of(record: DispatchRecord, shown: Mapping[int, object]) -> dict[int, tuple[int, ...]]:
    """Return the electrons whose values each one takes, through nodes that are not shown as well."""
    sources: dict[int, set[int]] = defaultdict(set)
    for source, target in record.links:
        sources[target].add(source)
    through: dict[int, frozenset[int]] = {}
    for node in sources:
        if node not in through:
            _resolve(node, sources, shown, through)
    return {node: tuple(sorted(through.get(node, ()))) for node in shown}


def _resolve(
    first: int, sources: Mapping[int, set[int]], shown: Mapping[int, object], through: dict[int, frozenset[int]]
) -> None:
    """Find what a node takes values from, and what those take that are not shown; a graph may be deep."""

    def hidden(node: int) -> list[int]:
        return [source for source in sources.get(node, ()) if source not in shown]

    stack, on_the_way = [(first, iter(hidden(first)))], {first}
    while stack:
        node, rest = stack[-1]
        unknown = next((source for source in rest if source not in through and source not in on_the_way), None)
        if unknown is not None:
            stack.append((unknown, iter(hidden(unknown))))
            on_the_way.add(unknown)
            continue
        direct = {source for source in sources.get(node, ()) if source in shown}
        through[node] = frozenset(direct.union(*(through.get(source, ()) for source in hidden(node))) - {node})
        on_the_way.discard(node)
        stack.pop()
