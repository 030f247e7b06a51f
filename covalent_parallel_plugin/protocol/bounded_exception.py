"""The record of an exception in bounded time and memory: foreign code that it needs runs in a process of its own."""

from __future__ import annotations

import functools
import json
from subprocess import CalledProcessError
from typing import Callable, Dict, List

from .value_text import TEXT_BYTES, TEXT_SECONDS, is_short_and_plain

Record = Dict[str, object]

# With more errors behind one another, or more text in one, a process of its own is worth while
MOST_ERRORS = 50
PLAIN_CHARACTERS = 16 * 1024
# What a class can have of its own that is called for a record
FOREIGN = ("__str__", "__repr__", "__reduce__", "__reduce_ex__", "__getattribute__", "__getattr__", "__getstate__")
# Py_TPFLAGS_HEAPTYPE (Include/object.h): classes that Python code has made, whatever module they name
MADE_BY_CODE = 1 << 9
# What a class may override, as type and BaseException themselves have it
_name_of, _qualname_of, _module_of = (vars(type)[name].__get__ for name in ("__name__", "__qualname__", "__module__"))
_traceback_of = vars(BaseException)["__traceback__"].__get__


def bounded(describe: Callable[[BaseException], Record]) -> Callable[[BaseException], Record]:
    """Make of a function that describes an exception one that takes two seconds and 256 MB at most."""

    @functools.wraps(describe)
    def describe_bounded(error: BaseException) -> Record:
        if _is_plain(error):
            return describe(error)
        # Loaded here only: most exceptions are plain.
        from .bounded_text import NoText, TextRaised, text_in_child

        try:
            text = text_in_child(lambda: json.dumps(describe(error)), TEXT_SECONDS, TEXT_BYTES)
            found: Record = json.loads(text)
        except (OSError, TextRaised):
            return describe(error)
        except NoText as failure:
            return describe(_without_text(error, _text_alone(error) or "<its str() %s>" % failure))
        return found

    return describe_bounded


def _text_alone(error: BaseException) -> str:
    """The exception's message, where something else of it takes too long, such as its causes; "" where it does."""
    from .bounded_text import NoText, text_in_child

    try:
        return text_in_child(lambda: str(error)[:PLAIN_CHARACTERS], TEXT_SECONDS, TEXT_BYTES)
    except (OSError, NoText):
        return ""


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


def _has_foreign_code(kind: type) -> bool:
    return (
        bool(kind.__flags__ & MADE_BY_CODE)
        and kind is not CalledProcessError
        and any(name in kind.__dict__ for name in FOREIGN)
    )


def _without_text(error: BaseException, text: str) -> BaseException:
    """An exception of a class of the same name, with this text and the same traceback."""
    kind = type(error)
    names = {"__qualname__": _qualname_of(kind)}
    try:
        names["__module__"] = _module_of(kind)
    except AttributeError:
        # Deleted: the stand-in's is this one.
        pass
    stand_in: BaseException = type(_name_of(kind), (Exception,), names)(text)
    return stand_in.with_traceback(_traceback_of(error))
