"""Run tasks as processes of this machine, each with folders of its own."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ...containers.local_process import LocalProcess
from ...containers.process import PreparedClient
from ..model.own_folders import OwnFolder, remove_dead_folders, remove_tree
from ..model.runtime_interface import (
    BARE_VM,
    CANNOT_START,
    HOSTS_TEXT,
    HOSTS_VARIABLE,
    NOT_EXECUTABLE,
    NOT_FOUND,
    Command,
    LogFolder,
    ResourceLimits,
    StartFailed,
    VmSpec,
)
from ..model.user_cache import UserCache
from .script_process import ScriptProcess, start_watched
from .task_environment import process_environment
from .task_python import TaskPython
from .watchdog import Watchdog

PARTS = ("home", "work", "tmp", "packages")


class ProcessRuntime:
    """Runs each task as a process, with its own home, working, temporary and package folders.

    An image stands for an interpreter: `python` and `python3` are `python` in any image. By default that is one of this
    Python's version with the standard library and pip only, as the stock image has; with `site_packages` it is the one
    that runs this, with its packages. `images` names another one for an image, under any of its names, with its default
    command after it, which runs when a job gives neither entrypoint nor commands. A process sees the whole machine:
    memory and CPU limits and docker's options are not enforced. A task with volumes does not start (exit code 125),
    since nothing can be mounted for one process; volumes by name, which docker keeps on a VM, are passed over. Raises
    ValueError for an interpreter that is not there.

    What emulators that were killed have left is removed at the start, and when this one is killed, by a watchdog, which
    also removes what `engine`'s containers leave.
    """

    def __init__(
        self,
        python: Path | None = None,
        images: Mapping[str, Sequence[str]] | None = None,
        engine: str = "",
        site_packages: bool = False,
        cache: UserCache | None = None,
    ) -> None:
        self.python = TaskPython(python, images, site_packages, cache)
        self._engine = engine
        self._root: OwnFolder | None = None
        self._watchdog: Watchdog | None = None
        self._numbers = itertools.count()
        self._sweeper = ThreadPoolExecutor(1, thread_name_prefix="emulator-sweeper")
        self._lock = threading.Lock()
        self._sweeper.submit(remove_dead_folders)

    def open(self, attempt: str, limits: ResourceLimits, vm: VmSpec = BARE_VM) -> ProcessWorkspace:
        """Make the attempt's folder."""
        folder = self.new_folder()
        make_parts(folder)
        return self.workspace(folder, vm)

    def new_folder(self) -> Path:
        """Name a folder, which is not there yet."""
        return self._own_root().path / str(next(self._numbers))

    def workspace(self, folder: Path, vm: VmSpec = BARE_VM) -> ProcessWorkspace:
        """Let processes start in a folder that has its parts."""
        return ProcessWorkspace(self, folder, vm)

    def interpreter(self, image: str) -> Sequence[str]:
        """Return the interpreter that an image stands for, with its default command. Raises OSError."""
        return self.python.interpreter(image, self._own_root().path)

    @property
    def watchdog(self) -> Watchdog:
        """What ends processes when this one is killed; there since the first folder was made."""
        assert self._watchdog is not None
        return self._watchdog

    def sweep(self, folder: Path, *, has_strays: bool) -> None:
        """Remove a folder, in the background: installed packages are thousands of files."""
        self._sweeper.submit(_remove, folder, has_strays=has_strays)

    def release(self, job_uid: str) -> None:
        """Do nothing: tasks share nothing."""

    def task_users(self) -> Collection[int]:
        """List none: tasks run as this process's own user."""
        return ()

    def close(self) -> None:
        """End processes that left their task's session, and remove all folders."""
        self._sweeper.shutdown(wait=True)
        self.python.close()
        if self._root is not None:
            self._root.remove()
            self._root = None
        if self._watchdog is not None:
            self._watchdog.close()
            self._watchdog = None

    def _own_root(self) -> OwnFolder:
        with self._lock:
            if self._root is None:
                # short: sockets below it must fit into the 108 characters of a Unix address
                self._root = OwnFolder("tasks")
                self._watchdog = Watchdog(self._engine)
            return self._root


class ProcessWorkspace:
    """The folder of one attempt."""

    def __init__(self, runtime: ProcessRuntime, folder: Path, vm: VmSpec = BARE_VM) -> None:
        self._runtime = runtime
        self.folder = self._folder = folder
        self._vm = vm
        self._processes: list[LocalProcess | ScriptProcess] = []
        self._scripts = itertools.count()

    def log_folder(self, path: str, services: Mapping[str, str]) -> LogFolder:
        """Return this machine's own folder: that is what a process finds at a path."""
        return LogFolder(Path(path))

    def start(self, command: Command) -> LocalProcess:
        """Start a runnable as the leader of its own session. Raises StartFailed."""
        refuse_volumes(command, self._vm)
        prepared = self.prepare(command)
        try:
            child = start_watched(prepared, self._runtime.watchdog, subprocess.PIPE, subprocess.PIPE)
        except OSError as error:
            raise StartFailed(NOT_EXECUTABLE, f'exec: "{prepared.words[0]}": {error.strerror}') from error
        process = LocalProcess(child, self._runtime.watchdog.end)
        self._processes.append(process)
        return process

    def start_later(
        self, prepare: Callable[[], PreparedClient], clear_up: Callable[[], Sequence[str]]
    ) -> ScriptProcess:
        """Start a program once it has been prepared."""
        name = f"script-{self.folder.name}-{len(self._processes)}"
        process = ScriptProcess(name, self._runtime.watchdog, prepare, clear_up)
        self._processes.append(process)
        return process

    def prepare(self, command: Command) -> PreparedClient:
        """Find the program that a runnable is, with its environment. Raises StartFailed."""
        try:
            default = self._runtime.interpreter(command.image)
            environment = process_environment(self._folder, default[0], command.environment, os.environ)
            environment.update(self._runtime.python.shared_variables(default[0], environment))
        except OSError as error:
            raise StartFailed(CANNOT_START, f"cannot create a Python for tasks in the user's cache: {error}") from error
        if command.has_hosts_file:
            hosts = self._folder / "hosts"
            hosts.write_text(HOSTS_TEXT)
            environment[HOSTS_VARIABLE] = str(hosts)
        words = self._words(command, default)
        if words[0] in ("python", "python3"):
            words[0] = default[0]
        named = self._folder / "work" / words[0]
        program = shutil.which(str(named) if "/" in words[0] else words[0], path=environment["PATH"])
        if program is None:
            exists = "/" in words[0] and named.exists()
            raise StartFailed(
                NOT_EXECUTABLE if exists else NOT_FOUND,
                f'exec: "{words[0]}": {"permission denied" if exists else "executable file not found in $PATH"}',
            )
        return PreparedClient([program, *words[1:]], environment, str(self._folder / "work"))

    def close(self) -> None:
        """Remove the folder, in the background."""
        # one that ended by itself had the time to end what it moved out of its group
        has_strays = any(process.was_ended for process in self._processes)
        self._runtime.sweep(self._folder, has_strays=has_strays)

    def _words(self, command: Command, default: Sequence[str]) -> list[str]:
        if command.image:
            if command.entrypoint:
                return [command.entrypoint, *command.arguments]
            return list(command.arguments or default)
        if command.script_path:
            return ["/bin/sh", "-c", 'exec "$0"', command.script_path]
        # one file each: a runnable in the background may read its own while the next one starts
        script = self._folder / f"script{next(self._scripts)}"
        script.write_text(command.script)
        script.chmod(0o700)
        return [str(script)] if command.script.startswith("#!") else ["/bin/sh", str(script)]


def refuse_volumes(command: Command, vm: VmSpec) -> None:
    """Raise StartFailed for a runnable that has volumes: a process sees this machine's own folders."""
    places = [mount.path for mount in vm.mounts] or [volume for volume in command.volumes if volume.startswith("/")]
    if places:
        what = "container" if command.image else "script"
        raise StartFailed(
            CANNOT_START,
            f"{places[0]} cannot be mounted: this {what} runs as a process, and volumes need containers. Start the "
            "emulator with --runtime podman or docker.",
        )


def make_parts(folder: Path) -> None:
    """Make the folders of a task."""
    for part in PARTS:
        (folder / part).mkdir(parents=True, exist_ok=True)


def _remove(folder: Path, *, has_strays: bool) -> None:
    """Remove a task's folder."""
    # most tasks leave nothing: then this is all, at a tenth of what looking for files costs
    if not has_strays:
        with contextlib.suppress(OSError):
            for part in PARTS:
                (folder / part).rmdir()
            folder.rmdir()
            return
        shutil.rmtree(folder, ignore_errors=True)
    else:
        remove_tree(folder)
