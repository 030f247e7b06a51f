"""Check a command line, and find its program as a container's engine does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ..containers.container import CANNOT_START, NOT_EXECUTABLE, NOT_FOUND, StartFailed


def refuse_zero_bytes(words: Iterable[str], environment: Mapping[str, str]) -> None:
    """Raise StartFailed where a word or a variable has a zero byte, which ends it for every program."""
    for word in (*words, *environment.values()):
        if "\0" in word:
            raise StartFailed(CANNOT_START, f"{word!r} has a zero byte, which no program accepts: leave it out")


def find_program(words: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str:
    """Return the path of a command's program: one with a `/` is relative to `folder`, others are on the PATH.

    Raises:
        StartFailed: there is none, or none that may be run.
    """
    if not words:
        raise StartFailed(CANNOT_START, "the command is empty")
    named = folder / words[0]
    program = shutil.which(str(named) if "/" in words[0] else words[0], path=environment.get("PATH", os.defpath))
    if program is None:
        if "/" in words[0] and named.exists():
            raise StartFailed(NOT_EXECUTABLE, f"{words[0]}: permission denied")
        raise StartFailed(NOT_FOUND, f"{words[0]}: not found" + ("" if "/" in words[0] else " on the PATH"))
    # relative to the task's folder if the PATH is
    return str(Path(folder, program))
