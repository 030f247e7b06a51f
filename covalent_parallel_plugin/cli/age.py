"""Lengths of time on the command line, read and shown."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    _SecondsType = click.ParamType[float]
else:
    # Only newer releases of click let the class be subscripted
    _SecondsType = click.ParamType

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Age(_SecondsType):
    """A length of time such as 90s, 15m, 24h or 7d, in seconds."""

    name = "age"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the text; fails with the forms that are understood."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", str(value))
        if match is None:
            self.fail(f"{value!r} is not a length of time: use a form such as 90s, 15m, 24h or 7d", param, ctx)
        return float(match[1]) * UNITS[match[2]]


def age_of(seconds: float) -> str:
    """An age in its two largest units, such as "2 d 3 h"."""
    left, parts = max(int(seconds), 0), []
    for unit, size in reversed(UNITS.items()):
        count, left = divmod(left, size)
        parts.append(f"{count} {unit}")
    first = next((number for number, part in enumerate(parts) if not part.startswith("0 ")), len(parts) - 1)
    return " ".join(parts[first : first + 2])
