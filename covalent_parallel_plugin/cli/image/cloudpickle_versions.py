"""Decide which versions of cloudpickle load each other's pickles; short, since that is one rule.

Tried with tests/image/cloudpickle_pairs.py, for functions, closures, lambdas, classes, their instances and enums of a
script, with 1.6.0, 2.0.0, 2.1.0, 2.2.0, 2.2.1, 3.0.0, 3.1.0, 3.1.1, 3.1.2 and 3.1.3 on the Pythons from 3.10 to 3.12
that each runs on. A pickle calls cloudpickle's private functions by their names: 2.1 brought `_make_function`, 3.0
`_function_setstate` and `_class_setstate`. A version loads what is as old as itself or older, and nothing newer.
"""

from __future__ import annotations

import re

OLDEST_TRIED, NEWEST_TRIED = (1, 6), (3, 1)
GENERATIONS = ((2, 1), (3, 0))
"""The first versions whose pickles earlier ones cannot load."""


def are_tried(*versions: str) -> bool:
    """Whether it is known what these versions do."""
    return all(OLDEST_TRIED <= _minor(version) <= NEWEST_TRIED for version in versions)


def disagreement(one: str, other: str) -> str:
    """Which of two versions cannot load what the other one pickles; "" if each loads the other's, or may."""
    older, newer = sorted((one, other), key=_minor)
    if any(_minor(older) < first <= _minor(newer) for first in GENERATIONS):
        return f"cloudpickle {older} cannot load what {newer} pickles"
    return ""


def _minor(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
