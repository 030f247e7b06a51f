"""Programs in processes of their own that need no time for imports: forks of a process that has imported much already.

Importing Covalent, Google's clients and their like takes more than a second of a processor, many commands under test
a tenth of that. Covalent and this project are imported anew in each fork, with its environment. Programs that tests
send signals to, or whose imports are what is tested, are better started as users start them.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

SECONDS = 120
"""For one program; SIGALRM ends it."""
END_SECONDS = 60
IMPORTED = (
    "covalent_parallel_plugin.cli.doctor.checks",
    "covalent_parallel_plugin.emulator.emulator",
    "covalent_parallel_plugin.gcpbatch",
    "covalent_parallel_plugin.cli.plan.plan_request",
    "google.cloud.logging_v2",
    "rich.console",
)
AGAIN = ("covalent", "covalent_dispatcher", "covalent_ui", "covalent_parallel_plugin")
"""Read their configuration when they are imported, or are what is tested."""


def run(
    code: str, *arguments: str, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Do as `python -c CODE ARGUMENTS...` with nothing to read does; of variables PYTHON*, only PYTHONPATH counts."""
    return _warm().run(code, arguments, dict(os.environ if environment is None else environment), folder or Path.cwd())


@functools.cache
def _warm() -> _Warm:
    warm = _Warm()
    atexit.register(warm.end)
    return warm


class _Warm:
    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="tests-warm-"))
        self._one_at_a_time = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            # numpy's threads would not be in the forks
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(
        self, code: str, arguments: tuple[str, ...], environment: Mapping[str, str], folder: Path
    ) -> subprocess.CompletedProcess[str]:
        assert self._process.stdin is not None and self._process.stdout is not None
        streams = [str(self._folder / name) for name in ("stdout", "stderr")]
        request = [code, arguments, environment, str(folder), *streams]
        with self._one_at_a_time:
            print(json.dumps(request), file=self._process.stdin, flush=True)
            status = self._process.stdout.readline()
            assert status, "the warm process has ended"
            return subprocess.CompletedProcess(
                [code, *arguments], int(status), *(Path(name).read_text() for name in streams)
            )

    def end(self) -> None:
        self._process.communicate(timeout=END_SECONDS)
        shutil.rmtree(self._folder)


def _become(
    code: str, arguments: list[str], environment: dict[str, str], folder: str, stdout: str, stderr: str
) -> NoReturn:
    """Be the program that was asked for, in a fork."""
    signal.alarm(SECONDS)
    atexit.unregister(shutil.rmtree)  # of the folder that Covalent was imported with
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate((os.devnull, stdout, stderr)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.argv = ["-c", *arguments]
    sys.path[:1] = ["", *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    status = 0
    try:
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})  # noqa: S102
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        status = 1
    # All that happens at an end but for one thing, which takes half a second: taking apart what was imported
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _serve() -> None:
    """Read requests from standard input, a line of JSON each, and answer each with its exit status."""
    import importlib

    import own_covalent

    own_covalent.load()
    for name in IMPORTED:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] in AGAIN]:
        del sys.modules[name]
    gc.freeze()
    for line in sys.stdin:
        if child := os.fork():
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        else:
            _become(*json.loads(line))


if __name__ == "__main__":
    _serve()
