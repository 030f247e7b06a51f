"""The lines of one electron, each one once: from the parts that come while it runs, then from what it left; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ..electron.map.report import PrintedItems
from ..protocol.live_part import LivePart
from ..protocol.object_names import STREAMS, ObjectName
from .live_lines import LineAssembler, PrintedLine, SkippedBytes, text_lines
from .printed_texts import PrintedText, ShownText, texts_of_electron, texts_of_map

# Round, task, attempt, and what distinguishes a process from another one of the same attempt
_Origin = tuple[int, int, int, str]
# "tasks 0-2,5; task 1 of job 2"
_TASKS = re.compile(r"tasks? ([0-9,-]+)(?: of job ([0-9]+))?")


class LogLine(NamedTuple):
    """A line that an electron printed.

    Attributes:
        seconds: when, since 1970; None if that is not known, as of one that has ended.
        task, attempt, item: of which, as far as that is known; `title` names several tasks that printed the same.
        is_whole: whether its end came too.
        job: how many jobs ran the electron before, as far as their output shows.
    """

    node: int
    electron: str
    stream: str
    text: str
    seconds: float | None = None
    task: int | None = None
    attempt: int | None = None
    item: int | None = None
    title: str = ""
    is_map: bool = False
    is_whole: bool = True
    job: int = 0


class MissingOutput(NamedTuple):
    """So many bytes of a stream are in no part."""

    node: int
    electron: str
    stream: str
    size: int
    task: int
    is_map: bool


class ElectronLog:
    """What is known of one electron's output.

    Attributes:
        is_map: whether it is a map; set it if that is known before the parts come.
        attempts, items: those of which there is output.
    """

    def __init__(self, node: int, name: str, is_map: bool = False):
        self.node, self.name, self.is_map = node, name, is_map
        self.attempts: set[int] = set()
        self.items: set[int] = set()
        self._streams: dict[tuple[_Origin, str], LineAssembler] = {}
        # By stream, and by an item or a round, task and attempt
        self._shown: dict[tuple[str, object], ShownText] = {}
        # Round and task of those that have ended: nothing more of them is to be shown
        self._ended_tasks: set[tuple[int, int]] = set()
        self._has_ended = False
        # The last attempt of an electron without a map and its process, and how many jobs were before
        self._last = (-1, "")
        self._job = 0

    def add_part(
        self, name: ObjectName, part: LivePart, is_taken_up: bool = False
    ) -> Iterator[LogLine | MissingOutput]:
        """Take a part that a task delivered, after those before it.

        `is_taken_up` says that it is the first one that is shown, whatever came before it.
        """
        self.is_map = self.is_map or bool(part.items) or name.task > 0 or name.round > 0
        if (name.round, name.task) in self._ended_tasks:
            return
        origin = (name.round, name.task, name.attempt, part.run)
        self.attempts.add(name.attempt)
        yield from self._finish_earlier(origin)
        self._count_jobs(name, part)
        for number, stream in enumerate(STREAMS):
            live = part.streams[number]
            position = live.start if is_taken_up else 0
            lines = self._streams.setdefault((origin, stream), LineAssembler(position))
            spans = [(span.item, *span[1 + 2 * number : 3 + 2 * number]) for span in part.items]
            for found in lines.add(live, [(item, start, end) for item, start, end in spans]):
                yield self._noted(origin, stream, found)

    def _count_jobs(self, name: ObjectName, part: LivePart) -> None:
        """Note a new job: of a map its tasks have another round, of a lone electron the attempts begin again."""
        is_new = name.attempt <= self._last[0] and part.run != self._last[1]
        self._job = name.round if self.is_map else self._job + is_new
        self._last = name.attempt, part.run

    def finish(self) -> Iterator[LogLine]:
        """Give what is there of lines whose end has not come."""
        if self._has_ended:
            return
        for (origin, stream), lines in self._streams.items():
            for line in lines.finish():
                found = self._noted(origin, stream, line)
                assert isinstance(found, LogLine)  # no bytes are missing there
                yield found

    def add_ended_task(self, name: ObjectName, printed: PrintedItems) -> Iterator[LogLine]:
        """Take all that a task of a map printed, and give what was not shown of it."""
        self.is_map = True
        self._ended_tasks.add((name.round, name.task))
        own = [key for key in self._streams if key[0][:2] == (name.round, name.task)]
        attempt = own[-1][0][2] if own else None
        for stream_key in own:
            del self._streams[stream_key]
        for item, texts in [(None, printed.outside), *sorted(printed.items.items())]:
            for stream, text in zip(STREAMS, texts, strict=True):
                key: tuple[str, object] = (stream, (name.round, name.task, attempt or 0) if item is None else item)
                # An item that an earlier attempt ended was not run again.
                shown = self._shown.setdefault(key, ShownText(own[-1][0] if own else None))
                self.items.update(() if item is None else (item,))
                for line in text_lines(shown.rest_of(text), item):
                    shown.add(line.shown)
                    yield LogLine(
                        self.node, self.name, stream, line.text, None, name.task, attempt, item, "", True,
                        line.is_whole, name.round,
                    )  # fmt: skip

    def add_ended(self, stream: str, text: str) -> Iterator[LogLine]:
        """Take the whole of a stream once the electron has ended, and give what was not shown of it."""
        self._has_ended = True
        for printed in texts_of_map(text, stream == "stdout") if self.is_map else texts_of_electron(text):
            attempt = printed.attempt
            if not self.is_map:
                attempt = max((key[0][2] for key in self._streams), default=None) if attempt is None else attempt
                self.attempts.add(attempt or 0)
            rest = self._rest_of(stream, printed, attempt)
            for line in text_lines(rest, printed.item):
                yield LogLine(
                    self.node, self.name, stream, line.text, None, printed.task if self.is_map else 0, attempt,
                    printed.item, "" if printed.task is not None else printed.title, self.is_map, line.is_whole,
                )  # fmt: skip

    def _noted(self, origin: _Origin, stream: str, found: PrintedLine | SkippedBytes) -> LogLine | MissingOutput:
        round, task, attempt, _ = origin
        item = found.item if isinstance(found, PrintedLine) else None
        self.items.update(() if item is None else (item,))
        key: tuple[str, object] = (stream, (round, task, attempt) if item is None else item)
        shown = self._shown.get(key)
        if shown is None or shown.origin != origin:
            shown = self._shown[key] = ShownText(origin)
        if isinstance(found, SkippedBytes):
            shown.skip(found.size)
            return MissingOutput(self.node, self.name, stream, found.size, task, self.is_map)
        shown.add(found.shown)
        return LogLine(
            self.node, self.name, stream, found.text, found.seconds, task, attempt, found.item, "", self.is_map,
            found.is_whole, round if self.is_map else self._job,
        )  # fmt: skip

    def _finish_earlier(self, origin: _Origin) -> Iterator[LogLine]:
        """Give what earlier attempts of a task have left of a line: nothing more comes of them."""
        ended = [key for key in self._streams if key[0][:2] == origin[:2] and key[0] != origin]
        for key in ended:
            for line in self._streams.pop(key).finish():
                found = self._noted(*key, line)
                assert isinstance(found, LogLine)  # no bytes are missing there
                yield found

    def _rest_of(self, stream: str, printed: PrintedText, attempt: int | None) -> str:
        known: list[ShownText] = []
        if printed.item is not None:
            known = [self._shown[stream, printed.item]] if (stream, printed.item) in self._shown else []
        elif not self.is_map:
            known = [shown for key, shown in self._shown.items() if key[0] == stream and _is_of(key[1], attempt)]
        elif printed.title:
            tasks = _tasks(printed.title)
            known = [
                shown
                for (of, key), shown in self._shown.items()
                if of == stream and isinstance(key, tuple) and key[:2] in tasks
            ]
        # Among several that printed the same, the one that was shown furthest
        most = max(known, key=lambda shown: shown.characters, default=None)
        return printed.text if most is None else most.rest_of(printed.text)


def _is_of(key: object, attempt: int | None) -> bool:
    return isinstance(key, tuple) and key[2] == attempt


def _tasks(title: str) -> set[tuple[int, int]]:
    """Job and task, both from 0 on, of those that a title names."""
    found = set()
    for numbers, job in _TASKS.findall(title):
        for part in numbers.split(","):
            first, _, last = part.partition("-")
            if first.isdecimal() and (last.isdecimal() or not last):
                # No job has more tasks than that
                for task in range(int(first), min(int(last or first), int(first) + 10_000) + 1):
                    found.add((int(job or 1) - 1, task))
    return found
