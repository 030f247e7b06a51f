"""Rules for amounts that people write with a unit: "2GB" of memory, a limit of "1h30m"; plain numbers as they are."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Callable, Mapping
from datetime import timedelta

from .validators import Rule, as_python, number, truth, whole_number

# Compute Engine means GiB where it writes GB: n2-standard-4 has "16 GB" and 16,384 MiB
# (https://cloud.google.com/compute/docs/general-purpose-machines)
_MEBIBYTES: Mapping[str, float] = {"k": 1 / 1024, "m": 1, "g": 1024, "t": 1024**2}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([kmgt])i?b?", re.IGNORECASE)

_SECONDS: Mapping[str, float] = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}
_UNITS: Mapping[str, str] = {
    **{unit: unit for unit in _SECONDS},
    **dict.fromkeys(("sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("day", "days"), "d"),
    **dict.fromkeys(("week", "weeks"), "w"),
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([a-z]+)[\s,]*", re.IGNORECASE)
# With days before a dash, as Slurm has them
_CLOCK = re.compile(r"(?:([0-9]+)-)?([0-9]+):([0-5]?[0-9]):([0-5]?[0-9])")
_AMOUNT = r"[0-9]+(?:[.][0-9]+)?"
# https://www.iso.org/iso-8601-date-and-time-format.html: without months and years, which have no length
_ISO = re.compile(rf"P(?=.)((?:{_AMOUNT}[WD])*)(?:T((?:{_AMOUNT}[HMS])+))?", re.IGNORECASE)


def seconds(above: float, most: float) -> Rule:
    """A rule for times greater than `above` and at most `most` seconds."""
    plain = number(above, most)

    def rule(value: object) -> float:
        value = as_python(value)
        if isinstance(value, timedelta):
            value = value.total_seconds()
        elif isinstance(value, str) and not _is_plain(value):
            value = _signed(value, _read_seconds)
        result: float = plain(value)
        return result

    rule.__doc__ = f"{plain.__doc__} Also with units, such as '90s', '30m' or '1h30m'."
    return rule


def truth_or_seconds(above: float, most: float) -> Rule:
    """A rule for True, False, and times greater than `above` and at most `most` seconds."""
    time = seconds(above, most)

    def rule(value: object) -> bool | float:
        with contextlib.suppress(ValueError):
            return truth(value)
        try:
            result: float = time(value)
        except ValueError as error:
            raise ValueError(f"{error}; or True or False") from None
        return result

    rule.__doc__ = f"True, False, or a time. {time.__doc__}"
    return rule


def size(unit: str, least: int, most: int | None = None) -> Rule:
    """A rule for whole sizes from `least` to `most`, in `unit`, which is MB or GB (of 1024 MB); fractions round up."""
    plain = whole_number(least, most)

    def rule(value: object) -> int:
        if isinstance(value, str) and not _is_plain(value):
            mebibytes = _signed(value, lambda text: _read_mebibytes(text, unit))
            value = math.ceil(mebibytes / _MEBIBYTES[unit[0].lower()])
        result: int = plain(value)
        return result

    rule.__doc__ = f"{plain.__doc__} Also with a unit, such as '{'2GB' if unit == 'MB' else '1TB'}' (of 1024)."
    return rule


def _signed(text: str, read: Callable[[str], float]) -> float:
    """What is read, negative after a minus: that is out of range, and says so."""
    plain = text.strip()
    return -read(plain[1:]) if plain.startswith("-") else read(plain)


def _is_plain(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_mebibytes(text: str, unit: str) -> float:
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f"is neither a number nor a size: write digits, such as 2 for 2 {unit}, or a unit, such as '2GB'"
        )
    return float(found[1]) * _MEBIBYTES[found[2].lower()]


def _read_seconds(text: str) -> float:
    if clock := _CLOCK.fullmatch(text.strip()):
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if iso := _ISO.fullmatch(text.strip()):
        text = iso[1] + (iso[2] or "")
    parts = list(_PART.finditer(text.strip()))
    units = [_UNITS.get(part[2].lower()) for part in parts]
    if not parts or None in units or "".join(part[0] for part in parts) != text.strip():
        raise ValueError("is neither a number nor a time: write digits for seconds, or units, such as '90s' or '1h30m'")
    return sum(float(part[1]) * _SECONDS[unit] for part, unit in zip(parts, units, strict=True) if unit)
