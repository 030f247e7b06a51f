"""Lines of a stream that comes in parts: whatever way it is cut, each line comes once and in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.protocol.live_part import LiveStream
from covalent_parallel_plugin.results.live_lines import LineAssembler, PrintedLine, SkippedBytes, Span, text_lines

STREAMS = st.lists(st.sampled_from([b"a", b"\n", b"\xc3\xa9", b"\xff", b"\r", b"\x1b[1m", b"--- item 1 ---\n"])).map(
    b"".join
)


@st.composite
def cut_streams(draw: st.DrawFn) -> tuple[bytes, list[LiveStream]]:
    """A stream, and parts of it, with a time for each byte that is its offset."""
    data = draw(STREAMS)
    cuts = sorted({0, len(data), *draw(st.lists(st.integers(0, len(data)), max_size=6))})
    return data, [part(data, start, end) for start, end in pairwise(cuts)]


def part(data: bytes, start: int, end: int) -> LiveStream:
    return LiveStream(start, data[start:end], tuple((offset, float(offset)) for offset in range(start, end)))


def assembled(parts: Iterable[LiveStream], spans: Sequence[Span] = ()) -> list[PrintedLine | SkippedBytes]:
    lines = LineAssembler()
    found = [line for part in parts for line in lines.add(part, spans)]
    return [*found, *lines.finish()]


@given(cut_streams())
def test_a_stream_is_the_same_lines_whatever_way_it_is_cut(cut: tuple[bytes, list[LiveStream]]) -> None:
    data, parts = cut
    found = assembled(parts)
    assert found == assembled([part(data, 0, len(data))])
    text = "".join(line.shown for line in found if isinstance(line, PrintedLine))
    assert text == data.decode("utf-8", "replace")


@given(cut_streams())
def test_a_line_has_the_time_of_its_first_byte(cut: tuple[bytes, list[LiveStream]]) -> None:
    data, parts = cut
    starts = [0, *(offset + 1 for offset, byte in enumerate(data) if byte == ord("\n"))]
    found = [line.seconds for line in assembled(parts) if isinstance(line, PrintedLine)]
    assert found == [float(start) for start in starts if start < len(data)]


@given(cut_streams(), st.data())
def test_a_part_that_comes_again_changes_nothing(cut: tuple[bytes, list[LiveStream]], drawn: st.DataObject) -> None:
    _, parts = cut
    again = [copy for each in parts for copy in [each] * drawn.draw(st.integers(1, 2))]
    assert assembled(again) == assembled(parts)


@given(cut_streams(), st.lists(st.integers(0, 40), min_size=2, max_size=8))
def test_each_item_has_exactly_its_own_text(cut: tuple[bytes, list[LiveStream]], borders: list[int]) -> None:
    data, parts = cut
    edges = sorted({min(border, len(data)) for border in borders})
    spans = [(number, start, end) for number, (start, end) in enumerate(pairwise(edges)) if number % 3]
    found = [line for line in assembled(parts, spans) if isinstance(line, PrintedLine)]
    for item, start, end in spans:
        text = "".join(line.shown for line in found if line.item == item)
        assert text == data[start:end].decode("utf-8", "replace")


def test_bytes_that_are_in_no_part_are_told_and_the_line_before_them_is_given() -> None:
    found = assembled([LiveStream(0, b"first\nhalf"), LiveStream(110, b" a line\nlast\n")])
    assert found == [
        PrintedLine("first"), PrintedLine("half", is_whole=False), SkippedBytes(100), PrintedLine(" a line"),
        PrintedLine("last"),
    ]  # fmt: skip


def test_a_line_has_the_last_time_that_is_known() -> None:
    found = assembled([LiveStream(0, b"a\nb\n", ((2, 20.0),)), LiveStream(4, b"c\n")])
    assert [line.seconds for line in found if isinstance(line, PrintedLine)] == [None, 20.0, 20.0]


@pytest.mark.parametrize(("size", "pieces"), [(3, [3]), (7, [4, 3]), (8, [4, 4]), (9, [4, 4, 1])])
def test_a_line_without_an_end_comes_in_pieces(size: int, pieces: list[int]) -> None:
    data = b"x" * size
    for cut in range(size):
        lines = LineAssembler(longest_bytes=4)
        found = [*lines.add(LiveStream(0, data[:cut])), *lines.add(LiveStream(cut, data[cut:])), *lines.finish()]
        assert [len(line.text) for line in found if isinstance(line, PrintedLine)] == pieces


@given(
    st.lists(st.sampled_from([b"a", "é".encode(), "😀".encode(), b"\xff", b"\xe2\x82"])).map(b"".join),
    st.integers(1, 9),
)
def test_a_line_that_comes_in_pieces_is_cut_between_characters(data: bytes, longest: int) -> None:
    assembler = LineAssembler(longest_bytes=longest)
    pieces = [*assembler.add(LiveStream(0, data)), *assembler.finish()]
    assert "".join(piece.text for piece in pieces if isinstance(piece, PrintedLine)) == data.decode("utf-8", "replace")


def test_a_stream_that_is_taken_up_later_misses_nothing() -> None:
    assert list(LineAssembler(100).add(LiveStream(100, b"a\n"))) == [PrintedLine("a")]


def test_a_text_is_lines() -> None:
    assert list(text_lines("a\n\nb", 3)) == [
        PrintedLine("a", item=3), PrintedLine("", item=3), PrintedLine("b", item=3, is_whole=False)
    ]  # fmt: skip
