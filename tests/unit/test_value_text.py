"""The text of a value: what Covalent shows for it and the short form, bounded whatever the value's class does."""

from __future__ import annotations

import ctypes
import dataclasses
import os
import resource
import sys
import time
from collections import OrderedDict, deque
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy
import pytest

from covalent_parallel_plugin.protocol.bounded_text import NoText, TextRaised, text_in_child
from covalent_parallel_plugin.protocol.value_text import (
    SHORT,
    SHOWN_CHARACTERS,
    ForeignTexts,
    name_of,
    shortened,
    shown_text,
)


def shared_list(depth: int = 60) -> list[Any]:
    """A pickle of 500 bytes, a text of 2**60."""
    shared: list[Any] = [0]
    for _ in range(depth):
        shared = [shared, shared]
    return shared


class Shown:
    """A value whose text a function makes."""

    def __init__(self, make: Any):
        self.make = make

    def __repr__(self) -> str:
        return str(self.make())


@dataclasses.dataclass
class Holder:
    held: Any


class Labels(list[Any]):
    pass


class AttrDict(dict[str, Any]):
    __getattr__ = dict.__getitem__


def type_of(value: object) -> str:
    return type(value).__name__


def quick_texts(seconds: float = 1.0) -> ForeignTexts:
    """Texts of a process that has made none yet."""
    return ForeignTexts(time.monotonic, seconds=seconds, extra_bytes=64 * 2**20)


def raises(error: BaseException) -> NoReturn:
    raise error


def sleep() -> str:
    time.sleep(100)
    return ""


def keep_allocating() -> str:
    kept = []
    while True:
        kept.append(bytearray(2**20))


PLAIN: list[object] = [
    7, -1, 2.5, 1j, None, True, ..., "text", "", b"\xff", bytearray(b"a"), [], (), {}, set(), frozenset(), [1, 2], (1,),
    (1, "a"), {"a": [1, {"b": (None,)}]}, {1}, frozenset({2}), [[], [[]]], "x" * 5000, "it's", ["it's", 'a "b"'],
]  # fmt: skip


@pytest.mark.parametrize("value", PLAIN, ids=type_of)
def test_a_plain_value_is_shown_as_str_does(value: object) -> None:
    shown = shown_text(value, whole=False)
    assert shown == str(value) if len(str(value)) <= SHOWN_CHARACTERS else str(value)[:SHOWN_CHARACTERS] + "..."


OF_ANY_CLASS = [
    Path("/a"), Holder(1), AttrDict(a=1), Labels([1]), deque([1]), OrderedDict(a=1), SimpleNamespace(a=1),
    numpy.float64(0.5), numpy.arange(3), [numpy.int8(1)],
]  # fmt: skip


@pytest.mark.parametrize("value", OF_ANY_CLASS, ids=type_of)
def test_a_value_of_any_class_is_shown_as_str_does(value: object) -> None:
    assert shown_text(value, whole=False) == str(value)
    assert shortened(value) == repr(value)


def test_a_long_list_is_shown_from_its_beginning() -> None:
    numbers = list(range(10**6))
    assert shown_text(numbers, whole=False) == str(numbers[:2000])[:SHOWN_CHARACTERS] + "..."


ENDLESS = [
    shared_list(),
    tuple(shared_list()),
    {"a": shared_list()},
    Holder(shared_list()),
    Labels(shared_list()),
    SimpleNamespace(a=shared_list()),
    deque(shared_list()),
    OrderedDict(a=shared_list()),
    [Holder(shared_list())],
    ValueError(shared_list()),
    Shown(sleep),
    [1, Shown(sleep)],
    Shown(lambda: "x" * 10**11),
    Shown(keep_allocating),
    10 ** (10**5),
    "x" * 10**7,
    bytes(10**7),
]


@pytest.mark.parametrize("value", ENDLESS, ids=type_of)
def test_the_text_of_any_value_is_bounded(value: object) -> None:
    # Not in an assert, which would show the value.
    shown = len(shown_text(value, False, quick_texts()))
    short = len(shortened(value, quick_texts()))
    assert 0 < shown <= SHOWN_CHARACTERS + 3
    assert 0 < short <= SHORT.characters + 3


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: raises(RuntimeError("no")), "raised RuntimeError"),
        (lambda: raises(SystemExit(1)), "raised SystemExit"),
        (lambda: raises(KeyboardInterrupt()), "raised KeyboardInterrupt"),
        (lambda: os._exit(3), "ended its process"),
        (lambda: ctypes.string_at(0), "ended its process"),
        (sleep, "took more than 1 s"),
        (keep_allocating, "took more than 64 MB"),
    ],
)
def test_a_value_that_cannot_show_itself_is_named(make: Any, told: str) -> None:
    # Long enough for a slow machine to get to what is to end it
    seconds = 1.0 if make is sleep else 60.0
    shown, short = shown_text(Shown(make), False, quick_texts(seconds)), shortened(Shown(make), quick_texts(seconds))
    assert shown == f"<Shown, whose str() {told}>"
    assert short == f"<Shown, whose repr() {told}>"


def test_a_whole_text_is_not_shortened() -> None:
    assert shown_text("x" * 10**6, whole=True) == "x" * 10**6


def test_a_collection_that_holds_itself_is_shown() -> None:
    value: list[Any] = [1]
    value.append(value)
    assert shown_text(value, whole=False) == "[1, [...]]"


def test_the_short_form_has_the_beginning_of_collections_and_the_ends_of_texts() -> None:
    assert shortened(list(range(9))) == "[0, 1, 2, 3, 4, 5, ...]"
    assert shortened("a" * 100 + "b" * 100) == "'" + "a" * 37 + "..." + "b" * 37 + "'"


def test_texts_of_foreign_code_have_a_share_of_the_time() -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 1.5
        return now[0]

    foreign = ForeignTexts(clock)
    texts = [shortened(Holder(1), foreign) for _ in range(3)]
    assert texts == [repr(Holder(1)), repr(Holder(1)), "<Holder, not shown: the texts of values took too long>"]
    now[0] += 100
    assert shortened(Holder(1), foreign) == repr(Holder(1))


def own_children() -> set[str]:
    """The processes that this one has started and not waited for."""
    return {child for task in Path("/proc/self/task").iterdir() for child in (task / "children").read_text().split()}


def test_a_process_that_makes_a_text_is_gone_and_leaves_no_file_open() -> None:
    before, children = sorted(Path("/proc/self/fd").iterdir()), own_children()
    with pytest.raises(NoText):
        text_in_child(sleep, 0.2, 2**20)
    with pytest.raises(TextRaised):
        text_in_child(lambda: raises(ValueError()), 60.0, 2**20)
    assert sorted(Path("/proc/self/fd").iterdir()) == before
    # Tests before this one may have left some.
    assert own_children() <= children


def test_without_another_open_file_a_value_is_named() -> None:
    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    value = Holder(1)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        shown = shown_text(value, whole=False)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    assert shown == "<Holder, not shown: Too many open files>"


def test_a_part_that_cannot_show_itself_leaves_the_others() -> None:
    value = [1, Shown(lambda: raises(RuntimeError()))]
    assert shown_text(value, whole=False) == shortened(value) == "[1, <Shown, whose repr() raised RuntimeError>]"


class OddName:
    @property
    def __name__(self) -> str:
        raise SystemExit


@pytest.mark.parametrize("value", [AttrDict(), OddName(), SimpleNamespace(__name__=3), 7, numpy.arange(3)], ids=type_of)
def test_only_a_name_that_is_there_is_a_name(value: object) -> None:
    assert name_of(value) == ""


class OddText(str):
    def __str__(self) -> str:
        raise SystemExit

    __len__ = __getitem__ = __str__  # type: ignore[assignment]


def test_a_name_is_a_short_text_and_nothing_else() -> None:
    assert name_of(SimpleNamespace(__name__=OddText("odd"))) == "odd"
    assert len(name_of(SimpleNamespace(__name__="n" * 10**7))) == 1000


def test_functions_and_classes_have_names() -> None:
    assert [name_of(value) for value in (len, raises, Holder, sys)] == ["len", "raises", "Holder", "sys"]
