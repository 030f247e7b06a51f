"""A task container's first process: read which tasks of the sweep are its own, run each, deliver what it left.

It runs in the user's image, on the Python that `prepare` has put on the machine, and uses nothing of the image.
"""

from __future__ import annotations

import json
import os

from ...protocol import exit_codes, sweep_machine
from .. import bucket_http as storage
from .drain_watch import DrainWatch
from .exit_status import exit_status
from .hidden_key import take_key
from .machine import JobEnvironment, MachinePaths, MachineSeams, SweepSetup, fetch_tasks
from .task_measures import TaskMeasures, known_machine, take_begun
from .task_run import TaskRun
from .termination import Termination

# The job sets them empty, so that this process loads nothing of the image
_OF_THE_LOADER = ("LD_PRELOAD", "LD_AUDIT")
# What would lead this process's own TLS to the image's files
_OF_TLS = ("OPENSSL_CONF", "OPENSSL_MODULES", "SSL_CERT_DIR", "SSL_CERT_FILE")


def main(paths: MachinePaths | None = None) -> int:
    """Return the exit status: 0 if all that was begun is delivered, whatever the programs returned.

    `protocol.exit_codes` has the others.
    """
    termination = Termination()
    return exit_status(
        lambda: _main(paths or MachinePaths(), termination),
        "the sweep's tasks in the bucket are refused",
        "the sweep's runner failed",
    )


def _main(paths: MachinePaths, termination: Termination) -> int:
    job = JobEnvironment.take(os.environ, take_key())
    with open(paths.here(sweep_machine.SETUP_FILE), encoding="utf-8") as file:
        setup = SweepSetup.of(json.load(file))
    environment = {name: value for name, value in os.environ.items() if name not in _OF_THE_LOADER}
    environment.update(setup.image_environment)
    _use_own_certificates(paths)
    bucket = storage.from_environment(job.bucket)
    seams = MachineSeams(job, setup, paths, bucket, environment, _leave_folder(), os.urandom(8).hex(), termination)
    is_complete = True
    times, machine = take_begun(paths, job), known_machine(paths)
    try:
        drain = DrainWatch(bucket, job)
        for entry in fetch_tasks(bucket, job, setup, drain.look):
            if termination.has_come:
                return exit_codes.EXIT_TERMINATED
            if drain.has_come():
                break
            # A bundle's others begin when the one before has ended
            task, times = TaskRun(seams, entry, TaskMeasures(times, dict(machine))), {}
            # Where no attempt was before, there is no outcome to ask for
            if not (job.attempt and task.was_delivered):
                is_complete &= task.run()
    finally:
        bucket.close()
    if termination.has_come and not is_complete:
        return exit_codes.EXIT_TERMINATED
    return exit_codes.EXIT_DELIVERED if is_complete else exit_codes.EXIT_RETRY_EXCEPTION


def _use_own_certificates(paths: MachinePaths) -> None:
    for name in _OF_TLS:
        os.environ.pop(name, None)
    bundle = paths.here(sweep_machine.MACHINE) + "/ca.pem"
    if os.path.exists(bundle):
        os.environ["SSL_CERT_FILE"] = bundle


def _leave_folder() -> str:
    """Return the folder that the container was started in, which may be replaced once this process is elsewhere."""
    try:
        return os.getcwd()
    except OSError:
        return "/"
    finally:
        os.chdir("/")
