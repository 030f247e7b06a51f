"""Whatever an exception's class and attributes do, it is described, and as JSON."""

from __future__ import annotations

import builtins
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from covalent_parallel_plugin.electron.outcome import raised_of
from covalent_parallel_plugin.electron.verdict import exception_of
from covalent_parallel_plugin.errors import ElectronError
from covalent_parallel_plugin.protocol.envelope import read_header, seal_envelope
from covalent_parallel_plugin.protocol.exception_record import LONGEST_CHAIN, MOST_FRAMES, MOST_PLACES, describe

DEEP = pytest.mark.skipif(sys.version_info < (3, 11), reason="calls of Python functions take the stack there")


def refuses(*arguments: Any, **named: Any) -> Any:
    raise RuntimeError("not this one")


def leaves(*arguments: Any, **named: Any) -> Any:
    raise SystemExit(3)


class Text(str):
    """A text that refuses to be one."""

    __len__ = __getitem__ = __str__ = __add__ = refuses


class RefusingMeta(type):
    __getattribute__ = refuses


def of_class(_base: type[BaseException] = ValueError, _meta: type = type, **members: Any) -> BaseException:
    return _meta("OddError", (_base,), {"__module__": "lab", **members})("my own error")  # type: ignore[no-any-return]


def with_attributes(error: BaseException, **attributes: Any) -> BaseException:
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


ODD = {
    "import name is a path": lambda: ImportError("my own error", name=Path("/p")),  # type: ignore[arg-type]
    "import name is a number": lambda: ModuleNotFoundError("my own error", name=7),  # type: ignore[arg-type]
    "import name refuses": lambda: ModuleNotFoundError("my own error", name=Text("x")),
    "name refuses": lambda: of_class(ImportError, name=property(refuses)),
    "a name error's name": lambda: NameError("my own error", name=object()),  # type: ignore[arg-type]
    "an attribute error's object": lambda: AttributeError("my own error", name="a", obj=of_class(__dir__=refuses)),
    "a syntax error's places": lambda: with_attributes(
        SyntaxError("my own error"), filename=Path("/p"), lineno="x", text=7, offset=object()
    ),
    "notes": lambda: with_attributes(ValueError("my own error"), __notes__=[object(), 7, Text("x")]),
    "notes that are not a list": lambda: with_attributes(ValueError("my own error"), __notes__=7),
    "its own reduce": lambda: with_attributes(ValueError("my own error"), __reduce__=refuses),
    "class reduce": lambda: of_class(__reduce__=leaves, __reduce_ex__=leaves),
    "repr": lambda: of_class(__repr__=leaves),
    "class": lambda: of_class(__class__=property(refuses)),
    "getattribute": lambda: of_class(__getattribute__=refuses),
    "cause": lambda: of_class(__cause__=property(refuses)),
    "context is a number": lambda: of_class(__context__=7, __suppress_context__=property(leaves)),
    "traceback": lambda: of_class(__traceback__=property(refuses)),
    "module is a number": lambda: of_class(__module__=7),
    "metaclass": lambda: of_class(_meta=RefusingMeta),
    "hash and equality": lambda: of_class(__hash__=refuses, __eq__=refuses, __bool__=refuses),
    "tool output": lambda: subprocess.CalledProcessError(4, "my own error", output=of_class(__str__=refuses)),
    "lone surrogates": lambda: ValueError("my own error \udcff"),
}


def described(error: BaseException) -> dict[str, Any]:
    try:
        raise error
    except BaseException as caught:
        found: dict[str, Any] = json.loads(json.dumps(describe(caught)))
        return found


@pytest.mark.parametrize("make", ODD.values(), ids=ODD)
def test_an_odd_exception_keeps_its_message_and_place(make: Callable[[], BaseException]) -> None:
    found = described(make())
    assert "my own error" in found["message"]
    assert "my own error" in found["traceback"]
    assert "in described" in found["traceback"]
    assert isinstance(exception_of(raised_of(found)), Exception)


@pytest.mark.parametrize("method", [refuses, leaves, lambda self: 7, lambda self: Text("x")])
def test_an_exception_that_cannot_be_shown_keeps_its_type_and_place(method: Any) -> None:
    found = described(of_class(__str__=method, __repr__=method))
    assert found["type"] == "OddError"
    assert "lab.OddError" in found["traceback"]
    assert "in described" in found["traceback"]


@pytest.mark.parametrize("members", [{"_meta": RefusingMeta}, {"__traceback__": property(refuses)}, {"__module__": 7}])
def test_a_text_that_takes_too_long_costs_neither_type_nor_place(members: dict[str, Any]) -> None:
    found = described(of_class(**members, __str__=lambda self: time.sleep(60)))
    assert (found["type"], found["message"]) == ("OddError", "<its str() took more than 2 s>")
    assert "in described" in found["traceback"]


def test_the_frames_are_those_of_the_text_also_where_python_cannot_make_it() -> None:
    error = of_class(__getattribute__=refuses)
    error.__cause__ = of_class(__getattribute__=refuses)
    found = described(error)
    assert [f'File "{frame[0]}", line {frame[2]}, in {frame[1]}' in found["traceback"] for frame in found["frames"]]


def test_a_class_that_poses_as_a_builtin_is_not_made_again_as_one() -> None:
    error = exception_of(raised_of(described(of_class(__module__="builtins", __qualname__="KeyError"))))
    assert isinstance(error, ElectronError)
    assert (error.type_name, "my own error" in str(error)) == ("KeyError", True)


def test_a_text_that_can_be_made_is_not_lost_where_all_else_cannot() -> None:
    def loops(self: object, name: str) -> None:
        while True:
            pass

    found = described(of_class(__getattribute__=loops))
    assert found["message"] == "my own error"
    assert "are left out, since to describe it all took more than 2 s" in found["traceback"]


def test_a_group_of_very_many_members_keeps_its_message() -> None:
    group = getattr(builtins, "BaseExceptionGroup", None)
    if group is None:
        pytest.skip("this Python has no groups")
    members = []
    for number in range(200_000):
        try:
            raise ValueError(number)
        except ValueError as error:
            members.append(error)
    found = described(group("my own error", members))
    assert found["message"].startswith("my own error")
    assert len(json.dumps(found)) < 2**20


@DEEP
def test_a_very_long_traceback_is_cut_in_its_middle() -> None:
    def even(number: int) -> None:
        odd(number - 1)

    def odd(number: int) -> None:
        if number < 0:
            raise ValueError("my own error")
        even(number - 1)

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(120_000)
    try:
        even(100_000)
    except ValueError as error:
        found = json.loads(json.dumps(describe(error)))
    finally:
        sys.setrecursionlimit(limit)
    assert found["message"] == "my own error"
    assert "Note: 9" in found["traceback"] and "frames in the middle of a traceback are left out" in found["traceback"]
    assert len(found["frames"]) <= MOST_PLACES
    assert found["frames"][0][1] == test_a_very_long_traceback_is_cut_in_its_middle.__name__


def test_names_without_end_are_cut() -> None:
    scope: dict[str, Any] = {}
    exec(compile("def f(error):\n    raise error", "file" * 100_000, "exec"), scope)  # noqa: S102
    try:
        scope["f"](of_class(__module__="m" * 10**7, __qualname__="q" * 10**7))
    except ValueError as error:
        found = describe(error)
    assert found["message"] == "my own error"
    assert len(json.dumps(found)) < 2 * 2**20


def test_a_long_chain_of_causes_is_cut() -> None:
    error: BaseException | None = None
    for number in range(1000):
        outer = ValueError(number)
        outer.__cause__ = error
        error = outer
    assert len(described(outer)["chain"]) == LONGEST_CHAIN - 1


def raised_at(depth: int, file: str = "deep.py") -> BaseException:
    """Return an exception that comes through functions which call each other in turn."""
    names: dict[str, Any] = {}
    text = "def f(n):\n    if n: g(n - 1)\n    raise ValueError('deep')\ndef g(n):\n    f(n)\n"
    exec(compile(text, file, "exec"), names)  # noqa: S102  # written here
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(3 * depth + 1000)
    try:
        names["f"](depth)
    except ValueError as error:
        return error
    finally:
        sys.setrecursionlimit(before)
    raise AssertionError


def with_causes(count: int) -> BaseException:
    """Return an exception behind which there are so many causes, each with a long text."""
    error: BaseException | None = None
    for number in range(count):
        outer = ValueError(number, "\N{SNAKE}" * 200_000)
        outer.__cause__ = error
        error = outer
    assert error is not None
    return error


LARGE: dict[str, Callable[[], BaseException]] = {
    "frames": lambda: raised_at(100_000),
    "file names": lambda: raised_at(50, "x" * 10**6),
    "class": lambda: type("N" * 10**7, (Exception,), {"__module__": "m" * 10**7})("text"),
    "module": lambda: ModuleNotFoundError("text", name="m" * 10**7),
    "causes": lambda: with_causes(40),
}


@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE)
@DEEP
def test_the_record_of_any_exception_fits_into_a_header(make: Callable[[], BaseException]) -> None:
    data = seal_envelope({"exception": described(make())}, {}, b"key", b"binding")
    assert read_header(io.BytesIO(data), b"key", b"binding").header["exception"]


@DEEP
def test_of_very_many_frames_the_first_and_the_last_are_shown_and_the_others_counted() -> None:
    found = described(raised_at(50_000))
    assert len(found["frames"]) <= MOST_FRAMES
    assert "in raised_at" in found["traceback"]
    assert "in f\nValueError: deep" in found["traceback"]
    note = f"Note: {100_003 - MOST_FRAMES} frames in the middle of a traceback are left out\n"
    assert found["traceback"].endswith(note)


def test_an_exception_with_endlessly_many_causes_keeps_its_message() -> None:
    error: BaseException = ValueError("the last one")
    inner = error
    for number in range(200_000):
        inner.__context__ = ValueError(number)
        inner = inner.__context__
    assert described(error)["message"] == "the last one"


@pytest.mark.parametrize("stream", [None, io.StringIO(), object()], ids=["none", "closed", "object"])
def test_a_tools_output_is_shown_whatever_stands_for_stderr(
    stream: Any, capfd: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(stream, io.StringIO):
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    found = described(subprocess.CalledProcessError(4, "tool", stderr=b"cannot read input"))
    monkeypatch.undo()
    assert "returned non-zero exit status 4" in found["message"]
    assert capfd.readouterr().err == "cannot read input\n"


def test_a_patched_os_does_not_matter(capfd: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", refuses)
    monkeypatch.setattr(sys, "stderr", None)
    described(subprocess.CalledProcessError(4, "tool", stderr=b"cannot read input"))
    monkeypatch.undo()
    assert capfd.readouterr().err == "cannot read input\n"
