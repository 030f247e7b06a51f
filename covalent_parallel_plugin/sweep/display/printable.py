"""Text of others for a terminal or a file: without what would move a cursor or change a colour."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from ...programs.task_folder import STDERR_FILE, STDOUT_FILE

# ECMA-48: control sequences, and operating system commands up to their terminator
_SEQUENCES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?")
# A last line is looked for in so much of a file
TAIL_BYTES = 8192


def printable(text: str) -> str:
    """Return a line as a terminal shows it in the end: without control characters, and what they overwrite."""
    shown = [part for part in _SEQUENCES.sub("", text).split("\r") if part.strip()]
    line = shown[-1] if shown else ""
    return "".join(char for char in line.expandtabs(4) if char.isprintable())


def plain(text: str) -> str:
    """Return a line without escape sequences and control characters, but with its tabs and carriage returns."""
    return "".join(char for char in _SEQUENCES.sub("", text) if char.isprintable() or char in "\t\r")


def shown_command(words: Sequence[str]) -> str:
    """Write a command as a shell takes it, on one line without control characters."""
    return " ".join(_shown_word(word) for word in words)


def _shown_word(word: str) -> str:
    if word.isprintable():
        return shlex.quote(word)
    escaped = "".join(char if char.isprintable() and char not in "\\'" else _escape(char) for char in word)
    return f"$'{escaped}'"


def _escape(char: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))


def last_line(folder: Path) -> str:
    """Return the last line that a task wrote, to standard error if anything; "" if there is none."""
    return next(iter(last_lines(folder, 1)), "")


def last_lines(folder: Path, count: int) -> list[str]:
    """Return the last lines that a task wrote, in order, to standard error if anything; at most so many."""
    for name in (STDERR_FILE, STDOUT_FILE):
        try:
            with (folder / name).open("rb") as file:
                file.seek(max(file.seek(0, 2) - TAIL_BYTES, 0))
                lines = file.read().decode("utf-8", "replace").split("\n")
        except OSError:
            continue
        if shown := [line for each in lines if (line := printable(each).strip())]:
            return shown[-count:]
    return []
