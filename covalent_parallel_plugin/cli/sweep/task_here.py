"""What a task prints whose folder is on this machine: read from its files, also while it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from covalent_parallel_plugin.programs.kept_output import StreamName
from covalent_parallel_plugin.programs.task_folder import STDERR_FILE, STDOUT_FILE
from covalent_parallel_plugin.protocol.live_part import LiveStream
from covalent_parallel_plugin.sweep.printed_piece import STREAMS, PrintedPiece
from covalent_parallel_plugin.sweep.records.journal import State, is_held
from covalent_parallel_plugin.sweep.records.out_folder import OutFolder

if TYPE_CHECKING:
    from covalent_parallel_plugin.cli.sweep.task_printer import TaskPrinter

LOOK_EVERY_SECONDS = 0.2
_CHUNK_BYTES = 1 << 20
_FILES: dict[StreamName, str] = {"stdout": STDOUT_FILE, "stderr": STDERR_FILE}


class TaskHere:
    """Prints the output of one task that this machine has or runs."""

    def __init__(self, out: OutFolder, task: str, printer: TaskPrinter) -> None:
        self._out, self._task, self._printer = out, task, printer
        self._offsets: dict[StreamName, int] = dict.fromkeys(STREAMS, 0)
        self._attempts: dict[StreamName, int] = dict.fromkeys(STREAMS, 0)

    def show(self, follow: bool) -> None:
        """Print what is there, and to the task's end what comes if it is followed."""
        while True:
            # Asked first: what comes until then is in the files
            is_last = not follow or not self._runs()
            for stream in self._printer.streams:
                for piece in self._new(stream):
                    self._printer.take(piece)
            self._printer.flush()
            if is_last:
                self._printer.finish()
                return
            time.sleep(LOOK_EVERY_SECONDS)

    def _runs(self) -> bool:
        return is_held(self._out.journal_path) and self._task in State.read(self._out.journal_path).running

    def _new(self, stream: StreamName) -> Iterator[PrintedPiece]:
        try:
            file = (self._out.task_folder(self._task) / _FILES[stream]).open("rb")
        except FileNotFoundError:
            return
        with file:
            if file.seek(0, 2) < self._offsets[stream]:
                # A new attempt begins a new file
                self._offsets[stream] = 0
                self._attempts[stream] += 1
            file.seek(self._offsets[stream])
            while data := file.read(_CHUNK_BYTES):
                yield PrintedPiece(self._attempts[stream], stream, LiveStream(self._offsets[stream], data))
                self._offsets[stream] += len(data)
