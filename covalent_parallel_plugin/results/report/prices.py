"""What machines cost, as far as the user has given it: prices.json beside the user's traces, and a report with it."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timezone
from pathlib import Path

from ...batch.trace import open_regular, traces_folder
from .model import MachineHours, Price, Report

VERSION = 1
# Of one price
MOST_DOLLARS = 100_000
FILE_NAME = "prices.json"
SET_COMMAND = "covalent-parallel prices set FILE"
# Types of a family whose price is that of their vCPUs: none with a custom size, a shared core or disks of its own
_OF_FAMILY = re.compile(r"([a-z0-9]+)-(?!custom)([a-z]+)-(\d+)")


@dataclass(frozen=True, slots=True)
class PriceRow:
    """One price that the user has given.

    Attributes:
        machine: a machine type; a family (n1, n1-highmem), whose price is for a vCPU; or a GPU that is attached.
        region: "" for all.
        spot_dollars_per_hour: None if it is not given.
        date: YYYY-MM-DD, when `source` said so.
    """

    machine: str
    region: str
    dollars_per_hour: float
    spot_dollars_per_hour: float | None
    date: str
    source: str

    def dollars(self, spot: bool) -> float | None:
        """Return the price of a Spot machine, or of any other."""
        return self.spot_dollars_per_hour if spot else self.dollars_per_hour


@dataclass(frozen=True)
class Prices:
    """All prices of a user; `problem` is a sentence on why they cannot be read, "" if they can."""

    rows: tuple[PriceRow, ...] = ()
    problem: str = ""

    def price_of(
        self, machine_type: str, spot: bool | None, region: str, on: date, gpu_type: str = "", gpu_count: int = 0
    ) -> Price | None:
        """Return what a machine costs in an hour; None if that is not known, also of only a part of it.

        A type goes before its kind, a kind before its series, a region before all; then the latest date that is not
        after `on` counts, else the earliest one. A Spot machine has none but a Spot price.
        """
        if spot is None or not machine_type:
            return None
        found = _OF_FAMILY.fullmatch(machine_type)
        names = [(machine_type, 1)]
        if found:
            names += [(f"{found[1]}-{found[2]}", int(found[3])), (found[1], int(found[3]))]
        price = self._first(names, spot, region, on)
        if not gpu_type or price is None:
            return price
        gpus = self._first([(gpu_type, max(gpu_count, 1))], spot, region, on)
        return None if gpus is None else _sum(price, gpus)

    def _first(self, names: Iterable[tuple[str, int]], spot: bool, region: str, on: date) -> Price | None:
        for name, times in names:
            for place in dict.fromkeys((region, "")):
                rows = [
                    row
                    for row in self.rows
                    if (row.machine, row.region) == (name, place) and row.dollars(spot) is not None
                ]
                if rows:
                    row = min(rows, key=lambda row: _distance(row.date, on.isoformat()))
                    return Price(times * (row.dollars(spot) or 0.0), row.date, row.source)
        return None


def prices_path(environment: Mapping[str, str]) -> Path | None:
    """Return the user's file of prices; None for a user who has no home folder."""
    traces = traces_folder(environment)
    return None if traces is None else traces.with_name(FILE_NAME)


def read_prices(path: Path | None) -> Prices:
    """Read the user's prices; none are there without a file, or with a problem."""
    if path is None:
        return Prices()
    try:
        with open(path, "rb", opener=open_regular) as file:
            document = json.load(file)
        if document["version"] != VERSION:
            return _unreadable(path, f"has version {document['version']!r}, and this version reads {VERSION}")
        return Prices(tuple(_row(each) for each in document["prices"]))
    except FileNotFoundError:
        return Prices()
    except OSError as error:
        return _unreadable(path, f"cannot be read: {error.strerror or error}")
    except (ValueError, TypeError, LookupError, RecursionError):
        return _unreadable(path, "is not a file of prices")


def write_prices(path: Path, rows: Iterable[PriceRow]) -> None:
    """Write the user's prices in place of earlier ones, whole or not at all, for their owner alone. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(prices_document(rows))
            file.flush()
            os.fsync(file.fileno())
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink()
        raise


def prices_document(rows: Iterable[PriceRow]) -> str:
    """Return prices as the file has them."""
    return json.dumps({"version": VERSION, "prices": [asdict(row) for row in rows]}, indent=2) + "\n"


def priced(report: Report, prices: Prices) -> Report:
    """Return a report whose machines have the prices of when it began, as far as they are known."""
    began = report.made if report.began is None else report.began
    on = datetime.fromtimestamp(began, timezone.utc).date()
    machines = with_prices(report.machines, prices, on)
    problems = (prices.problem,) if prices.problem else ()
    return replace(report, machines=machines, missing=report.missing + problems)


def with_prices(machines: Iterable[MachineHours], prices: Prices, on: date) -> tuple[MachineHours, ...]:
    """Return machines with their prices of a day, Spot and standard, as far as they are known."""

    def price(machine: MachineHours, spot: bool | None) -> Price | None:
        return prices.price_of(machine.type, spot, machine.region, on, machine.gpu_type, machine.gpu_count)

    return tuple(
        replace(
            each, price=price(each, each.spot), other_price=None if each.spot is None else price(each, not each.spot)
        )
        for each in machines
    )


def _row(fields: Mapping[str, object]) -> PriceRow:
    """Return a row of the file. Raises TypeError or ValueError for one that no `prices set` has written."""
    row = PriceRow(**fields)  # type: ignore[arg-type]  # checked below
    dollars = [each for each in (row.dollars_per_hour, row.spot_dollars_per_hour) if each is not None]
    texts = (row.machine, row.region, row.date, row.source)
    if row.dollars_per_hour is None or not all(isinstance(each, str) for each in texts):
        raise TypeError
    if not all(type(each) in (int, float) and 0 < each <= MOST_DOLLARS for each in dollars):
        raise ValueError
    date.fromisoformat(row.date)
    return row


def _unreadable(path: Path, problem: str) -> Prices:
    return Prices(problem=f"The file of prices {path} {problem}. Set them again: {SET_COMMAND}")


def _distance(day: str, on: str) -> tuple[bool, int]:
    """Order dates: the latest of those that are not after `on`, then the earliest of the others."""
    number, is_after = date.fromisoformat(day).toordinal(), day > on
    return is_after, number if is_after else -number


def _sum(machine: Price, gpus: Price) -> Price:
    """Return the price of a machine with its GPUs, as old as the older one."""
    source = "; ".join(dict.fromkeys((machine.source, gpus.source)))
    return Price(machine.dollars_per_hour + gpus.dollars_per_hour, min(machine.date, gpus.date), source)
