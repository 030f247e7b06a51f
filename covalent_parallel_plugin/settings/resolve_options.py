"""What an executor was given, with Covalent's configuration file, as option values and settings; and what is wrong."""

from __future__ import annotations

import marshal
import warnings
from collections.abc import Mapping
from copy import copy
from functools import lru_cache
from typing import Any, cast

from ..errors import SettingsError
from ..protocol.value_text import is_short_and_plain, shortened
from . import options as options
from .misplaced import right_place
from .near_names import nearest
from .options import Settings

# Covalent's UI shows the first 200 characters or so of an executor's attributes
DISPLAYED_FIRST = (
    "project_id", "region", "vcpus", "memory", "machine_type", "gpu_type", "gpu_count", "spot", "time_limit", "retries",
    "bucket_name", "container_image_uri",
)  # fmt: skip
MUTABLE = (dict, list)
MOST_REMEMBERED = 256
SCALARS = (int, float, bool, type(None))
# Characters of one value; longer ones are looked at each time
LONGEST_REMEMBERED = 16 * 1024

_warned: set[str] = set()


def resolve_options(given: Mapping[str, object], configured: Mapping[str, object]) -> dict[str, object]:
    """Every option's value for an executor that was given these, beside the section of the configuration file.

    Raises:
        SettingsError: values that are wrong here, all of them in one message.
    """
    packed = _packed(given, configured)
    values = _checked_values(given, configured) if packed is None else _values_of_packed(packed)
    return {name: copy(value) if type(value) in MUTABLE else value for name, value in values.items()}


def settings_from(attributes: Mapping[str, object]) -> Settings:
    """The settings that an executor's attributes make, shared by all electrons that bring the same ones.

    Raises:
        SettingsError: values that are wrong, missing or contradict each other, all of them in one message.
    """
    values = {name: attributes.get(name) for name in options.OPTIONS}
    packed = _packed(values)
    return options.check(options.resolve(values, {})) if packed is None else _settings_of_packed(packed)


def _packed(*values: Any) -> bytes | None:
    """Bytes that only equal values of the same types have; None where there is more to them than plain data.

    Thousands of electrons of one lattice bring the same options: what is made of them is made once.
    """
    if not all(_is_short(value) for each in values for value in each.values()):
        return None
    try:
        # Version 2 of marshal's format: later ones distinguish shared objects from equal ones.
        packed = marshal.dumps(values, 2)
        # What only offers its bytes, such as one of NumPy's numbers, comes back as these.
        return packed if marshal.loads(packed) == values else None  # packed here
    except ValueError:
        return None


def _is_short(value: object) -> bool:
    """Whether a value takes few bytes: lists that are shared may be written out as many."""
    kind = type(value)
    if kind is str:
        return len(cast(str, value)) <= LONGEST_REMEMBERED
    return kind in SCALARS or is_short_and_plain(value, LONGEST_REMEMBERED)


@lru_cache(MOST_REMEMBERED)
def _values_of_packed(packed: bytes) -> dict[str, object]:
    return _checked_values(*marshal.loads(packed))  # packed here


@lru_cache(MOST_REMEMBERED)
def _settings_of_packed(packed: bytes) -> Settings:
    return options.check(options.resolve(marshal.loads(packed)[0], {}))  # packed here


def _checked_values(given: Mapping[str, object], configured: Mapping[str, object]) -> dict[str, object]:
    # The server makes instances with every key of the file: what stands there is judged when an electron runs.
    own = {name: value for name, value in given.items() if not _is_configured(name, value, configured)}
    mistakes = options.mistakes_in(own)
    # At least one of two options that contradict each other was given here.
    known = options.contradictions(options.resolve({}, configured))
    mistakes += [found for found in options.contradictions(options.resolve(given, configured)) if found not in known]
    if mistakes:
        raise SettingsError(mistakes)
    values = options.resolve(given, configured)
    return _order_for_display(
        {name: options.plain(name, value) if options.is_given(value) else value for name, value in values.items()}
    )


def _is_configured(name: str, value: object, configured: Mapping[str, object]) -> bool:
    # Not compared with values of other types, whose classes may take that for a question about each of their parts
    return name in configured and type(configured[name]) is type(value) and configured[name] == value


def _order_for_display(attributes: Mapping[str, object]) -> dict[str, object]:
    """The attributes in the order in which they say most: what was chosen first, what is empty last."""
    said = [name for name in DISPLAYED_FIRST if attributes[name] not in ("", None, False)]
    rest = sorted((name for name in attributes if name not in said), key=lambda name: attributes[name] in ("", None))
    return {name: attributes[name] for name in (*said, *rest)}


def refuse_unknown(unknown: Mapping[str, object], configured: Mapping[str, object]) -> None:
    """Keys that stand in the file warn once (other versions wrote other keys); any others are mistakes.

    Raises:
        TypeError: naming each of them, and the option that was most likely meant.
    """
    mistyped = [f"{shortened(name)}{_hint(name)}" for name in unknown if name not in configured]
    if mistyped:
        raise TypeError(f"GCPBatchExecutor has no option {', nor '.join(mistyped)}")
    for name in configured:
        if name not in options.OPTIONS and name not in _warned:
            _warned.add(name)
            warnings.warn(
                f"[{options.SECTION}] in Covalent's configuration file has the key {name!r}, which is not an option of"
                f" GCPBatchExecutor{_hint(name)}; it is ignored",
                stacklevel=4,
            )


def _hint(name: str) -> str:
    place = right_place(name)
    if place:
        return f", which is {place}"
    near = nearest(name, options.OPTIONS)
    return f" (did you mean {near!r}?)" if near else ""
