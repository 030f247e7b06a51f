"""One checkout beside another, such as a commit and the one before: `python -m benchmarks.two_commits OLD NEW`.

Both dispatch electrons that do nothing, all at once, to the same emulated services, which are this checkout's; each has
the Python of its own `.venv`, and stages its own runner. Pairs take turns at being first, since what else the machine
does meanwhile is to meet both alike.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from .contenders import POLL_SECONDS, Contender, Measured, measure
from .environments import stock_python
from .services import running_services, storage_by_kind
from .tables import Bound, Line, Table

PAIRS = 10
ELECTRONS = 40
# Electrons a second are to be within 5 % of those before
MOST_TIME_RATIO = 1.05
IMAGE = "stock:latest"
OLD, NEW = "old", "new"


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print a table."""
    arguments = _parse(words)
    contenders = [
        Contender(name, "ours", folder.resolve() / ".venv" / "bin" / "python", IMAGE)
        for name, folder in ((OLD, arguments.old), (NEW, arguments.new))
    ]
    measured: dict[str, list[Measured]] = defaultdict(list)
    with running_services({IMAGE: [str(stock_python())]}) as services:
        for pair in range(arguments.pairs):
            for contender in contenders if pair % 2 else reversed(contenders):
                print(f"pair {pair + 1} of {arguments.pairs}: {contender.name}", file=sys.stderr, flush=True)
                options = {"measure": "electrons", "electrons": arguments.electrons, "poll_seconds": POLL_SECONDS}
                measured[contender.name].append(measure(contender, services, **options))
    print(_table(measured, arguments.electrons).markdown())
    pairs = zip(measured[OLD], measured[NEW], strict=True)
    print(
        f"\nmedian of the pairs' ratios: {median(new.results['wall'] / old.results['wall'] for old, new in pairs):.3f}"
    )


def _table(measured: dict[str, list[Measured]], electrons: int) -> Table:
    def line(name: str, kind: str) -> Line:
        return Line(name, {key: [storage_by_kind(run.counts.storage)[kind] for run in runs] for key, runs in found})

    found = measured.items()
    lines = [
        Line(
            "wall time, s",
            {name: [run.results["wall"] for run in runs] for name, runs in found},
            Bound(MOST_TIME_RATIO, is_ratio=True),
        ),
        Line(
            "dispatcher's CPU per electron, ms",
            {name: [1000 * run.results["cpu"] / electrons for run in runs] for name, runs in found},
        ),
        Line("requests to Batch", {name: [run.counts.batch.total() for run in runs] for name, runs in found}),
        *(line(f"storage: {kind}", kind) for kind in ("uploads", "downloads", "listings", "deletions", "others")),
    ]
    return Table(f"{electrons} electrons at once, polled every {POLL_SECONDS} s", [OLD, NEW], (NEW, OLD), lines)


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.two_commits", description=__doc__.partition("\n")[0])
    parser.add_argument("old", type=Path, metavar="OLD", help="a checkout that has its .venv")
    parser.add_argument("new", type=Path, metavar="NEW", help="the other one")
    parser.add_argument("--pairs", type=int, default=PAIRS, help=f"how often each is measured [{PAIRS}]")
    parser.add_argument("--electrons", type=int, default=ELECTRONS, help=f"electrons at once [{ELECTRONS}]")
    return parser.parse_args(words)


if __name__ == "__main__":
    main()
