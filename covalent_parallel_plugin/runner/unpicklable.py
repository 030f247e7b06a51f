"""Why a value cannot be sent back: its type, the part of it that pickle refuses, and what to return instead."""

from __future__ import annotations

from typing import Any, Callable, Iterator, List, Tuple

from ..protocol.value_text import shortened

# A value is looked into so deep, and at so many parts of each of its parts
DEEPEST = 6
MOST_PARTS = 200


def explanation(electron: str, value: object, error: Exception, dumps: Callable[[Any], bytes]) -> str:
    """A sentence or two, for the user.

    Args:
        error: what pickling `value` raised.
        dumps: pickles a value.
    """
    kind = type(value)
    path, part = culprit(value, dumps)
    where = ", because of its part %s, a %s" % (path, _name(type(part))) if path else ""
    remedy = "Return what can be pickled: plain data, arrays, models."
    if kind.__name__ == "coroutine":
        remedy = "Covalent has no async electrons: call asyncio.run(...) inside a plain one."
    elif isinstance(value, Iterator):
        remedy = "Return list(...) of it."
    elif path:
        remedy = "Return the value without that part."
    return "%s() returned a %s, which cannot be sent back%s (%s: %s). %s" % (
        electron,
        _name(kind),
        where,
        type(error).__name__,
        error,
        remedy,
    )


def culprit(value: object, dumps: Callable[[Any], bytes]) -> Tuple[str, object]:
    """The path to the innermost part that cannot be pickled, such as ".model.lock" or "[3]['file']", and that part.

    The path is "" where it is the value as a whole.
    """
    path = ""
    for _ in range(DEEPEST):
        for step, part in _parts(value):
            if not _is_picklable(part, dumps):
                path, value = path + step, part
                break
        else:
            break
    return path, value


def _parts(value: object) -> List[Tuple[str, object]]:
    if isinstance(value, dict):
        return [("[%.50s]" % shortened(key), part) for key, part in list(value.items())[:MOST_PARTS]]
    if isinstance(value, (list, tuple)):
        return [("[%d]" % index, part) for index, part in enumerate(value[:MOST_PARTS])]
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict) and not isinstance(value, type):
        return [(".%s" % name, part) for name, part in list(attributes.items())[:MOST_PARTS]]
    return []


def _is_picklable(value: object, dumps: Callable[[Any], bytes]) -> bool:
    try:
        dumps(value)
    except Exception:
        # Whatever a class's own methods raise: it cannot be pickled.
        return False
    return True


def _name(kind: type) -> str:
    return "%s.%s" % (kind.__module__, kind.__qualname__)
