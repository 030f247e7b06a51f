"""A sweep's file, made of what Python gives: YAML for the one reader of such files, and rows as JSON lines."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import islice
from typing import Any

import yaml

from ..protocol.value_text import shortened
from .mistakes import Location, Mistake, SweepFileError
from .reading.parameter_rows import MAX_ROWS
from .reading.sweep_schema import NAME_LENGTH
from .reading.yaml_nodes import MAX_DEPTH

# Before the mistakes of a sweep that no file holds
TITLE = "Sweep"
STANDARD_INPUT = "-"
PLAIN = "text, a number, True, False or None"
MOST_MISTAKES = 20
# What concerns a file as a whole is said of its beginning
_ROOT = Location(1, 1)
# What an option of the command is called in Python
_OPTIONS = {"local": "local=True", "out": "out=", "only": "only=", "first": "first=", "keep-image": "keep_image=True"}
_OPTION = re.compile(rf"(?<![\w-])--({'|'.join(_OPTIONS)})\b(?!-)")


@dataclass(frozen=True)
class PythonFile:
    """The text of a sweep's file, and the line on which each of its keys begins, from 1 on."""

    data: bytes
    keys: Sequence[tuple[int, str]]

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> PythonFile:
        """Write fields of plain values, in their order."""
        keys, text = [], ""
        for key, value in fields.items():
            keys.append((text.count("\n") + 1, key))
            text += _yaml({key: value})
        return cls(text.encode("utf-8", "surrogatepass"), keys)

    def in_python(self, error: SweepFileError) -> SweepFileError:
        """Return the mistakes with what they are about in Python: an argument, or a row by its number."""
        return SweepFileError(TITLE, [self._mistake(mistake) for mistake in error.mistakes])

    def line_in_python(self, line: str, file: str) -> str:
        """Return a warning of this file, in which `file` is what it is called, with what it is about in Python."""
        found = re.match(rf"{re.escape(file)}:(?:(\d+):(\d+):)? ", line)
        if found is None:
            return options_in_python(line)
        location = Location(int(found[1]), int(found[2])) if found[1] else None
        return f"{TITLE}: {self._mistake(Mistake(line[found.end() :], location)).text}"

    def _mistake(self, mistake: Mistake) -> Mistake:
        location, text = mistake.location, options_in_python(mistake.text)
        if location is None or not location.line:
            return replace(mistake, text=text)
        if location.file == STANDARD_INPUT:
            return Mistake(f"parameters[{location.line - 1}] {text}")
        if location.file:
            return replace(mistake, text=text)
        if location == _ROOT:
            return Mistake(text)
        place = bisect_right([line for line, _ in self.keys], location.line) - 1
        key = self.keys[max(place, 0)][1] if self.keys else ""
        is_named = not key or re.search(rf"\b{re.escape(key)}\b", text) is not None
        return Mistake(text if is_named else f"{key}: {text}")


def plain_fields(fields: Mapping[str, Any], mistakes: list[Mistake]) -> dict[str, Any]:
    """Return fields as YAML has them, without those that are None, and note values that no file holds."""
    return {key: _plain(value, key, mistakes) for key, value in fields.items() if value is not None}


def options_in_python(text: str) -> str:
    """Return a message in which options of the command are named as Python has them."""
    return _OPTION.sub(lambda found: _OPTIONS[found[1]], text)


def row_lines(
    rows: Iterable[Any], mistakes: list[Mistake], names: Sequence[str] = (), what: str = "parameters"
) -> tuple[list[str], list[str]]:
    """Return rows as JSON lines, and their names; note what is wrong with them.

    Args:
        rows: mappings with the same names.
        mistakes: gets what is wrong.
        names: that they have to have; those of the first row where there are none.
        what: gives them, for messages.
    """
    before = len(mistakes)
    lines: list[str] = []
    expected = list(names)
    for number, row in enumerate(islice(rows, MAX_ROWS + 1)):
        where = f"{what}[{number}]"
        if not isinstance(row, Mapping):
            text = f"{where} is {shortened(row)}: give a mapping of names and values, such as {{'x': 1}}"
            mistakes.append(Mistake(text))
        else:
            values = {str(name): _scalar(value, f"{where}: {name}", mistakes) for name, value in row.items()}
            expected = expected or list(values)
            mistakes += _name_mistakes(where, values, expected, f"{what}[0]")
            lines.append(json.dumps({name: values.get(name) for name in expected}, ensure_ascii=False))
        if len(mistakes) - before >= MOST_MISTAKES:
            break
    if len(lines) > MAX_ROWS:
        mistakes.append(Mistake(f"{what} gives more than {MAX_ROWS:,} rows: give fewer"))
    return lines, expected


def _name_mistakes(where: str, row: Mapping[str, Any], expected: Sequence[str], first: str) -> list[Mistake]:
    lacking = [name for name in expected if name not in row]
    more = [name for name in row if name not in expected]
    if not lacking and not more:
        return [] if row else [Mistake(f"{where} is empty: name a parameter and its value")]
    problems = [f"lacks {', '.join(lacking)}"] if lacking else []
    problems += [f"has {', '.join(more)} too"] if more else []
    remedy = f"give each row the names of {first}, and None for what one does not have"
    return [Mistake(f"{where} {' and '.join(problems)}: {remedy}")]


def default_name(image: str | None, command: Any) -> str:
    """Return a sweep's name: the image's last part without its tag, else the command's first word."""
    words = command.split() if isinstance(command, str) else [*command] if isinstance(command, Sequence) else []
    source = image or (str(words[0]) if words else "")
    last = source.partition("@")[0].rpartition("/")[2]
    if image:
        last = last.partition(":")[0]
    return re.sub(r"[^a-z0-9]+", "-", last.lower()).strip("-")[:NAME_LENGTH].rstrip("-") or "sweep"


def _plain(value: Any, where: str, mistakes: list[Mistake], depth: int = 0) -> Any:
    """Return a value as YAML has it, and note what is none."""
    if depth > MAX_DEPTH:
        mistakes.append(Mistake(f"{where} has more than {MAX_DEPTH} levels: write it flat"))
        return None
    if isinstance(value, Mapping):
        return {
            str(_scalar(name, f"a name in {where}", mistakes)): _plain(entry, f"{where}: {name}", mistakes, depth + 1)
            for name, entry in value.items()
        }
    if not isinstance(value, (str, bytes, os.PathLike)) and isinstance(value, Iterable) and not _is_number(value):
        return [_plain(entry, f"{where}[{number}]", mistakes, depth + 1) for number, entry in enumerate(value)]
    return _scalar(value, where, mistakes)


def _scalar(value: Any, where: str, mistakes: list[Mistake]) -> Any:
    if isinstance(value, Enum):
        value = value.value
    if _is_number(value):
        value = value.item()
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            # Also of a subclass, whose text may be another
            value = value if kind is bool else _built_in(kind, value)
            if problem := _unwritable(value):
                mistakes.append(Mistake(f"{where} {problem}"))
                return None
            return value
    if value is not None:
        mistakes.append(Mistake(f"{where} is {shortened(value)}, a {type(value).__name__}: give {PLAIN}"))
    return None


def _built_in(kind: type, value: Any) -> Any:
    return str.__str__(value) if kind is str else kind(value)


def _unwritable(value: Any) -> str:
    """Return why no file holds a value of these types, or ""."""
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return f"is {shortened(value)}, which is not text in UTF-8: leave out what cannot be encoded"
    except ValueError:
        return "has more digits than Python writes: give it as text"
    return ""


def _is_number(value: Any) -> bool:
    """Return whether a value is a single one of numpy's, which has neither length nor axes."""
    return getattr(value, "shape", None) == () and callable(getattr(value, "item", None))


class _Dumper(yaml.SafeDumper):
    """Writes text in quotes, so that it stays text, and numbers as Python does."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write each value where it belongs."""
        return True


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')


def _write_float(dumper: yaml.SafeDumper, number: float) -> yaml.ScalarNode:
    if not math.isfinite(number):
        return dumper.represent_float(number)
    # Not of YAML 1.1, to which 1e-05 is text
    return dumper.represent_scalar("tag:yaml.org,2002:float", repr(number))


_Dumper.add_representer(str, _write_text)
_Dumper.add_representer(float, _write_float)


def _yaml(value: Any) -> str:
    written: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=sys.maxsize)
    return written
