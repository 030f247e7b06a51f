"""The warm process of `fork_runtime`: forks for each task that it is told of, and tells how each one ended.

It is started by its path on the Python that the tasks run on, where this package may not be installed: it needs the
standard library of Python 3.9 only, and Linux. It has one thread, so that a fork copies all that there is.
"""

from __future__ import annotations

import atexit
import builtins
import contextlib
import ctypes
import gc
import hashlib
import importlib
import importlib.machinery
import io
import json
import os
import pkgutil
import select
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback
import types
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

MESSAGE_BYTES = 1 << 18
PARTS = ("home", "work", "tmp", "packages")
CANNOT_START = 125
# prctl(2)
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
END_SECONDS = 5.0
KEPT_SOURCES = 64
# What the runner and cloudpickle load, at once or later, besides what is imported above
STANDARD_LIBRARY = (
    "ast", "base64", "copyreg", "dis", "encodings.idna", "faulthandler", "fcntl", "hmac",
    "http.client", "importlib.util", "inspect", "linecache", "logging", "pickle",
    "platform", "random", "reprlib", "resource", "selectors", "site", "subprocess", "sysconfig", "tokenize",
    "urllib.parse", "uuid", "zipimport",
)  # fmt: skip
# What the runner is, where it is installed; archives bring another package and cloudpickle
INSTALLED = ("covalent_parallel_plugin", "cloudpickle")

Modules = dict[str, types.ModuleType]


class Task:
    """A process that was forked for a task, as the warm one sees it."""

    def __init__(self, number: int, status: int, request: dict[str, Any]) -> None:
        self.number = number
        self.status = status
        self.arguments: list[str] = request["arguments"]
        self.home: str = request["environment"]["HOME"]


class Start:
    """What a forked process is to become."""

    def __init__(
        self, request: dict[str, Any], code: types.CodeType | None, modules: Modules | None, warm: int
    ) -> None:
        self.request = request
        self.code = code
        self.modules = modules
        self.warm = warm


class Server:
    """Takes requests from `control`, one JSON object in each message; keeps archives that it has learnt in `folder`."""

    def __init__(self, control: socket.socket, folder: str) -> None:
        self._control = control
        self._folder = folder
        self._tasks: dict[int, Task] = {}
        self._pids: dict[int, int] = {}
        self._codes: dict[str, types.CodeType | None] = {}
        self._archives: dict[str, Modules] = {}
        self._version = getattr(sys.modules.get(INSTALLED[0]), "__version__", None)

    def serve(self) -> Start | None:
        """Give what to become, in a forked process; None in the warm one, once nobody holds the other end."""
        notice, notice_write = os.pipe()
        for descriptor in (notice, notice_write):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(notice_write, warn_on_full_buffer=False)
        waiting = select.poll()
        for descriptor in (notice, self._control.fileno()):
            waiting.register(descriptor, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in waiting.poll()]
            if notice in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(notice, 4096)
                self._bury()
            if self._control.fileno() in ready:
                try:
                    message, descriptors, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES, 3)
                except ConnectionResetError:
                    return None
                if not message:
                    return None
                request = json.loads(message)
                if "signal" in request:
                    self._signal(request)
                else:
                    start = self._fork(request, *descriptors)
                    if start is not None:
                        return start

    def end_all(self) -> None:
        """Kill all that was forked here, and what that has started and left behind."""
        deadline = time.monotonic() + END_SECONDS
        for pid in self._tasks:
            _kill_group(pid)
        while time.monotonic() < deadline:
            for pid in _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    time.sleep(0.005)
            except ChildProcessError:
                return

    def _fork(self, request: dict[str, Any], stdout: int, stderr: int, status: int) -> Start | None:
        source, arguments = request["source"], request["arguments"]
        # Before the fork, so that it is done once for all tasks with the same command.
        code = self._compiled(source)
        modules = None if arguments[:1] == [self._version] else self._archives.get("".join(arguments[1:2]))
        warm = os.getpid()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for target, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), stdout, stderr)):
                os.dup2(descriptor, target)
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            return Start(request, code, modules, warm)
        os.close(stdout)
        os.close(stderr)
        self._tasks[pid] = Task(request["number"], status, request)
        self._pids[request["number"]] = pid
        return None

    def _compiled(self, source: str) -> types.CodeType | None:
        if source not in self._codes:
            if len(self._codes) >= KEPT_SOURCES:
                self._codes.clear()
            try:
                self._codes[source] = compile(source, "<string>", "exec", dont_inherit=True)
            except (SyntaxError, ValueError):
                self._codes[source] = None  # the task's own process is to say so
        return self._codes[source]

    def _signal(self, request: dict[str, Any]) -> None:
        pid = self._pids.get(request["number"])
        if pid is None:
            return
        # Nothing is reaped but by `_bury`: until then the number cannot belong to another process or group.
        if request["group"]:
            _kill_group(pid)
        else:
            os.kill(pid, request["signal"])

    def _bury(self) -> None:
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            task = self._tasks.pop(ended.si_pid, None)
            if task is not None:
                _kill_group(ended.si_pid)
            _, status = os.waitpid(ended.si_pid, 0)
            if task is not None:
                del self._pids[task.number]
                code = os.waitstatus_to_exitcode(status)
                if code == 0:
                    self._learn(task)
                # Last: whoever reads it removes the task's folders.
                with contextlib.suppress(BrokenPipeError):
                    os.write(task.status, b"%d" % code)
                os.close(task.status)

    def _learn(self, task: Task) -> None:
        """Import what a task has run from an archive, for those that bring the same one (their bootstrap checks it)."""
        if len(task.arguments) != 2 or task.arguments[0] == self._version or task.arguments[1] in self._archives:
            return
        digest = task.arguments[1]
        if len(digest) != 64 or not digest.isalnum():
            return
        for found in Path(task.home).glob(f".cache/*/{digest}.zip"):
            kept = Path(self._folder, found.name)
            shutil.copyfile(found, kept)
            if hashlib.sha256(kept.read_bytes()).hexdigest() == digest:
                self._archives[digest] = _imported_from(str(kept))
                gc.freeze()


def become(start: Start) -> int:
    """In a forked process: be the task's, run its command as `python3 -c` does, and give its exit status."""
    request = start.request
    try:
        os.setsid()
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != start.warm:
            os._exit(CANNOT_START)  # the warm process died before the line above
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        folder, environment = Path(request["folder"]), request["environment"]
        for part in PARTS:
            (folder / part).mkdir(parents=True, exist_ok=True)
        os.chdir(folder / "work")
        os.environ.clear()
        os.environ.update(environment)
        tempfile.tempdir = None
        # final to mypy; Python's own start sets them, and this is one
        sys.stdout = sys.__stdout__ = _stream(1, "<stdout>", "surrogateescape")  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = _stream(2, "<stderr>", "backslashreplace")  # type: ignore[misc]
        sys.argv = ["-c", *request["arguments"]]
        sys.orig_argv = [request["program"], "-c", request["source"], *request["arguments"]]
        sys.path[:] = ["", *environment["PYTHONPATH"].split(os.pathsep), *sys.path[1:]]
        if start.modules is not None:
            _hide(INSTALLED)
            sys.modules.update(start.modules)
        main = types.ModuleType("__main__")
        main.__dict__.update(__annotations__={}, __builtins__=builtins, __loader__=importlib.machinery.BuiltinImporter)
        sys.modules["__main__"] = main
    except Exception:
        traceback.print_exc()
        return CANNOT_START
    return _finish(_run(start.code, request["source"], main))


def _stream(descriptor: int, name: str, errors: str) -> io.TextIOWrapper:
    """Give what Python makes of a pipe at its start in the locale C.UTF-8."""
    raw = io.FileIO(descriptor, "wb", closefd=False)
    raw.name = name
    stream = io.TextIOWrapper(
        io.BufferedWriter(raw), "utf-8", errors, newline="\n", line_buffering=descriptor == 2, write_through=False
    )
    stream.mode = "w"  # type: ignore[misc]  # as Python's own start does
    return stream


def _run(code: types.CodeType | None, source: str, main: types.ModuleType) -> int:
    try:
        exec(code or compile(source, "<string>", "exec", dont_inherit=True), main.__dict__)  # noqa: S102  # as -c does
    except SystemExit as end:
        if end.code is None:
            return 0
        if isinstance(end.code, int):
            return end.code & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BaseException as error:
        # without this function's own line
        error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    return 0


def _finish(status: int) -> int:
    """Do what the interpreter does at its end, but for taking all objects apart."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except (OSError, ValueError):
            return status or 120  # what Python exits with when its output cannot be written
    return status


def _preload() -> None:
    for name in STANDARD_LIBRARY:
        importlib.import_module(name)
    try:
        names = ["cloudpickle"]
        for folder in ("protocol", "runner"):
            room = importlib.import_module(f"{INSTALLED[0]}.{folder}")
            names += [f"{room.__name__}.{found.name}" for found in pkgutil.iter_modules(room.__path__)]
    except ImportError:  # tasks bring an archive, then
        return
    _import_all(names)


def _import_all(names: Iterable[str]) -> None:
    for name in names:
        # what cannot be imported here is the tasks' business, if any of them wants it
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def _imported_from(path: str) -> Modules:
    """Import all modules of an archive, without leaving them among this process's own."""
    hidden = _hide(INSTALLED)
    before = set(sys.modules)
    sys.path.insert(0, path)
    try:
        with zipfile.ZipFile(path) as archive:
            files = [name[: -len(".py")] for name in archive.namelist() if name.endswith(".py")]
        _import_all(
            (name[: -len("/__init__")] if name.endswith("/__init__") else name).replace("/", ".") for name in files
        )
        made = {name: module for name, module in sys.modules.items() if name not in before}
        found = {name: module for name, module in made.items() if str(getattr(module, "__file__", "")).startswith(path)}
    finally:
        sys.path.remove(path)
    for name in found:
        del sys.modules[name]
    sys.modules.update(hidden)
    return found


def _hide(packages: Iterable[str]) -> Modules:
    """Take packages out of the imported modules, and give them."""
    names = [name for name in sys.modules if name.partition(".")[0] in packages]
    return {name: sys.modules.pop(name) for name in names}


def _children() -> list[int]:
    with contextlib.suppress(OSError), open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(word) for word in file.read().split()]
    return []


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        # a process that has just been forked leads no group yet
        os.kill(pid, signal.SIGKILL)
        os.killpg(pid, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def main() -> None:
    """Serve until the other end is closed; arguments: this file, the socket's descriptor, a folder."""
    control = socket.socket(fileno=int(sys.argv[2]))
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    _preload()
    gc.collect()
    gc.freeze()
    server = Server(control, sys.argv[3])
    start = server.serve()
    if start is None:
        server.end_all()
    else:
        os._exit(become(start))


if __name__ == "__main__":
    main()
