"""An exception as JSON: type, message, arguments that can be carried, and the traceback from the user's frame on."""

from __future__ import annotations

import base64
import itertools
import os
import subprocess
import sys
import traceback
from types import CodeType, TracebackType
from typing import Dict, List, Optional, Tuple

from .limits import DEEPEST_ARGUMENT

# More of a message or a traceback than this helps nobody, and all of it travels in the outcome's header
LONGEST_MESSAGE = 100 * 1024
LONGEST_TRACEBACK = 1024 * 1024
LONGEST_ARGUMENTS = 100 * 1024
LARGEST_INTEGER = 2**63


def describe(error: BaseException) -> Dict[str, object]:
    """An exception as JSON: type, message, plain arguments, and the traceback from the user's first frame on."""
    _strip_own_frames(error)
    _show_tool_output(error)
    kind = type(error)
    text = _cut("".join(traceback.format_exception(kind, error, error.__traceback__)), LONGEST_TRACEBACK)
    if isinstance(error, ModuleNotFoundError) and error.name:
        text += "Note: %s\n" % missing_module_text(error.name.split(".")[0])
    return {
        "type": kind.__qualname__,
        "module": str(kind.__module__),
        "message": _message(error),
        "args": _arguments(error),
        "import_name": error.name if isinstance(error, ImportError) else None,
        "traceback": text,
        "chain": _chain(error),
        "frames": _frames(error),
    }


def _message(error: BaseException) -> str:
    try:
        return _cut(str(error), LONGEST_MESSAGE)
    except BaseException as broken:
        # Whatever the user's __str__ raises, SystemExit too, the exception is still told.
        return "<its str() raised %s>" % type(broken).__name__


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return "%s\n... %d characters left out ...\n%s" % (
        text[: longest // 2],
        len(text) - longest,
        text[-(longest // 2) :],
    )


def _arguments(error: BaseException) -> Optional[List[object]]:
    """What a builtin exception is made from again, where JSON can carry it exactly, else None."""
    if type(error).__module__ != "builtins":
        return None
    try:
        # Not `args`, which lack an OSError's file names
        carried = [_carried(argument, 0) for argument in error.__reduce__()[1]]
    except (ValueError, TypeError, IndexError, RecursionError):
        return None
    return carried if len(repr(carried)) <= LONGEST_ARGUMENTS else None


def _carried(value: object, depth: int) -> object:
    """A value of JSON's, or a list of a kind's name and what it holds; ValueError for what cannot be carried."""
    if value is None or type(value) in (str, bool, float):
        return value
    if type(value) is int and abs(value) < LARGEST_INTEGER:
        return value
    if depth < DEEPEST_ARGUMENT:
        if type(value) is bytes:
            return ["bytes", base64.b64encode(value).decode()]
        if type(value) is tuple:
            return ["tuple", [_carried(item, depth + 1) for item in value]]
        if type(value) is list:
            return ["list", [_carried(item, depth + 1) for item in value]]
    raise ValueError("a %s is not carried" % type(value).__name__)


def _with_causes(error: BaseException) -> List[BaseException]:
    """The exception, then its causes and contexts, nearest first, as far as a traceback shows them."""
    shown_errors: List[BaseException] = []
    current: Optional[BaseException] = error
    while current is not None and all(current is not other for other in shown_errors):
        shown_errors.append(current)
        if current.__cause__ is not None or current.__suppress_context__:
            current = current.__cause__
        else:
            current = current.__context__
    return shown_errors


def _chain(error: BaseException) -> List[Dict[str, str]]:
    return [
        {
            "relation": "cause" if earlier.__cause__ is later else "context",
            "type": type(later).__qualname__,
            "module": str(type(later).__module__),
            "message": _message(later),
        }
        for earlier, later in zip(_with_causes(error), _with_causes(error)[1:])
    ]


def _frames(error: BaseException) -> List[List[object]]:
    """The frames of the traceback in the order of its text, for source lines that only the client's machine has.

    Each is [file, function, line, the function's first line, last line, first column, column behind the last one] of
    the expression, columns in bytes of UTF-8 (`codeobject.co_positions`); the last three are None on Python 3.10.
    """
    found: List[List[object]] = []
    for shown_error in reversed(_with_causes(error)):
        found += _frames_of(shown_error.__traceback__)
        for member in getattr(shown_error, "exceptions", ()) if _is_group(shown_error) else ():
            found += _frames(member)
    return found


def _frames_of(trace: Optional[TracebackType]) -> List[List[object]]:
    found: List[List[object]] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        end_line, column, end_column = _span(code, trace.tb_lasti)
        frame = [code.co_filename, code.co_name, trace.tb_lineno, code.co_firstlineno, end_line, column, end_column]
        # Of a recursion the text shows three frames.
        if found[-3:] != [frame] * 3:
            found.append(frame)
        trace = trace.tb_next
    return found


def _span(code: CodeType, instruction: int) -> Tuple[Optional[int], Optional[int], Optional[int]]:
    """The last line, the first column and the end column of what an instruction computes."""
    positions = getattr(code, "co_positions", None)
    if positions is None or instruction < 0:
        return None, None, None
    _, end_line, column, end_column = next(itertools.islice(positions(), instruction // 2, None), (None,) * 4)
    return end_line, column, end_column


def _is_group(error: BaseException) -> bool:
    return any(kind.__name__ == "BaseExceptionGroup" and kind.__module__ == "builtins" for kind in type(error).__mro__)


def _strip_own_frames(error: BaseException) -> None:
    """Have the traceback begin with the user's first frame, behind those of the runner and of this folder."""
    here = os.path.dirname(describe.__code__.co_filename)
    own = (here, os.path.join(os.path.dirname(here), "runner"))
    trace = error.__traceback__
    while trace is not None and os.path.dirname(trace.tb_frame.f_code.co_filename) in own:
        trace = trace.tb_next
    error.__traceback__ = trace


def _show_tool_output(error: BaseException) -> None:
    """Print what a failed tool of a hook (pip, a shell command) had printed: its exception does not say it."""
    for shown_error in _with_causes(error):
        if isinstance(shown_error, subprocess.CalledProcessError):
            for output in (shown_error.stdout, shown_error.stderr):
                if output:
                    text = output.decode("utf-8", "replace") if isinstance(output, bytes) else str(output)
                    sys.stderr.write(text if text.endswith("\n") else text + "\n")


def missing_module_text(name: str) -> str:
    return (
        "the image has no module %r. Bring it with the option `requirements` or Covalent's DepsPip (an installable"
        " package), with Covalent's DepsModule (your own module), or use an image that has it." % name
    )
