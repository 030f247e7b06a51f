"""A report in each of its formats, and written to a file: whole, or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from .model import Report
from .rows import csv_lines, json_lines
from .trace_events import trace_lines

HTML, TRACE, CSV, JSON = FORMATS = ("html", "trace", "csv", "json")
_SUFFIXES = {".trace.json": TRACE, ".trace": TRACE, ".json": JSON, ".csv": CSV}


def format_of(path: Path) -> str:
    """Return the format that a file's name stands for; html for all that stands for no other one."""
    name = path.name.lower()
    return next((each for suffix, each in _SUFFIXES.items() if name.endswith(suffix)), HTML)


def text_of(report: Report, format_: str, with_items: bool) -> Iterator[str]:
    """Yield a report in a format, in parts.

    Args:
        with_items: rows are of items rather than of attempts, a trace has the items, and a page all of them, too, in
            its data, however many.
    """
    if format_ == HTML:
        from .html import page

        yield page(report, has_all_data=with_items)
    else:
        yield from {TRACE: trace_lines, CSV: csv_lines, JSON: json_lines}[format_](report, with_items)


def mistakes_of_path(path: Path) -> str:
    """Return why nothing can be written to a path, or "": before anything is read for it."""
    try:
        folder = path.resolve().parent
        if path.is_dir():
            return "is a folder: name a file in it"
        if path.exists() and not path.is_file():
            return "is not a file: give -o - to write to standard output"
    except (OSError, RuntimeError, ValueError) as error:  # a long name, links that go round, a NUL
        return f"cannot be written: {getattr(error, 'strerror', None) or error}"
    if not folder.is_dir():
        return f"cannot be written: there is no folder {folder}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"cannot be written: the folder {folder} is not writable"
    return ""


def write_text(path: Path, parts: Iterable[str]) -> None:
    """Write a file in place of an earlier one, once all of it is there; a link's target is written.

    Raises:
        OSError: it cannot be written; nothing of it is left then.
    """
    path = path.resolve()
    descriptor, unfinished = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".part", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.writelines(parts)
            os.fchmod(file.fileno(), _mode(path))
        Path(unfinished).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(unfinished).unlink()
        raise


def _mode(path: Path) -> int:
    """The permissions of the file that is there, else those that the user's files get."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
