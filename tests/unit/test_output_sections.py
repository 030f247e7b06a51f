"""Sections of output: what is written under titles is read again as it was, whatever it looks like."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.electron.output_sections import Section, note, section, split_sections

# Lines that look like titles, or nearly, and other text
LINES = st.sampled_from(
    ["--- item 1 ---", "--- item 1 (3 characters) ---", "--- a ---", "---  ---", "--- ---", "--- b", "x", "", "\r", "é"]
)
ENDINGS = st.sampled_from(["\n", "\n", "\n\n", ""])
TEXTS = st.builds(
    lambda lines, end: "\n".join(lines) + end, st.lists(LINES, min_size=1, max_size=5), ENDINGS
) | st.text(max_size=20)


def written(text: str) -> str:
    """What is shown of a text: each ends with a line end."""
    return text if not text or text.endswith("\n") else f"{text}\n"


@given(st.lists(TEXTS, max_size=6))
def test_each_text_is_read_as_it_was_written(texts: list[str]) -> None:
    text = "".join(section(f"item {index}", printed) for index, printed in enumerate(texts))
    found = {title: written(printed) for title, printed in split_sections(text)}
    assert found == {f"item {index}": written(printed) for index, printed in enumerate(texts) if printed}


@given(TEXTS, TEXTS)
def test_what_follows_without_a_title_stands_apart(printed: str, told: str) -> None:
    text = section("item 0", printed, is_followed=True) + told
    (first, *rest) = split_sections(text) if text else [Section("item 0", "")]
    if printed:
        assert first == ("item 0", printed)
    else:
        rest = [first, *rest]
    if "---" not in told:
        assert "".join(section.text for section in rest) == told


@pytest.mark.parametrize("text", ["fine\n", "--- this is a comment\n", "a ---\n", "x --- item 1 ---\n", "--- 1 --- \n"])
def test_a_title_is_plain_where_no_line_of_the_text_looks_like_one(text: str) -> None:
    assert section("item 3", text) == f"--- item 3 ---\n{text}"


def test_a_title_says_the_length_of_a_text_that_has_a_title_in_it() -> None:
    text = "--- item 4 ---\nnot of item 4"
    assert section("item 3", text) == f"--- item 3 (28 characters) ---\n{text}\n"
    assert list(split_sections(section("item 3", text))) == [("item 3", text)]


def test_nothing_has_no_title() -> None:
    assert section("item 3", "") == ""
    assert list(split_sections("")) == []


def test_a_note_ends_a_section() -> None:
    text = section("item 3", "fine\n") + note("2 items are left out") + section("item 6", "too\n")
    assert list(split_sections(text)) == [("item 3", "fine\n"), ("2 items are left out", ""), ("item 6", "too\n")]


def test_a_length_beyond_the_end_is_no_mistake_of_the_readers() -> None:
    assert list(split_sections("--- item 3 (900 characters) ---\ncut")) == [("item 3", "cut")]
