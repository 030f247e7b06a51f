"""Change values of the executor's section in the text of Covalent's configuration file; all other text stays."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from .options import SECTION

_HEADER = re.compile(r"\s*\[")
_OWN_HEADER = re.compile(rf"\s*\[\s*{re.escape(SECTION)}\s*\]\s*(#.*)?")


def with_values(text: str, values: Mapping[str, str | int | float]) -> str:
    """Return the text with these values in the section, which is added at the end if there is none.

    Each is in one line, as TOML has text and numbers. The caller checks the result: a value that continues in the next
    line, or a section in another form, is not recognised.
    """
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if _OWN_HEADER.fullmatch(line)]
    if not starts:
        separator = [""] if lines and lines[-1].strip() else []
        return _joined([*lines, *separator, f"[{SECTION}]", *_assignments(values)])
    start = starts[0] + 1
    end = next((number for number in range(start, len(lines)) if _HEADER.match(lines[number])), len(lines))
    missing = dict(values)
    for number in range(start, end):
        key = lines[number].partition("=")[0].strip().strip("\"'")
        if key in missing:
            lines[number] = _assignments({key: missing.pop(key)})[0]
    last = next((number for number in range(end, start, -1) if lines[number - 1].strip()), start)
    return _joined([*lines[:last], *_assignments(missing), *lines[last:]])


def _assignments(values: Mapping[str, str | int | float]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in values.items()]


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
