"""How the electron's process describes an exception."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest

from covalent_parallel_plugin.electron.outcome import raised_of
from covalent_parallel_plugin.electron.verdict import exception_of
from covalent_parallel_plugin.protocol.exception_record import describe
from covalent_parallel_plugin.protocol.limits import KEPT_BYTES
from covalent_parallel_plugin.runner import outcome_report


class UnshowableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def described(error: BaseException) -> dict[str, Any]:
    try:
        raise error
    except BaseException as caught:
        found: dict[str, Any] = json.loads(json.dumps(describe(caught)))
        return found


def test_an_exception_is_described_as_json() -> None:
    found = described(KeyError("x", 1, None, True, 0.5))
    assert (found["type"], found["module"], found["args"]) == ("KeyError", "builtins", ["x", 1, None, True, 0.5])
    assert found["traceback"].endswith("KeyError: ('x', 1, None, True, 0.5)\n")


@pytest.mark.parametrize("argument", [object(), {1: 2}, 2**70, [object()], {"a": 1}, "x" * 200_000])
def test_arguments_that_cannot_be_carried_are_left_out(argument: object) -> None:
    assert described(ValueError(argument))["args"] is None


@pytest.mark.parametrize(
    "error",
    [
        ValueError([1]),
        ValueError(b"x"),
        KeyError((1, ("a", None))),
        FileNotFoundError(2, "No such file", "data.csv"),
        OSError(18, "Cross-device link", "a", None, "b"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        SyntaxError("bad", ("f.py", 1, 2, "x = ", 1, 3)),
        ZeroDivisionError(["x"]),
    ],
)
def test_a_builtin_exception_is_made_again_as_it_was(error: Exception) -> None:
    again = exception_of(raised_of(described(error)))
    assert (type(again), str(again), again.args) == (type(error), str(error), error.args)


def test_an_import_error_keeps_the_module_it_is_about() -> None:
    again = exception_of(raised_of(described(ModuleNotFoundError("no", name="pandas"))))
    assert isinstance(again, ModuleNotFoundError)
    assert again.name == "pandas"


@pytest.mark.parametrize("argument", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_arrive_all_the_same(argument: float) -> None:
    assert repr(described(ValueError(argument))["args"]) == repr([argument])


def test_a_message_that_cannot_be_made_is_told() -> None:
    assert described(UnshowableError())["message"] == "<its str() raised RuntimeError>"


def test_causes_and_contexts_are_told_nearest_first() -> None:
    outer = RuntimeError("outer")
    outer.__cause__ = ValueError("middle")
    outer.__cause__.__context__ = KeyError("inner")
    assert [(link["relation"], link["type"]) for link in described(outer)["chain"]] == [
        ("cause", "ValueError"),
        ("context", "KeyError"),
    ]


def test_a_suppressed_context_is_not_told() -> None:
    error = RuntimeError()
    error.__context__ = KeyError()
    error.__suppress_context__ = True
    assert described(error)["chain"] == []


def test_a_circle_of_causes_ends() -> None:
    one, other = RuntimeError("one"), RuntimeError("other")
    one.__cause__, other.__cause__ = other, one
    assert [link["message"] for link in described(one)["chain"]] == ["other"]


def test_a_short_stream_is_kept_whole_and_a_missing_one_is_empty(tmp_path: Any) -> None:
    path = tmp_path / "stdout"
    assert outcome_report.head_and_tail(str(path)) == b""
    for size in (0, 1, 2 * KEPT_BYTES):
        path.write_bytes(b"x" * size)
        assert outcome_report.head_and_tail(str(path)) == b"x" * size


def test_of_a_long_stream_both_ends_are_kept(tmp_path: Any) -> None:
    path = tmp_path / "stdout"
    path.write_bytes(b"a" * KEPT_BYTES + b"-" * 5 + b"z" * KEPT_BYTES)
    kept = outcome_report.head_and_tail(str(path))
    assert kept == b"a" * KEPT_BYTES + b"\n... 5 bytes left out ...\n" + b"z" * KEPT_BYTES


class Told(Exception):
    """An exception whose text a function makes."""

    def __str__(self) -> str:
        return str(self.args[0]())


def endless() -> list[Any]:
    shared: list[Any] = [0]
    for _ in range(60):
        shared = [shared, shared]
    return shared


@pytest.mark.parametrize(
    "error",
    [Told(lambda: time.sleep(100)), Told(lambda: "x" * 10**11), Told(lambda: os._exit(3)), ValueError(endless())],
    ids=["slow", "large", "ends", "shared"],
)
def test_an_exception_is_described_whatever_its_text_costs(error: Exception) -> None:
    found = described(error)
    assert found["type"] == type(error).__name__
    assert found["message"].startswith("<its str() ")
    assert "in described" in found["traceback"]


def test_an_exception_with_a_text_of_its_own_is_described_as_it_tells() -> None:
    found = described(Told(lambda: "told"))
    assert (found["message"], found["type"]) == ("told", "Told")
