"""remembered.py: what was made of plain values is made once."""

from __future__ import annotations

import pytest

from covalent_parallel_plugin.remembered import MOST, Remembered, words_of


def test_equal_values_share_what_was_made_of_them() -> None:
    made: Remembered[object] = Remembered()
    first = made.of({"zones": ["a"], "spot": True}, object)
    assert made.of({"zones": ["a"], "spot": True}, object) is first


@pytest.mark.parametrize("other", [{"vcpus": 1.0}, {"vcpus": True}, {"vcpus": "1"}, {"vcpus": [1]}, {}])
def test_values_of_other_types_share_nothing(other: object) -> None:
    made: Remembered[object] = Remembered()
    assert made.of({"vcpus": 1}, object) is not made.of(other, object)


class Lying:
    """Says that it is the number 1."""

    def __repr__(self) -> str:
        return "1"


class Text(str):
    """Has more to it than its characters."""


def test_what_is_no_plain_value_is_made_anew() -> None:
    made: Remembered[object] = Remembered()
    for value in (Lying(), Text("a"), [Lying()], {"a": (Lying(),)}):
        assert words_of(value) is None
        assert made.of(value, object) is not made.of(value, object)


def test_values_that_cannot_be_written_down_are_no_mistake() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    endless: list[object] = []
    endless.append(endless)
    assert [words_of(value) for value in (deep, endless, 10**5000)] == [None, None, None]


def test_an_error_is_raised_each_time() -> None:
    made: Remembered[object] = Remembered()

    def refuse() -> object:
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            made.of(1, refuse)


def test_only_so_many_are_kept() -> None:
    made: Remembered[object] = Remembered()
    first = made.of(0, object)
    for number in range(1, MOST + 1):
        made.of(number, object)
    assert made.of(0, object) is not first
