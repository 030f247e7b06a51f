"""Row 2: the container's side, from the start of its process to the outcome in the bucket, doing nothing between."""

from __future__ import annotations

import io
import platform
import secrets
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cloudpickle

from covalent_parallel_plugin.batch import runner_archive
from covalent_parallel_plugin.electron.call import Call
from covalent_parallel_plugin.electron.outcome import read_outcome
from covalent_parallel_plugin.protocol.envelope import CALL, VALUE, Part, envelope_chunks, seal_envelope
from covalent_parallel_plugin.protocol.environment import (
    ENV_BUCKET,
    ENV_CALL_ID,
    ENV_FOLDER,
    ENV_KEY,
    ENV_RUNNER,
    ENV_TIME_LIMIT,
)
from covalent_parallel_plugin.protocol.identity import CallIdentity, task_binding
from covalent_parallel_plugin.protocol.object_names import call_name, outcome_name

from .contenders import OURS, OURS_INSTALLED, REPLACED, remove_leavings
from .environments import Environments, clean_environment
from .services import Services
from .tables import Bound, Line, Table

RUNS = 15
MOST_RATIO = 0.35
TASK_SECONDS = 60
REPLACED_PLAIN = "replaced, no Covalent"
FLOOR = "floor"

# What no runner can do without: an interpreter, cloudpickle, one download, one upload
FLOOR_SOURCE = """
import os, urllib.request, cloudpickle
place = os.environ["STORAGE_EMULATOR_HOST"]
with urllib.request.urlopen(place + os.environ["CALL"]) as answer:
    function = cloudpickle.loads(answer.read())
request = urllib.request.Request(place + os.environ["OUTCOME"], cloudpickle.dumps(function()), method="POST")
urllib.request.urlopen(request).read()
"""
# What the replaced plugin's dispatcher stages: the callable that Covalent's server hands to `run()`
STAGED_SOURCE = """
import sys, cloudpickle
from functools import partial
from covalent._workflow.transport import TransportableObject
from covalent.executor.utils.wrappers import wrapper_fn
def nothing():
    return None
cloudpickle.dump((partial(wrapper_fn, TransportableObject(nothing), [], []), [], {}), open(sys.argv[1], "wb"))
"""


@dataclass(frozen=True)
class Task:
    """A process to start, the object that its outcome will be, and whether that object's bytes hold a value."""

    command: Sequence[str]
    environment: dict[str, str]
    outcome: str
    is_value: Callable[[bytes], bool]


def nothing() -> None:
    """The function that is run."""


def runner_table(environments: Environments, services: Services, tell: Callable[[str], None]) -> Table:
    """Start each contender's process alternately, fifteen times after a first one that does not count."""
    bucket = services.new_bucket()
    runner = runner_archive.runner_archive()
    services.put(bucket, runner.object_name, runner.data)
    # the containers do not have this module
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    plain = cloudpickle.dumps((nothing, [], {}))
    staged = _staged(environments)
    prepare: dict[str, Callable[[], Task]] = {
        OURS: lambda: _our_task(environments.stock, services, bucket),
        OURS_INSTALLED: lambda: _our_task(environments.installed, services, bucket),
        REPLACED: lambda: _replaced_task(environments, services, bucket, staged),
        REPLACED_PLAIN: lambda: _replaced_task(environments, services, bucket, plain),
        FLOOR: lambda: _floor_task(environments, services, bucket),
    }
    delivered: dict[str, list[float]] = defaultdict(list)
    ended: dict[str, list[float]] = defaultdict(list)
    for number in range(RUNS + 1):
        tell(f"runner, {number} of {RUNS}")
        for name, task in prepare.items():
            to_outcome, to_end = _time(task(), services, bucket)
            if number:
                delivered[name].append(1000 * to_outcome)
                ended[name].append(1000 * to_end)
    return Table(
        "The container's side, for a function that does nothing",
        list(prepare),
        (OURS, REPLACED),
        [
            Line("from start to outcome, ms", delivered, Bound(MOST_RATIO, is_ratio=True)),
            Line("from start to the end of the process, ms", ended, Bound(MOST_RATIO, is_ratio=True)),
        ],
    )


def _time(task: Task, services: Services, bucket: str) -> tuple[float, float]:
    """Seconds from a process's start to its outcome (as the bucket tells, to the millisecond), and to its end.

    Raises:
        RuntimeError: it delivered no value.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        own = {"HOME": folder, "TMPDIR": folder, "COVALENT_CONFIG_DIR": f"{folder}/config"}
        started, began = time.time(), time.perf_counter()
        process = subprocess.run(
            task.command,
            env=clean_environment() | services.variables | own | task.environment,
            cwd=folder,
            capture_output=True,
            timeout=TASK_SECONDS,
        )
        ended = time.perf_counter() - began
    if process.returncode != 0 or not task.is_value(services.get(bucket, task.outcome)):
        raise RuntimeError(f"{task.command[0]} did not deliver a value:\n{process.stderr.decode()[-5000:]}")
    return services.written_at(bucket, task.outcome) - started, ended


def _our_task(python: Path, services: Services, bucket: str) -> Task:
    key, call_id = secrets.token_bytes(32), secrets.token_hex(8)
    call = Call(str(uuid.uuid4()), 0, "nothing", platform.python_version(), "")
    folder = call.folder(call_id)
    pickles: dict[str, Part] = {"function": cloudpickle.dumps(nothing)}
    start = seal_envelope(call.header(call_id), pickles, key, task_binding(CALL, call_id))
    services.put(bucket, call_name(folder), b"".join(envelope_chunks(start, pickles)))
    variables = {
        ENV_BUCKET: bucket,
        ENV_FOLDER: folder,
        ENV_CALL_ID: call_id,
        ENV_KEY: key.hex(),
        ENV_TIME_LIMIT: str(float(TASK_SECONDS)),
        ENV_RUNNER: runner_archive.runner_archive().object_name,
    }

    def is_value(outcome: bytes) -> bool:
        return read_outcome(io.BytesIO(outcome), CallIdentity(call_id, key, folder).task()).kind == VALUE

    return Task([str(python), *runner_archive.command()], variables, outcome_name(folder), is_value)


def _replaced_task(environments: Environments, services: Services, bucket: str, staged: bytes) -> Task:
    name = str(uuid.uuid4())
    services.put(bucket, f"func-{name}.pkl", staged)

    def is_value(outcome: bytes) -> bool:
        remove_leavings(name)
        # it writes under this name only what the function returned
        return bool(outcome)

    variables = {
        "COVALENT_TASK_FUNC_FILENAME": f"func-{name}.pkl",
        "RESULT_FILENAME": f"result-{name}.pkl",
        "EXCEPTION_FILENAME": f"exception-{name}.json",
        "COVALENT_BUCKET_NAME": bucket,
        "GOOGLE_CLOUD_PROJECT": "benchmark",
    }
    return Task([str(environments.replaced), str(environments.entry_point)], variables, f"result-{name}.pkl", is_value)


def _floor_task(environments: Environments, services: Services, bucket: str) -> Task:
    name = str(uuid.uuid4())
    services.put(bucket, f"call-{name}", cloudpickle.dumps(nothing))
    variables = {
        "CALL": f"/storage/v1/b/{bucket}/o/call-{name}?alt=media",
        "OUTCOME": f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name=outcome-{name}",
    }
    return Task([str(environments.installed), "-c", FLOOR_SOURCE], variables, f"outcome-{name}", bool)


def _staged(environments: Environments) -> bytes:
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        path = Path(folder, "staged")
        own = {"HOME": folder, "COVALENT_CONFIG_DIR": f"{folder}/config"}
        command = [str(environments.replaced), "-W", "ignore", "-c", STAGED_SOURCE, str(path)]
        subprocess.run(command, env=clean_environment() | own, check=True, timeout=TASK_SECONDS)
        return path.read_bytes()
