"""The process of a task, waited for."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

TASK_SECONDS = 180


@dataclass(frozen=True)
class Ended:
    """A task's process that has ended."""

    status: int
    stdout: bytes
    stderr: str


def ended(process: subprocess.Popen[bytes]) -> Ended:
    try:
        stdout, stderr = process.communicate(timeout=TASK_SECONDS)
    finally:
        process.kill()
    return Ended(process.returncode, stdout, stderr.decode())
