"""Find the last match of a pattern in a file, and of much output in a process of its own, which can be ended.

Some patterns take the square of a line's length, or far more, and nothing else of a process continues meanwhile.
"""

from __future__ import annotations

import json
import mmap
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

Groups = dict[str, str | None]

SEARCH_SECONDS = 60.0
# What is searched at once: even a pattern that begins with `.*` takes about a second
SMALL_BYTES = 1 << 15
# Output above it is not copied into memory
TEXT_BYTES = 16 << 20


def last_match(
    pattern: re.Pattern[str],
    path: Path,
    text_bytes: int = TEXT_BYTES,
    seconds: float = SEARCH_SECONDS,
    python: Sequence[str] = (sys.executable,),
) -> Groups | None:
    """Return the named groups of the last match, as programs print what they improve on again and again.

    `python` are the words that start this interpreter.

    Raises:
        ValueError: it took too long, or too much memory; the text says so.
    """
    if path.stat().st_size <= SMALL_BYTES:
        return _search(pattern, path, text_bytes)
    # a script with nothing but the standard library: it starts in an instant, and nothing in this folder is imported
    script = [*python, "-I", "-S", __file__, str(path), str(text_bytes), str(pattern.flags), pattern.pattern]
    try:
        ended = subprocess.run(
            script, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=seconds, start_new_session=True
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(
            f"takes longer than {seconds:g} s to search the standard output: have it begin with a text, not with `.*`"
        ) from error
    if ended.returncode:
        reason = (ended.stderr.decode(errors="replace").split("\n") or [""])[-2:][0]
        raise ValueError(f"cannot be searched for: {reason or f'exit status {ended.returncode}'}")
    found: Groups | None = json.loads(ended.stdout)
    return found


def _search(pattern: re.Pattern[str], path: Path, text_bytes: int) -> Groups | None:
    found: Groups | None = None
    # a pattern of bytes has names in ASCII only
    if path.stat().st_size <= text_bytes or not pattern.pattern.isascii():
        for match in pattern.finditer(path.read_bytes().decode(errors="replace")):
            found = match.groupdict()
    else:
        flags = pattern.flags & ~re.UNICODE
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as output:
            for hit in re.compile(pattern.pattern.encode(), flags).finditer(output):
                groups = hit.groupdict().items()
                found = {name: None if part is None else part.decode(errors="replace") for name, part in groups}
    return found


if __name__ == "__main__":
    _path, _text_bytes, _flags, _pattern = sys.argv[1:]
    print(json.dumps(_search(re.compile(_pattern, int(_flags)), Path(_path), int(_text_bytes))))
