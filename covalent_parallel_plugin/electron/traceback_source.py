"""Source lines for tracebacks and stacks from a container, which has an electron's bytecode and not its source."""

from __future__ import annotations

import re
import sys
import tokenize
import traceback
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..protocol.envelope import KILLED
from .outcome import Frame, Origin, Outcome, Raised

# A frame in a traceback; in that of an exception group, behind its margin
_FRAME = re.compile(r'(?P<margin>[ |]*  )File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>.+)')
# A frame in a stack that faulthandler wrote
_STACK_FRAME = re.compile(r'(?P<margin>  )File "(?P<file>[^"]+)", line (?P<line>\d+) in (?P<function>.+)')
# One of the runner's own, above which there are only more of them
_RUNNER_FRAME = re.compile(r'  File "[^"]*covalent_parallel_(?:runner|plugin)/runner/[^"]+", line \d+ in .+')
# How faulthandler writes what is not ASCII (Python/traceback.c, _Py_DumpASCII)
_ESCAPED = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U(000[0-9a-f]{5}|0010[0-9a-f]{4}))")
# A file with more than this is no source that somebody wrote
MAX_SOURCE_BYTES = 16 * 1024 * 1024


@dataclass
class SourceText:
    """Finds source lines: in the electron's own text, as Covalent keeps it, then in Python files of this machine.

    Attributes:
        text: the electron's function, from its first line (a decorator's, if it has one) on; "" if not known.
        changed_before: files that were changed later (seconds since the epoch) are not what the electron was made of.
    """

    text: str = ""
    changed_before: float = float("inf")
    _files: dict[str, list[str]] = field(default_factory=dict)

    def line(self, frame: Frame, origin: Origin) -> str:
        """Return the frame's line as it was written, with its indentation; "" where it is not known."""
        own = self.text.splitlines()
        # Covalent ends the text with blank lines of its own.
        if origin.file == frame.file and 0 <= frame.line - origin.first_line < len(own):
            return own[frame.line - origin.first_line]
        lines = self._lines(frame.file)
        if not 0 < frame.line <= len(lines) or not _begins(frame, lines):
            return ""
        return lines[frame.line - 1]

    def _lines(self, file: str) -> list[str]:
        if file not in self._files:
            self._files[file] = self._read(Path(file))
        return self._files[file]

    def _read(self, path: Path) -> list[str]:
        if path.suffix != ".py":
            return []
        try:
            status = path.stat()
            if not path.is_file() or status.st_size > MAX_SOURCE_BYTES or status.st_mtime > self.changed_before:
                return []
            with tokenize.open(path) as file:
                return file.read().splitlines()
        except (OSError, SyntaxError, ValueError):
            # It is not here, or no Python that can be read.
            return []


def _begins(frame: Frame, lines: list[str]) -> bool:
    """Whether the frame's function begins in these lines where it should; generated code has no lines there."""
    if not frame.first_line or frame.function.startswith("<"):
        return True
    first = lines[frame.first_line - 1].strip() if frame.first_line <= len(lines) else ""
    return first.startswith("@") or re.search(rf"\b(def|class)\s+{re.escape(frame.function)}\b", first) is not None


def with_source_lines(outcome: Outcome, source: SourceText) -> Outcome:
    """Return the outcome with source lines in its traceback, or in its stack where it was killed."""
    if outcome.raised is not None:
        return replace(outcome, raised=raised_with_lines(outcome.raised, source))
    if outcome.kind != KILLED:
        return outcome
    return replace(outcome, stderr=stack_with_lines(outcome.stderr, outcome.origin, source))


def raised_with_lines(raised: Raised, source: SourceText) -> Raised:
    """Return the exception with the source line, and carets, under each frame of its traceback that has none."""
    known: dict[tuple[str, int, str], deque[Frame]] = defaultdict(deque)
    for frame in raised.frames:
        known[frame.file, frame.line, frame.function].append(frame)

    def frame_of(found: re.Match[str]) -> Frame:
        file, line, function = found["file"], int(found["line"]), found["function"]
        frames = known[file, line, function]
        if not frames:
            return Frame(file, function, line, 0)
        # The same line may stand there again for another expression of it.
        return frames.popleft() if len(frames) > 1 else frames[0]

    return replace(raised, traceback=_with_lines(raised.traceback, _FRAME, frame_of, source, raised.origin))


def stack_with_lines(stderr: str, origin: Origin, source: SourceText) -> str:
    """Return stderr with a source line under each frame of faulthandler's stacks, which end where the runner begins."""

    def frame_of(found: re.Match[str]) -> Frame:
        file = _ESCAPED.sub(lambda code: chr(int(code[1] or code[2] or code[3], 16)), found["file"])
        return Frame(file, found["function"], int(found["line"]), 0)

    return _with_lines("\n".join(_without_runner(stderr.split("\n"))), _STACK_FRAME, frame_of, source, origin)


def _without_runner(lines: Iterable[str]) -> Iterator[str]:
    is_runner = False
    for line in lines:
        is_runner = _STACK_FRAME.fullmatch(line) is not None and (
            is_runner or _RUNNER_FRAME.fullmatch(line) is not None
        )
        if not is_runner:
            yield line


def _with_lines(
    text: str, pattern: re.Pattern[str], frame_of: Callable[[re.Match[str]], Frame], source: SourceText, origin: Origin
) -> str:
    lines = text.split("\n")
    result = []
    for index, line in enumerate(lines):
        result.append(line)
        found = pattern.fullmatch(line)
        if found is None:
            continue
        frame, margin = frame_of(found), found["margin"] + "  "
        if not (index + 1 < len(lines) and lines[index + 1].startswith(margin)):
            written = source.line(frame, origin)
            result += [margin + shown for shown in _shown(frame, written)] if written.strip() else []
    return "\n".join(result)


def _shown(frame: Frame, line: str) -> list[str]:
    """Return what Python prints below a frame: its source line, and carets where they say more than the line."""
    span: dict[str, Any] = {}
    if sys.version_info >= (3, 11):
        span = {"end_lineno": frame.end_line, "colno": frame.column, "end_colno": frame.end_column}
    # With the line's end, as the traceback module reads it: the carets are counted with it.
    summary = traceback.FrameSummary(frame.file, frame.line, frame.function, line=f"{line}\n", **span)
    try:
        text = traceback.StackSummary.from_list([summary]).format()[0]
    except (ValueError, RecursionError, MemoryError):
        # The carets need the line parsed.
        return [line.strip()]
    return [shown.removeprefix("    ") for shown in text.splitlines()[1:]]
