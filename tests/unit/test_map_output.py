"""A map's output as one text: who printed what, and what of it is shown where there is too much."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from covalent_parallel_plugin.electron.map.item_table import Item, ValueStore
from covalent_parallel_plugin.electron.map.output import (
    MOST_SECTIONS,
    OUTSIDE_BYTES,
    OUTSIDE_TASKS,
    SHOWN_BYTES,
    output_of,
    totals,
)
from covalent_parallel_plugin.electron.map.progress import MapProgress
from covalent_parallel_plugin.electron.map.report import InterruptedItem, TaskReport
from covalent_parallel_plugin.electron.outcome import Outcome, Raised
from covalent_parallel_plugin.electron.output_sections import section, split_sections
from covalent_parallel_plugin.protocol import envelope
from covalent_parallel_plugin.protocol.envelope import EXCEPTION

RAISED = Raised("ValueError", "builtins", "no", ("no",), "Traceback ...")
KILLED = Outcome(envelope.KILLED, "", "", signal=9)
TIMED_OUT = Outcome(envelope.KILLED, "", "", signal=9, reason="time_limit")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ValueStore]:
    made = ValueStore(str(tmp_path))
    yield made
    made.close()


def of(total: int | None, *reports: TaskReport) -> MapProgress:
    progress = MapProgress(total)
    for report in reports:
        progress.add(report)
    return progress


def printed(store: ValueStore, **texts: str) -> TaskReport:
    """Items that printed these on stdout; item0 is the first one."""
    items = []
    for name, text in texts.items():
        data = text.encode()
        items.append(Item(int(name.removeprefix("item")), stdout=(store.add(iter([data])), len(data))))
    return TaskReport(items)


def outside(task: int, stdout: str, round: int = 0) -> TaskReport:
    return TaskReport(stdout=stdout, task=task, round=round)


# --- items


def test_each_item_is_read_exactly_whatever_it_prints_and_whatever_follows(store: ValueStore) -> None:
    texts = {"item0": "--- item 1 ---\nnot its own\n", "item1": "fine", "item2": "3 items: 3 returned; 1 task\n"}
    progress = of(3, printed(store, **texts))
    text = output_of(progress, store, "stdout", is_followed=True) + "--- item 0 ---\nThe first one:\n"
    assert list(split_sections(text))[:3] == [
        ("item 0", texts["item0"]),
        ("item 1", "fine\n"),
        ("item 2", texts["item2"]),
    ]


def test_output_stands_under_the_index_of_its_item(store: ValueStore) -> None:
    progress = of(3, printed(store, item1="second", item0="first\n", item2=""))
    assert output_of(progress, store, "stdout") == "--- item 0 ---\nfirst\n--- item 1 ---\nsecond\n"
    assert output_of(progress, store, "stderr") == ""


@pytest.mark.parametrize("how", [KILLED, TIMED_OUT])
def test_the_last_words_of_an_item_in_which_its_process_was_ended_are_shown(store: ValueStore, how: Outcome) -> None:
    report = TaskReport(ended=how, running=InterruptedItem(1, "1", stdout="last words\n"))
    assert output_of(of(2, report), store, "stdout") == "--- item 1 ---\nlast words\n"


def test_an_item_that_ended_later_shows_what_it_printed_then(store: ValueStore) -> None:
    first = TaskReport(ended=KILLED, running=InterruptedItem(1, "1", stdout="last words\n"))
    progress = of(2, first, printed(store, item1="fine\n"))
    assert output_of(progress, store, "stdout") == "--- item 1 ---\nfine\n"


def test_an_item_that_prints_a_lot_leaves_the_others_theirs(store: ValueStore) -> None:
    progress = of(3, printed(store, item0="first\n", item1="a" * SHOWN_BYTES + "z" * SHOWN_BYTES, item2="last\n"))
    text = output_of(progress, store, "stdout")
    assert len(text) < SHOWN_BYTES + 200
    assert text.startswith("--- item 0 ---\nfirst\n--- item 1 ---\naaa")
    assert text.endswith("zzz\n--- item 2 ---\nlast\n")
    assert "bytes left out" in text


def test_where_all_print_too_much_each_has_its_part(store: ValueStore) -> None:
    texts = {f"item{index}": str(index) * 1_000_000 for index in range(9)}
    text = output_of(of(9, printed(store, **texts)), store, "stdout")
    assert len(text) < SHOWN_BYTES + 1000
    assert [text.count(str(index)) > 200_000 for index in range(9)] == [True] * 9


def test_of_very_many_items_the_first_and_the_last_are_shown(store: ValueStore) -> None:
    place = (store.add(iter([b"x\n"])), 2)
    count = MOST_SECTIONS + 3
    progress = of(count, TaskReport([Item(index, stdout=place) for index in range(count)]))
    text = output_of(progress, store, "stdout")
    assert "--- the output of 3 items is left out ---\n" in text
    assert text.count("--- item ") == MOST_SECTIONS
    assert text.endswith(f"--- item {count - 1} ---\nx\n")


# --- outside the items


def test_what_all_tasks_print_alike_outside_their_items_is_shown_once(store: ValueStore) -> None:
    progress = of(9, *(outside(task, "hook\n") for task in (2, 0, 1)))
    assert output_of(progress, store, "stdout") == "--- tasks 0-2, outside the items ---\nhook\n"


def test_what_differs_is_shown_by_task_and_before_the_items(store: ValueStore) -> None:
    progress = of(9, printed(store, item0="zero\n"), *(outside(task, f"hook on {task % 2}\n") for task in range(4)))
    assert output_of(progress, store, "stdout") == (
        "--- tasks 0,2, outside the items ---\nhook on 0\n"
        "--- tasks 1,3, outside the items ---\nhook on 1\n"
        "--- item 0 ---\nzero\n"
    )


def test_a_later_jobs_tasks_are_named_with_their_job(store: ValueStore) -> None:
    progress = of(9, outside(0, "a"), outside(1, "a"), outside(0, "a", round=1))
    assert output_of(progress, store, "stdout") == "--- tasks 0,1; task 0 of job 2, outside the items ---\na\n"


def test_the_task_that_failed_comes_first_and_whole(store: ValueStore) -> None:
    long = "long\n" * OUTSIDE_BYTES
    failed = TaskReport(ended=Outcome(EXCEPTION, "", "", raised=RAISED), stdout=long, task=5)
    text = output_of(of(9, outside(0, "hook\n"), failed), store, "stdout")
    assert text.startswith(f"--- task 5, outside the items ---\n{long}")


def test_of_many_tasks_that_print_something_else_each_some_are_shown_and_the_others_counted(store: ValueStore) -> None:
    progress = of(9, *(outside(task, f"host {task}\n") for task in range(100)))
    text = output_of(progress, store, "stdout")
    assert text.count("host") == OUTSIDE_TASKS
    assert text.endswith("--- 80 more tasks printed something else outside the items ---\n")


def test_a_tasks_chunks_do_not_show_its_hooks_again(store: ValueStore) -> None:
    progress = of(9, outside(0, "before\nafter\n"), outside(0, "before\n"))
    assert output_of(progress, store, "stdout") == "--- task 0, outside the items ---\nbefore\nafter\n"


@pytest.mark.parametrize(("text", "shown"), [("", ""), ("a", "--- x ---\na\n"), ("a\n", "--- x ---\na\n")])
def test_a_section_ends_with_its_line(text: str, shown: str) -> None:
    assert section("x", text) == shown


# --- totals


def done(*indices: int) -> TaskReport:
    return TaskReport([Item(index) for index in indices])


def raised(index: int) -> TaskReport:
    return TaskReport([Item(index, raised=RAISED)])


@pytest.mark.parametrize(
    ("progress", "tasks", "jobs", "text"),
    [
        (of(2, done(0, 1)), 1, 1, "2 items: 2 returned; 1 task\n"),
        (of(4, done(0, 1), raised(2)), 4, 1, "4 items: 2 returned, 1 raised, 1 did not end; 4 tasks\n"),
        (of(4, done(0, 1, 2, 3)), 5, 2, "4 items: 4 returned; 5 tasks in 2 jobs\n"),
        (of(0), 0, 0, "0 items: 0 returned; 0 tasks\n"),
        (of(None), 3, 1, "items: 0 returned; 3 tasks\n"),
    ],
)
def test_one_line_has_the_totals(progress: MapProgress, tasks: int, jobs: int, text: str) -> None:
    progress.tasks, progress.jobs = tasks, jobs
    assert totals(progress) == text
