"""Ranges of numbers, in decimal arithmetic, and values for messages."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext
from typing import Literal

from ..programs.core_schema import ParameterValue

# Arithmetic of ranges: all numbers that a float can hold, exact to far more digits than it has
_MOST_EXPONENT = 308
_ARITHMETIC = Context(prec=700)
_SPACING = Context(prec=50)
# What a value between two ends is rounded to; a float has 15 significant digits at least
_ROUNDED = Context(prec=15)


@dataclass(frozen=True)
class Range:
    """Numbers from `start` on in steps of `step`, `count` of them, counted before any is made."""

    start: Decimal
    step: Decimal
    count: int
    are_integers: bool

    def values(self) -> list[ParameterValue]:
        """Return the numbers."""
        with localcontext(_ARITHMETIC):
            return [_value(self.start + self.step * number, self.are_integers) for number in range(self.count)]


def decimal_range(start: ParameterValue, stop: ParameterValue, step: ParameterValue) -> Range:
    """Return the numbers from `start` to `stop`, which is excluded.

    Raises:
        ValueError: a number that is none, step 0, or no number in the range; the text names it and the remedy.
    """
    first, end, by = _decimal("start", start), _decimal("stop", stop), _decimal("step", step)
    if not by:
        raise ValueError(f"step = {step.text} never ends: use a step above or below 0")
    with localcontext(_ARITHMETIC):
        count = max(0, -int(((first - end) / by).to_integral_value("ROUND_FLOOR")))
    if not count:
        raise ValueError(
            f"start = {start.text}, stop = {stop.text} and step = {step.text} give 0 values (stop is left out):"
            f" use a stop {'above' if by > 0 else 'below'} start"
        )
    return Range(first, by, count, all(isinstance(value.data, int) for value in (start, stop, step)))


def spaced_values(
    start: ParameterValue, stop: ParameterValue, count: int, scale: Literal["linear", "log"]
) -> list[ParameterValue]:
    """Return `count` numbers from `start` to `stop`, both included, at equal distances or ratios.

    Raises:
        ValueError: a number that is none, or not above 0 where the scale is logarithmic.
    """
    first, last = _decimal("start", start), _decimal("stop", stop)
    if count < 2:
        raise ValueError(f"count = {count} is out of range: use 2 or more, since start and stop are both included")
    if scale == "log" and not (first > 0 and last > 0):
        raise ValueError(
            f"start = {start.text} and stop = {stop.text} have no logarithms: use numbers above 0, or scale: linear"
        )
    with localcontext(_SPACING):
        if scale == "log":
            ratio = (last / first) ** (Decimal(1) / (count - 1))
            between = [first]
            for _ in range(count - 2):
                between.append(between[-1] * ratio)
        else:
            between = [first + (last - first) * number / (count - 1) for number in range(count - 1)]
    numbers = [first, *(_ROUNDED.plus(number) for number in between[1:]), last]
    are_integers = all(isinstance(value.data, int) for value in (start, stop)) and all(
        number == number.to_integral_value() for number in numbers
    )
    return [_value(number, are_integers) for number in numbers]


def _decimal(name: str, value: ParameterValue) -> Decimal:
    """Return the number that was written; raises ValueError for anything else, and what no float can hold."""
    data = value.data
    if isinstance(data, bool) or not isinstance(data, (int, float)) or not math.isfinite(data):
        raise ValueError(f"{name} = {shown(value.text)} is not a number: write digits, such as 2, 0.5 or 1e-3")
    number = Decimal(data if isinstance(data, int) else value.text)
    if (number and abs(number.adjusted()) > _MOST_EXPONENT) or len(value.text) > _MOST_EXPONENT:
        raise ValueError(f"{name} = {shown(value.text)} is out of range: use a number between 1e-308 and 1e308")
    return number


def _value(number: Decimal, is_integer: bool) -> ParameterValue:
    text = _decimal_text(number)
    return ParameterValue(text, int(number) if is_integer else float(text))


def _decimal_text(number: Decimal) -> str:
    """Return the number without trailing zeros; with an exponent where Python writes a float with one."""
    if not number:
        return "0"
    if number == number.to_integral_value() and number.adjusted() < 16:
        return str(int(number))
    number = number.normalize(_ARITHMETIC)
    return f"{number:f}" if -5 < number.adjusted() < 16 else f"{number:e}"


def shown(value: object) -> str:
    """Return a value for a message: text as it was written, where it can be printed; cut where it is long."""
    is_simple = isinstance(value, str) and value.isprintable() and "'" not in value
    words = f"'{value}'" if is_simple else repr(value)
    return words if len(words) <= 100 else f"{words[:100]}..."
