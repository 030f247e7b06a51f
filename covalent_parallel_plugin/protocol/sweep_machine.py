"""Where a machine keeps what all tasks of a sweep on it share, and how a task's supervisor is started.

The paths are those of two named volumes of the machine's container engine: Container-Optimized OS mounts its other
folders noexec, or in memory.
"""

from __future__ import annotations

# Python and the runner, the round's setup, files and inputs: written by `prepare`, read-only for tasks
SHARED_VOLUME, SHARED_FOLDER = "covalent-parallel-sweep", "/mnt/covalent-parallel-sweep"
# A folder for each task, removed when its outputs are in the bucket
TASKS_VOLUME, TASKS_FOLDER = "covalent-parallel-tasks", "/mnt/covalent-parallel-tasks"
MACHINE = SHARED_FOLDER + "/machine"
SETUP_FILE = SHARED_FOLDER + "/setup.json"
FILES_FOLDER = SHARED_FOLDER + "/files"
INPUTS_FOLDER = SHARED_FOLDER + "/inputs"
LOADER = MACHINE + "/loader"
PYTHON = MACHINE + "/bin/python3"
# What starts that Python, whichever container it is in
PYTHON_WORDS = [LOADER, "--library-path", MACHINE + "/lib", "--argv0", PYTHON, PYTHON]
SUPERVISOR = [
    *PYTHON_WORDS[1:],
    "-I",
    "-S",
    "-B",
    # Whatever the image's locale is, words and names of files are the bytes that they were
    "-X",
    "utf8",
    MACHINE + "/supervisor.py",
]
# What the bootstrap runs on a machine before tasks do
PREPARE_MODULE = "runner.sweep.prepare"


def task_folder(round: int, index: int) -> str:
    """The folder of a task on its machine; its program's own folder is `files` in it."""
    return "%s/%d-%d" % (TASKS_FOLDER, round, index)


def program_folder(round: int, index: int) -> str:
    """The folder that a task's program works in, unless the sweep's file says `outputs`."""
    return task_folder(round, index) + "/files"
