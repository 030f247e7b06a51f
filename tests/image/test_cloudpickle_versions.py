"""Which versions of cloudpickle load each other's pickles: the table that cloudpickle_pairs.py printed."""

from __future__ import annotations

from itertools import combinations

import pytest

from covalent_parallel_plugin.cli.image.cloudpickle_versions import are_tried, disagreement

GENERATIONS = (
    ("1.6.0", "2.0.0"),
    ("2.1.0", "2.2.0", "2.2.1"),
    ("3.0.0", "3.1.0", "3.1.1", "3.1.2", "3.1.3"),
)
TRIED = [(number, version) for number, versions in enumerate(GENERATIONS) for version in versions]


@pytest.mark.parametrize(("one", "other"), list(combinations(TRIED, 2)))
def test_versions_of_one_generation_load_each_others_pickles(one: tuple[int, str], other: tuple[int, str]) -> None:
    expected = "" if one[0] == other[0] else f"cloudpickle {one[1]} cannot load what {other[1]} pickles"
    assert disagreement(one[1], other[1]) == disagreement(other[1], one[1]) == expected
    assert are_tried(one[1], other[1])


@pytest.mark.parametrize("version", ["1.5.0", "3.2.0", "4.0.0", "3.10.0"])
def test_of_a_version_that_was_not_tried_nothing_is_known(version: str) -> None:
    assert not are_tried("3.1.3", version)


def test_an_old_version_that_was_not_tried_cannot_load_what_it_could_not_before() -> None:
    assert disagreement("1.2.0", "3.1.3") and disagreement("2.2.1", "4.0.0")
