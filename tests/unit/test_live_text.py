"""What parts of the output of a task that ran come to: each byte once, with a note where some are missing."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.cloud.storage import StoredObject
from covalent_parallel_plugin.electron import live_text
from covalent_parallel_plugin.electron.live_text import by_item, joined, listed_parts, read_parts
from covalent_parallel_plugin.protocol.identity import CallIdentity
from covalent_parallel_plugin.protocol.live_part import (
    LARGEST_LIVE_BYTES,
    ItemSpan,
    LivePart,
    LiveStream,
    seal_live_part,
)

TASK = CallIdentity("0" * 16, b"k" * 32, "covalent-parallel/d/1/" + "0" * 16).task(2, 1)


def part(number: int, start: int, text: bytes, *items: ItemSpan, run: str = "") -> LivePart:
    return LivePart(0, number, LiveStream(start, text), items=items, run=run)


def item(index: int, start: int, end: int) -> ItemSpan:
    return ItemSpan(index, start, end, 0, 0)


@given(st.binary(max_size=100), st.lists(st.integers(0, 100), max_size=5))
def test_parts_that_follow_each_other_come_to_the_whole(data: bytes, cuts: list[int]) -> None:
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [part(number, start, data[start:end]) for number, (start, end) in enumerate(itertools.pairwise(bounds))]
    assert joined(parts) == (data.decode("utf-8", "replace"), "")
    assert by_item(parts).outside == joined(parts)


def test_what_is_missing_is_told_and_what_came_twice_is_shown_once() -> None:
    parts = [part(0, 10, b"a\n"), part(1, 10, b"a\nb\n"), part(3, 10, b"a\n"), part(4, 100, b"c\n")]
    assert joined(parts)[0] == "\n... 10 bytes left out ...\na\nb\n\n... 86 bytes left out ...\nc\n"


def test_each_stream_is_put_together_by_itself() -> None:
    parts = [
        LivePart(0, 0, LiveStream(0, b"out "), LiveStream(0, b"")),
        LivePart(0, 1, LiveStream(4, b""), LiveStream(0, b"err ")),
        LivePart(0, 2, LiveStream(4, b"more"), LiveStream(4, b"more")),
    ]
    assert joined(parts) == ("out more", "err more")


def test_parts_of_another_process_begin_anew() -> None:
    """As those of the second of two jobs, whose first attempt has the same number."""
    parts = [part(0, 0, b"first\n", run="a"), part(1, 0, b"second\n", run="b"), part(2, 6, b"first again\n", run="a")]
    assert joined(parts)[0] == "first\nfirst again\nsecond\n"
    assert by_item(parts).outside[0] == "first\nfirst again\nsecond\n"


def test_a_character_may_be_cut_in_two() -> None:
    data = "é".encode()
    assert joined([part(0, 0, data[:1]), part(1, 1, data[1:])])[0] == "é"


def test_what_items_printed_is_found_over_several_parts() -> None:
    parts = [
        part(0, 0, b"hook\nseven\neig", item(7, 5, 11), item(8, 11, 14)),
        part(1, 14, b"ht\nnine\nend\n", item(8, 14, 17), item(9, 17, 22)),
    ]
    found = by_item(parts)
    assert found.items == {7: ("seven\n", ""), 8: ("eight\n", ""), 9: ("nine\n", "")}
    assert found.outside == ("hook\nend\n", "")


def test_of_an_item_that_a_gap_cuts_the_gap_is_told() -> None:
    parts = [part(0, 0, b"sev", item(7, 0, 3)), part(1, 1003, b"en\n8\n", item(7, 1003, 1006), item(8, 1006, 1008))]
    assert by_item(parts).items == {7: ("sev\n... 1000 bytes left out ...\nen\n", ""), 8: ("8\n", "")}


def test_items_that_came_twice_are_shown_once() -> None:
    one = part(0, 0, b"7\n8\n", item(7, 0, 2), item(8, 2, 4))
    again = part(1, 2, b"8\n9\n", item(8, 2, 4), item(9, 4, 6))
    found = by_item([one, one._replace(number=3), again])
    assert found.items == {7: ("7\n", ""), 8: ("8\n", ""), 9: ("9\n", "")}


@dataclass
class Shelf:
    """A bucket in memory."""

    objects: dict[str, bytes] = field(default_factory=dict)
    bucket_name: str = "shelf"
    place: Hashable = "here"
    read: list[str] = field(default_factory=list)

    def list(self, prefix: str, *, start: str = "", with_metadata: bool = False) -> list[StoredObject]:
        names = sorted(name for name in self.objects if name.startswith(prefix))
        return [StoredObject(name, len(self.objects[name]), 0.0) for name in names]

    def get(self, name: str, into: Any) -> bool:
        self.read.append(name)
        into.write(self.objects.get(name, b""))
        return name in self.objects

    def has(self, parts: Sequence[LivePart]) -> None:
        for one in parts:
            self.objects[TASK.live_name(one.attempt, one.number)] = seal_live_part(TASK, one)


def test_parts_are_listed_by_attempt_in_the_order_of_their_numbers() -> None:
    shelf = Shelf()
    shelf.has([part(number, 0, b"") for number in (0, 2, 10, 9)])
    shelf.has([part(1, 0, b"")._replace(attempt=3)])
    shelf.objects[TASK._replace(task=22).live_name(0, 4)] = b"another task's"
    shelf.objects[TASK._replace(round=0).live_name(0, 4)] = b"another job's"
    shelf.objects[TASK.live_name(0, 5)] = b"x" * (LARGEST_LIVE_BYTES + 1)
    shelf.objects[TASK.live_name(0, 6) + ".x"] = b""
    found = listed_parts(shelf, TASK)
    assert {attempt: [name.number for name in names] for attempt, names in found.items()} == {0: [0, 2, 9, 10], 3: [1]}


def test_of_very_many_or_large_parts_the_newest_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf()
    shelf.has([part(number, 0, b"") for number in range(live_text.MOST_PARTS + 3)])
    (names,) = listed_parts(shelf, TASK).values()
    assert [name.number for name in names] == list(range(3, live_text.MOST_PARTS + 3))
    shelf.objects.clear()
    shelf.has([part(number, 0, b"x" * 200_000) for number in range(30)])
    (names,) = listed_parts(shelf, TASK).values()
    assert [name.number for name in names] == list(range(10, 30))


def test_what_somebody_else_wrote_is_skipped_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf()
    shelf.has([part(number, 0, b"mine") for number in range(5)])
    for number in (1, 2):
        shelf.objects[TASK.live_name(0, number)] = b"forged"
    (names,) = listed_parts(shelf, TASK).values()
    del shelf.objects[TASK.live_name(0, 3)]
    with caplog.at_level(logging.WARNING):
        assert [one.number for one in read_parts(shelf, TASK, names)] == [0, 4]
    assert [record.getMessage() for record in caplog.records] == [
        "2 objects in the bucket have names of a task's output, and it did not write them; they are skipped:"
        f" gs://shelf/{TASK.live_name(0, 1)}: the object does not start as version 1 of this package's format does"
    ]
