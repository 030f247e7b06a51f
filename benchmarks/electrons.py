"""Row 1: electrons that do nothing, all at once, from `run()` to its value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from .contenders import OURS, REPLACED, Contender, Measured, measure
from .services import Services, storage_by_kind
from .tables import Bound, Line, Table

MOST_CPU_RATIO = 0.4
MOST_STORAGE_REQUESTS = 4


def electrons_table(
    contenders: Sequence[Contender],
    services: Services,
    electrons: int,
    rounds: int,
    poll_seconds: int,
    tell: Callable[[str], None],
) -> Table:
    """Measure alternately, so that what else the machine does meanwhile meets all alike."""
    options: dict[str, Any] = {"measure": "electrons", "electrons": electrons, "poll_seconds": poll_seconds}
    measured: dict[str, list[Measured]] = defaultdict(list)
    for number in range(rounds):
        for contender in contenders:
            tell(f"electrons, round {number + 1} of {rounds}: {contender.name}")
            measured[contender.name].append(measure(contender, services, **options))
    for name, runs in measured.items():
        tell(f"{name}: " + ", ".join(f"{package} {version}" for package, version in runs[0].versions.items()))
    names = [contender.name for contender in contenders]
    return Table(
        f"{electrons} electrons at once, polled every {poll_seconds} s",
        names,
        (OURS, REPLACED),
        _lines(measured, electrons),
    )


def _lines(measured: dict[str, list[Measured]], electrons: int) -> list[Line]:
    def line(measure: str, value: Callable[[Measured], float], bound: Bound | None = None) -> Line:
        return Line(measure, {name: [value(run) for run in runs] for name, runs in measured.items()}, bound)

    def storage(kind: str) -> Callable[[Measured], float]:
        return lambda run: storage_by_kind(run.counts.storage)[kind] / electrons

    def batch(method: str) -> Callable[[Measured], float]:
        return lambda run: run.counts.batch[method] / electrons

    def kept(run: Measured) -> float:
        return sum(count for kind, count in storage_by_kind(run.counts.storage).items() if kind != "deletions")

    methods = sorted({method for runs in measured.values() for run in runs for method in run.counts.batch})
    kinds = ("uploads", "downloads", "listings", "others", "deletions")
    lines = [
        line("wall time, s", lambda run: run.results["wall"]),
        line(
            "dispatcher's CPU per electron, ms",
            lambda run: 1000 * run.results["cpu"] / electrons,
            Bound(MOST_CPU_RATIO, is_ratio=True),
        ),
        line("dispatcher's peak memory, MB", lambda run: run.results["peak"]),
        line("Batch calls per electron", lambda run: run.counts.batch.total() / electrons),
        *(line(f"- {method}", batch(method)) for method in methods),
        line(
            "storage requests per electron, without deletions",
            lambda run: kept(run) / electrons,
            Bound(MOST_STORAGE_REQUESTS),
        ),
        *(line(f"- {kind}", storage(kind)) for kind in kinds),
    ]
    return [line for line in lines if any(any(values) for values in line.values.values())]
