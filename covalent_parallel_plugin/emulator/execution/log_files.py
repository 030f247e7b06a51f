"""Write a task's output to files, for jobs whose logs go to a path: what Batch's agent writes on a VM.

The agent makes three files in that folder for each task: its standard output, its standard error, and both together.
Names and lines are those that programs read which use them: dsub's `providers/google_batch.py`.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import BinaryIO

_STREAMS = {"INFO": "stdout", "ERROR": "stderr"}


class TaskLogFiles:
    """The files of one task, which each of its attempts appends to. Raises OSError if they cannot be made."""

    def __init__(self, folder: Path, task_id: str, attempt: int) -> None:
        self._prefix = f"[task_id:task/{task_id}/{attempt}/0,runnable_index:"
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as opened:
            names = ("output", *_STREAMS.values())
            self._files = {name: opened.enter_context(_open(folder / f"{name}-{task_id}.log")) for name in names}
            self._opened = opened.pop_all()

    def write(self, runnable: int, severity: str, line: str) -> None:
        """Write a line of the runnable with this number: INFO for standard output, ERROR for standard error.

        Raises OSError.
        """
        now = time.strftime("%Y/%m/%d %H:%M:%S", time.gmtime())
        text = f"[batch_task_logs]{now} {severity}: {self._prefix}{runnable}] {line}\n".encode(errors="replace")
        for name in ("output", _STREAMS[severity]):
            self._files[name].write(text)

    def close(self) -> None:
        """Close the files."""
        self._opened.close()


def _open(path: Path) -> BinaryIO:
    # A task may have put a link there, to a file of this machine
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    return open(os.open(path, flags, 0o644), "ab", buffering=0)
