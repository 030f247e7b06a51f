"""Tasks of a sweep with one name, also if the names differ only in case, which some disks ignore."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from .combinations import Combination, Grid
from .mistakes import Mistake

# More names that are taken twice help nobody
SHOWN = 10

Named = Callable[[], Iterator[tuple[Combination, str]]]


def name_mistakes(grids: Sequence[Grid], named: Named) -> Iterator[Mistake]:
    """Yield a mistake for each name that several tasks have, up to a number.

    Args:
        named: returns each combination with its name, twice if need be.
    """
    # Only hashes of the names are kept; names that come twice are looked at again
    seen, twice = set[int](), set[int]()
    for _, name in named():
        number = hash(name.lower())
        (twice if number in seen else seen).add(number)
    first: dict[str, tuple[Combination, str]] = {}
    shown = set[str]()
    for combination, name in named() if twice else ():
        lower = name.lower()
        if hash(lower) in twice and (before := first.setdefault(lower, (combination, name)))[0] is not combination:
            if lower not in shown:
                yield _mistake(grids, before, (combination, name))
            shown.add(lower)
            if len(shown) == SHOWN:
                return


def _mistake(grids: Sequence[Grid], *tasks: tuple[Combination, str]) -> Mistake:
    (first, one), (second, other) = tasks
    same = f"are both named {one}" if one == other else f"are named {one} and {other}, which differ in case only"
    pattern = grids[second.grid].task_name
    remedy = "name in `task_name` what tells them apart" if pattern else "write a `task_name` that tells them apart"
    repeat = ", such as {repeat}" if second.repeat is not None and first.values == second.values else ""
    return Mistake(
        f"task {first.index} ({_text(first)}) and task {second.index} ({_text(second)}) {same}: {remedy}{repeat}",
        pattern.location if pattern else grids[second.grid].location,
    )


def _text(combination: Combination) -> str:
    texts = [f"{name}={value.text}" for name, value in combination.values.items()]
    return ", ".join([*texts, *([f"repeat={combination.repeat}"] if combination.repeat is not None else [])])
