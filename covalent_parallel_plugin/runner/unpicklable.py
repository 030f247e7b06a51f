"""Why a value cannot be sent back: its type, the part of it that pickle refuses, and what to return instead.

Nothing of this depends on what the value's own methods do: they may raise anything.
"""

from __future__ import annotations

from typing import Any, Callable, Iterator, List, Tuple

from ..protocol.exception_record import full_name
from ..protocol.value_text import ForeignTexts, shortened, shown_text, type_name

# A value is looked into so deep, and at so many parts of each of its parts
DEEPEST = 6
MOST_PARTS = 200


def refusal(electron: str, value: object, error: BaseException, dumps: Callable[[Any], bytes]) -> Exception:
    """Return what to raise where pickling `value`, which the electron returned, raised `error`."""
    if isinstance(error, MemoryError):
        return MemoryError("no memory was left to pickle what %s() returned: raise `memory`, or return less" % electron)
    return TypeError(explanation(electron, value, error, dumps))


def explanation(electron: str, value: object, error: BaseException, dumps: Callable[[Any], bytes]) -> str:
    """A sentence or two, for the user.

    Args:
        error: what pickling `value` raised.
        dumps: pickles a value.
    """
    kind = type(value)
    is_too_deep = isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError)
    path, part = ("", value) if is_too_deep else culprit(value, dumps)
    where = ", because of its part %s, a %s" % (path, full_name(type(part))) if path else ""
    remedy = "Return what can be pickled: plain data, arrays, models."
    if type_name(value) == "coroutine":
        remedy = "Covalent has no async electrons: call asyncio.run(...) inside a plain one."
    elif is_too_deep:
        remedy = "It is nested too deeply, or its class has no end for pickle: return it in a flatter form."
    elif _is_iterator(kind):
        remedy = "Return list(...) of it."
    elif path:
        remedy = "Return the value without that part."
    return "%s() returned a %s, which cannot be sent back%s (%s: %s). %s" % (
        electron,
        full_name(kind),
        where,
        type_name(error),
        shown_text(error, False, ForeignTexts()),
        remedy,
    )


def culprit(value: object, dumps: Callable[[Any], bytes]) -> Tuple[str, object]:
    """The path to the innermost part that cannot be pickled, such as ".model.lock" or "[3]['file']", and that part.

    The path is "" where it is the value as a whole.
    """
    path = ""
    foreign = ForeignTexts()
    for _ in range(DEEPEST):
        for step, part in _parts(value, foreign):
            if not _is_picklable(part, dumps):
                path, value = path + step, part
                break
        else:
            break
    return path, value


def _parts(value: Any, foreign: ForeignTexts) -> List[Tuple[str, object]]:
    kind = type(value)
    if issubclass(kind, dict):
        return [("[%.50s]" % shortened(key, foreign), part) for key, part in list(dict.items(value))[:MOST_PARTS]]
    for sequence in (list, tuple):
        if issubclass(kind, sequence):
            parts = sequence.__getitem__(value, slice(MOST_PARTS))
            return [("[%d]" % index, part) for index, part in enumerate(parts)]
    try:
        attributes = object.__getattribute__(value, "__dict__")
    except BaseException:
        # It has none, or a property in its place.
        return []
    if type(attributes) is dict and not issubclass(kind, type):
        return [(".%s" % name, part) for name, part in list(attributes.items())[:MOST_PARTS]]
    return []


def _is_picklable(value: object, dumps: Callable[[Any], bytes]) -> bool:
    try:
        dumps(value)
    except BaseException:
        # Whatever a class's own methods raise, SystemExit too: it cannot be pickled.
        return False
    return True


def _is_iterator(kind: type) -> bool:
    try:
        return issubclass(kind, Iterator)
    except BaseException:
        # Its metaclass refuses to be asked.
        return False
