"""What is wrong with a sweep's file: every mistake with its line and column, all of them in one error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import MistakeError


@dataclass(frozen=True, order=True)
class Location:
    """A place in a file: line and column, both from 1 on.

    `file` is empty for the sweep's own file; else another one, or an option of the command line, whose line is 0.
    """

    line: int
    column: int
    file: str = ""

    def __str__(self) -> str:
        return f"{self.line}:{self.column}"


@dataclass(frozen=True)
class Mistake:
    """One mistake: what is wrong and what to write instead; without a location it concerns the file as a whole."""

    text: str
    location: Location | None = None


@dataclass(frozen=True)
class LocatedText:
    """A text of the file, as written, and where."""

    text: str
    location: Location

    def __str__(self) -> str:
        return self.text


class SweepFileError(MistakeError):
    """The mistakes of a sweep's file, each on a line of its own: `sweep.yaml:7:15: …`."""

    def __init__(self, file: str, mistakes: Iterable[Mistake]):
        self.file = file
        # In the files' order, those without a place last; the same one once
        self.mistakes = tuple(sorted(dict.fromkeys(mistakes), key=_place))
        super().__init__("\n".join(mistake_line(file, mistake) for mistake in self.mistakes))

    def __reduce__(self) -> tuple[type[SweepFileError], tuple[str, tuple[Mistake, ...]]]:
        return type(self), (self.file, self.mistakes)


def mistake_line(file: str, mistake: Mistake) -> str:
    """Return what is said of a mistake, or of what is odd, in a file: its place and the text, in one line."""
    location = mistake.location
    if location is None:
        place = f"{file}: "
    elif not location.line:
        place = f"{file}: {location.file}: "
    else:
        place = f"{location.file or file}:{location}: "
    return _printable(place + mistake.text)


def _printable(line: str) -> str:
    """Return the line with what would steer a terminal, or is not UTF-8, written as Python escapes it."""
    return line if line.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in line)


def _place(mistake: Mistake) -> tuple[bool, str, int, int]:
    location = mistake.location or Location(0, 0)
    return mistake.location is None, location.file, location.line, location.column
