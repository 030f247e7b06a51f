"""Row 4: what a map costs: many small items, items that take a while, and a gigabyte of results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .contenders import OURS, REPLACED, Contender, Measured, measure
from .services import Services, storage_by_kind
from .tables import Bound, Line, Table

POLL_SECONDS = 5
# The bounds at 1,000 items
MOST_BATCH_CALLS_PER_ITEM = 0.02
MOST_STORAGE_REQUESTS_PER_ITEM = 0.2
# Not twice the payload, until run() has returned
MOST_OF_PAYLOAD = 1.5


@dataclass(frozen=True)
class Case:
    """So many items that take so long and return so many bytes each (None: the number of the item)."""

    items: int
    seconds: float = 0.0
    item_bytes: int | None = None

    @property
    def title(self) -> str:
        """The case in a few words."""
        took = f" of {self.seconds * 1000:.0f} ms" if self.seconds else ""
        returned = "" if self.item_bytes is None else f" of {self.item_bytes / 1e6:g} MB"
        return f"{self.items:,} items{took}{returned}"


MANY = Case(10_000)
SLOW = Case(1_000, seconds=0.05)
LARGE = Case(1_000, item_bytes=1_000_000)


def pmap_table(contender: Contender, services: Services, tell: Callable[[str], None]) -> Table:
    """One column: the replaced plugin has no map. MB are 10^6 bytes; memory is growth of the resident set's peak."""
    lines: list[Line] = []
    for case in (MANY, SLOW, LARGE):
        tell(f"pmap: {case.title}")
        run = measure(
            contender,
            services,
            measure="map",
            poll_seconds=POLL_SECONDS,
            items=case.items,
            item_seconds=case.seconds,
            item_bytes=case.item_bytes,
        )
        lines += _lines(case, run)
    return Table("Maps of 16 tasks, polled every 5 s", [OURS], (OURS, REPLACED), lines)


def _lines(case: Case, run: Measured) -> list[Line]:
    storage = storage_by_kind(run.counts.storage)
    requests = sum(storage.values()) - storage["deletions"]

    def line(what: str, value: float, bound: Bound | None = None) -> Line:
        return Line(f"{case.title}: {what}", {OURS: [value]}, bound)

    is_bound = case == SLOW
    lines = [
        line("wall time, s", run.results["wall"]),
        line("dispatcher's CPU per item, ms", run.results["cpu"] * 1000 / case.items),
        line(
            "Batch calls per item",
            sum(run.counts.batch.values()) / case.items,
            Bound(MOST_BATCH_CALLS_PER_ITEM) if is_bound else None,
        ),
        line(
            "storage requests per item, without deletions",
            requests / case.items,
            Bound(MOST_STORAGE_REQUESTS_PER_ITEM) if is_bound else None,
        ),
    ]
    if case.item_bytes is None:
        return [*lines, line("memory until run() has returned, MB", run.results["returned"])]
    payload = case.items * case.item_bytes / 1e6
    return [
        *lines,
        line("memory until run() has returned / payload", run.results["returned"] / payload, Bound(MOST_OF_PAYLOAD)),
        line("memory until Covalent's serialize() of it / payload", run.results["serialized"] / payload),
    ]
