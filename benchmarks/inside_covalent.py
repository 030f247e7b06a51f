"""Electrons that do nothing in a real Covalent server, beside the same on an executor that only sleeps.

Both lattices have the same nodes: the electrons, and the one with which Covalent ends a lattice. That one is this
plugin's to run as well, which does it in a process of its own beside the server; that process is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .contenders import OURS, images
from .covalent_run import POLL_SECONDS, WARM_UP_ELECTRONS, Run, measure, percentile
from .environments import Environments
from .services import running_services
from .tables import Bound, Line, Table

ELECTRONS = 200
SLEEPING = "only sleeps"
# By Covalent's short names
EXECUTORS = {OURS: "gcpbatch", SLEEPING: "sleeping"}
# The issue's
MOST_CPU_RATIO = 1.35


def inside_covalent_table(environments: Environments, rounds: int, tell: Callable[[str], None]) -> Table:
    """Measure alternately, each time in a fresh server, so that all begin with an empty database.

    How fast it answers is measured in a round of its own: asking takes CPU as well.
    """
    plain: dict[str, list[Run]] = {OURS: [], SLEEPING: []}
    asked: dict[str, list[Run]] = {OURS: [], SLEEPING: []}
    with running_services(images(environments), is_warm=True) as services:
        for number in range(rounds + 1):
            is_asked = number == rounds
            for name, executor in EXECUTORS.items():
                tell(f"inside Covalent, {'asking' if is_asked else f'round {number + 1} of {rounds}'}: {name}")
                # For as long as an electron took with this plugin just before
                before = [*plain[OURS], *asked[OURS]]
                seconds = before[-1].electron_seconds if before else 0.0
                run = measure(executor, ELECTRONS, services, seconds, is_asked)
                (asked if is_asked else plain)[name].append(run)
    return table_of(plain, asked)


def table_of(plain: Mapping[str, Sequence[Run]], asked: Mapping[str, Sequence[Run]]) -> Table:
    """The table of runs by contender; `asked` are those in which the server was asked all the time."""

    def line(
        what: str,
        value: Callable[[Run], float | None],
        runs: Mapping[str, Sequence[Run]] = plain,
        bound: Bound | None = None,
    ) -> Line:
        values = {name: [value(run) for run in found] for name, found in runs.items()}
        return Line(
            what,
            {name: [number for number in numbers if number is not None] for name, numbers in values.items()},
            bound,
        )

    return Table(
        f"Inside a Covalent server: {ELECTRONS} electrons in one lattice, polled every {POLL_SECONDS} s",
        [OURS, SLEEPING],
        (OURS, SLEEPING),
        [
            line("server's CPU, s", lambda run: run.cpu_seconds, bound=Bound(MOST_CPU_RATIO, is_ratio=True)),
            line("- of which its children's", lambda run: run.cpu_seconds - run.own_cpu_seconds),
            line("- of which until the lattice was accepted", lambda run: run.dispatch_cpu_seconds),
            line("server's CPU per electron, ms", lambda run: 1000 * run.cpu_seconds / ELECTRONS),
            line("wall time, s", lambda run: run.wall_seconds),
            line("an electron's time, mean, s", lambda run: run.electron_seconds),
            line("server's answer, 95th percentile, ms", lambda run: 1000 * percentile(run.answers, 0.95), asked),
            line("server's answer, slowest, ms", lambda run: 1000 * max(run.answers), asked),
            line("server's peak memory, MB", lambda run: run.peak_mb),
            line(f"CPU of {WARM_UP_ELECTRONS} electrons before, s", lambda run: run.warm_up_cpu_seconds),
        ],
    )
