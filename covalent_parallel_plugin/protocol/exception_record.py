"""An exception as JSON: type, message, arguments that can be carried, and the traceback from the user's frame on."""

from __future__ import annotations

import base64
import itertools
import os
import sys
import traceback
from types import CodeType, ModuleType, TracebackType
from typing import Callable, Dict, List, Optional, Tuple, TypeVar

from .bounded_exception import (
    LONGEST_MESSAGE,
    MADE_BY_CODE,
    bounded,
    failed_programs,
    module_of,
    qualname_of,
    traceback_of,
)
from .code_files import LONGEST_FILE
from .limits import DEEPEST_ARGUMENT
from .value_text import LONGEST_NAME

# More of a traceback than this helps nobody, and all of it travels in the outcome's header
LONGEST_TRACEBACK = 1024 * 1024
LONGEST_ARGUMENTS = 100 * 1024
LARGEST_INTEGER = 2**63
# So many causes and contexts are shown, of an exception group so many members and levels (traceback.TracebackException)
LONGEST_CHAIN = 100
NOT_BROUGHT = (
    "of the script, an electron brings what its code names, not what text names (eval, annotations); name it in the"
    " electron, or write it in a module that the image has or DepsModule brings"
)
MOST_MEMBERS, DEEPEST_GROUP = 15, 10
# A longer traceback shows its first and its last frames; so many of all frames have their places shown
MOST_FRAMES, FEWEST_FRAMES = 10000, 20
MOST_PLACES = 2000
# What Python's own tracebacks say of a class whose module is not text
UNKNOWN = "<unknown>"


# What an exception's class may override, as BaseException and type themselves have it; taken now, before user code runs
_cause_of, _context_of, _suppresses_context = (
    vars(BaseException)[name].__get__ for name in ("__cause__", "__context__", "__suppress_context__")
)
_flags_of = vars(type)["__flags__"].__get__
_write = os.write

T = TypeVar("T")


@bounded
def describe(error: BaseException) -> Dict[str, object]:
    """An exception as JSON: type, message, plain arguments, and the traceback from the user's first frame on.

    Whatever the exception's class and attributes do, all that is available is in it; nothing is raised.
    """
    kind = type(error)
    _attempt(_strip_own_frames, error)
    left_out = _attempt(_cut_frames, error) or 0
    _attempt(_show_tool_output, error)
    return {
        "type": _type_name(kind),
        "module": _module_name(kind),
        "message": _message(error),
        "args": _attempt(_arguments, error),
        "import_name": _attempt(_import_name, error),
        "traceback": _cut(_traceback_text(error, left_out), LONGEST_TRACEBACK),
        "chain": _attempt(_chain, error) or [],
        "frames": _attempt(_frames, error) or [],
    }


def _attempt(part: Callable[[BaseException], T], error: BaseException) -> Optional[T]:
    """Return what `part` finds of the exception, or None where code of the exception's own raises."""
    try:
        return part(error)
    except BaseException:
        # SystemExit too: the exception is reported all the same.
        return None


def _exact(text: object, otherwise: str) -> str:
    """Return a text without what a class derived from str may add, `otherwise` for anything else."""
    return str.__str__(text) if issubclass(type(text), str) else otherwise


def full_name(kind: type) -> str:
    """Return a class's name with its module, whatever its attributes do."""
    return "%s.%s" % (_module_name(kind), _type_name(kind))


def _type_name(kind: type) -> str:
    return _exact(qualname_of(kind), "")[:LONGEST_NAME]


def _module_name(kind: type) -> str:
    try:
        return _exact(module_of(kind), UNKNOWN)[:LONGEST_NAME]
    except AttributeError:
        return UNKNOWN


def _message(error: BaseException) -> str:
    try:
        return _cut(_exact(str(error), ""), LONGEST_MESSAGE)
    except BaseException as broken:
        # Whatever the user's __str__ raises, SystemExit too, the exception is still reported.
        return "<its str() raised %s>" % _type_name(type(broken))


def _import_name(error: BaseException) -> Optional[str]:
    """The module that an ImportError is about; None where its `name` is not text."""
    name: object = error.name if issubclass(type(error), ImportError) else None  # type: ignore[attr-defined]  # it has it
    return _exact(name, "")[:LONGEST_NAME] or None


def _traceback_text(error: BaseException, left_out: int) -> str:
    try:
        text = "".join(traceback.format_exception(type(error), error, traceback_of(error)))
    except BaseException as broken:
        # Python reads attributes that an exception may lack, or have of any type.
        text = "".join(map(_plain_traceback, reversed(_with_causes(error))))
        text += "Note: Python's own traceback of it raised %s\n" % _type_name(type(broken))
    if left_out:
        text += "Note: %d frames in the middle of a traceback are left out\n" % left_out
    name = _attempt(_import_name, error)
    hidden = _attempt(hidden_module, error)
    if hidden:
        text += "Note: %s\n" % hidden
    elif name and issubclass(type(error), ModuleNotFoundError):
        text += "Note: %s\n" % missing_module_text(name.split(".")[0])
    if _attempt(_is_about_the_script, error):
        text += "Note: %s.\n" % NOT_BROUGHT
    return text


def _is_about_the_script(error: BaseException) -> bool:
    """Whether a name was looked for that only text has (eval, an annotation, an import of `__main__`)."""
    if issubclass(type(error), NameError):
        return [frame[0] for frame in _frames_of(traceback_of(error))[-1:]] == ["<string>"]
    return not issubclass(type(error), ModuleNotFoundError) and _import_name(error) == "__main__"


def _plain_traceback(error: BaseException) -> str:
    """Return a traceback of frames alone, read from the frames themselves."""
    lines = [
        '  File "%s", line %s, in %s\n' % (frame[0], frame[2], frame[1]) for frame in _frames_of(traceback_of(error))
    ]
    title = "%s: %s\n" % (full_name(type(error)), _message(error))
    return "".join(["Traceback (most recent call last):\n", *lines, title.replace("builtins.", "", 1)])


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
    kind = type(error)
    if _module_name(kind) != "builtins" or _flags_of(kind) & MADE_BY_CODE:
        return None
    try:
        # Not `args`, which lack an OSError's file names
        carried = [_carried(argument, 0) for argument in kind.__reduce__(error)[1]]
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
        if len(shown_errors) == LONGEST_CHAIN:
            break
        cause: Optional[BaseException] = _cause_of(current)
        current = cause if cause is not None or _suppresses_context(current) else _context_of(current)
    return shown_errors


def _chain(error: BaseException) -> List[Dict[str, str]]:
    return [
        {
            "relation": "cause" if _cause_of(earlier) is later else "context",
            "type": _type_name(type(later)),
            "module": _module_name(type(later)),
            "message": _message(later)[:LONGEST_NAME],
        }
        for earlier, later in zip(_with_causes(error), _with_causes(error)[1:])
    ]


def _frames(error: BaseException) -> List[List[object]]:
    """The frames of the traceback in the order of its text, for source lines that only the client's machine has.

    Each is [file, function, line, the function's first line, last line, first column, column behind the last one] of
    the expression, columns in bytes of UTF-8 (`codeobject.co_positions`); the last three are None on Python 3.10.
    """
    found = [frame for shown_error in _shown_errors(error) for frame in _frames_of(traceback_of(shown_error))]
    return found if len(found) <= MOST_PLACES else found[: MOST_PLACES // 2] + found[-MOST_PLACES // 2 :]


def _shown_errors(error: BaseException, depth: int = 0) -> List[BaseException]:
    """The exceptions whose frames a traceback shows, in the order of its text."""
    found: List[BaseException] = []
    for shown_error in reversed(_with_causes(error)):
        found.append(shown_error)
        is_group = depth < DEEPEST_GROUP and _is_group(shown_error)
        for member in getattr(shown_error, "exceptions", ())[:MOST_MEMBERS] if is_group else ():
            found += _shown_errors(member, depth + 1)
    return found


def _cut_frames(error: BaseException) -> int:
    """Take out the middle of tracebacks that are too long to be shown; returns how many frames that are."""
    left_out = 0
    shown_errors = _shown_errors(error)
    most = max(MOST_FRAMES // len(shown_errors), FEWEST_FRAMES)
    for shown_error in shown_errors:
        traces = []
        trace = traceback_of(shown_error)
        while trace is not None:
            traces.append(trace)
            trace = trace.tb_next
        if len(traces) > most:
            left_out += len(traces) - most // 2 * 2
            traces[most // 2 - 1].tb_next = traces[-(most // 2)]
    return left_out


def _frames_of(trace: Optional[TracebackType]) -> List[List[object]]:
    found: List[List[object]] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        end_line, column, end_column = _span(code, trace.tb_lasti)
        file, name = code.co_filename[:LONGEST_FILE], code.co_name[:LONGEST_NAME]
        frame = [file, name, trace.tb_lineno, code.co_firstlineno, end_line, column, end_column]
        # The text shows three frames of a recursion.
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
    trace = traceback_of(error)
    while trace is not None and os.path.dirname(trace.tb_frame.f_code.co_filename) in own:
        trace = trace.tb_next
    vars(BaseException)["__traceback__"].__set__(error, trace)


def _show_tool_output(error: BaseException) -> None:
    """Print what a failed tool of a hook (pip, a shell command) had printed: its exception does not say it."""
    for shown_error in _with_causes(error):
        if issubclass(type(shown_error), failed_programs()):
            for output in (shown_error.stdout, shown_error.stderr):  # type: ignore[attr-defined]  # it has both
                if output:
                    text = output.decode("utf-8", "replace") if isinstance(output, bytes) else str(output)
                    _print_error(text if text.endswith("\n") else text + "\n")


def _print_error(text: str) -> None:
    """Write to stderr; to the process's own where the user has closed `sys.stderr`, or put something else there."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except BaseException:
        _write(2, text.encode("utf-8", "backslashreplace"))


def hidden_module(error: BaseException) -> str:
    """Say which file hides a module of the standard library that lacks what was looked for; "" if none does."""
    name = _import_name(error) or ""
    if issubclass(type(error), AttributeError):
        module = getattr(error, "obj", None)
        name = _exact(vars(module).get("__name__"), "") if type(module) is ModuleType else ""
    name = name.split(".")[0]
    file = getattr(sys.modules.get(name), "__file__", None)
    if name not in getattr(sys, "stdlib_module_names", ()) or not file:
        return ""
    # Packages that replace modules that Python removed are installed for that.
    if is_of_the_standard_library(file) or "-packages" in file:
        return ""
    return (
        "%s hides the module %r of Python's standard library: rename it, or take its folder out of PYTHONPATH and"
        " sys.path." % (file, name)
    )


def is_of_the_standard_library(file: str) -> bool:
    """Whether a file is one of Python's own; those of installed packages are below the same folder."""
    standard = os.path.dirname(os.path.realpath(os.__file__))
    path = os.path.realpath(file)
    return path.startswith(standard + os.sep) and "-packages" not in path[len(standard) :]


def missing_module_text(name: str) -> str:
    return (
        "the image has no module %r. Bring an installable package with the option `requirements` or Covalent's DepsPip,"
        " or use an image that has it. Your own module comes along from the folder of the script or notebook, and from"
        " an editable install, unless own_modules=False; else put its folder on sys.path before you dispatch." % name
    )
