"""How suggestions name electrons, times of machines and options."""

from __future__ import annotations

from collections.abc import Sequence

from ..charts.words import duration, hours
from ..model import SWEEP, Electron

# What stands at the top of a sweep's file, and not in its resources
TOP_OF_SWEEPS = frozenset({"retries", "max_parallel", "tasks_per_machine"})


def machine_hours(seconds: float) -> str:
    """Write a time of machines: in hours, or shorter ones as they are."""
    return f"{hours(seconds)} machine-hours" if seconds >= 360 else f"{duration(seconds)} of machines"


def title_of(electrons: Sequence[Electron]) -> str:
    """Name electrons of one name."""
    first = electrons[0]
    return first.title if len(electrons) == 1 else f"{first.name} ({len(electrons)} electrons)"


def titles(electrons: Sequence[Electron], most: int = 3) -> str:
    """List electrons by their titles, a few of them."""
    named = [electron.title for electron in electrons[:most]]
    more = len(electrons) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def options(electron: Electron, **values: object) -> str:
    """Write options as they are typed: for an executor, or in a sweep's file."""
    if electron.kind == SWEEP:
        lines = [f"{name}: {_yaml(value)}" for name, value in values.items() if name in TOP_OF_SWEEPS]
        inner = ", ".join(f"{name}: {_yaml(value)}" for name, value in values.items() if name not in TOP_OF_SWEEPS)
        return "\n".join([*([f"resources: {{{inner}}}"] if inner else ()), *lines])
    return ", ".join(f"{name}={_python(value)}" for name, value in values.items())


def _python(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_python, value))}]"
    return str(value)


def _yaml(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_yaml, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
