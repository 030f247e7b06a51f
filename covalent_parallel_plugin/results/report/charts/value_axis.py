"""The values of one column on an axis, in bins, and as text: numbers, linear or logarithmic, or categories."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

# Positive values that span more than two decades are on a logarithmic axis, but for a few that are very small
LOG_RATIO = 100.0
FEW = 0.05
# So many different numbers are shown each by itself
MOST_SINGLE = 12
NUMBER_BINS = 8
MOST_CATEGORIES = 20
_NO_PLACE = 0.5


def number(value: object) -> float | None:
    """Return a finite number; None for all else, also for true and false."""
    if type(value) is float:
        return value if math.isfinite(value) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # an integer above all floats
        return None


def mean(values: Sequence[float]) -> float:
    """Return the mean of at least one number, also of the largest ones."""
    return sum(value / len(values) for value in values)


def number_text(value: float) -> str:
    """Write a number with four digits."""
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.4g}"


def value_text(value: object, most: int = 0) -> str:
    """Write any value, in at most so many characters (0: all); "" for None."""
    found = number(value)
    if found is not None:
        text = number_text(found)
    elif value is None or isinstance(value, str):
        text = value or ""
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    return text if not most or len(text) <= most else text[: most - 1] + "…"


@dataclass(frozen=True, slots=True)
class ValueAxis:
    """Where values are from 0, the least, to 1; a category is at the place of its first value.

    Attributes:
        low, high: of the numbers; both 0 for categories.
        categories: text -> place; empty for numbers.
    """

    low: float = 0.0
    high: float = 0.0
    is_log: bool = False
    categories: dict[str, float] = field(default_factory=dict)
    distinct: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: Iterable[object]) -> ValueAxis:
        """Return the axis of a column; None is not a value."""
        present = [value for value in values if value is not None]
        numbers = [found for value in present if (found := number(value)) is not None]
        if numbers and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in present):
            distinct = tuple(sorted(set(numbers)))
            small = distinct[int(len(distinct) * FEW)]
            is_log = distinct[0] > 0 and distinct[-1] / LOG_RATIO > small
            return cls(distinct[0], distinct[-1], is_log, distinct=distinct)
        texts = dict.fromkeys(map(value_text, present))
        ordered = sorted(texts) if texts.keys() <= {"false", "true"} else list(texts)
        last = max(len(ordered) - 1, 1)
        return cls(categories={text: place / last for place, text in enumerate(ordered)})

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers."""
        return not self.categories

    @property
    def is_single(self) -> bool:
        """Whether there is at most one value."""
        return max(len(self.distinct), len(self.categories)) <= 1

    def place(self, value: object) -> float | None:
        """Return where a value is; None for what is none, and for no finite number among numbers."""
        if value is None:
            return None
        if self.categories:
            return self.categories.get(value_text(value)) if len(self.categories) > 1 else _NO_PLACE
        found = number(value)
        if found is None:
            return None
        low, high, found = self._scaled(self.low), self._scaled(self.high), self._scaled(found)
        # Halves: the difference of two floats may be infinite
        width = high / 2 - low / 2
        return (found / 2 - low / 2) / width if width else _NO_PLACE

    def ticks(self, least_gap: float = 0.06) -> list[tuple[float, str]]:
        """Return places and texts of ticks, none nearer to another one than the gap."""
        if self.categories:
            pairs = [(self.place(text), text) for text in self.categories]
        else:
            singles = self.distinct if len(self.distinct) <= MOST_SINGLE else self._round_numbers()
            pairs = [(self.place(each), number_text(each)) for each in (self.low, self.high, *singles) if self.distinct]
        shown: list[tuple[float, str]] = []
        for place, text in pairs:
            if place is not None and all(abs(place - other) >= least_gap for other, _ in shown):
                shown.append((place, text))
        return sorted(shown)

    def bins(self, values: Sequence[object]) -> Bins:
        """Put the values of its column into bins, those of categories in their order."""
        if self.categories:
            texts = list(self.categories)
            kept = texts if len(texts) <= MOST_CATEGORIES else texts[: MOST_CATEGORIES - 1]
            index = {text: min(place, len(kept)) for place, text in enumerate(texts)}
            others = () if kept is texts else (f"{len(texts) - len(kept)} others",)
            places = [None if value is None else index[value_text(value)] for value in values]
            return Bins((*kept, *others), places)
        numbers = [number(value) for value in values]
        if len(self.distinct) <= MOST_SINGLE:
            at = {value: place for place, value in enumerate(self.distinct)}
            return Bins(
                tuple(map(number_text, self.distinct)), [None if each is None else at[each] for each in numbers]
            )
        edges = [self.value_at(edge / NUMBER_BINS) for edge in range(NUMBER_BINS + 1)]
        labels = tuple(f"{low:.3g} – {high:.3g}" for low, high in pairwise(edges))
        found = [self.place(each) for each in numbers]
        return Bins(
            labels, [None if place is None else min(int(place * NUMBER_BINS), NUMBER_BINS - 1) for place in found]
        )

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.is_log else value

    def value_at(self, place: float) -> float:
        """Return the number at a place."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        value = low * (1 - place) + high * place
        return 10**value if self.is_log else value

    def _round_numbers(self) -> list[float]:
        if self.is_log:
            decades = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            step = -(-len(decades) // 6) or 1
            return [10.0**power for power in decades[::step]]
        rough = self.high / 5 - self.low / 5
        if not rough or not math.isfinite(rough):
            return []
        power = 10.0 ** math.floor(math.log10(rough))
        if not power:
            return []
        width = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.99)
        return [width * count for count in range(math.ceil(self.low / width), math.floor(self.high / width) + 1)]


@dataclass(frozen=True, slots=True)
class Bins:
    """The values of a column in bins: the bins' texts, and of each value its bin, None where there is no value."""

    texts: tuple[str, ...]
    places: Sequence[int | None]
