"""What calls of a dispatch left in the bucket, written to files: values as raw pickles, output and errors as text.

Nothing is unpickled, and nothing is deleted. One object is read at a time; its values go through a file.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..cloud.storage import ObjectStore
from ..electron.map.item_table import Item, ValueStore
from ..electron.map.progress import how_killed
from ..electron.map.report import TaskReport
from ..electron.outcome import Outcome
from ..electron.output_sections import section
from ..electron.server_secret import ServerSecret
from ..protocol.envelope import CHUNK_BYTES, REFUSED, VALUE, python_minor
from ..protocol.object_names import STREAMS, ObjectName
from .output_folder import OutputFolder
from .stored_call import AttemptOutput, StoredCall, stored_calls


@dataclass
class FetchedCall:
    """What was found of one call.

    Attributes:
        name: what its files are called, or begin with.
        found: in words, such as "value of 12 bytes".
        problems: what could not be read or written, a sentence each.
        opened, forged: how many objects had the call's seal, and how many another one.
        pythons: the minor versions whose pickles were written.
    """

    name: str
    found: str = "no outcome: its job has not ended, or ended without one"
    problems: list[str] = field(default_factory=list)
    opened: int = 0
    forged: int = 0
    pythons: set[str] = field(default_factory=set)


def fetch(
    store: ObjectStore, secret: ServerSecret, dispatch_id: str, node_id: int | None, folder: OutputFolder
) -> Iterator[FetchedCall]:
    """Write what the calls of a dispatch, or of one of its nodes, left; gives what was found of each, once written.

    Raises:
        CloudError: Google refused, or could not be reached.
        OSError: a file could not be written.
    """
    calls = list(stored_calls(store, secret, dispatch_id, node_id))
    if calls:
        folder.make()
    nodes = Counter(call.node_id for call in calls)
    for call in calls:
        suffix = f".{call.identity.call_id}" if nodes[call.node_id] > 1 else ""
        name = f"node-{call.node_id}{suffix}"
        there = folder.existing(name)
        if there:
            problem = f"{folder.path} has {', '.join(there)} already: move it away, or name another folder"
            yield FetchedCall(name, "not fetched", [problem])
        else:
            yield _fetch_call(call, name, folder)


def _fetch_call(call: StoredCall, base: str, folder: OutputFolder) -> FetchedCall:
    fetched = FetchedCall(base)
    map_files = MapFiles(base, folder) if call.is_map else None
    for name in call.names:
        if name.kind in STREAMS:
            _copy_stream(call, name, f"{base}/" if map_files else f"{base}.", folder)
            continue
        with contextlib.closing(ValueStore(str(folder.path))) as values:
            found = call.read(name, values)
            if isinstance(found, TaskReport):
                map_files = map_files or MapFiles(base, folder)
                map_files.add(found, values)
                fetched.pythons |= {python_minor(found.python)} - {""}
            elif isinstance(found, Outcome):
                _write_outcome(found, base, folder)
                fetched.found = ending_of(found)
                if found.kind == VALUE:
                    fetched.pythons.add(python_minor(found.python))
            elif isinstance(found, AttemptOutput):
                if map_files:
                    map_files.add_output(_title(name), found.stdout, found.stderr)
                else:
                    _write_streams(found, f"{base}.attempt-{name.attempt}", folder)
    if map_files:
        fetched.found = map_files.totals()
    elif call.problems and not call.opened:
        fetched.found = "nothing that can be read"
    fetched.problems, fetched.opened, fetched.forged = call.problems, call.opened, call.forged
    return fetched


def ending_of(outcome: Outcome) -> str:
    """How an electron ended, in a few words."""
    if outcome.kind == VALUE:
        return f"value of {len(outcome.pickle):,} bytes"
    if outcome.raised is not None:
        return f"raised {outcome.raised.full_name}"
    if outcome.kind == REFUSED:
        return "the container refused the call"
    return "ran past its time limit" if outcome.reason == "time_limit" else how_killed(outcome)


def _write_outcome(outcome: Outcome, base: str, folder: OutputFolder) -> None:
    if outcome.kind == VALUE:
        data = memoryview(outcome.pickle)
        folder.write(f"{base}.pickle", (data[at : at + CHUNK_BYTES] for at in range(0, len(data), CHUNK_BYTES)))
    else:
        folder.append(f"{base}.error.txt", _error_text(outcome))
    _write_streams(outcome, base, folder)


def _write_streams(printed: Outcome | AttemptOutput, base: str, folder: OutputFolder) -> None:
    folder.append(f"{base}.stdout.txt", printed.stdout)
    folder.append(f"{base}.stderr.txt", printed.stderr)


def _error_text(outcome: Outcome) -> str:
    if outcome.raised is not None:
        return outcome.raised.traceback or f"{outcome.raised.full_name}: {outcome.raised.message}\n"
    return f"{outcome.message or ending_of(outcome)}\n"


def _copy_stream(call: StoredCall, name: ObjectName, start: str, folder: OutputFolder) -> None:
    job = f"job-{name.round + 1}." if name.round else ""
    task = f"{job}task-{name.task}." if start.endswith("/") else ""
    with tempfile.TemporaryFile(dir=folder.path) as file:
        call.copy_stream(name, file)
        file.seek(0)
        folder.write(f"{start}{task}whole-{name.kind}.txt", iter(lambda: file.read(CHUNK_BYTES), b""))


def _title(name: ObjectName) -> str:
    """A task, by the numbers that Batch gives it."""
    job = f" of job {name.round + 1}" if name.round else ""
    end = "while it ran" if name.kind == "live" else "which was lost"
    return f"task {name.task}{job}, attempt {name.attempt}, {end}"


class MapFiles:
    """The files of one map, in a folder of its own: a pickle for each value, a text for each error, and two streams.

    Of an item that ran more than once the value counts, else the last error.
    """

    def __init__(self, base: str, folder: OutputFolder):
        self._base = base
        self._folder = folder
        self._total: int | None = None
        self._values: set[int] = set()
        self._errors: set[int] = set()
        self._outside: set[tuple[int, int]] = set()

    def add(self, report: TaskReport, values: ValueStore) -> None:
        """Write what a task delivered; `values` holds its items' values and output."""
        self._total = report.total if report.total is not None else self._total
        task = (report.round, report.task)
        job = f" of job {report.round + 1}" if report.round else ""
        if task not in self._outside and (report.stdout or report.stderr):
            # A task's chunks come after its outcome, which has all of it.
            self._outside.add(task)
            self.add_output(f"task {report.task}{job}, outside the items", report.stdout, report.stderr)
        for item in report.items:
            if item.index not in self._values:
                self._add_item(item, values)
        ended, running = report.ended, report.running
        if ended is not None and running is None:
            self._folder.append(f"{self._base}/task-{report.task}{job.replace(' ', '-')}.error.txt", _error_text(ended))
        elif ended is not None and running is not None and running.index not in self._values:
            self._add_error(running.index, f"({running.arguments}): {ending_of(ended)}\n")
            self.add_output(f"item {running.index}", running.stdout, running.stderr)

    def add_output(self, title: str, stdout: str, stderr: str) -> None:
        """Write what was printed, under a title."""
        for stream, text in zip(STREAMS, (stdout, stderr), strict=True):
            self._folder.append(f"{self._base}/{stream}.txt", section(title, text))

    def totals(self) -> str:
        """How many items are there."""
        of_all = "" if self._total is None else f" of {self._total:,}"
        lost = (self._total or 0) - len(self._values) - len(self._errors)
        told = [f"{len(self._values):,}{of_all} values of a map"]
        told += [f"{len(self._errors):,} error{'s' * (len(self._errors) != 1)}"] if self._errors else []
        return ", ".join(told + ([f"{lost:,} items have not ended"] if lost > 0 else []))

    def _add_item(self, item: Item, values: ValueStore) -> None:
        self.add_output(f"item {item.index}", values.text(item.stdout), values.text(item.stderr))
        if item.raised is not None:
            text = item.raised.traceback or f"{item.raised.full_name}: {item.raised.message}\n"
            self._add_error(item.index, f"({item.arguments}): raised {item.raised.full_name}\n\n{text}")
            return
        self._folder.write(f"{self._base}/item-{item.index:05}.pickle", values.read(item.offset, item.size))
        self._values.add(item.index)
        self._forget_error(item.index)

    def _add_error(self, index: int, text: str) -> None:
        self._forget_error(index)
        self._folder.append(f"{self._base}/item-{index:05}.error.txt", text)
        self._errors.add(index)

    def _forget_error(self, index: int) -> None:
        if index in self._errors:
            self._folder.remove(f"{self._base}/item-{index:05}.error.txt")
            self._errors.remove(index)
