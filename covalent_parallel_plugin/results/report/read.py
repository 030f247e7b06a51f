"""Read what is known of a dispatch into a report: its trace here, Covalent's server, and Batch for what these lack."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...batch.trace import dispatch_traces, iterate_trace, trace_path
from ...cloud.timed_calls import call_within
from ...covalent_api.config_file import configured_options
from ...covalent_api.server_client import UNANSWERED, DispatchRecord, ElectronRecord, ServerClient, reason_of
from ...errors import CloudError, MissingResourceError, ParallelError
from ..dispatch_end import checked_id, unknown
from ..dispatch_looks import may_have_jobs
from ..status.job_locations import find_locations
from .charts.words import counted
from .covalent_facts import kind_of, shown_electrons
from .last_lines import read_failures
from .model import LONE, Report
from .record_values import parent_of_job
from .traced_electrons import TracedElectron, TracedElectrons, traced_electrons
from .traced_report import report_of_traced

SERVER_SECONDS = 20.0
# So many electrons are named of which there is no trace
NAMED = 8


def dispatch_report(dispatch_id: str, now: float | None = None) -> Report:
    """Return the report of a dispatch, as far as anything is known of it; `missing` of it says what is not.

    Args:
        dispatch_id: what `ct.dispatch(workflow)(...)` returned.
        now: in seconds since 1970.

    Raises:
        MissingResourceError: neither Covalent's server nor a trace on this machine has such a dispatch.
        SettingsError: not a valid dispatch id.
    """
    checked_id(dispatch_id)
    now = time.time() if now is None else now
    server = ServerClient.configured()
    record, problem = _ask(server, dispatch_id)
    folder = dispatch_traces(os.environ)
    path = None if folder is None else trace_path(folder, dispatch_id)
    where = "the user's data folder" if path is None else str(path)
    traced, unreadable = _read(path)
    if record is None and not traced.electrons:
        left_out = f": {counted(traced.left_out, 'line')} cannot be used" if traced.left_out else ""
        nothing = unreadable or f"There is nothing of it in the trace at {where}{left_out}."
        is_there = bool(unreadable or left_out)
        raise _unknown(server, dispatch_id, problem, nothing if is_there else f"No trace of it is at {where}.")
    missing = [unreadable] if unreadable else []
    if record is None:
        missing.append(
            f"{problem}: so states are those of the trace, times begin with the first electron, and the"
            " graph, electrons that had no job and the last lines of failures are not here."
        )
    elif not (unreadable or traced.left_out or traced.electrons) and may_have_jobs(record):
        missing.append(
            f"No trace of it is at {where}: traces are on the machine of Covalent's server, unless its executors have"
            " trace=False, or it was made by an older version. So what attempts did on their machines, their memory"
            " and the items of maps are not known."
        )
    elif not unreadable and (untraced := _untraced(record, traced)):
        names = ", ".join(f"{electron.name}[{node}]" for node, electron in list(untraced.items())[:NAMED])
        more = f" and {len(untraced) - NAMED} more" if len(untraced) > NAMED else ""
        missing.append(f"The trace at {where} has nothing of {names}{more}, as with trace=False.")
    missing += _add_jobs(dispatch_id, traced, record)
    failures, unread = ({}, ()) if record is None else read_failures(server, record, traced)
    return report_of_traced(dispatch_id, traced, record, now, failures, (*missing, *unread))


def _ask(server: ServerClient, dispatch_id: str) -> tuple[DispatchRecord | None, str]:
    """Return what Covalent's server has of a dispatch, and why that is nothing."""
    who = f"Covalent's server at {server.address}"
    try:
        found = call_within(SERVER_SECONDS, who, lambda: server.dispatch(dispatch_id, SERVER_SECONDS))
    except CloudError as error:
        return None, str(error)
    except UNANSWERED as error:
        return None, f"{who} cannot be asked ({reason_of(error)})"
    return found, "" if found is not None else f"{who} knows no such dispatch"


def _read(path: Path | None) -> tuple[TracedElectrons, str]:
    """Return what a trace has, and why nothing can be read of it."""
    try:
        return traced_electrons(_lines(path)), ""
    except OSError as error:
        return TracedElectrons(), f"The trace cannot be read: {error}."


def _lines(path: Path | None) -> Iterator[Mapping[str, Any] | None]:
    return iter(()) if path is None else iterate_trace(path)


def _unknown(server: ServerClient, dispatch_id: str, problem: str, untraced: str) -> MissingResourceError:
    if problem.endswith("knows no such dispatch"):
        return MissingResourceError(f"{unknown(server, dispatch_id)}. {untraced.removesuffix('.')}")
    return MissingResourceError(
        f"nothing is known of dispatch {dispatch_id}: {problem}. {untraced} Start the server with `covalent start`, or"
        " make the report on the machine of Covalent's server"
    )


def _add_jobs(dispatch_id: str, traced: TracedElectrons, record: DispatchRecord | None) -> list[str]:
    """Add what Batch reports of jobs whose attempts no trace has; return what is not known, in sentences."""
    wanted = {electron.jobs[-1].job: electron for electron in traced.electrons.values() if _is_open(electron)}
    parents = {parent for name in wanted if (parent := parent_of_job(name))}
    untraced = {} if record is None else _untraced(record, traced)
    if untraced:
        places = find_locations(untraced.values(), {}, configured_options())
        parents |= set() if places is None else set(places.parents)
    if not parents:
        return []
    # Here, so that most reports do without Google's clients
    from .batch_facts import add_attempts, look_at_jobs, records_of_jobs

    lineage = (dispatch_id, *(record.ancestors if record is not None else ()))
    try:
        found = look_at_jobs(sorted(parents), lineage, None if untraced else list(wanted))
    except (ParallelError, ValueError) as error:
        first = str(error).split("\n", 1)[0]
        return [f"Batch does not report ({first}): of jobs without a record of their attempts no more is known."]
    add_attempts(found, wanted)
    of_jobs = traced_electrons(records_of_jobs(found)).electrons
    traced.electrons.update((node, electron) for node, electron in of_jobs.items() if node in untraced)
    unknown = len(untraced.keys() - of_jobs.keys())
    return [f"Batch has no job of {counted(unknown, 'electron')} any more: when attempts ran is not known."] * bool(
        unknown
    )


def _untraced(record: DispatchRecord, traced: TracedElectrons) -> dict[int, ElectronRecord]:
    """Return the electrons that may have jobs, and have no record in the trace."""
    return {
        node: electron
        for node, electron in shown_electrons(record).items()
        if kind_of(electron) == LONE
        and electron.began_seconds is not None
        and not electron.is_reused
        and node not in traced.electrons
    }


def _is_open(electron: TracedElectron) -> bool:
    return bool(electron.jobs) and not electron.verdict and not electron.jobs[-1].attempts
