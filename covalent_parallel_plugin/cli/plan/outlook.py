"""What planned Jobs use: at most, by their limits, and as is to be expected from an earlier dispatch; pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from ...batch.job_definition import run_seconds
from ...results.report.costs import cost_text, machine_hours_text
from ...results.report.model import MAP, Electron, MachineHours, Report
from ...results.report.prices import Prices, with_prices
from .lattice_nodes import LatticeNode, listed
from .planned_jobs import PlannedJob


@dataclass(frozen=True)
class PlannedUse:
    """Machines that are held for Jobs, priced as far as that is known.

    Attributes:
        how: what it is made of, such as "4 attempts of 360 s"; "" for a sum.
        unknown: nodes that are not in it.
    """

    machines: tuple[MachineHours, ...]
    how: str = ""
    unknown: tuple[LatticeNode, ...] = ()

    @property
    def hours(self) -> float:
        """Machine-hours."""
        return sum(machine.seconds for machine in self.machines) / 3600

    @property
    def fields(self) -> dict[str, object]:
        """The use for programs: dollars are null unless all of it has a price."""
        dollars = [machine.dollars for machine in self.machines]
        known = [each for each in dollars if each is not None]
        prices = {machine.price for machine in self.machines if machine.price is not None}
        return {
            "machine_hours": round(self.hours, 6),
            "dollars": round(sum(known), 6) if known and len(known) == len(dollars) else None,
            "prices": [
                {"date": date, "source": source} for date, source in sorted({(p.date, p.source) for p in prices})
            ],
            "unknown_nodes": [node.node_id for node in self.unknown],
        }

    def __str__(self) -> str:
        how = f" ({self.how})" if self.how else ""
        return f"{machine_hours_text(self.hours)}{how}, {cost_text(self.machines) or 'no price'}"


@dataclass(frozen=True)
class PlanOutlook:
    """What is known of how many machine-hours Jobs use.

    Attributes:
        prices: the user's.
        on: the day whose prices count.
        earlier: the report of the dispatch of `--like`.
    """

    prices: Prices
    on: date
    earlier: Report | None = None

    def lines(self, planned: PlannedJob) -> list[str]:
        """Return what the Job uses, as lines of its summary."""
        most = [f"at most  {self.most([planned])}"]
        if self.earlier is None:
            return most
        expected = self.expected([planned])
        known = str(expected) if expected.machines else f"nothing in {self.earlier.id} has this name and ran"
        return [*most, f"expected {known}"]

    def remarks(self, jobs: Sequence[PlannedJob], unseen: Sequence[LatticeNode]) -> list[str]:
        """Return what all Jobs use together; `unseen` are sublattices, whose electrons are not known here."""
        besides = f"; not in it: the electrons of {listed(unseen)}" if unseen else ""
        found = []
        if len(jobs) > 1 or unseen:
            found.append(f"all Jobs: at most {self.most(jobs)}{besides}")
        if self.earlier is not None:
            expected = self.expected(jobs)
            missing = f"; not in {self.earlier.id}: {listed(expected.unknown)}" if expected.unknown else ""
            known = str(expected) if expected.machines else "not known"
            found.append(f"expected, as in {self.earlier.id}: {known}{missing}{besides}")
        return [*found, *([self.prices.problem] if self.prices.problem else [])]

    def fields(self, jobs: Sequence[PlannedJob], unseen: Sequence[LatticeNode] = ()) -> dict[str, object]:
        """Return what Jobs use, for programs; see `remarks`."""
        found: dict[str, object] = {"at_most": replace(self.most(jobs), unknown=tuple(unseen)).fields}
        if self.earlier is not None:
            expected = self.expected(jobs)
            expected = replace(expected, unknown=(*expected.unknown, *unseen))
            found["expected"] = {"like": self.earlier.id, **expected.fields}
        return found

    def most(self, jobs: Sequence[PlannedJob]) -> PlannedUse:
        """Return what Jobs use if every attempt of every task takes all of its time."""
        machines = [part for planned in jobs for part in _most(planned)]
        how = _how_most(jobs[0]) if len(jobs) == 1 else ""
        return PlannedUse(with_prices(machines, self.prices, self.on), how)

    def expected(self, jobs: Sequence[PlannedJob]) -> PlannedUse:
        """Return what Jobs use if electrons take what those of their names took in the earlier dispatch."""
        assert self.earlier is not None
        machines: list[MachineHours] = []
        unknown: list[LatticeNode] = []
        texts: list[str] = []
        for planned in jobs:
            for node in planned.nodes:
                like = [electron for electron in self.earlier.electrons if _is_like(electron, node)]
                if like:
                    count, unit, mean = _mean(like, node)
                    machines.append(_machines(planned, planned.settings.spot, count * mean, like))
                    texts.append(f"{count:,} {unit} x {mean:.3g} s")
                else:
                    unknown.append(node)
        counts = Counter(texts)
        how = "; ".join(f"{times} x {text}" if times > 1 else text for text, times in counts.items())
        priced = with_prices(machines, self.prices, self.on)
        return PlannedUse(priced, how if len(jobs) == 1 else "", tuple(unknown))


def _most(planned: PlannedJob) -> list[MachineHours]:
    """Return the most that a Job, its retries and the Jobs after it hold machines.

    Tasks start as soon as one of `parallelism` is free, and each holds a machine, which others may share.
    """
    group, settings = planned.job.task_groups[0], planned.settings
    seconds = run_seconds(planned.settings)
    attempts = int(group.task_count) * (group.task_spec.max_retry_count + 1)
    parallel, shared = max(int(group.parallelism), 1), max(int(group.task_count_per_node), 1)
    turns = min(attempts, math.ceil(parallel / shared) * math.ceil(attempts / parallel))
    each = turns * seconds * len(planned.nodes)
    found = [_machines(planned, settings.spot, each * _jobs(planned))]
    return [*found, _machines(planned, False, each)] if settings.spot_fallback else found


def _jobs(planned: PlannedJob) -> int:
    """Return how many Jobs a node may have on the machines that it asks for: of a map, lost items run in new ones."""
    is_map = planned.nodes[0].map is not None or planned.job.task_groups[0].task_count > 1
    return planned.settings.retries + 1 if is_map else 1


def _how_most(planned: PlannedJob) -> str:
    group = planned.job.task_groups[0]
    attempts = group.task_spec.max_retry_count + 1
    jobs = _jobs(planned) + planned.settings.spot_fallback
    parts = [
        f"{len(planned.nodes)} electrons" if len(planned.nodes) > 1 else "",
        f"{jobs} jobs" if jobs > 1 else "",
        f"{group.task_count:,} tasks" if group.task_count > 1 else "1 task",
        f"{run_seconds(planned.settings):g} s",
        f"{attempts} attempts" if attempts > 1 else "",
    ]
    shared = f", {group.task_count_per_node} on a machine" if group.task_count_per_node > 1 else ""
    return " x ".join(filter(None, parts)) + shared


def _machines(planned: PlannedJob, spot: bool, seconds: float, like: Iterable[Electron] = ()) -> MachineHours:
    """Return the Job's machines; where Batch picks their type, the one of most attempts of the electrons like it."""
    policy = planned.job.allocation_policy.instances[0].policy
    gpus = [(gpu.type_, int(gpu.count)) for gpu in policy.accelerators if policy.machine_type.startswith("n1-")]
    gpu_type, gpu_count = gpus[0] if gpus else ("", 0)
    used = Counter(each.machine.type for electron in like for each in electron.attempts if each.machine.type)
    kind = policy.machine_type or next((name for name, _ in used.most_common(1)), "")
    return MachineHours(kind, spot, planned.settings.region, 0, seconds, 0.0, gpu_type=gpu_type, gpu_count=gpu_count)


def _is_like(electron: Electron, node: LatticeNode) -> bool:
    """Whether an earlier electron is of the node's function, and used machines."""
    is_of_kind = (electron.kind == MAP) == (node.map is not None)
    return electron.name == node.name and is_of_kind and electron.machine_seconds > 0


def _mean(like: Sequence[Electron], node: LatticeNode) -> tuple[int, str, float]:
    """Return how many units a node has, what they are, and the machine-seconds that one took in the mean."""
    seconds = sum(electron.machine_seconds for electron in like)
    items = sum((electron.items and electron.items.total) or 0 for electron in like)
    if node.map is not None and node.map.items is not None and items:
        return node.map.items, "items", seconds / items
    return 1, "electron", seconds / len(like)
