"""Source lines in tracebacks and stacks from a container that has no source files."""

from __future__ import annotations

import os
import sys
import textwrap
import traceback
from pathlib import Path
from typing import Any

import pytest

from covalent_parallel_plugin.electron.outcome import Frame, Origin, Outcome, Raised, raised_of
from covalent_parallel_plugin.electron.traceback_source import (
    SourceText,
    raised_with_lines,
    stack_with_lines,
    with_source_lines,
)
from covalent_parallel_plugin.protocol.envelope import REFUSED
from covalent_parallel_plugin.protocol.exception_record import describe

FILE = "/home/me/flow.py"
TEXT = "@ct.electron\ndef train(x):\n    y = x\n    return y['missing']\n\n\n"
TRACE = textwrap.dedent(
    f"""\
    Traceback (most recent call last):
      File "{FILE}", line 13, in train
    KeyError: 'missing'
    """
)


def raised(trace: str = TRACE, frames: tuple[Frame, ...] = (), file: str = FILE) -> Raised:
    return Raised("KeyError", "builtins", "'missing'", ("missing",), trace, frames, Origin(file, 10))


def lines(trace: str, source: SourceText, frames: tuple[Frame, ...] = (), file: str = FILE) -> str:
    return raised_with_lines(raised(trace, frames, file), source).traceback


def test_a_frame_of_the_electron_gets_its_line_from_covalents_copy() -> None:
    assert "line 13, in train\n    return y['missing']\nKeyError" in lines(TRACE, SourceText(TEXT))


def test_a_frame_of_a_function_inside_the_electron_gets_its_line_from_there_too() -> None:
    trace = TRACE.replace("line 13, in train", "line 12, in <listcomp>")
    assert "in <listcomp>\n    y = x\nKeyError" in lines(trace, SourceText(TEXT))


@pytest.mark.parametrize("file", ["<dynamic-code>", "/tmp/ipykernel_1/2.py", "<stdin>"])
def test_the_electron_of_a_notebook_has_its_lines_though_it_has_no_file(file: str) -> None:
    trace = TRACE.replace(FILE, file)
    assert "in train\n    return y['missing']\nKeyError" in lines(trace, SourceText(TEXT), file=file)


def test_a_helper_of_a_notebook_is_shown_with_function_and_line_alone() -> None:
    trace = '  File "<dynamic-code>", line 3, in helper\nKeyError\n'
    assert lines(trace, SourceText(TEXT), file="<dynamic-code>") == trace


def test_a_frame_that_has_its_line_keeps_it() -> None:
    trace = TRACE.replace("in train\n", "in train\n    something_else()\n")
    assert lines(trace, SourceText(TEXT)) == trace


def test_a_frame_of_another_function_gets_its_line_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("def helper():\n    raise KeyError('missing')\n")
    trace = f'  File "{path}", line 2, in helper\nKeyError\n'
    assert (
        lines(trace, SourceText(TEXT))
        == f"  File \"{path}\", line 2, in helper\n    raise KeyError('missing')\nKeyError\n"
    )


def test_a_file_that_was_changed_since_the_dispatch_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("def helper():\n    raise KeyError('other')\n")
    os.utime(path, (2000, 2000))
    trace = f'  File "{path}", line 2, in helper\nKeyError\n'
    assert lines(trace, SourceText(TEXT, changed_before=1000.0)) == trace
    assert lines(trace, SourceText(TEXT, changed_before=3000.0)) != trace


def test_a_file_in_which_the_function_does_not_begin_there_gives_no_line(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("import os\n\ndef other():\n    return os.getpid()\n")
    trace = f'  File "{path}", line 4, in __init__\nKeyError\n'
    assert lines(trace, SourceText(), (Frame(str(path), "__init__", 4, 3),)) == trace
    # As where nothing is known of its beginning
    assert "    return os.getpid()\n" in lines(trace, SourceText())


@pytest.mark.parametrize(
    "trace",
    [
        '  File "<string>", line 2, in helper\n  File "/no/such.py", line 1, in f\nKeyError\n',
        TRACE.replace("line 13", "line 99"),
        TRACE.replace("line 13", "line 9"),
        TRACE.replace("line 13", "line 0"),
    ],
)
def test_a_frame_of_which_nothing_is_known_stays_as_it_is(trace: str) -> None:
    assert lines(trace, SourceText(TEXT)) == trace


@pytest.mark.parametrize("name", ["secret", "secret.txt", "folder.py", "fifo.py"])
def test_only_python_files_are_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "folder.py":
        path.mkdir()
    elif name == "fifo.py":
        os.mkfifo(path)
    else:
        path.write_text("password\n")
    trace = f'  File "{path}", line 1, in <module>\n'
    assert lines(trace, SourceText()) == trace


def test_text_that_is_no_python_gives_no_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_bytes(b"# coding: no-such-thing\n\xff\n")
    trace = f'  File "{path}", line 1, in <module>\n'
    assert lines(trace, SourceText()) == trace


# --- as Python itself shows it


SCRIPT = """\
class Broken(Exception):
    pass


def helper(table, ä="ö"):
    return len(ä) + table["missing"] + (
        1
    )


def recursive(depth):
    return recursive(depth - 1) if depth else helper({})


def chained():
    try:
        recursive(50)
    except KeyError as error:
        raise Broken("x") from error


def electron():
    return [each for each in (lambda: chained(),)][0]()


def group():
    failures = []
    for call in (electron, lambda: helper({})):
        try:
            call()
        except Exception as error:
            failures.append(error)
    raise ExceptionGroup("several", failures)
"""


def remote(path: Path, name: str) -> tuple[str, Raised]:
    """What Python shows where the file is, and what the runner describes where it is not."""
    space: dict[str, Any] = {}
    exec(compile(SCRIPT, str(path), "exec"), space)  # noqa: S102
    try:
        space[name]()
    except BaseException as error:
        described = describe(error)
        path.write_text(SCRIPT)
        expected = "".join(traceback.format_exception(error))
        return expected, raised_of({**described, "origin": {"file": str(path), "first_line": 1}})
    raise AssertionError("it returned")


@pytest.mark.parametrize(
    "name",
    [
        "chained",
        "electron",
        pytest.param("group", marks=pytest.mark.skipif(sys.version_info < (3, 11), reason="has no groups")),
    ],
)
@pytest.mark.parametrize("from_text", [False, True])
def test_a_traceback_is_the_one_that_python_shows_where_the_source_is(
    tmp_path: Path, name: str, from_text: bool
) -> None:
    path = tmp_path / "script.py"
    expected, described = remote(path, name)
    assert described.traceback != expected
    if from_text:
        path.unlink()
    assert raised_with_lines(described, SourceText(SCRIPT if from_text else "")).traceback == expected


# --- stacks


def test_frames_of_a_stack_get_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "wörk.py"
    path.write_text("import time\n\ndef waits():\n    time.sleep(60)\n")
    shown = str(path).replace("ö", "\\xf6")
    stderr = (
        f'started\nThread 0x1 (most recent call first):\n  File "{shown}", line 4 in waits\n  File "x", line 1 in f\n'
    )
    expected = stderr.replace("in waits\n", "in waits\n    time.sleep(60)\n")
    assert stack_with_lines(stderr, Origin(), SourceText()) == expected


def test_an_electron_of_a_notebook_shows_its_lines_in_a_stack() -> None:
    stderr = '  File "<dynamic-code>", line 12 in train\n'
    text = stack_with_lines(stderr, Origin("<dynamic-code>", 10), SourceText(TEXT))
    assert text == stderr + "    y = x\n"


@pytest.mark.parametrize(
    "runner", ["/tmp/covalent-parallel-0/1f.zip/covalent_parallel_runner", "/site-packages/covalent_parallel_plugin"]
)
def test_a_stack_ends_where_the_runner_begins(runner: str) -> None:
    own = (
        f'  File "{runner}/runner/child.py", line 162 in _outcome\n'
        f'  File "{runner}/runner/process.py", line 58 in supervise\n'
        '  File "<string>", line 117 in <module>\n'
    )
    first = 'Thread 0x1 (most recent call first):\n  File "/x.py", line 1 in f\n'
    second = '\nThread 0x2 (most recent call first):\n  File "/y.py", line 1 in g\nExtension modules: x\n'
    assert stack_with_lines(first + own + second, Origin(), SourceText()) == first + second


def test_what_looks_like_an_escape_and_is_none_stays(tmp_path: Path) -> None:
    stderr = f'  File "{tmp_path}/\\Uffffffff.py", line 4 in waits\n'
    assert stack_with_lines(stderr, Origin(), SourceText()) == stderr


def test_the_output_of_an_electron_that_was_refused_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "flow.py"
    path.write_text("pass\n")
    outcome = Outcome(REFUSED, "", f'  File "{path}", line 1 in <module>\n')
    assert with_source_lines(outcome, SourceText()) == outcome
