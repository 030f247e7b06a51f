"""How commands print what programs have printed: nothing of it steers a terminal, and own lines are marked."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TextIO

from covalent_parallel_plugin.sweep.display.printable import plain, printable

OWN = "covalent-parallel: "
# In place of a time that is not known, as wide as one
NO_TIME = "-".ljust(24)


def shown_text(text: str, stream: TextIO) -> str:
    """Return a program's line as a stream takes it: a terminal as it would show it in the end."""
    return printable(text) if stream.isatty() else plain(text)


def time_text(seconds: float | None) -> str | None:
    """Return a time as ISO 8601 writes it, in UTC with milliseconds."""
    if seconds is None:
        return None
    when = datetime.fromtimestamp(seconds, timezone.utc)
    return f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03}Z"


def write_line(stream: TextIO, text: str) -> None:
    """Write a line; what the stream's encoding has not is written out."""
    encoding = stream.encoding or "utf-8"
    stream.write(f"{text}\n".encode(encoding, "backslashreplace").decode(encoding))


def missing_text(size: int, stream: str) -> str:
    """Return that so many bytes of a program's stream are not shown."""
    return f"{size:,} bytes of {stream} are missing here: it printed faster than it could deliver"


def tell(stream: TextIO, text: str) -> None:
    """Write lines of a command's own."""
    for line in text.split("\n"):
        write_line(stream, f"{OWN}{printable(line)}")
