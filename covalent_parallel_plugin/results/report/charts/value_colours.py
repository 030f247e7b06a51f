"""The colours of a column's values: seven levels, each a CSS class with a colour in both themes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup, escape

from .value_axis import ValueAxis, number_text

LEVELS = 7


@dataclass(frozen=True, slots=True)
class ValueColours:
    """A colour for each number, from the least to the greatest."""

    axis: ValueAxis

    @classmethod
    def of(cls, values: Iterable[float]) -> ValueColours:
        """Return the colours of these numbers."""
        return cls(ValueAxis.of(values))

    def level(self, value: object) -> str:
        """Return the CSS class of a value: v0 to v6, or "none" for other values."""
        place = self.axis.place(value)
        return "none" if place is None else f"v{min(int(place * LEVELS), LEVELS - 1)}"

    def legend(self, name: str) -> Markup:
        """Return the colours with the numbers at their ends and in the middle."""
        if not self.axis.distinct:
            return Markup("")
        title = escape(name) + (Markup(" <span class='dim'>(logarithmic)</span>") if self.axis.is_log else "")
        if self.axis.is_single:
            swatch = Markup('<svg class="sw" viewBox="0 0 14 14" aria-hidden="true"><rect class="{}" {}/></svg>')
            return Markup('<p class="ramp">{} {}{}</p>').format(
                title, swatch.format(self.level(self.axis.low), Markup('width="14" height="14"')),
                f"{number_text(self.axis.low)} everywhere",
            )  # fmt: skip
        steps = Markup("").join(
            Markup('<rect class="v{}" x="{}" width="40" height="14"/>').format(level, level * 40)
            for level in range(LEVELS)
        )
        middle = number_text(self.axis.value_at(0.5))
        return Markup(
            '<p class="ramp">{} <span>{}</span> <svg viewBox="0 0 280 14" role="img" aria-label="{}">{}</svg>'
            " <span>{}</span></p>"
        ).format(
            title, number_text(self.axis.low),
            f"Colours from {number_text(self.axis.low)} over {middle} to {number_text(self.axis.high)}",
            steps, number_text(self.axis.high),
        )  # fmt: skip
