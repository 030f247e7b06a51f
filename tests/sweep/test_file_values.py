"""Values as written and typed, and ranges in decimal arithmetic."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.programs.core_schema import core_value
from covalent_parallel_plugin.sweep.values import decimal_range, spaced_values

# https://yaml.org/spec/1.2.2/#1032-tag-resolution, and what YAML 1.1 reads otherwise
CORE = [
    ("", None),
    ("~", None),
    ("null", None),
    ("Null", None),
    ("NULL", None),
    ("nUll", "nUll"),
    ("true", True),
    ("True", True),
    ("TRUE", True),
    ("false", False),
    ("False", False),
    ("FALSE", False),
    ("tRue", "tRue"),
    ("on", "on"),
    ("yes", "yes"),
    ("no", "no"),
    ("Off", "Off"),
    ("y", "y"),
    ("0", 0),
    ("-0", 0),
    ("12", 12),
    ("+12", 12),
    ("-19", -19),
    ("007", 7),
    ("012", 12),
    ("08", 8),
    ("0o14", 12),
    ("0o8", "0o8"),
    ("0xC", 12),
    ("0xg", "0xg"),
    ("-0x1", "-0x1"),
    ("0b11", "0b11"),
    ("1_000", "1_000"),
    ("1:30", "1:30"),
    ("2001-01-01", "2001-01-01"),
    ("1e-3", 0.001),
    ("1E5", 100000.0),
    ("1e5", 100000.0),
    ("1.", 1.0),
    (".5", 0.5),
    ("-.5", -0.5),
    ("+1.5e+2", 150.0),
    (".", "."),
    ("-", "-"),
    ("1e", "1e"),
    ("1.2.3", "1.2.3"),
    (".inf", math.inf),
    ("-.Inf", -math.inf),
    ("+.INF", math.inf),
    ("inf", "inf"),
    ("nan", "nan"),
    ("٣", "٣"),
    ("1" * 5000, "1" * 5000),
]


@pytest.mark.parametrize(("text", "data"), CORE)
def test_a_plain_scalar_is_typed_by_the_core_schema(text: str, data: object) -> None:
    value = core_value(text)
    assert (value.text, value.data, type(value.data)) == (text, data, type(data))


def test_not_a_number_is_a_float() -> None:
    assert all(math.isnan(core_value(text).data) for text in (".nan", ".NaN", ".NAN"))  # type: ignore[arg-type]


def test_what_stands_in_quotes_is_text() -> None:
    assert [core_value(text, is_plain=False).data for text in ("7", "true", "")] == ["7", "true", ""]


def texts(start: str, stop: str, step: str = "1") -> list[str]:
    numbers = decimal_range(core_value(start), core_value(stop), core_value(step))
    values = numbers.values()
    assert len(values) == numbers.count
    return [value.text for value in values]


RANGES = [
    (("1", "4"), ["1", "2", "3"]),
    (("0.1", "0.4", "0.1"), ["0.1", "0.2", "0.3"]),
    (("0", "1", "0.25"), ["0", "0.25", "0.5", "0.75"]),
    (("0", "0.3", "0.1"), ["0", "0.1", "0.2"]),
    (("5", "2", "-1"), ["5", "4", "3"]),
    (("-1", "1", "0.5"), ["-1", "-0.5", "0", "0.5"]),
    (("1.0", "3.0", "1.0"), ["1", "2"]),
    (("1e-12", "4e-12", "1e-12"), ["1e-12", "2e-12", "3e-12"]),
    (("0", "1e20", "5e19"), ["0", "5e+19"]),
    (("0x10", "0x12"), ["16", "17"]),
    (("08", "11"), ["8", "9", "10"]),
    (("100", "301", "100"), ["100", "200", "300"]),
    (("0.00001", "0.00003", "0.00001"), ["1e-5", "2e-5"]),
]


@pytest.mark.parametrize(("numbers", "expected"), RANGES)
def test_a_range_counts_in_decimal_arithmetic(numbers: tuple[str, ...], expected: list[str]) -> None:
    assert texts(*numbers) == expected


def test_a_range_of_integers_has_integers_and_any_other_floats() -> None:
    integers = decimal_range(core_value("1"), core_value("3"), core_value("1")).values()
    floats = decimal_range(core_value("1"), core_value("3"), core_value("0.5")).values()
    assert [value.data for value in integers] == [1, 2]
    assert [value.data for value in floats] == [1.0, 1.5, 2.0, 2.5]
    assert all(type(value.data) is float for value in floats)


@given(
    st.decimals(-1000, 1000, places=3), st.integers(1, 200), st.decimals(Decimal("0.001"), 100, places=3), st.booleans()
)
def test_a_range_holds_what_exact_arithmetic_gives(start: Decimal, count: int, step: Decimal, falls: bool) -> None:
    step = -step if falls else step
    found = texts(f"{start:f}", f"{start + step * count:f}", f"{step:f}")
    assert [Decimal(text) for text in found] == [start + step * number for number in range(count)]
    assert all(len(text) <= 11 for text in found)


def test_a_range_is_counted_before_it_is_made() -> None:
    assert decimal_range(core_value("0"), core_value("1e300"), core_value("1")).count == 10**300


SPACED = [
    (("0", "1", 5, "linear"), ["0", "0.25", "0.5", "0.75", "1"]),
    (("1", "10", 10, "linear"), [str(number) for number in range(1, 11)]),
    (("0", "1", 4, "linear"), ["0", "0.333333333333333", "0.666666666666667", "1"]),
    (("1e-4", "1e-1", 4, "log"), ["0.0001", "0.001", "0.01", "0.1"]),
    (("1", "1000", 4, "log"), ["1", "10", "100", "1000"]),
    (("8", "1", 4, "log"), ["8", "4", "2", "1"]),
    (("3", "1", 2, "linear"), ["3", "1"]),
]


@pytest.mark.parametrize(("given", "expected"), SPACED)
def test_spaced_values_include_both_ends_without_noise(given: tuple[str, str, int, str], expected: list[str]) -> None:
    start, stop, count, scale = given
    values = spaced_values(core_value(start), core_value(stop), count, scale)  # type: ignore[arg-type]
    assert [value.text for value in values] == expected


def test_spaced_values_are_integers_only_where_all_of_them_are() -> None:
    whole = spaced_values(core_value("1"), core_value("3"), 3, "linear")
    halves = spaced_values(core_value("1"), core_value("2"), 3, "linear")
    assert [value.data for value in whole] == [1, 2, 3]
    assert [(value.data, type(value.data)) for value in halves] == [(1.0, float), (1.5, float), (2.0, float)]
