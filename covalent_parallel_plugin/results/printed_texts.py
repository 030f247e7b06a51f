"""What an electron that has ended printed, as the texts it is made of, and what of each was not shown yet; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ..electron.output_sections import split_sections

# So much of what was shown last is looked for in the text that has all of it
TAIL_CHARACTERS = 4096
# Texts that begin otherwise are others
HEAD_CHARACTERS = 256
# `runner.outcome_report` and `electron.map.output` leave out the middle of a long text
_LEFT_OUT = re.compile(r"^\.\.\. ([0-9]{1,15}) bytes left out \.\.\.$", re.MULTILINE)
# `electron.map.output.totals`
_TOTALS = re.compile(r"^(?:[0-9]+ )?items: .*; [0-9]+ tasks?(?: in [0-9]+ jobs)?\n\Z", re.MULTILINE)
# `electron.map.output` on items of which there are too many
_LEFT_OUT_ITEMS = re.compile(r"^--- the output of ([0-9]{1,8}) items is left out ---$", re.MULTILINE)
_ITEM = re.compile(r"item ([0-9]{1,8})")
_ATTEMPT = re.compile(r"attempt ([0-9]{1,4})(?:, which was run again)?")
_EARLIER = re.compile(r"--- attempt [0-9]{1,4}, which was run again(?: \([0-9]{1,15} characters\))? ---\n")
_TASK = re.compile(r"task ([0-9]{1,6})(?:,.*)?")


class PrintedText(NamedTuple):
    """One of the texts that an electron's stream is made of.

    Attributes:
        title: who printed it, where it was no item and no attempt, such as "tasks 0-3".
        item, attempt, task: where it is of one.
    """

    text: str
    title: str = ""
    item: int | None = None
    attempt: int | None = None
    task: int | None = None


def texts_of_map(text: str, has_totals: bool = True) -> Iterator[PrintedText]:
    """The texts in a stream of a map: under each title its own, and at last what is reported of the map.

    `has_totals` says that it is stdout, which alone ends with a line of totals.
    """
    totals = _TOTALS.search(text) if has_totals else None
    end = len(text) if totals is None else totals.start()
    for title, printed in split_sections(text[:end]):
        item, task = _ITEM.fullmatch(title), _TASK.fullmatch(title)
        if item is not None:
            yield PrintedText(printed, item=int(item[1]))
        else:
            yield PrintedText(printed, title.partition(", ")[0], task=int(task[1]) if task is not None else None)
    if totals is not None:
        yield PrintedText(totals[0])


def texts_of_electron(text: str) -> Iterator[PrintedText]:
    """The texts in a stream of an electron that is no map: one, or one for each attempt."""
    if _EARLIER.match(text) is None:
        yield PrintedText(text)
        return
    for title, printed in split_sections(text):
        attempt = _ATTEMPT.fullmatch(title)
        yield PrintedText(printed, "" if attempt else title, attempt=int(attempt[1]) if attempt else None)


def left_out_items(text: str) -> int:
    """How many items of a map have output that is too long to be in its stream."""
    if _LEFT_OUT_ITEMS.search(text) is None:
        return 0
    # An item may print such a line, too.
    found = (_LEFT_OUT_ITEMS.fullmatch(f"--- {title} ---") for title, _ in split_sections(text))
    return sum(int(note[1]) for note in found if note)


def items_in_totals(text: str) -> int | None:
    """How many items a map has, by the last line of its stdout."""
    totals = _TOTALS.search(text)
    count = totals[0].partition(" ")[0] if totals else ""
    return int(count) if count.isdecimal() else None


@dataclass
class ShownText:
    """What was shown of a text: how many characters, the first and the last of them.

    Attributes:
        origin: what distinguishes the attempt that printed it from others.
    """

    origin: object = None
    characters: int = 0
    head: str = ""
    tail: str = ""

    def add(self, text: str) -> None:
        """Note what was shown."""
        self.characters += len(text)
        self.head += text[: HEAD_CHARACTERS - len(self.head)]
        self.tail = (self.tail + text)[-TAIL_CHARACTERS:]

    def skip(self, size: int) -> None:
        """Note that so many bytes were not shown."""
        self.characters += size

    def rest_of(self, text: str) -> str:
        """What of the whole text was not shown yet; all of it where this is another text."""
        if not self.tail:
            return text
        end = self.characters
        is_in_place = text[max(end - len(self.tail), 0) : end] == self.tail
        rest = text[end:] if is_in_place else self._rest_after_gap(text)
        # The line end that it gets under a title
        return "" if rest == "\n" and not self.tail.endswith("\n") else rest

    def _rest_after_gap(self, text: str) -> str:
        """The rest where the middle was left out, of the text or of what was shown: the tail says where it begins."""
        if not text.startswith(self.head):
            return text
        marks = list(_LEFT_OUT.finditer(text))
        expected = self.characters - sum(int(found[1]) for found in marks)
        places = [found.end() for found in re.finditer(re.escape(self.tail), text)]
        if places:
            return text[min(places, key=lambda place: abs(place - expected)) :]
        # What was shown last is in the middle that was left out.
        return text[marks[0].start() :] if marks else text
