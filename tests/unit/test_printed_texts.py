"""What an electron printed, taken apart, and what of it was not shown yet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.electron.output_sections import note, section
from covalent_parallel_plugin.results.printed_texts import (
    PrintedText,
    ShownText,
    items_in_totals,
    left_out_items,
    texts_of_electron,
    texts_of_map,
)
from covalent_parallel_plugin.runner.outcome_report import KEPT_BYTES

TOTALS = "3 items: 2 returned, 1 raised; 2 tasks in 2 jobs\n"
TEXTS = st.lists(st.sampled_from(["a\n", "b\n", "a", "--- item 1 ---\n", TOTALS, "é"])).map("".join)


def shown(*texts: str) -> ShownText:
    found = ShownText()
    for text in texts:
        found.add(text)
    return found


@given(st.lists(TEXTS, max_size=4))
def test_each_item_of_a_map_has_its_own_text_and_the_totals_are_nobodys(printed: list[str]) -> None:
    text = "".join(section(f"item {index}", text) for index, text in enumerate(printed)) + TOTALS
    found = list(texts_of_map(text))
    assert found.pop() == PrintedText(TOTALS)
    assert [(each.item, each.text.rstrip("\n")) for each in found] == [
        (index, text.rstrip("\n")) for index, text in enumerate(printed) if text
    ]


def test_what_looks_like_totals_in_stderr_is_the_items_own() -> None:
    assert list(texts_of_map(section("item 1", TOTALS), has_totals=False)) == [PrintedText(TOTALS, item=1)]


def test_tasks_of_a_map_are_named_by_their_titles() -> None:
    text = section("tasks 0-2; task 1 of job 2, outside the items", "hook\n") + section(
        "task 3, outside the items", "x\n"
    )
    assert list(texts_of_map(text)) == [
        PrintedText("hook\n", "tasks 0-2; task 1 of job 2"), PrintedText("x\n", "task 3", task=3)
    ]  # fmt: skip


def test_what_is_told_of_a_map_after_its_items_stands_apart() -> None:
    text = section("item 2", "w\n", is_followed=True) + "The first one:\nTraceback\n"
    assert list(texts_of_map(text)) == [PrintedText("w\n", item=2), PrintedText("The first one:\nTraceback\n")]


def test_an_electron_has_one_text_whatever_it_looks_like() -> None:
    text = "--- attempt 0 ---\nall its own\n--- item 2 ---\n"
    assert list(texts_of_electron(text)) == [PrintedText(text)]


def test_an_electron_that_ran_again_has_a_text_for_each_attempt() -> None:
    first = "--- attempt 1 ---\nof the first\n"
    text = section("attempt 0, which was run again", first) + "--- attempt 1 ---\nof the second\n"
    assert list(texts_of_electron(text)) == [
        PrintedText(first, attempt=0), PrintedText("of the second\n", attempt=1)
    ]  # fmt: skip


def test_items_that_were_left_out_are_counted() -> None:
    text = section("item 0", "a\n") + note("the output of 12 items is left out") + section("item 13", "b\n")
    assert left_out_items(text) == 12
    assert left_out_items("nothing") == 0
    assert left_out_items(section("item 0", note("the output of 3 items is left out"))) == 0


@pytest.mark.parametrize(("text", "count"), [(TOTALS, 3), ("items: 0 returned; 1 task\n", None), ("7 items\n", None)])
def test_totals_say_how_many_items_there_are(text: str, count: int | None) -> None:
    assert items_in_totals(f"some text\n{text}") == count


@given(TEXTS, st.integers(0, 100))
def test_the_rest_follows_what_was_shown(text: str, cut: int) -> None:
    assert text[:cut] + shown(text[:cut]).rest_of(text) == text or text[cut:] == "\n"


def test_nothing_is_left_of_a_line_that_only_gets_its_end() -> None:
    assert shown("half").rest_of("half\n") == ""


def test_another_text_is_shown_whole() -> None:
    assert shown("first attempt\n").rest_of("second attempt\n") == "second attempt\n"
    assert shown("x" * 99).rest_of("y\n") == "y\n"


def test_a_text_without_its_middle_goes_on_where_it_was_shown() -> None:
    lines = [f"line {number}\n" for number in range(2 * KEPT_BYTES // 4)]
    whole = "".join(lines)
    left_out = len(whole) - 2 * KEPT_BYTES
    text = f"{whole[:KEPT_BYTES]}\n... {left_out} bytes left out ...\n{whole[-KEPT_BYTES:]}"
    early, middle, late = (shown(whole[:size]) for size in (1000, len(whole) // 2, len(whole) - 1000))
    assert early.rest_of(text) == text[1000:]
    assert middle.rest_of(text) == text[KEPT_BYTES + 1 :]
    assert late.rest_of(text) == whole[-1000:]


def test_what_was_not_shown_before_is_not_missed_after_it() -> None:
    lines = [f"line {number}\n" for number in range(2000)]
    found = shown("".join(lines[:10]))
    found.skip(len("".join(lines[10:1000])))
    found.add("".join(lines[1000:1500]))
    assert found.rest_of("".join(lines)) == "".join(lines[1500:])
