"""Values of parameters: as written, and typed by YAML 1.2's core schema; ranges in decimal arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

Plain = str | int | float | bool | None


@dataclass(frozen=True)
class Value:
    """A value.

    Attributes:
        text: as written, for commands, names, variables and templates.
        data: typed, for configuration files, JSON and the table.
    """

    text: str
    data: Plain
