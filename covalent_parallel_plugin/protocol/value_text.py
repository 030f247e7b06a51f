"""Values as text: what Covalent shows for a value, and the short form in messages and reports.

Both cost bounded time and memory. Plain values are read here, as far as they are shown; for any other one foreign code
is called, in a process of its own.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from itertools import islice
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Sequence, Tuple

# What Covalent keeps beside a value to show it: more than this of a value's text helps nobody
SHOWN_CHARACTERS = 4096
# Of a function or class
LONGEST_NAME = 1000
# Longer ones take time that grows with the square of their digits
LONGEST_INTEGER_BITS = 8192
# What a text may take that foreign code makes, its memory beside what the process has already
TEXT_SECONDS, TEXT_BYTES = 2.0, 256 * 1024 * 1024
# What all of them may take: so much, and this share of the time since the process began
ALL_TEXTS_SECONDS, ALL_TEXTS_SHARE = 2.0, 0.05

COLLECTIONS: Dict[type, Sequence[str]] = {
    list: "[]",
    tuple: "()",
    dict: "{}",
    set: "{}",
    frozenset: ("frozenset({", "})"),
}


class Limits(NamedTuple):
    """How much of a value is read: characters in all, entries of a collection, collections in each other, a text."""

    characters: int
    entries: int
    depth: int
    text: int


SHOWN = Limits(SHOWN_CHARACTERS, SHOWN_CHARACTERS, 40, SHOWN_CHARACTERS + 1)
SHORT = Limits(1000, 6, 6, 80)


class _NotPlain(Exception):
    """Foreign code is needed for the text."""


class ForeignTexts:
    """Texts that foreign code makes of values: each one in a bounded process, and all of them in a share of the time.

    `clock` has seconds; `seconds` and `extra_bytes` are those of one text.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        seconds: float = TEXT_SECONDS,
        extra_bytes: int = TEXT_BYTES,
    ):
        self._clock = clock
        self._limits = (seconds, extra_bytes)
        self._began = clock()
        self._spent = 0.0

    def text_of(self, value: object, function: str, make: Callable[[], str]) -> str:
        """What `make` returns, else the value's class and why there is no more; `function` is "str" or "repr"."""
        # Loaded here only: most values are plain.
        from .bounded_text import NoText, text_in_child

        began = self._clock()
        if self._spent > ALL_TEXTS_SECONDS + ALL_TEXTS_SHARE * (began - self._began):
            return "<%s, not shown: the texts of values took too long>" % type_name(value)
        try:
            return text_in_child(make, *self._limits)
        except NoText as error:
            return "<%s, whose %s() %s>" % (type_name(value), function, error)
        except OSError as error:
            return "<%s, not shown: %s>" % (type_name(value), error.strerror)
        except BaseException as error:
            # What the text needs was patched.
            return "<%s, not shown: %s>" % (type_name(value), type_name(error))
        finally:
            self._spent += self._clock() - began


FOREIGN_TEXTS = ForeignTexts()


def shown_text(value: object, whole: bool, foreign: ForeignTexts = FOREIGN_TEXTS) -> str:
    """The text that Covalent shows for a value: `str()`, shortened unless `whole`."""
    if whole:
        try:
            return str(value)
        except BaseException as error:
            # Whatever its str() raises, SystemExit too: the value arrives even if its class cannot show it.
            return "<%s, whose str() raised %s>" % (type_name(value), type(error).__name__)
    if type(value) is str:
        return cut_text(value[: SHOWN_CHARACTERS + 1])
    if _is_short_number(value):
        return str(value)
    try:
        return cut_text(_joined(value, SHOWN, _refuse_foreign))
    except _NotPlain:
        make = partial(_joined, value, SHOWN, _own_repr) if type(value) in COLLECTIONS else partial(str, value)
        return cut_text(foreign.text_of(value, "str", lambda: cut_text(make())))


def cut_text(text: str) -> str:
    """The beginning of a text that is too long to be shown."""
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


def shortened(value: object, foreign: ForeignTexts = FOREIGN_TEXTS, limits: Limits = SHORT) -> str:
    """A value's `repr()` in a few words, or as many as `limits` has."""
    try:
        text = _joined(value, limits, _refuse_foreign)
    except _NotPlain:
        text = foreign.text_of(value, "repr", partial(_joined, value, limits, _short_repr))
    return text if len(text) <= limits.characters else text[: limits.characters] + "..."


def is_short_and_plain(value: object, characters: int) -> bool:
    """Whether a value's `repr()` needs no foreign code, and is about this long at most."""
    limits = Limits(characters, characters, SHOWN.depth, characters + 1)
    try:
        return len(_joined(value, limits, _refuse_foreign)) <= characters
    except _NotPlain:
        return False


def name_of(value: object, default: str = "") -> str:
    """The `__name__` of a function, a class or the like; attributes that other values make up do not count."""
    try:
        name = object.__getattribute__(value, "__name__")
    except BaseException:
        # Whatever a property raises
        return default
    return str.__str__(name)[:LONGEST_NAME] if issubclass(type(name), str) else default


def type_name(value: object) -> str:
    """The name of a value's class."""
    return name_of(type(value), "object")


def _joined(value: object, limits: Limits, of_foreign: Callable[[Any], str]) -> str:
    """The `repr()` of a value as far as the limits, and a little more where it is longer."""
    found: List[str] = []
    length = 0
    for piece in _pieces(value, limits, of_foreign, ()):
        found.append(piece)
        length += len(piece)
        if length > limits.characters:
            break
    return "".join(found)


def _pieces(value: Any, limits: Limits, of_foreign: Callable[[Any], str], within: Tuple[int, ...]) -> Iterator[str]:
    kind = type(value)
    if kind not in COLLECTIONS:
        yield _leaf_text(value, limits.text, of_foreign)
        return
    # Not more: another thread may change it meanwhile.
    held = list(islice(value.items() if kind is dict else value, limits.entries + 1))
    if not held and kind in (set, frozenset):
        yield "%s()" % kind.__name__
        return
    opening, closing = COLLECTIONS[kind]
    yield opening
    if held and (id(value) in within or len(within) >= limits.depth):
        yield "..." + closing
        return
    inner = (*within, id(value))
    for index, entry in enumerate(held):
        yield ", " if index else ""
        if index == limits.entries:
            yield "..."
            break
        if kind is dict:
            yield from _pieces(entry[0], limits, of_foreign, inner)
            yield ": "
            entry = entry[1]
        yield from _pieces(entry, limits, of_foreign, inner)
    yield ",)" if kind is tuple and len(held) == 1 else closing


def _leaf_text(value: Any, longest: int, of_foreign: Callable[[Any], str]) -> str:
    kind = type(value)
    if kind is int and value.bit_length() > LONGEST_INTEGER_BITS:
        return "<int of %d bits>" % value.bit_length()
    if kind is int or _is_short_number(value) or value is None or value is Ellipsis:
        return repr(value)
    if kind not in (str, bytes, bytearray):
        return of_foreign(value)
    text = repr(value[:longest])
    if len(value) <= longest and len(text) <= longest:
        return text
    half = (longest - 3) // 2
    return text[:half] + "..." + repr(value[-half:])[-half:]


def _is_short_number(value: object) -> bool:
    """Whether the text of a value is a number's, of Python's or numpy's, or a truth value's."""
    kind = type(value)
    if kind in (bool, float, complex):
        return True
    numpy = sys.modules.get("numpy")
    bases = [getattr(numpy, name, None) for name in ("number", "bool_")]
    return any(isinstance(base, type) and issubclass(kind, base) and kind.__module__ == "numpy" for base in bases)


def _refuse_foreign(value: object) -> str:
    raise _NotPlain


def _own_repr(value: object) -> str:
    """The `repr()` of a part: one that cannot show itself does not cost the others' text."""
    try:
        return repr(value)
    except MemoryError:
        raise
    except Exception as error:
        return "<%s, whose repr() raised %s>" % (type_name(value), type(error).__name__)


def _short_repr(value: object) -> str:
    text = _own_repr(value)
    half = (SHORT.text - 3) // 2
    return text if len(text) <= SHORT.text else text[:half] + "..." + text[-half:]
