"""The lines of one electron: each one once, across parts, attempts, and its end."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.electron.map.report import PrintedItems
from covalent_parallel_plugin.electron.output_sections import section
from covalent_parallel_plugin.protocol.live_part import ItemSpan, LivePart, LiveStream
from covalent_parallel_plugin.protocol.object_names import ObjectName
from covalent_parallel_plugin.results.electron_log import ElectronLog, LogLine, MissingOutput

TOTALS = "2 items: 2 returned; 1 task\n"


def name(attempt: int = 0, number: int = 0, task: int = 0, round: int = 0) -> ObjectName:
    return ObjectName("live", "folder", "d", 7, "c" * 16, task, round, number, attempt)


def part(start: int, data: bytes, attempt: int = 0, items: Iterable[ItemSpan] = (), run: str = "r") -> LivePart:
    return LivePart(attempt, 0, LiveStream(start, data), LiveStream(), tuple(items), None, run)


def texts(lines: Iterable[LogLine | MissingOutput]) -> list[str]:
    return [line.text if isinstance(line, LogLine) else f"<{line.size}>" for line in lines]


@given(st.lists(st.sampled_from([b"a\n", b"bb\n", b"c", b"\xc3\xa9\n", b"\xff"])).map(b"".join), st.data())
def test_across_parts_and_the_end_each_line_comes_once(data: bytes, drawn: st.DataObject) -> None:
    cuts = sorted({0, *drawn.draw(st.lists(st.integers(0, len(data)), max_size=4))})
    log = ElectronLog(7, "f")
    found = [line for start, end in pairwise(cuts) for line in log.add_part(name(), part(start, data[start:end]))]
    found += log.add_ended("stdout", data.decode("utf-8", "replace"))
    text = "".join(line.text + "\n" * line.is_whole for line in found if isinstance(line, LogLine))
    assert text == data.decode("utf-8", "replace")


def test_the_next_attempt_begins_anew_and_what_was_left_of_a_line_comes_before_it() -> None:
    log = ElectronLog(7, "f")
    found = [*log.add_part(name(0), part(0, b"one\nhal")), *log.add_part(name(1), part(0, b"one\ntwo\n", 1))]
    assert texts(found) == ["one", "hal", "one", "two"]
    assert [line.attempt for line in found if isinstance(line, LogLine)] == [0, 0, 1, 1]
    text = section("attempt 0, which was run again", "one\nhalf a line") + "--- attempt 1 ---\none\ntwo\nthree\n"
    assert texts(log.add_ended("stdout", text)) == ["f a line", "three"]


def test_a_process_of_another_job_begins_anew() -> None:
    log = ElectronLog(7, "f")
    found = [*log.add_part(name(), part(0, b"one\n", run="a")), *log.add_part(name(), part(0, b"one\n", run="b"))]
    assert texts(found) == ["one", "one"]


def test_the_jobs_of_an_electron_are_counted() -> None:
    log = ElectronLog(7, "f")
    runs = [(0, "a"), (0, "a"), (1, "b"), (0, "c"), (1, "d")]
    lines = [line for attempt, run in runs for line in log.add_part(name(attempt), part(0, b"x\n", attempt, (), run))]
    assert [line.job for line in lines if isinstance(line, LogLine)] == [0, 0, 1, 1]


def test_the_rounds_of_a_map_are_its_jobs() -> None:
    log = ElectronLog(7, "f", is_map=True)
    lines = [line for round in (0, 1) for line in log.add_part(name(round=round), part(0, b"x\n", run=str(round)))]
    assert [line.job for line in lines if isinstance(line, LogLine)] == [0, 1]


def test_what_an_electron_is_told_at_its_end_comes_too() -> None:
    log = ElectronLog(7, "f")
    list(log.add_part(name(), LivePart(0, 0, LiveStream(), LiveStream(0, b"warning\n"))))
    assert texts(log.add_ended("stderr", "warning\nTraceback\nKeyError\n")) == ["Traceback", "KeyError"]


def test_missing_bytes_are_told_and_the_end_goes_on_where_it_was() -> None:
    log = ElectronLog(7, "f")
    numbered = "".join(f"line {number}\n" for number in range(1000)).encode()
    assert texts(log.add_part(name(), part(0, numbered[:7]))) == ["line 0"]
    assert texts(log.add_part(name(), part(7000, numbered[7000:8000])))[0] == "<6993>"
    assert texts(log.add_ended("stdout", numbered.decode()))[-1] == "line 999"


def test_each_item_of_a_map_has_its_own_lines_and_at_the_end_the_rest() -> None:
    log = ElectronLog(7, "f")
    spans = [ItemSpan(0, 5, 12, 0, 0), ItemSpan(1, 12, 17, 0, 0)]
    found = list(log.add_part(name(), part(0, b"hook\nitem 0\nitem ", items=spans)))
    assert [(line.item, line.text) for line in found if isinstance(line, LogLine)] == [(None, "hook"), (0, "item 0")]
    text = (
        section("task 0, outside the items", "hook\nbye\n") + section("item 0", "item 0\n")
        + section("item 1", "item 1\n") + TOTALS
    )  # fmt: skip
    rest = list(log.add_ended("stdout", text))
    assert [(line.item, line.task, line.text) for line in rest] == [
        (None, 0, "bye"), (1, None, "item 1"), (None, None, TOTALS.strip())
    ]  # fmt: skip


def test_a_stream_without_totals_has_none() -> None:
    log = ElectronLog(7, "f", is_map=True)
    found = list(log.add_ended("stderr", section("item 0", TOTALS)))
    assert [(line.item, line.text) for line in found] == [(0, TOTALS.rstrip("\n"))]


def test_of_tasks_that_printed_the_same_nothing_is_shown_again() -> None:
    log = ElectronLog(7, "f", is_map=True)
    for task in (0, 1, 2):
        list(log.add_part(name(task=task), part(0, b"hook\n")))
    assert texts(log.add_ended("stdout", section("tasks 0-2, outside the items", "hook\n"))) == []


def test_an_item_that_ran_again_is_shown_as_it_ended() -> None:
    log = ElectronLog(7, "f")
    list(log.add_part(name(0), part(0, b"began\n", items=[ItemSpan(3, 0, 6, 0, 0)])))
    list(log.add_part(name(1), part(0, b"again\n", 1, items=[ItemSpan(3, 0, 6, 0, 0)])))
    assert texts(log.add_ended("stdout", section("item 3", "again\nended\n") + TOTALS)) == ["ended", TOTALS.strip()]


def test_a_late_follower_misses_nothing_that_it_did_not_ask_for() -> None:
    log = ElectronLog(7, "f")
    assert texts(log.add_part(name(), part(1000, b"late\n"), is_taken_up=True)) == ["late"]


def test_a_task_of_a_map_that_has_ended_gives_the_rest_of_its_items_once() -> None:
    log = ElectronLog(7, "f")
    list(log.add_part(name(task=1), part(0, b"hook\nitem 4\n", items=[ItemSpan(4, 5, 12, 0, 0)])))
    printed = PrintedItems({4: ("item 4\nended\n", ""), 5: ("item 5\n", "bad\n")}, ("hook\nbye\n", ""))
    rest = list(log.add_ended_task(name(task=1), printed))
    assert [(line.item, line.stream, line.text) for line in rest] == [
        (None, "stdout", "bye"), (4, "stdout", "ended"), (5, "stdout", "item 5"), (5, "stderr", "bad")
    ]  # fmt: skip
    late = part(12, b"ended\nitem 5\nbye\n", items=[ItemSpan(4, 12, 18, 0, 0), ItemSpan(5, 18, 25, 0, 0)])
    assert texts(log.add_part(name(task=1, number=1), late)) == []
    text = section("task 1, outside the items", "hook\nbye\n") + section("item 4", "item 4\nended\n")
    assert texts(log.add_ended("stdout", text + section("item 5", "item 5\n") + TOTALS)) == [TOTALS.strip()]


def test_an_item_that_an_earlier_attempt_ended_is_not_shown_again() -> None:
    log = ElectronLog(7, "f")
    list(log.add_part(name(0), part(0, b"of 4\n", items=[ItemSpan(4, 0, 5, 0, 0)], run="a")))
    list(log.add_part(name(1), part(0, b"of 5\n", 1, items=[ItemSpan(5, 0, 5, 0, 0)], run="b")))
    printed = PrintedItems({4: ("of 4\n", ""), 5: ("of 5\n", "")})
    assert texts(log.add_ended_task(name(1), printed)) == []
