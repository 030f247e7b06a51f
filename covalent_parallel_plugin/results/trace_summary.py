"""What a dispatch's trace sums up: how each electron ended, its attempts, machines and times; as text."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..batch.trace import ATTEMPT, CACHED, ENDED, SUBMITTED, read_trace, trace_path, traces_folder
from ..sweep.display.printable import printable
from ..sweep.display.run_progress import duration


def trace_records(dispatch_id: str) -> tuple[list[dict[str, Any]], str]:
    """Return the records of a dispatch's trace on this machine, and where it is; none where there is no trace."""
    folder = traces_folder(os.environ)
    if folder is None:
        return [], "the user's data folder"
    path = trace_path(folder, dispatch_id)
    try:
        return read_trace(path).records, str(path)
    except OSError:
        return [], str(path)


def trace_summary(dispatch_id: str) -> str:
    """Return the summary; a line that says that there is no trace here, and where it may be."""
    records, path = trace_records(dispatch_id)
    nodes = sorted({int(record["node"]) for record in records if record["node"] is not None})
    if not nodes:
        return (
            f"no trace of dispatch {dispatch_id} is at {path}: traces are on the machine of Covalent's server, unless"
            " its executors have trace=False"
        )
    return "\n".join(summary_line(node, [each for each in records if each["node"] == node]) for node in nodes)


def summary_line(node: int, records: Sequence[Mapping[str, Any]]) -> str:
    """Return one line on an electron, given the records of its node."""
    attempts = [each for each in records if each["kind"] == ATTEMPT]
    jobs = [each for each in records if each["kind"] == SUBMITTED]
    ended = [each for each in records if each["kind"] == ENDED]
    cached = [each for each in records if each["kind"] == CACHED]
    name = str([*jobs, *cached][-1].get("name")) if jobs or cached else "electron"
    texts = [str(ended[-1].get("verdict")) if ended else "runs"]
    if cached:
        texts.append(
            f"from the cache (node {cached[-1].get('from_node')} of dispatch {cached[-1].get('from_dispatch')})"
        )
    if len(attempts) > 1:
        ends = Counter(str(each.get("end")) for each in attempts)
        texts.append(f"{len(attempts)} attempts ({', '.join(f'{count} {end}' for end, count in ends.items())})")
    times = _times(ended[-1]) if ended else {}
    if {"entered", "ended"} <= times.keys():
        texts.append(f"{duration(times['ended'] - times['entered'])} in all")
    ran = sum(_length(each, "running", "ended") for each in attempts)
    if ran:
        texts.append(f"{duration(ran)} on machines")
    machines = Counter(_machine(each) for each in attempts)
    texts += [f"{machine}{f' x {count}' if count > 1 else ''}" for machine, count in machines.items() if machine]
    peak = max((each.get("peak_memory_bytes") or 0 for each in attempts), default=0)
    if peak:
        texts.append(f"at most {peak / 2**20:.0f} MB")
    return printable(f"{name} (node {node}): {', '.join(texts)}")


def _times(record: Mapping[str, Any]) -> dict[str, float]:
    times = record.get("t") or {}
    return {name: float(value) for name, value in times.items() if isinstance(value, (int, float))}


def _length(record: Mapping[str, Any], begin: str, end: str) -> float:
    times = _times(record)
    return max(times[end] - times[begin], 0.0) if {begin, end} <= times.keys() else 0.0


def _machine(record: Mapping[str, Any]) -> str:
    machine = record.get("machine") or {}
    kind = str(machine.get("type") or "")
    return f"{kind} (Spot)" if kind and machine.get("spot") else kind
