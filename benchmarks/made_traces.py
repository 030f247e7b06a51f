"""Traces of dispatches that never were: as many electrons, tasks and items as a benchmark asks for, made by a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from covalent_parallel_plugin.batch.attempt_times import TIMES, rounded
from covalent_parallel_plugin.batch.trace import ATTEMPT, ENDED, ITEMS, SUBMITTED, record_line, trace_path

BEGIN = 1_790_000_000.0
# Of the first attempts on Spot machines, so many are preempted
PREEMPTED = 0.08
# So many maps have lost items, which a second job runs
SECOND_ROUND = 0.05
FAILED = 0.02
# Electrons begin at once in groups of so many, one group after the other
AT_ONCE = 50
ZONES = ("us-east1-b", "us-east1-c", "us-east1-d")
MACHINE = "e2-standard-2"
ASKED = {"vcpus": 2.0, "memory_mib": 4096, "machine_type": MACHINE, "spot": True, "image": "python:3.11-slim"}
NOT_SEEN = dict.fromkeys(TIMES)
# Of an attempt, in order, and how many seconds each takes on average
STEPS = (
    ("scheduled", 30.0),
    ("running", 25.0),
    ("began", 8.0),
    ("fetched", 1.0),
    ("installed", 20.0),
    ("ran_from", 0.01),
)


@dataclass(frozen=True)
class Size:
    """So many electrons, each a map of `items` in `tasks`; one without items is a plain call."""

    electrons: int
    items: int
    tasks: int = 1


def write_trace(folder: Path, dispatch_id: str, size: Size, seed: int = 0) -> Path:
    """Write a trace, the same one each time; return its file."""
    path = trace_path(folder, dispatch_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    with path.open("wb") as file:
        entered = BEGIN
        for first in range(0, size.electrons, AT_ONCE):
            ends = []
            for node in range(first, min(first + AT_ONCE, size.electrons)):
                lines, ended = _electron(node, size, entered + chance.random(), chance)
                file.writelines(lines)
                ends.append(ended)
            entered = max(ends)
    return path


def _electron(node: int, size: Size, entered: float, chance: random.Random) -> tuple[list[bytes], float]:
    """The lines of an electron, and when its result was there."""
    lines: list[bytes] = []
    name = f"step_{node % 20}"
    is_failed = chance.random() < FAILED
    jobs = [list(range(size.items))]
    if size.items and chance.random() < SECOND_ROUND:
        jobs.append(sorted(chance.sample(jobs[0], max(1, size.items // 50))))
    begin, ended = entered, entered
    for round, indexes in enumerate(jobs):
        tasks = min(size.tasks, len(indexes)) or 1
        start = {"entered": entered, "staged": begin + 0.4, "submitted": begin + 0.9}
        job = f"projects/made/locations/us-east1/jobs/made-{node}-{round}"
        fields = {"name": name, "job": job, "round": round, "tasks": tasks, "items": len(indexes) or None}
        lines.append(record_line(SUBMITTED, node, {**fields, "asked": ASKED, "t": rounded(start)}))
        made = [
            list(_task_records(round, task, indexes[task::tasks], start, is_failed and task == 0, chance))
            for task in range(tasks)
        ]
        ended = max(records[-1][1]["t"]["ended"] for records in made) + 1.5  # type: ignore[index]
        for kind, record in (each for records in made for each in records):
            if kind == ATTEMPT:
                record["t"].update(rounded({"collected": ended}))  # type: ignore[attr-defined]
            lines.append(record_line(kind, node, record))
        begin = ended
    lines.append(record_line(ENDED, node, _end(is_failed, entered, ended)))
    return lines, ended


def _end(is_failed: bool, entered: float, ended: float) -> dict[str, object]:
    times = rounded({"entered": entered, "ended": ended})
    if is_failed:
        return {"verdict": "exception", "error": "ValueError", "message": "no torsions </script>", "t": times}
    return {"verdict": "value", "error": None, "message": None, "t": times}


def _task_records(
    round: int, task: int, indexes: Sequence[int], start: dict[str, float], is_failed: bool, chance: random.Random
) -> Iterator[tuple[str, dict[str, object]]]:
    """The records of a task's items and attempts, the last attempt at the end."""
    own = {"round": round, "task": task}
    took = [chance.lognormvariate(1.5, 0.6) for _ in indexes] or [chance.lognormvariate(4.0, 0.6)]
    attempt, submitted = 0, start["submitted"]
    while attempt < 2 and chance.random() < PREEMPTED:
        times = _times(start, submitted, sum(took) * chance.random(), chance)
        del times["ran_to"], times["delivered"]
        yield ATTEMPT, {**own, "attempt": attempt, "end": "preempted", "exit_code": 50001, **_used(times, None)}
        attempt, submitted = attempt + 1, times["ended"]
    times = _times(start, submitted, sum(took), chance)
    if indexes:
        begins, begin = [], times["ran_from"]
        for seconds in took:
            begins.append(int(begin * 1000))
            begin += seconds
        ends = ["value" if not is_failed or index != indexes[-1] else "exception" for index in indexes]
        milliseconds = [int(seconds * 1000) for seconds in took]
        yield ITEMS, {**own, "index": list(indexes), "begin_ms": begins, "took_ms": milliseconds, "end": ends}
    peak = int(chance.uniform(0.2, 0.9) * 4096 * 2**20)
    end, code = ("exception", 1) if is_failed else ("value", 0)
    yield ATTEMPT, {**own, "attempt": attempt, "end": end, "exit_code": code, **_used(times, peak)}


def _times(start: dict[str, float], submitted: float, took: float, chance: random.Random) -> dict[str, float]:
    times, now = dict(start), submitted
    for name, seconds in STEPS:
        times[name] = now = now + seconds * chance.uniform(0.5, 1.5)
    ran_to = now + took
    return {**times, "ran_to": ran_to, "delivered": ran_to + 0.01, "ended": ran_to + chance.uniform(0.5, 3.0)}


def _used(times: dict[str, float], peak: int | None) -> dict[str, object]:
    number = int(times["scheduled"] * 1000) % 1_000_000
    machine = {"type": MACHINE, "zone": ZONES[number % len(ZONES)], "instance": f"made-{number:06d}", "spot": True}
    seconds = None if peak is None else round((times["ran_to"] - times["ran_from"]) * 0.9, 3)
    return {"t": rounded({**NOT_SEEN, **times}), "peak_memory_bytes": peak, "cpu_seconds": seconds, "machine": machine}
