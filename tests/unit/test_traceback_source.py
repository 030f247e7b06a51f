"""The user's own lines in a traceback from a container that has no source files."""

from __future__ import annotations

import textwrap
from pathlib import Path

from covalent_parallel_plugin.electron.outcome import Raised
from covalent_parallel_plugin.electron.traceback_source import electron_lookup, with_source_lines

SOURCE = "@ct.electron\ndef train(x):\n    y = x\n    return y['missing']\n"
TRACE = textwrap.dedent(
    """\
    Traceback (most recent call last):
      File "/home/me/flow.py", line 13, in train
    KeyError: 'missing'
    """
)


def raised(trace: str = TRACE, file: str = "/home/me/flow.py") -> Raised:
    return Raised("KeyError", "builtins", "'missing'", ("missing",), trace, {(file, "train"): 10})


def test_a_frame_of_the_electron_gets_its_line_from_covalents_copy() -> None:
    text = with_source_lines(TRACE, electron_lookup(raised(), "train", SOURCE))
    assert "line 13, in train\n    return y['missing']\nKeyError" in text


def test_a_frame_that_has_its_line_keeps_it() -> None:
    trace = TRACE.replace("in train\n", "in train\n    something_else()\n")
    assert with_source_lines(trace, electron_lookup(raised(trace), "train", SOURCE)) == trace


def test_a_frame_of_another_function_gets_its_line_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("def helper():\n    raise KeyError('missing')\n")
    trace = f'  File "{path}", line 2, in helper\nKeyError\n'
    text = with_source_lines(trace, electron_lookup(raised(trace), "train", SOURCE))
    assert text == f"  File \"{path}\", line 2, in helper\n    raise KeyError('missing')\nKeyError\n"


def test_a_frame_of_which_nothing_is_known_stays_as_it_is() -> None:
    trace = '  File "<string>", line 2, in helper\n  File "/no/such.py", line 1, in f\nKeyError\n'
    assert with_source_lines(trace, electron_lookup(raised(trace), "train", SOURCE)) == trace


def test_a_line_outside_the_known_source_is_left_out() -> None:
    trace = TRACE.replace("line 13", "line 99")
    assert with_source_lines(trace, electron_lookup(raised(trace), "train", SOURCE)) == trace


def test_only_python_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("secret\n")
    trace = f'  File "{path}", line 1, in f\n'
    assert "secret\n" not in with_source_lines(trace, electron_lookup(raised(trace), "train", "")).replace(
        str(path), ""
    )
