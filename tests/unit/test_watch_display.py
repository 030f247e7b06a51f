"""What `watch` shows: names of endings, words, a table at any width, and lines; all from snapshots."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from rich.console import Console

from covalent_parallel_plugin.cli.watch.display import ChangePrinter, table
from covalent_parallel_plugin.cli.watch.fitted_table import fitted_table
from covalent_parallel_plugin.protocol.exception_record import describe
from covalent_parallel_plugin.results.status import words
from covalent_parallel_plugin.results.status.ending import ending_of, joint_ending, raised_items, short_ending
from covalent_parallel_plugin.results.status.item_counts import ItemCounts
from covalent_parallel_plugin.results.status.snapshot import JobView, Snapshot
from covalent_parallel_plugin.runner.outcome_report import ending_text

DISPATCH = "6d2f1c4e-8a5b-4d57-9a55-6c8f6a1e2b3c"
PARENT = "projects/my-project/locations/us-east1"
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED", "ENDED")
LONG = "raised a_package.of_mine.AnErrorOfItsOwnWithALongName: a message that takes more than one line of any terminal"


def job(node: int, electron: str, state: str, ending: str = "", items: ItemCounts | None = None) -> JobView:
    return JobView(
        f"covalent-{DISPATCH}-{node}",
        str(node),
        electron,
        "my-search",
        state,
        75.0,
        state in ENDED,
        PARENT,
        {"RUNNING": 4} if items else {},
        items,
        items is not None,
        ending,
        machine_hours=0.0123,
    )


TRAIN = job(1, "train", "RUNNING", items=ItemCounts(200, 84, 2, 4, 112, 0, True, 4.02, 29.0))
JOBS = [
    job(0, "load", "SUCCEEDED", "returned a value"),
    TRAIN,
    job(2, "an_electron_with_a_very_long_name_of_its_own", "RUNNING", items=ItemCounts(10**5, 99, 2, 1000, 98901)),
    job(3, "score", "FAILED", "raised ValueError: no data"),
    job(4, "crash", "FAILED", LONG),
    replace(job(5, "slow", "FAILED", "ran past its time_limit"), seconds=360000.0),
    replace(job(6, "waits", "QUEUED"), event="no machine", meaning="no such machine is free: wait"),
    job(7, "made", "RUNNING", items=ItemCounts(None, 17, 0, 4)),
]
SNAPSHOT = Snapshot(DISPATCH, "RUNNING", JOBS)


@pytest.mark.parametrize(("width", "height"), [(60, 24), (80, 24), (80, 50), (140, 10), (80, 5)])
@pytest.mark.parametrize("count", [1, 8, 40, 400])
def test_a_table_with_more_jobs_than_lines_shows_those_that_run_or_failed(width: int, height: int, count: int) -> None:
    many = [replace(JOBS[number % len(JOBS)], node=str(number)) for number in range(count)]
    console = Console(width=width, height=height, highlight=False)
    with console.capture() as capture:
        console.print(fitted_table(Snapshot(DISPATCH, "RUNNING", many), console), end="")
    shown = capture.get()
    assert len(shown.splitlines()) <= height or height == 5
    assert f"{count} job" in shown
    if count > height:
        assert "not shown: " in shown and "returned a value" in shown.partition("not shown: ")[2]
        assert "train" in shown


def printed(snapshot: Snapshot, width: int) -> list[str]:
    console = Console(width=width, highlight=False)
    with console.capture() as capture:
        console.print(table(snapshot, width))
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
def test_a_table_fits_its_terminal_and_nothing_essential_is_cut(width: int) -> None:
    lines = printed(SNAPSHOT, width)
    text = " ".join(" ".join(lines).split())
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines).replace("…-", "")
    for line in (
        words.dispatch_line(SNAPSHOT),
        *(f"{words.electron_title(one)}: {words.progress(one)}" for one in JOBS if one.is_map),
    ):
        assert line in text, "lines break between words"
    for told in (
        "84/200",
        "99/100000",
        "100h00m00s",
        "raised ValueError: no data",
        "train (node 1): 84 of 200 items done, 2 failed",
    ):
        assert told in text
    assert "no machine (no such machine is free: wait)" in text


@pytest.mark.parametrize(("width", "headings"), [
    (60, "node electron state time items"),
    (80, "node electron state time items"),
    (100, "node electron job state time items"),
    (120, "node electron job state time items"),
])  # fmt: skip
def test_in_a_narrow_terminal_the_jobs_names_give_way(width: int, headings: str) -> None:
    assert headings.split() in [line.split() for line in printed(SNAPSHOT, width)]


def test_words_of_the_states_are_not_broken_in_80_columns() -> None:
    lines = printed(SNAPSHOT, 80)
    assert any("  returned a value  " in line for line in lines)
    assert any("  ran past its time_limit  " in line for line in lines)
    assert any("  raised ValueError  " in line for line in lines)


@pytest.mark.parametrize("width", [60, 80])
def test_places_stand_below_where_there_is_no_room(width: int) -> None:
    elsewhere = replace(TRAIN, parent="projects/another/locations/europe-west4")
    lines = printed(Snapshot(DISPATCH, "RUNNING", [JOBS[0], elsewhere]), width)
    assert any(line.startswith("train (node 1): another europe-west4; 84 of 200") for line in lines)
    assert "load (node 0): my-project us-east1" in lines


def test_the_json_has_all_that_is_shown() -> None:
    told = json.loads(SNAPSHOT.json())
    assert set(told) == {"dispatch_id", "state", "jobs", "note", "machine_hours"}
    train = told["jobs"][1]
    assert train["items"] == {
        "total": 200, "done": 84, "failed": 2, "running": 4, "waiting": 112, "lost": 0, "is_exact": True,
        "per_second": 4.02, "left_seconds": 29.0,
    }  # fmt: skip
    assert (train["machine_hours"], told["machine_hours"]) == (0.0123, 0.0984)
    assert told["jobs"][3]["ending"] == "raised ValueError: no data"


def test_every_field_of_the_json_is_documented() -> None:
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "reference" / "watch.md").read_text()
    told = json.loads(SNAPSHOT.json())
    fields = {*told, *told["jobs"][1], *told["jobs"][1]["items"]}
    assert {field for field in fields if f"`{field}`" not in page.partition("## JSON")[2]} == set()


# --- words


@pytest.mark.parametrize(
    ("items", "state", "counts", "pace"),
    [
        (
            ItemCounts(200, 84, 2, 4, 112, 0, True, 4.02, 29.0),
            "RUNNING",
            "84 of 200 items done, 2 failed, 4 running, 112 waiting",
            "4.0/s, 29s left",
        ),
        (ItemCounts(9, 0, 0, 4, 5), "RUNNING", "0 of 9 items done, 4 running, 5 waiting", "time left not known yet"),
        (ItemCounts(None, 17, 0, 4), "RUNNING", "17 items done, 4 running", "time left not known yet"),
        (
            ItemCounts(9, 8, 0, 1, 0, 0, True, 0.2, 0.0),
            "RUNNING",
            "8 of 9 items done, 1 running",
            "12.0/min, about to end",
        ),
        (
            ItemCounts(9, 1, 0, 1, 7, 0, True, 0.001, 99000.0),
            "RUNNING",
            "1 of 9 items done, 1 running, 7 waiting",
            "3.6/h, 27h30m00s left",
        ),
        (ItemCounts(200, 200, 3), "SUCCEEDED", "200 of 200 items done, 3 failed", ""),
        (ItemCounts(200, 50, is_exact=False, lost=150), "FAILED", "about 50 of 200 items done, 150 lost", ""),
        (ItemCounts(200, 50, lost=150), "CANCELLED", "50 of 200 items done", ""),
    ],
)
def test_items_in_words(items: ItemCounts, state: str, counts: str, pace: str) -> None:
    view = job(1, "train", state, items=items)
    assert (words.item_counts(view), words.item_pace(view)) == (counts, pace)


def test_no_text_of_others_can_move_the_cursor() -> None:
    evil = replace(
        job(1, "train\x1b[2J", "FAILED", "raised Evil\x1b]0;title\x07: \x1b[31mred\x1b[0m"),
        lattice="a\x1b[1m",
        event="\x1b[5m",
    )
    snapshot = Snapshot(DISPATCH, "FAILED", [evil], "\x1b[H")
    written: list[str] = []
    ChangePrinter(written.append, lambda: 0.0).show(snapshot)
    assert "\x1b" not in "".join([*printed(snapshot, 80), *written])


# --- how electrons ended


def event(text: str, name: str = "f") -> str:
    return f"electron {name!r} (node 3) {text}"


@pytest.mark.parametrize(
    "name", ["f", "it's", 'say "it\'s"', "a (node 1) returned a value", "back\\slash", "two\nlines"]
)
@pytest.mark.parametrize(
    "text", ["returned a value", "raised ValueError: electron 'f' (node 1) returned a value", "was not run: a\nb"]
)
def test_an_ending_is_read_whatever_the_electrons_name(name: str, text: str) -> None:
    assert ending_of(event(text, name)) == text


@pytest.mark.parametrize(
    "text", ["", "Task state is updated from RUNNING to SUCCEEDED", "electron f ended", "electron 'f' (node x) raised"]
)
def test_another_event_is_no_ending(text: str) -> None:
    assert ending_of(text) == ""


class Odd(Exception):
    pass


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ({"outcome": "value"}, "returned a value"),
        (
            {"outcome": "exception", "exception": describe(ValueError("no: data, of which 3 raised"))},
            "raised ValueError",
        ),
        ({"outcome": "exception", "exception": describe(Odd("a.b: c"))}, "raised Odd"),
        ({"outcome": "exception", "exception": describe(KeyError())}, "raised KeyError"),
        ({"outcome": "refused", "message": "a: b"}, "was not run"),
        ({"outcome": "items"}, "ran its items"),
        ({"outcome": "killed", "reason": "time_limit"}, "ran past its time_limit"),
        ({"outcome": "killed", "out_of_memory_kills": 1}, "was killed"),
        ({"outcome": "killed", "signal": 9}, "was killed by signal 9"),
        ({"outcome": "killed", "exit_status": 3}, "left Python with exit status 3"),
    ],
)
def test_each_ending_that_the_runner_reports_has_a_name(header: dict[str, object], name: str) -> None:
    assert short_ending(ending_of(event(ending_text(header)))) == name


RAN, SOME = event("ran its items"), event("ran its items, of which 2 raised, the first KeyError: 1")
KEPT = event("has errors in place of 3 values, the first KeyError: 1, and ran its items")
KILLED = event("was killed by signal 9, of which 4 raised, the first KeyError: 1")
RETURNED = event("returned a value")


@pytest.mark.parametrize(
    ("events", "ending", "has_failed", "name"),
    [
        ([], "", False, ""),
        ([RETURNED], "returned a value", False, "returned a value"),
        ([RAN, RAN], "ran its items", False, "ran its items"),
        ([RAN, SOME, SOME], "ran its items, of which 4 raised, the first KeyError: 1", True, "4 items raised"),
        (
            [SOME.replace("2 raised", "1 raised")],
            "ran its items, of which 1 raised, the first KeyError: 1",
            True,
            "1 item raised",
        ),
        (
            [KEPT, RAN, KEPT],
            "has errors in place of 6 values, the first KeyError: 1, and ran its items",
            False,
            "ran its items",
        ),
        (
            [RAN, SOME, KILLED],
            "was killed by signal 9, of which 4 raised, the first KeyError: 1",
            True,
            "was killed by signal 9",
        ),
        (["Job is created", RAN], "ran its items", False, "ran its items"),
    ],
)
def test_a_map_ended_as_its_tasks_did(events: list[str], ending: str, has_failed: bool, name: str) -> None:
    assert joint_ending(events) == (ending, has_failed)
    assert short_ending(ending) == name


@pytest.mark.parametrize(("text", "count"), [
    (RAN, 0), (SOME, 2), (KEPT, 3), (KILLED, 4), (RETURNED, 0), (event("raised ValueError: of which 7 raised"), 0)
])  # fmt: skip
def test_items_that_raised_are_read_from_an_ending(text: str, count: int) -> None:
    assert raised_items(ending_of(text)) == count


# --- lines


def lines_of(*looks: tuple[float, Snapshot]) -> list[str]:
    written: list[str] = []
    moments = iter(moment for moment, snapshot in looks for _ in snapshot.jobs)
    printer = ChangePrinter(written.append, lambda: next(moments))
    for _, snapshot in looks:
        printer.show(snapshot)
    return written


def at(done: int, left: float, state: str = "RUNNING") -> Snapshot:
    rest = 200 - done
    items = ItemCounts(200, done, 0, min(4, rest), max(rest - 4, 0), 0, True, 4.0, left if rest else None)
    return Snapshot(DISPATCH, "RUNNING", [job(1, "train", state, items=items)])


def test_a_line_of_a_map_comes_every_ten_seconds_at_most_and_every_minute_at_least() -> None:
    looks = [
        (0.0, at(0, 50)),
        (5.0, at(20, 45)),
        (9.0, at(36, 41)),
        (10.0, at(40, 40)),
        (15.0, at(40, 35)),
        (70.0, at(40, 5)),
        (71.0, at(40, 4)),
    ]
    told = [re.search(r"(\d+) of 200 .* (\S+) left", line) for line in lines_of(*looks) if line.startswith("train")]
    assert [found.groups() for found in told if found] == [("0", "50s"), ("40", "40s"), ("40", "5s")]


def test_a_state_that_changes_is_told_at_once() -> None:
    looks = [(0.0, at(199, 1)), (1.0, at(200, 0, "SUCCEEDED"))]
    assert [line.split("  ")[3] for line in lines_of(*looks) if line.startswith("train")] == ["RUNNING", "SUCCEEDED"]


def test_machine_hours_alone_make_no_line() -> None:
    later = Snapshot(DISPATCH, "RUNNING", [replace(TRAIN, machine_hours=0.5)])
    told = lines_of((0.0, Snapshot(DISPATCH, "RUNNING", [TRAIN])), (5.0, later))
    assert len(told) == 2
