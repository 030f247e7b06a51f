"""What is wrong with a sweep's file: every mistake with its line and column, all of them in one error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import ParallelError


@dataclass(frozen=True, order=True)
class Location:
    """A place in a file: line and column, both from 1 on."""

    line: int
    column: int

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


class SweepFileError(ParallelError):
    """The mistakes of a sweep's file, each on a line of its own: `sweep.yaml:7:15: …`."""

    def __init__(self, file: str, mistakes: Iterable[Mistake]):
        self.file = file
        # In the file's order, those without a place last; the same one once
        unique = dict.fromkeys(mistakes)
        self.mistakes = tuple(
            sorted(unique, key=lambda mistake: (mistake.location is None, mistake.location or Location(0, 0)))
        )
        super().__init__("\n".join(self._line(mistake) for mistake in self.mistakes))

    def _line(self, mistake: Mistake) -> str:
        place = f"{self.file}:{mistake.location}" if mistake.location is not None else self.file
        return f"{place}: {mistake.text}"

    def __reduce__(self) -> tuple[type[SweepFileError], tuple[str, tuple[Mistake, ...]]]:
        return type(self), (self.file, self.mistakes)
