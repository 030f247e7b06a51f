"""Make a machine ready for a sweep's tasks, once: Python and the runner, the round's setup, its files and inputs.

It runs in the stock image, before each task; the first one on a machine does the work, under a lock.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator

from ...protocol import environment as variables
from ...protocol import exit_codes, sweep_machine
from .. import bucket_http as storage
from .exit_status import exit_status
from .machine import JobEnvironment, Json, MachinePaths, fetch_setup, make_empty
from .task_measures import MachineQuestion, note_begun

READY = sweep_machine.SHARED_FOLDER + "/ready"
_LOCK = sweep_machine.SHARED_FOLDER + "/lock"


def main(paths: MachinePaths | None = None) -> int:
    """Return the exit status: 0 if tasks can run here now, else why they cannot (see `protocol.exit_codes`)."""
    # As a container's first process it would get none otherwise
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(exit_codes.EXIT_TERMINATED))
    os.umask(0o022)
    return exit_status(
        lambda: _prepare(paths or MachinePaths()),
        "the sweep's setup in the bucket is refused",
        "this machine could not be prepared",
    )


def _prepare(paths: MachinePaths) -> int:
    began = time.time()
    job = JobEnvironment.take(dict(os.environ), variables.remove_key(os.environ))
    done = "%s %d\n" % (job.sweep.sweep_id, job.round)
    with open(paths.here(_LOCK), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        question = MachineQuestion(paths)
        if _read(paths.here(READY)) == done:
            question.ask_again()
        else:
            # Every task writes into it, whatever its user
            os.chmod(paths.tasks, 0o1777)
            question.begin()
            _make_machine(paths)
            _fetch_round(paths, job)
            question.keep()
            _write_aside(paths.here(READY), done)
    note_begun(paths, job, began)
    return exit_codes.EXIT_DELIVERED


def _make_machine(paths: MachinePaths) -> None:
    machine = paths.here(sweep_machine.MACHINE)
    if os.path.exists(machine):
        return
    from .python_files import copy_python

    aside = machine + ".part"
    make_empty(aside)
    package = __name__.split(".")[0]
    copy_python(aside, _archive(), package, "%s.supervisor" % __name__.rpartition(".")[0])
    with open(os.path.join(aside, "supervisor.py"), "w", encoding="utf-8") as file:
        file.write(
            "import sys\n"
            "sys.path.insert(0, __file__.rpartition('/')[0] + '/runner')\n"
            "from %s.runner.sweep.supervisor import main\n"
            "sys.exit(main())\n" % package
        )
    os.rename(aside, machine)


def _archive() -> str:
    """Return the path of the zip file that this module has been read from."""
    return str(getattr(sys.modules[__name__].__loader__, "archive", ""))


def _fetch_round(paths: MachinePaths, job: JobEnvironment) -> None:
    bucket = storage.from_environment(job.bucket)
    try:
        document = fetch_setup(bucket, job)
    finally:
        bucket.close()
    for folder in (sweep_machine.FILES_FOLDER, sweep_machine.INPUTS_FOLDER):
        make_empty(paths.here(folder))
    wanted: dict[str, dict[str, tuple[str, int]]] = {}
    for entry in document["files"]:
        target = content_path(paths, entry["object"])
        wanted.setdefault(job.bucket, {})[target] = (entry["object"], 0)
    for bucket_name, target, name, generation in _input_files(paths, document["inputs"]):
        wanted.setdefault(bucket_name, {})[target] = (name, generation)
    if any(wanted.values()):
        from .content import fetch_all

        for bucket_name, objects in wanted.items():
            fetch_all(bucket_name, job.sweep.folder, objects)
    for path, mode in _input_modes(paths, document["inputs"]):
        os.chmod(path, mode)
    _write_aside(paths.here(sweep_machine.SETUP_FILE), json.dumps({**document, "inputs": []}))


def content_path(paths: MachinePaths, object_name: str) -> str:
    """Return where the machine has the bytes of one of `files`."""
    return os.path.join(paths.here(sweep_machine.FILES_FOLDER), object_name.rpartition("/")[2])


def _input_files(paths: MachinePaths, inputs: Iterable[Json]) -> Iterator[tuple[str, str, str, int]]:
    for entry in inputs:
        if not any(file["path"] == "" for file in entry["files"]):
            os.makedirs(_input_path(paths, entry["name"], ""), exist_ok=True)
        for file in entry["files"]:
            yield file["bucket"], _input_path(paths, entry["name"], file["path"]), file["object"], file["generation"]


def _input_modes(paths: MachinePaths, inputs: Iterable[Json]) -> Iterator[tuple[str, int]]:
    """Yield the paths of inputs' files and their modes: any user may read them, and run what its owner may run."""
    for entry in inputs:
        for file in entry["files"]:
            mode = 0o755 if file.get("mode", 0) & 0o100 else 0o644
            yield _input_path(paths, entry["name"], file["path"]), mode


def _input_path(paths: MachinePaths, name: str, path: str) -> str:
    top = os.path.join(paths.here(sweep_machine.INPUTS_FOLDER), name)
    return os.path.join(top, path) if path else top


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _write_aside(path: str, text: str) -> None:
    with open(path + ".part", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".part", path)
