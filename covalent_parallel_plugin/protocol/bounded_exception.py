"""The record of an exception in bounded time and memory: foreign code that it needs runs in a process of its own."""

from __future__ import annotations

import functools
import json
import sys
from typing import Callable, Dict, List, Tuple

from .value_text import TEXT_BYTES, TEXT_SECONDS, is_short_and_plain

Record = Dict[str, object]

# With more errors behind one another, or more text in one, a process of its own is worth while
MOST_ERRORS = 50
PLAIN_CHARACTERS = 16 * 1024
# More of a message than this helps nobody, and all of it travels in the outcome's header
LONGEST_MESSAGE = 100 * 1024
# What a class can have of its own that is called for a record
FOREIGN = ("__str__", "__repr__", "__reduce__", "__reduce_ex__", "__getattribute__", "__getattr__", "__getstate__")
# Py_TPFLAGS_HEAPTYPE (Include/object.h): classes that Python code has made, whatever module they name
MADE_BY_CODE = 1 << 9
# What a class may override, as type and BaseException themselves have it
name_of, qualname_of, module_of = (vars(type)[name].__get__ for name in ("__name__", "__qualname__", "__module__"))
traceback_of = vars(BaseException)["__traceback__"].__get__
# Taken now: the electron may put something else in their places.
_dumps, _loads = json.dumps, json.loads


def bounded(describe: Callable[[BaseException], Record]) -> Callable[[BaseException], Record]:
    """Make of a function that describes an exception one that takes two seconds and 256 MB at most."""

    @functools.wraps(describe)
    def describe_bounded(error: BaseException) -> Record:
        if _is_plain(error):
            return describe(error)
        # Loaded here only: most exceptions are plain.
        from .bounded_text import NoText, TextRaised, text_in_child

        try:
            found: Record = _loads(text_in_child(lambda: _dumps(describe(error)), TEXT_SECONDS, TEXT_BYTES))
        except TextRaised:
            return describe(error)
        except NoText as failure:
            note = "Note: its causes, notes and members are left out, since to describe it all %s\n" % failure
        except BaseException:
            # There can be no more processes or files, or what makes them was patched.
            return describe(error)
        else:
            return found
        try:
            text = text_in_child(lambda: str(error)[:LONGEST_MESSAGE], TEXT_SECONDS, TEXT_BYTES)
        except NoText as failure:
            text = "<its str() %s>" % failure
        found = describe(_stand_in(error, text))
        found["traceback"] = "%s%s" % (found["traceback"], note)
        return found

    return describe_bounded


def _is_plain(error: BaseException) -> bool:
    """Whether no foreign code is called for the record, and what it shows is short."""
    try:
        return _looks_plain(error)
    except BaseException:
        # Whatever the attributes of its class raise, SystemExit too
        return False


def _looks_plain(error: BaseException) -> bool:
    pending: List[BaseException] = [error]
    seen: List[BaseException] = []
    while pending:
        current = pending.pop()
        if any(current is other for other in seen):
            continue
        seen.append(current)
        if len(seen) > MOST_ERRORS or any(map(_has_foreign_code, type(current).__mro__)):
            return False
        shown = (current.args, vars(current).get("__notes__"), getattr(current, "filename", None))
        if not is_short_and_plain(shown, PLAIN_CHARACTERS):
            return False
        pending += [each for each in (current.__cause__, current.__context__) if each is not None]
        members = getattr(current, "exceptions", ())
        pending += [each for each in members if isinstance(each, BaseException)] if type(members) is tuple else []
    return True


def failed_programs() -> Tuple[type, ...]:
    """Return subprocess.CalledProcessError, if it is loaded: most electrons do without."""
    kind = getattr(sys.modules.get("subprocess"), "CalledProcessError", None)
    return (kind,) if isinstance(kind, type) else ()


def _has_foreign_code(kind: type) -> bool:
    return (
        bool(kind.__flags__ & MADE_BY_CODE)
        and kind not in failed_programs()
        and any(name in kind.__dict__ for name in FOREIGN)
    )


def _stand_in(error: BaseException, text: str) -> BaseException:
    """An exception of a class of the same name, with this text and the same traceback."""
    kind = type(error)
    names = {"__qualname__": qualname_of(kind)}
    try:
        names["__module__"] = module_of(kind)
    except AttributeError:
        # Deleted: the replacement's is this one.
        pass
    stand_in: BaseException = type(name_of(kind), (Exception,), names)(text)
    return stand_in.with_traceback(traceback_of(error))
