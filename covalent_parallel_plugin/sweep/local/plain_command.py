"""Run tasks as commands of this machine, each in its own session and in its own folder."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...containers.container import NOT_EXECUTABLE, Process, StartFailed
from ...containers.local_process import LocalProcess
from ...containers.ownership import started_ticks
from ...programs.command_line import find_program
from ...programs.task_folder import FILES, open_folder
from ...programs.verdict import ProgramEnd
from ..tasks import LocalPaths
from .interfaces import TaskStart


class PlainCommands:
    """Starts commands with this process's environment and the task's; a limit of memory or CPUs is not enforced."""

    def __init__(self, inputs: Mapping[str, Path], config: str, result: str) -> None:
        self._inputs = {name: str(path) for name, path in inputs.items()}
        self._config = config
        self._result = result

    def paths(self, folder: Path) -> LocalPaths:
        """Return the paths of this machine."""
        return program_paths(str(folder / FILES), self._inputs, self._config, self._result)

    def start(self, start: TaskStart) -> Process:
        """Start the command. Raises StartFailed."""
        words = [*(start.launch.entrypoint or ()), *start.launch.arguments]
        environment = {**os.environ, **start.environment, "PWD": str(start.files)}
        open_folder(start.folder)
        try:
            child = subprocess.Popen(
                [find_program(words, start.files, environment), *words[1:]],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=start.files,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise StartFailed(NOT_EXECUTABLE, f"{words[0]}: cannot be run: {error.strerror}") from error
        return LocalProcess(child, tells_group=True)

    def event(self, process: Process) -> Mapping[str, int]:
        """Return the number of the process, which is its group's, and when it started."""
        assert isinstance(process, LocalProcess)
        return {"pid": process.pid, "started_ticks": started_ticks(process.pid)}

    def end(self, start: TaskStart, process: Process, exit_code: int, errors: Sequence[str]) -> ProgramEnd:
        """Add how much memory it had."""
        assert isinstance(process, LocalProcess)
        return ProgramEnd(exit_code, peak_mb=process.peak_mib, cpu_seconds=process.cpu_seconds)


def program_paths(folder: str, inputs: Mapping[str, str], config: str, result: str) -> LocalPaths:
    """Return the paths of a task whose program sees its folder here; what a bucket holds elsewhere is in it, too."""
    config_path = f"{folder}/config.{config or 'json'}"
    return LocalPaths(
        folder=folder,
        inputs=inputs,
        prefix=folder,
        config=config_path,
        config_object=config_path,
        result_object=f"{folder}/{result or 'result.json'}",
    )


def end_groups(groups: Mapping[int, int], sweep_id: str) -> None:
    """Kill the process groups that a run which was killed has left (Linux only: elsewhere none is found).

    `groups` has the number of each and when its first process started. That number may mean another group by now:
    it is killed if its first process started then, or one of it carries this sweep's id among its variables.
    """
    mark = f"SWEEP_ID={sweep_id}".encode()
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat") if groups else ():
        with contextlib.suppress(OSError):  # gone, or another user's
            pid = int(path.parent.name)
            group = int(path.read_text().rpartition(")")[2].split()[2])
            if group in groups and (
                (pid == group and started_ticks(pid) == groups[group])
                or mark in path.with_name("environ").read_bytes().split(b"\0")
            ):
                found.add(group)
    for group in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
