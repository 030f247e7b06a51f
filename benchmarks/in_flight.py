"""Row 5: electrons that are all in flight at once, and what they cost the dispatcher's process and its event loop."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .contenders import OURS, OURS_INSTALLED, REPLACED, Contender, Measured, contenders, images, measure
from .environments import Environments
from .services import Counts, Services, running_services, storage_by_kind
from .tables import Bound, Line, Table

SCRIPT = Path(__file__).with_name("raw_calls.py")

FLOOR = "floor"
RAW = "four raw calls"

SIZES = (10, 100, 1000)
# A thousand of the replaced plugin's tasks, each of which imports Covalent for a second, are a quarter of an hour
MOST_REPLACED = 100
# Both plugins' default
POLL_SECONDS = 5
# No task ends sooner than this, nor before the last electron's job is submitted
HELD_SECONDS = 12.0
SUBMITTED_WITHIN_SECONDS = 240.0
LOOK_SECONDS = 0.25
# Electrons before, so that the threads and connections are there that a server has
WARM_UP = 20
TASKS_AT_ONCE = 2

# The bounds
MOST_OF_RAW = 2.5
MOST_OF_FEWER = 1.3
MOST_LAG_MS = 100
MOST_KB = 64
MOST_CALLS = 3
MOST_STORAGE_REQUESTS = 4

LISTS = "ListJobs"


@dataclass(frozen=True)
class Flight:
    """One contender's electrons in flight: as they are, and again with the event loop's lag watched if it has a loop.

    Watching takes CPU of its own: so much that among ten electrons it would be most of it.
    """

    plain: Measured
    watched: Measured | None = None


Round = Mapping[str, Flight]


def in_flight_table(
    environments: Environments, rounds: int, tell: Callable[[str], None], sizes: Sequence[int] = SIZES
) -> Table:
    """Measure all in turns; each size has services of its own, which know no job of before."""
    rounds_of: dict[int, list[Round]] = {count: [] for count in sizes}
    for number in range(rounds):
        for count in sizes:
            with running_services(images(environments), is_warm=True, tasks_at_once=TASKS_AT_ONCE) as services:
                tell(f"{count} in flight, round {number + 1} of {rounds}")
                rounds_of[count].append(_fly(environments, services, count, tell))
    return table_of(rounds_of)


def table_of(rounds_of: Mapping[int, Sequence[Round]]) -> Table:
    """The table of rounds by number of electrons."""
    most = max(rounds_of)
    lines: list[Line] = []
    for count, rounds in rounds_of.items():
        lines += _lines(count, rounds, is_most=count == most)
    lines += _growth(rounds_of)
    title = f"Electrons in flight at once, polled every {POLL_SECONDS} s"
    return Table(title, (OURS, REPLACED, FLOOR, RAW), (OURS, REPLACED), lines)


def _fly(environments: Environments, services: Services, count: int, tell: Callable[[str], None]) -> Round:
    known = {contender.name: contender for contender in contenders(environments)}
    ours = replace(known[OURS_INSTALLED], name=OURS)
    flights = {}
    tell(OURS)
    flights[OURS] = Flight(_flight(ours, services, count, False), _flight(ours, services, count, True))
    tell(FLOOR)
    floor = replace(ours, name=FLOOR, plugin="floor")
    seconds = flights[OURS].plain.results["seconds"]
    flights[FLOOR] = Flight(*(_flight(floor, services, count, lag, seconds) for lag in (False, True)))
    tell(RAW)
    flights[RAW] = Flight(_raw(ours, services, count))
    if count <= MOST_REPLACED:
        tell(REPLACED)
        flights[REPLACED] = Flight(*(_flight(known[REPLACED], services, count, lag) for lag in (False, True)))
    return flights


def _flight(
    contender: Contender, services: Services, count: int, is_watched: bool, seconds: Sequence[float] | None = None
) -> Measured:
    """Run a contender's electrons; their tasks wait for a file, which is made when all are submitted.

    `seconds` is how long the floor's electrons sleep, which have no tasks.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        gate = Path(folder, "gate")

        def hold(before: Counts, is_running: Callable[[], bool]) -> None:
            begun = time.monotonic()
            while is_running() and services.counts().since(before).batch["CreateJob"] < count:
                if time.monotonic() - begun > SUBMITTED_WITHIN_SECONDS:
                    raise RuntimeError(f"{contender.name} had not submitted {count} jobs in time")
                time.sleep(LOOK_SECONDS)
            time.sleep(max(0.0, begun + HELD_SECONDS - time.monotonic()))
            if services.counts().since(before).tasks["tasks"]:
                raise RuntimeError(f"not all jobs of {contender.name} were in flight at once: a task has ended")
            gate.touch()

        options: dict[str, Any] = {"measure": "flight", "electrons": count, "lag": is_watched, "gate": str(gate)}
        return measure(
            contender,
            services,
            None if seconds is not None else hold,
            poll_seconds=POLL_SECONDS,
            warm_up=WARM_UP,
            seconds=seconds,
            **options,
        )


def _raw(ours: Contender, services: Services, count: int) -> Measured:
    """Google's own client writing, reading and deleting objects of the sizes of an electron's."""
    sizes = measure(ours, services, measure="sizes").results["sizes"]
    raw = replace(ours, name=RAW, script=SCRIPT)
    return measure(raw, services, electrons=count, call_bytes=sizes["call"], outcome_bytes=sizes["outcome-0"])


def _lines(count: int, rounds: Sequence[Round], is_most: bool) -> list[Line]:
    def line(what: str, value: Callable[[Flight], float | None], bound: float | None = None) -> Line:
        return _line(f"{count:,}: {what}", rounds, value, bound)

    def calls(flight: Flight) -> float:
        return (flight.plain.counts.batch.total() - flight.plain.counts.batch[LISTS]) / count

    def storage(flight: Flight) -> float:
        by_kind = storage_by_kind(flight.plain.counts.storage)
        return (sum(by_kind.values()) - by_kind["deletions"]) / count

    def deletions(flight: Flight) -> float:
        return storage_by_kind(flight.plain.counts.storage)["deletions"] / count

    def milliseconds(name: str) -> Callable[[Flight], float | None]:
        return lambda flight: None if flight.watched is None else flight.watched.results[name] * 1000

    def per_electron(name: str) -> Callable[[Flight], float | None]:
        return lambda flight: flight.plain.results[name] * 1000 / count if name in flight.plain.results else None

    return [
        line("wall time, s", lambda flight: flight.plain.results["wall"]),
        line("CPU per electron, ms", cpu_ms(count)),
        Line(
            f"{count:,}: CPU / that of four raw calls",
            {OURS: [cpu_ms(count)(flown[OURS]) / cpu_ms(count)(flown[RAW]) for flown in rounds]},
            Bound(MOST_OF_RAW) if is_most else None,
        ),
        line("CPU of the loop's thread per electron, ms", per_electron("loop_cpu")),
        line("worst lag of the loop, ms", milliseconds("worst_lag")),
        Line(
            f"{count:,}: worst lag beyond the floor's, ms",
            {OURS: [lag_ms(flown[OURS]) - lag_ms(flown[FLOOR]) for flown in rounds]},
            Bound(MOST_LAG_MS),
        ),
        line("99th percentile of the lag, ms", milliseconds("lag_99")),
        line("most that the loop computed without a turn, ms", milliseconds("computed")),
        line("memory per electron, KB", per_electron("grown"), MOST_KB if is_most else None),
        line("Batch calls per electron, without lists", calls, MOST_CALLS),
        line("lists of jobs per electron", lambda flight: flight.plain.counts.batch[LISTS] / count),
        line("storage requests per electron, without deletions", storage, MOST_STORAGE_REQUESTS),
        line("deletions per electron", deletions),
    ]


def _growth(rounds_of: Mapping[int, Sequence[Round]]) -> Iterable[Line]:
    """The most electrons' CPU against that of the next fewer ones."""
    fewer, most = sorted(rounds_of)[-2:] if len(rounds_of) > 1 else (0, 0)
    if not most:
        return
    ratios = [
        cpu_ms(most)(many[OURS]) / cpu_ms(fewer)(few[OURS])
        for many, few in zip(rounds_of[most], rounds_of[fewer], strict=True)
    ]
    yield Line(f"{most:,}: CPU per electron / that at {fewer:,}", {OURS: ratios}, Bound(MOST_OF_FEWER))


def cpu_ms(count: int) -> Callable[[Flight], float]:
    """CPU per electron of a flight of so many, in ms."""
    return lambda flight: float(flight.plain.results["cpu"]) * 1000 / count


def lag_ms(flight: Flight) -> float:
    """The worst lag of the loop in ms. Raises ValueError if it was not watched."""
    if flight.watched is None:
        raise ValueError("the lag was not watched")
    return float(flight.watched.results["worst_lag"]) * 1000


def _line(what: str, rounds: Sequence[Round], value: Callable[[Flight], float | None], bound: float | None) -> Line:
    """A line of every contender's values, those left out that are None."""
    names = dict.fromkeys(name for flown in rounds for name in flown)
    values = {name: [value(flown[name]) for flown in rounds if name in flown] for name in names}
    measured = {name: [number for number in numbers if number is not None] for name, numbers in values.items()}
    return Line(what, measured, None if bound is None else Bound(bound))
