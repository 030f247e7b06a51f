"""Placeholders: `{name}` in a text stands for a value; all other braces are text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

# What `{sweep.KEY}` may be
SWEEP_NAMES = tuple(
    f"sweep.{key}"
    for key in "name id task index count folder prefix config config_object result_object".split()  # noqa: SIM905
)
_FORM = r"((?:inputs\.|sweep\.)?[A-Za-z_][A-Za-z0-9_-]*)"
_PLACEHOLDER = re.compile(rf"\{{\{{{_FORM}\}}\}}|\{{{_FORM}\}}")


class _Unfilled(dict[str, str]):
    """Values by name; a name without one stands for its placeholder."""

    def __missing__(self, name: str) -> str:
        return f"{{{name}}}"


@dataclass(frozen=True)
class Template:
    """A text with placeholders, parsed once and filled often.

    Attributes:
        names: its placeholders' names, each once, in their order.
    """

    names: tuple[str, ...]
    # For the operator %, which fills a thousand texts in a millisecond
    _format: str

    @classmethod
    def parse(cls, text: str) -> Template:
        """Read a text: `{name}` is a placeholder, `{{name}}` the text `{name}`."""
        names: dict[str, None] = {}
        pieces, end = [], 0
        for match in _PLACEHOLDER.finditer(text):
            literal, name = match.groups()
            pieces.append(text[end : match.start()].replace("%", "%%"))
            pieces.append(f"{{{literal}}}" if literal else f"%({name})s")
            if name:
                names[name] = None
            end = match.end()
        pieces.append(text[end:].replace("%", "%%"))
        return cls(tuple(names), "".join(pieces))

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text with values in place of placeholders; those without a value stay."""
        try:
            return self._format % values
        except KeyError:
            return self._format % _Unfilled(values)
