"""Values as text: what Covalent shows for a value, and the short form in messages and reports."""

from __future__ import annotations

import reprlib
from typing import Any

# What Covalent keeps beside a value to show it: more than this of a value's text helps nobody
SHOWN_CHARACTERS = 4096
# Past this size a value's `str()` may cost more than the electron: its short form is shown
WHOLE_STRING_BYTES = 256 * 1024
# What stands for an item's arguments or value where there is no room for them
SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 80


def shown_text(value: object, pickle_bytes: int, whole: bool) -> str:
    """The text that Covalent shows for a value: `str()`, shortened unless `whole`."""
    try:
        if whole:
            return str(value)
        if pickle_bytes <= WHOLE_STRING_BYTES:
            text = str(value)
        elif isinstance(value, (str, bytes, bytearray)):
            text = str(value[:SHOWN_CHARACTERS])
        elif isinstance(value, (list, tuple, dict, set, frozenset)):
            text = reprlib.repr(value)
        else:
            text = str(value)
    except BaseException as error:
        # Whatever its str() raises, SystemExit too: the value arrives even if its class cannot show it.
        return "<%s, whose str() raised %s>" % (type(value).__qualname__, type(error).__name__)
    return cut_text(text)


def cut_text(text: str) -> str:
    """The beginning of a text that is too long to be shown."""
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


def shortened(value: Any) -> str:
    """A value's `repr()` in a few words."""
    try:
        return SHORT.repr(value)
    except BaseException as error:
        # Whatever its repr() raises
        return "<%s, whose repr() raised %s>" % (type(value).__name__, type(error).__name__)
