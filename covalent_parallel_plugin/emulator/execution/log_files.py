"""Write what a task prints into files of its VM, as Batch does for jobs whose logs go to a path."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

_STREAMS = {"INFO": "stdout", "ERROR": "stderr"}


class LogFiles:
    """The log files of one attempt, open until `close`; an earlier attempt's lines stay in them.

    Where `name` is "" they are output-TASK.log with everything, stdout-TASK.log and stderr-TASK.log, else the one file
    of that name. Raises OSError.
    """

    def __init__(
        self, folder: Path, name: str, task_id: str, attempt: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._task = f"task/{task_id}/{attempt}/0"
        self._clock = clock
        self._opened = contextlib.ExitStack()
        folder.mkdir(parents=True, exist_ok=True)
        names = [name] if name else [f"{part}-{task_id}.log" for part in ("output", *_STREAMS.values())]
        files = [self._open(folder / each) for each in names]
        self._of_all, self._of_streams = files[0], dict(zip(_STREAMS, files[1:], strict=False))

    def write(self, number: int, severity: str, line: str) -> None:
        """Write a line of the runnable with this number. Raises OSError."""
        now = time.strftime("%Y/%m/%d %H:%M:%S", time.gmtime(self._clock()))
        entry = f"[batch_task_logs]{now} {severity}: [task_id:{self._task},runnable_index:{number}] {line}\n"
        for file in (self._of_all, self._of_streams.get(severity)):
            if file is not None:
                file.write(entry)

    def close(self) -> None:
        """Close the files."""
        self._opened.close()

    def _open(self, path: Path) -> IO[str]:
        # by lines: runnables read the files meanwhile
        return self._opened.enter_context(path.open("a", buffering=1, encoding="utf-8", errors="replace"))


def split_path(logs_path: str, mount_paths: set[str]) -> tuple[str, str]:
    """Split the path that a job gives into a folder and a file's name, "" where the path is that of a folder.

    It is a folder's with a slash at its end, and where something is mounted.
    """
    if logs_path.endswith("/") or logs_path in mount_paths:
        return logs_path.rstrip("/") or "/", ""
    folder, _, name = logs_path.rpartition("/")
    return folder or "/", name
