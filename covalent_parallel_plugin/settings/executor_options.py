"""What an executor was given, with Covalent's configuration file, as option values and settings; and what is wrong."""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Mapping
from copy import copy
from pathlib import Path

from ..errors import SettingsError
from ..remembered import Remembered
from . import options as options
from .options import Settings

# Covalent's UI shows the first 200 characters or so of an executor's attributes
TOLD_FIRST = (
    "project_id", "region", "vcpus", "memory", "machine_type", "gpu_type", "gpu_count", "spot", "time_limit", "retries",
    "bucket_name", "container_image_uri",
)  # fmt: skip
MUTABLE = (dict, list)

# What constructors made of their arguments and the configuration, and electrons of their executor's values
_values: Remembered[dict[str, object]] = Remembered()
_settings: Remembered[Settings] = Remembered()
# When a folder was seen to be usable, on the monotonic clock
_usable_folders: dict[str, float] = {}
USABLE_SECONDS = 5.0
_warned: set[str] = set()


def values_of(given: Mapping[str, object], configured: Mapping[str, object]) -> dict[str, object]:
    """Every option's value for an executor that was given these, beside the section of the configuration file.

    Raises:
        SettingsError: values that are wrong here, all of them in one message.
    """
    values = _values.of([given, configured], lambda: _checked_values(given, configured))
    return {name: copy(value) if type(value) in MUTABLE else value for name, value in values.items()}


def settings_of(attributes: Mapping[str, object]) -> Settings:
    """The settings that an executor's attributes make, shared by all electrons that bring the same ones.

    Raises:
        SettingsError: values that are wrong, missing or contradict each other, all of them in one message.
    """
    values = {name: attributes.get(name) for name in options.OPTIONS}
    return _settings.of(values, lambda: options.check(options.resolve(values, {})))


def _checked_values(given: Mapping[str, object], configured: Mapping[str, object]) -> dict[str, object]:
    # The server makes instances with every key of the file: what stands there is judged when an electron runs.
    own = {name: value for name, value in given.items() if name not in configured or configured[name] != value}
    mistakes = options.mistakes_in(own)
    # Of two options that contradict each other, one at least was given here.
    known = options.contradictions(options.resolve({}, configured))
    mistakes += [found for found in options.contradictions(options.resolve(given, configured)) if found not in known]
    if mistakes:
        raise SettingsError(mistakes)
    values = options.resolve(given, configured)
    return _told_first(
        {name: options.plain(name, value) if options.is_given(value) else value for name, value in values.items()}
    )


def _told_first(attributes: Mapping[str, object]) -> dict[str, object]:
    """The attributes in the order in which they tell most: what was chosen first, what is empty last."""
    said = [name for name in TOLD_FIRST if attributes[name] not in ("", None, False)]
    rest = sorted((name for name in attributes if name not in said), key=lambda name: attributes[name] in ("", None))
    return {name: attributes[name] for name in (*said, *rest)}


def require_folder(path: str) -> None:
    """Have the folder for large payloads, before anything is uploaded that might need it later.

    What was found usable a moment ago is not looked at again: a system call gives the interpreter to the threads, and
    the event loop waits until it has it back.

    Raises:
        SettingsError: it cannot be made or written to.
    """
    now = time.monotonic()
    if now - _usable_folders.get(path, -math.inf) < USABLE_SECONDS:
        return
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        is_usable = os.access(path, os.W_OK | os.X_OK)
    except (OSError, ValueError) as error:
        raise SettingsError([f"cache_dir = {path!r} cannot be made: {error}: name a folder that can"]) from error
    if not is_usable:
        raise SettingsError([f"cache_dir = {path!r} cannot be written to: name a folder that can"])
    _usable_folders[path] = now


def refuse_unknown(unknown: Mapping[str, object], configured: Mapping[str, object]) -> None:
    """Keys that stand in the file warn once (other versions wrote other keys); any others are mistakes.

    Raises:
        TypeError: naming each of them, and the option that was most likely meant.
    """
    mistyped = [f"{name!r}{_hint(name)}" for name in unknown if name not in configured]
    if mistyped:
        raise TypeError(f"GCPBatchExecutor has no option {', nor '.join(mistyped)}")
    for name in configured:
        if name not in options.OPTIONS and name not in _warned:
            _warned.add(name)
            warnings.warn(
                f"[{options.SECTION}] in Covalent's configuration file has the key {name!r}, which is no option of"
                f" GCPBatchExecutor{_hint(name)}; it is ignored",
                stacklevel=3,
            )


def _hint(name: str) -> str:
    near = options.nearest(name)
    return f" (did you mean {near!r}?)" if near else ""
