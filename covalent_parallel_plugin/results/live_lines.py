"""Lines of a stream that comes in parts: each one once, in order, whatever way it was cut into parts; pure."""

from __future__ import annotations

import codecs
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ..protocol.live_part import LiveStream

LONGEST_LINE_BYTES = 1024 * 1024
_DECODER = codecs.getincrementaldecoder("utf-8")
# An item, and the offsets in the stream between which it printed
Span = tuple[int, int, int]


class PrintedLine(NamedTuple):
    """A line without its end.

    Attributes:
        seconds: when its first byte was read, since 1970; None if that is not known.
        item: the item of a map that printed it; None outside the items.
        is_whole: whether its end came too.
    """

    text: str
    seconds: float | None = None
    item: int | None = None
    is_whole: bool = True

    @property
    def shown(self) -> str:
        """What it is in the stream."""
        return f"{self.text}\n" if self.is_whole else self.text


class SkippedBytes(NamedTuple):
    """So many bytes are in no part."""

    size: int


class LineAssembler:
    """Makes lines of one stream of one attempt.

    What the stream printed for an item is a text of its own: where another item begins, a line is cut.

    Args:
        position: the offset at which it begins; what lies before is not missed.
        longest_bytes: a line that continues beyond this is given in pieces.
    """

    def __init__(self, position: int = 0, longest_bytes: int = LONGEST_LINE_BYTES):
        self.position = position
        self._longest = longest_bytes
        self._held = bytearray()
        self._item: int | None = None
        self._line_seconds: float | None = None
        self._seconds: float | None = None

    def add(self, part: LiveStream, spans: Sequence[Span] = ()) -> Iterator[PrintedLine | SkippedBytes]:
        """Take the next part, and give the lines that are whole with it.

        What came before is passed over; a gap is reported.
        """
        if part.end <= self.position:
            return
        if part.start > self.position:
            yield from self.finish()
            yield SkippedBytes(part.start - self.position)
            self.position = part.start
        for item, start, end in _segments(spans, self.position, part.end):
            if item != self._item:
                yield from self.finish()
                self._item = item
            yield from self._take(part, start, end)
        self.position = part.end

    def finish(self) -> Iterator[PrintedLine]:
        """Give what is there of a line that is not whole."""
        if self._held:
            yield self._line(len(self._held), is_whole=False)

    def _take(self, part: LiveStream, start: int, end: int) -> Iterator[PrintedLine]:
        """Take what lies between two offsets, all of it of one item."""
        offsets = [offset for offset, _ in part.times]
        while start < end:
            known = bisect_right(offsets, start)
            self._seconds = part.times[known - 1][1] if known else self._seconds
            if not self._held:
                self._line_seconds = self._seconds
            room = start + max(self._longest - len(self._held), 1)
            line_end = part.data.find(b"\n", start - part.start, min(end, room) - part.start)
            stop = part.start + line_end + 1 if line_end >= 0 else min(end, room)
            self._held += part.data[start - part.start : stop - part.start]
            start = stop
            if line_end >= 0:
                yield self._line(len(self._held) - 1, is_whole=True)
            elif len(self._held) >= self._longest:
                yield self._line(len(self._held), is_whole=False, goes_on=True)

    def _line(self, size: int, is_whole: bool, goes_on: bool = False) -> PrintedLine:
        """Give so many of the bytes that are held; of a line that continues without a character that is not whole."""
        decoder = _DECODER("replace")
        text = decoder.decode(bytes(self._held[:size]), final=not goes_on)
        self._held[:] = decoder.getstate()[0]
        return PrintedLine(text, self._line_seconds, self._item, is_whole)


def _segments(spans: Iterable[Span], start: int, end: int) -> Iterator[tuple[int | None, int, int]]:
    """Cut a stretch at the items' borders: item (None outside all), start and end of each piece, none empty."""
    for item, first, last in sorted(spans, key=lambda span: span[1]):
        first, last = max(first, start), min(last, end)
        if first >= last:
            continue
        if first > start:
            yield None, start, first
        yield item, first, last
        start = last
    if start < end:
        yield None, start, end


def text_lines(text: str, item: int | None = None) -> Iterator[PrintedLine]:
    """Lines of a text that is there whole."""
    *whole, rest = text.split("\n")
    for line in whole:
        yield PrintedLine(line, item=item)
    if rest:
        yield PrintedLine(rest, item=item, is_whole=False)
