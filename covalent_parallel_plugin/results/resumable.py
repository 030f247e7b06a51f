"""What of a dispatch has completed, is in flight on Batch, or is still to run, as before it is resumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from ..batch.job_names import TAKEN_UP
from ..cloud.threads import map_in_threads
from ..cloud.timed_calls import Deadline
from ..covalent_api.server_client import OVER, DispatchRecord, ElectronRecord, ServerClient
from ..protocol.object_names import PREFIX, parse_name
from ..settings import options as options
from .dispatch_end import unknown
from .dispatch_failure import DEEPEST
from .running_jobs import RunningJobs
from .stores import Stores
from .wanted_output import Place, executor_options, is_sublattice, is_users, place_of

BATCH_SECONDS = 60.0
DELETIONS_AT_ONCE = 16


@dataclass(frozen=True)
class Resumable:
    """A dispatch as of when it was looked at, with the dispatches of its sublattices.

    Attributes:
        parts: by id, its own first.
        jobs: of its electrons that have not completed: the state of the job that each has on Batch, "" of one without.
    """

    dispatch_id: str
    parts: Mapping[str, DispatchRecord]
    jobs: Sequence[str] = ()
    completed: int = 0
    in_flight: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        counts = Counter(state for state in self.jobs if state in TAKEN_UP)
        object.__setattr__(self, "in_flight", {state: counts[state] for state in TAKEN_UP if counts[state]})

    @property
    def record(self) -> DispatchRecord:
        """Its own record."""
        return self.parts[self.dispatch_id]

    @property
    def to_run(self) -> int:
        """How many electrons are to run anew."""
        return len(self.jobs) - sum(self.in_flight.values())

    @property
    def address(self) -> tuple[str, int] | None:
        """A node whose executor is this package's, and its dispatch; None if there is none."""
        nodes = ((part, int(node)) for part, node, each in _electrons(self.parts) if each.is_on_batch)
        return next(nodes, None)

    def __str__(self) -> str:
        states = ", ".join(f"{count} {state}" for state, count in self.in_flight.items())
        flying = f"{sum(self.in_flight.values())} in flight{f' ({states})' if states else ''}"
        electrons = "electron" if self.completed == 1 else "electrons"
        return f"dispatch {self.dispatch_id}: {self.completed} {electrons} completed, {flying}, {self.to_run} to run"


def find_resumable(
    server: ServerClient, dispatch_id: str, given: Mapping[str, object], configured: Mapping[str, object]
) -> Resumable:
    """Look at a dispatch, at its sublattices' and at the jobs that they have on Batch.

    Args:
        given, configured: where the jobs may be; see `place_of`.

    Raises:
        MissingResourceError: the server knows no such dispatch.
        CloudError: Batch refused, or could not be reached.
        OSError, ValueError, KeyError, TypeError, AttributeError: Covalent's server does not answer (UNANSWERED).
    """
    record = server.dispatch(dispatch_id)
    if record is None:
        raise unknown(server, dispatch_id)
    parts = dict(_parts(server, dispatch_id, record))
    if record.state == "COMPLETED" or record.resumed_as:
        return Resumable(dispatch_id, parts)
    jobs, completed, deadline = [], 0, Deadline(BATCH_SECONDS)
    known = {part: RunningJobs(partial(_lineage, part, each)) for part, each in parts.items()}
    for part, node, electron in _electrons(parts):
        if not is_users(electron.name) or (is_sublattice(electron.name) and electron.sub_dispatch_id in parts):
            continue
        place = place_of(electron, given, configured)
        if electron.status == "COMPLETED" or electron.is_reused:
            completed += 1
        elif place is None:
            jobs.append("")
        else:
            job = known[part].by_node(place, deadline).get(int(node))
            jobs.append("" if job is None else job.state)
    return Resumable(dispatch_id, parts, jobs, completed)


def nodes_taken_up(server: ServerClient, dispatch_id: str) -> tuple[str, frozenset[int]]:
    """Return the dispatch that continues this one, "" if none does, and the nodes which that has not ended yet.

    Raises one of UNANSWERED.
    """
    newest, record = "", server.dispatch(dispatch_id)
    while record is not None and record.resumed_as:
        newest, record = record.resumed_as, server.dispatch(record.resumed_as)
    if not newest or record is None or record.state in OVER:
        return newest, frozenset()
    return newest, frozenset(int(node) for node, each in record.electrons.items() if each.status not in OVER)


def delete_completed(found: Resumable, given: Mapping[str, object], configured: Mapping[str, object]) -> None:
    """Delete what electrons that have completed left in the bucket, but for what is to stay there.

    Raises:
        CloudError: Google refused, or could not be reached.
    """
    stores, deadline = Stores(), Deadline(BATCH_SECONDS)
    done: dict[tuple[Place, str], set[int]] = {}
    for part, node, electron in _electrons(found.parts):
        place = place_of(electron, given, configured)
        keeps = executor_options(electron.options, given, configured)["keep_objects"]
        if place is not None and electron.status == "COMPLETED" and not options.plain("keep_objects", keeps):
            done.setdefault((place, part), set()).add(int(node))
    for (place, part), nodes in done.items():
        store = stores.at(place, deadline)
        for dispatch_id in _lineage(part, found.parts[part]):
            names = [name for name in store.names(f"{PREFIX}/{dispatch_id}/") if _is_of(name, nodes)]
            for _ in map_in_threads(store.delete, names, DELETIONS_AT_ONCE):
                pass


def _lineage(dispatch_id: str, record: DispatchRecord) -> tuple[str, ...]:
    return (dispatch_id, *record.ancestors)


def _is_of(name: str, nodes: set[int]) -> bool:
    parsed = parse_name(name)
    return parsed is not None and parsed.node_id in nodes


def _parts(server: ServerClient, dispatch_id: str, record: DispatchRecord) -> Iterator[tuple[str, DispatchRecord]]:
    waiting = [(dispatch_id, record, 0)]
    while waiting:
        part, found, depth = waiting.pop(0)
        yield part, found
        for electron in found.electrons.values():
            inner = server.dispatch(electron.sub_dispatch_id) if electron.sub_dispatch_id else None
            if inner is not None and depth < DEEPEST:
                waiting.append((electron.sub_dispatch_id, inner, depth + 1))


def _electrons(parts: Mapping[str, DispatchRecord]) -> Iterator[tuple[str, str, ElectronRecord]]:
    for part, record in parts.items():
        for node, electron in record.electrons.items():
            yield part, node, electron
