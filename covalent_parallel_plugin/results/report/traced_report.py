"""Build the report of a dispatch from the records of its trace and what Covalent's server has of it; pure."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...batch import trace_ends as ends
from ...batch.trace import DAY_SECONDS, LONGEST_SILENCE_DAYS
from ...covalent_api.server_client import DispatchRecord, ElectronRecord
from ..wanted_output import name_of
from .chain import chain_of
from .covalent_facts import dispatch_state, electron_state, kind_of, parents_of, shown_electrons
from .gaps import gaps_of
from .machine_use import machine_hours, with_shares
from .model import (
    CANCELLED,
    COMPLETED,
    FAILED,
    LONE,
    MAP,
    RUNNING,
    Electron,
    ElectronFailure,
    Items,
    Report,
)  # fmt: skip
from .record_values import UNKNOWN
from .traced_attempts import task_attempts_of
from .traced_electrons import TracedElectron, TracedElectrons, traced_electrons


def report_of(
    dispatch_id: str,
    records: Iterable[Mapping[str, Any] | None],
    record: DispatchRecord | None,
    now: float | None = None,
    failures: Mapping[int, ElectronFailure] | None = None,
    missing: Sequence[str] = (),
) -> Report:
    """Return the report of a dispatch; whatever the records hold, there is one.

    Args:
        records: of its trace, None for a line that could not be read; an iterator will do.
        record: what Covalent's server has of it; None where it does not report.
        now: in seconds since 1970.
        failures: why electrons failed, by node, where more is known than the trace has.
        missing: what else is not known, in sentences.
    """
    return report_of_traced(dispatch_id, traced_electrons(records), record, now, failures, missing)


def report_of_traced(
    dispatch_id: str,
    traced: TracedElectrons,
    record: DispatchRecord | None,
    now: float | None = None,
    failures: Mapping[int, ElectronFailure] | None = None,
    missing: Sequence[str] = (),
) -> Report:
    """Return the report of a dispatch, given what was read of its trace; see `report_of`."""
    made = time.time() if now is None else now
    traced.left_out += traced.electrons.pop(None, None) is not None
    known = {} if record is None else shown_electrons(record)
    parents = {} if record is None else parents_of(record, known)
    found = []
    for node in sorted({*known, *(node for node in traced.electrons if node is not None)}):
        covalents = known.get(node) or (None if record is None else record.electrons.get(str(node)))
        own = traced.electrons.get(node) or TracedElectron(node)
        failure = (failures or {}).get(node)
        found.append(_electron(node, own, covalents, record, parents.get(node, ()), made, failure))
    electrons = with_shares(found)
    began, ended, state = _whole(electrons, record)
    return Report(
        kind="dispatch",
        id=dispatch_id,
        name="" if record is None else record.lattice,
        state=state,
        made=made,
        began=began,
        ended=ended,
        electrons=electrons,
        chain=chain_of(electrons),
        machines=machine_hours(electrons),
        missing=(*missing, *gaps_of(traced, electrons)),
    )


def _electron(
    node: int,
    own: TracedElectron,
    covalents: ElectronRecord | None,
    record: DispatchRecord | None,
    parents: tuple[int, ...],
    now: float,
    failure: ElectronFailure | None,
) -> Electron:
    state = _state(own, covalents, record)
    is_open = state == RUNNING and bool(own.jobs)
    ended = None if state == RUNNING else _ended(own, covalents)
    if record is None and is_open and now - own.latest > LONGEST_SILENCE_DAYS * DAY_SECONDS:
        # Nothing runs for so long: whoever wrote the trace has died
        state, is_open, ended = "", False, own.latest
    attempts = task_attempts_of(own, now if ended is None else ended, is_open)
    if ended is None and state != RUNNING:
        ended = max((attempt.spans[-1].end for attempt in attempts if attempt.spans), default=None)
    kind = MAP if own.is_map else LONE if own.jobs or covalents is None else kind_of(covalents)
    columns = own.items
    entered = own.entered if own.entered is not None or covalents is None else covalents.began_seconds
    job = own.jobs[-1] if own.jobs else None
    return Electron(
        node=node,
        name=own.name or (name_of(covalents.name) if covalents is not None else "electron"),
        kind=kind,
        state=state,
        parents=parents,
        entered=entered,
        ended=ended if ended is None or entered is None else max(ended, entered),
        attempts=attempts,
        items=Items(
            _total(own), columns.index, columns.round, columns.task, columns.begin, columns.took, columns.end
        ) if kind == MAP else None,
        asked=job.asked if job is not None else UNKNOWN,
        failure=(failure or ElectronFailure(own.error, own.message)) if state == FAILED else None,
        machine_wait=own.machine_wait,
        job=job.job if job is not None else "",
        cached_from=own.cached_from or _reused_from(node, own, covalents, record),
        sub_dispatch_id="" if covalents is None else covalents.sub_dispatch_id,
    )  # fmt: skip


def _state(own: TracedElectron, covalents: ElectronRecord | None, record: DispatchRecord | None) -> str:
    """Covalent's state; where that says that it runs, what the trace has: of a server that stopped nothing follows."""
    told = RUNNING if covalents is None or record is None else electron_state(covalents, record)
    if told != RUNNING or not own.verdict:
        return told
    if own.verdict == ends.VALUE:
        return COMPLETED
    return CANCELLED if own.verdict in (ends.CANCELLED, ends.STOPPED) else FAILED


def _ended(own: TracedElectron, covalents: ElectronRecord | None) -> float | None:
    told = None if covalents is None else covalents.ended_seconds
    return told if own.ended is None else own.ended


def _total(own: TracedElectron) -> int | None:
    """How many items a map has: of a later job the record has those that it runs."""
    first = own.jobs[0].items if own.jobs else None
    return first if first is not None else len(set(own.items.index)) or None


def _reused_from(
    node: int, own: TracedElectron, covalents: ElectronRecord | None, record: DispatchRecord | None
) -> str:
    if covalents is None or record is None or own.jobs or not covalents.is_reused or not covalents.is_on_batch:
        return ""
    return f"{record.ancestors[0]} {node}" if record.ancestors else "an earlier dispatch"


def _whole(electrons: Sequence[Electron], record: DispatchRecord | None) -> tuple[float | None, float | None, str]:
    """When the whole began and ended, and its state; without Covalent's server as far as its electrons show."""
    entered = [electron.entered for electron in electrons if electron.entered is not None]
    ended = [electron.ended for electron in electrons if electron.ended is not None]
    if record is not None:
        begins = entered if record.began_seconds is None else [*entered, record.began_seconds]
        state = dispatch_state(record)
        end = None if state == RUNNING else record.ended_seconds or max(ended, default=None)
        return min(begins, default=None), end, state
    states = {electron.state for electron in electrons}
    if RUNNING in states:
        return min(entered, default=None), None, RUNNING
    state = next((each for each in (FAILED, CANCELLED, COMPLETED) if each in states and "" not in states), "")
    return min(entered, default=None), max(ended, default=None), state
