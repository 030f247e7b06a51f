"""Lines of electrons as they are printed: with prefixes, times or as JSON, and nothing that would steer a terminal."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TextIO

from covalent_parallel_plugin.cli.printed_lines import NO_TIME, missing_text, shown_text, tell, time_text, write_line
from covalent_parallel_plugin.results.dispatch_logs import Look
from covalent_parallel_plugin.results.electron_log import LogLine, MissingOutput
from covalent_parallel_plugin.sweep.display.printable import plain


@dataclass
class LinePrinter:
    """Prints looks at a dispatch's output.

    Attributes:
        stdout, stderr: where the output goes, and where other messages go.
        is_apart: whether lines of an electron's stderr go to `stderr`.
        has_prefix: whether lines say whose they are, where there are several sources.
        tail: how many lines of each source are printed of what is there at first; None for all.
    """

    dispatch_id: str
    stdout: TextIO
    stderr: TextIO
    is_json: bool = False
    is_apart: bool = False
    has_prefix: bool = True
    has_times: bool = False
    tail: int | None = None
    _attempts: dict[tuple[int, int, int | None], int] = field(default_factory=dict)
    _jobs: dict[int, int] = field(default_factory=dict)
    _held: list[LogLine | MissingOutput] = field(default_factory=list)

    def show(self, look: Look, is_one_item: bool) -> None:
        """Print a look; `is_one_item` says that only one item of a map is looked at."""
        self._held = last_of_each([*self._held, *look.lines], self.tail)
        if self.tail is None or not look.is_behind:
            # More of what was printed before is read at once: only then it is known which lines were the last.
            self._show_lines(look, is_one_item)
        for notice in look.notices:
            self.tell(notice)
        self.stdout.flush()
        self.stderr.flush()

    def _show_lines(self, look: Look, is_one_item: bool) -> None:
        for line in self._held:
            if isinstance(line, MissingOutput):
                self.tell(f"{prefix_of(line)}: {missing_text(line.size, line.stream)}")
                continue
            self._show_attempt(line)
            if self.is_json:
                write_line(self.stdout, self._json(line))
                continue
            is_several = look.has_several or (line.is_map and not is_one_item)
            prefix = f"{prefix_of(line)} | " if self.has_prefix and is_several else ""
            when = f"{time_text(line.seconds) or NO_TIME} " if self.has_times else ""
            stream = self.stderr if self.is_apart and line.stream == "stderr" else self.stdout
            write_line(stream, f"{plain(prefix)}{when}{shown_text(line.text, stream)}")
        self._held, self.tail = [], None

    def tell(self, text: str) -> None:
        """Print a line of this command's own."""
        tell(self.stderr, text)

    def _show_attempt(self, line: LogLine) -> None:
        if line.attempt is None:
            return
        if line.job > self._jobs.setdefault(line.node, line.job):
            self._jobs[line.node] = line.job
            self.tell(f"{line.electron}[{line.node}]: job {line.job + 1}")
        source = (line.node, line.job, line.task)
        if line.attempt > self._attempts.setdefault(source, line.attempt):
            self._attempts[source] = line.attempt
            self.tell(f"{prefix_of(line._replace(item=None))}: attempt {line.attempt}")

    def _json(self, line: LogLine) -> str:
        return json.dumps(
            {
                "dispatch": self.dispatch_id,
                "node": line.node,
                "electron": line.electron,
                "task": line.task,
                "attempt": line.attempt,
                "item": line.item,
                "stream": line.stream,
                "time": time_text(line.seconds),
                "line": line.text,
            }
        )


def prefix_of(line: LogLine | MissingOutput) -> str:
    """Whose a line is, such as "dock[2] item 317"."""
    title = f"{line.electron}[{line.node}]"
    if isinstance(line, LogLine) and line.item is not None:
        return f"{title} item {line.item}"
    if isinstance(line, LogLine) and line.title:
        return f"{title} {line.title}"
    return f"{title} task {line.task}" if line.is_map and line.task is not None else title


def last_of_each(lines: Sequence[LogLine | MissingOutput], count: int | None) -> list[LogLine | MissingOutput]:
    """Of each electron and item, and each of their streams, the last lines; in their order."""
    if count is None:
        return list(lines)
    kept: dict[tuple[str, str], deque[int]] = {}
    for number, line in enumerate(lines):
        kept.setdefault((prefix_of(line), line.stream), deque(maxlen=count)).append(number)
    numbers = sorted(number for found in kept.values() for number in found)
    return [lines[number] for number in numbers]
