"""The runtime that forks tasks from a warm process: the same as a process of their own, and nothing left of them."""

from __future__ import annotations

import io
import os
import platform
import secrets
import select
import signal
import sys
import time
import urllib.request
import uuid
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import cloudpickle
import pytest
from batch_jobs import PARENT, State, batch_jobs, wait_until
from google.cloud import batch_v1

from benchmarks.fork_runtime.fork_runtime import MESSAGE_BYTES, ForkedProcess, ForkRuntime
from covalent_parallel_plugin.batch import runner_archive
from covalent_parallel_plugin.containers.local_process import LocalProcess
from covalent_parallel_plugin.electron.call import Call
from covalent_parallel_plugin.electron.outcome import Outcome, read_outcome
from covalent_parallel_plugin.emulator import Emulator
from covalent_parallel_plugin.emulator.model.runtime_interface import Command, ResourceLimits, Runtime, StartFailed
from covalent_parallel_plugin.emulator.runtimes.process import ProcessRuntime
from covalent_parallel_plugin.protocol.envelope import CALL, EXCEPTION, VALUE, Part, envelope_chunks, seal_envelope
from covalent_parallel_plugin.protocol.environment import (
    ENV_BUCKET,
    ENV_CALL_ID,
    ENV_FOLDER,
    ENV_KEY,
    ENV_RUNNER,
    ENV_TIME_LIMIT,
)
from covalent_parallel_plugin.protocol.identity import CallIdentity, task_binding
from covalent_parallel_plugin.protocol.object_names import call_name

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a warm process is for Linux")

IMAGE = "python:3-slim"
SECONDS = 120.0
SLEEP = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"


@pytest.fixture
def runtime() -> Iterator[ForkRuntime]:
    made = ForkRuntime()
    yield made
    made.close()


def python(code: str, *arguments: str, **environment: str) -> Command:
    return Command(image=IMAGE, entrypoint="python3", arguments=("-c", code, *arguments), environment=environment)


def read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 20)
    except BlockingIOError:
        return b""


def wait(process: ForkedProcess | LocalProcess) -> tuple[int, str, str]:
    """Give the exit code and both streams."""
    output, errors = b"", b""
    deadline = time.monotonic() + SECONDS
    while (exit_code := process.poll()) is None:
        assert time.monotonic() < deadline, "the process did not end"
        select.select([process.stdout, process.stderr, process.ending or 0], [], [], 0.02)
        output, errors = output + read(process.stdout), errors + read(process.stderr)
    output, errors = output + read(process.stdout), errors + read(process.stderr)
    process.close()
    return exit_code, output.decode(errors="backslashreplace"), errors.decode(errors="backslashreplace")


def run(runtime: ForkRuntime | ProcessRuntime, command: Command) -> tuple[int, str, str]:
    workspace = runtime.open("uid-group0-0-0", ResourceLimits())
    ended = wait(workspace.start(command))
    workspace.close()
    return ended


def started(runtime: ForkRuntime, command: Command) -> tuple[ForkedProcess, int]:
    """Start what prints its process id first."""
    process = runtime.open("uid-group0-0-0", ResourceLimits()).start(command)
    assert isinstance(process, ForkedProcess)
    select.select([process.stdout], [], [], SECONDS)
    return process, int(read(process.stdout))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def warm_pid(runtime: ForkRuntime) -> int:
    _, _, _ = run(runtime, python("pass"))
    workspace = runtime.open("uid-group0-0-0", ResourceLimits())
    code, output, _ = wait(workspace.start(python("import os; print(os.getppid())")))
    workspace.close()
    assert code == 0
    return int(output)


@pytest.mark.parametrize(
    "code",
    [
        "print(1)",
        "import sys; print(sys.argv, __name__, sys.path[0], sys.executable, sys.orig_argv[1:]); sys.exit(7)",
        "import sys; sys.exit()",
        "import sys; sys.exit(-1)",
        "import sys; sys.exit('told why')",
        "def f():\n    1 / 0\nf()",
        "x =",
        "raise BaseException('odd')",
        "import os; os._exit(3)",
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "import os; print(sorted(os.listdir('..')), os.listdir('.'), os.getpid() == os.getsid(0) == os.getpgid(0))",
        "import os, tempfile; print(os.path.relpath(tempfile.gettempdir()), os.path.relpath(os.environ['HOME']))",
        "import atexit, threading, time; atexit.register(print, 'at exit');"
        "threading.Thread(target=lambda: (time.sleep(0.05), print('thread'))).start()",
        "import os; print(len(os.listdir('/proc/self/fd')))",
        "import signal; print([signal.getsignal(number) for number in (2, 13, 15, 17)], signal.pthread_sigmask(0, []))",
        "import sys; print('\\udcff'); print('\\udcff', file=sys.stderr)",
        "import sys; print([(stream, stream.line_buffering) for stream in (sys.stdout, sys.stderr)], sys.stdin.read())",
        "import sys; sys.stdout.reconfigure(line_buffering=True); print('lines')",
        "import sys; sys.stdout.close()",
        "import os; print(os.environ['GIVEN'], 'PYTEST_CURRENT_TEST' in os.environ, os.umask(0))",
        "import sys; print(sorted(vars()), sys.modules['__main__'].__dict__ is globals())",
        "import os; print(os.fork() and os.wait()[1])",
        "import random; print(random.random() == random.Random(1).random())",
        "import pickle, sys; f = lambda: 0; print(f.__module__, sys.flags.interactive)",
    ],
)
def test_a_forked_task_behaves_as_a_process_of_its_own(runtime: ForkRuntime, code: str) -> None:
    command = python(code, "one", "two", GIVEN="given")
    processes = ProcessRuntime(Path(sys.executable))
    expected = run(processes, command)
    processes.close()
    workspace = runtime.open("uid-group0-0-0", ResourceLimits())
    process = workspace.start(command)
    assert isinstance(process, ForkedProcess)
    assert wait(process) == expected
    workspace.close()


def test_two_tasks_share_neither_folder_nor_state(runtime: ForkRuntime) -> None:
    code = (
        "import os, json; print(os.environ['HOME'], os.getcwd(), os.environ['TMPDIR'], json.__dict__.get('left')); "
        "json.left = 'left'; os.environ['LEFT'] = 'left'"
    )
    first, second = (run(runtime, python(code))[1].split() for _ in range(2))
    assert set(first) & set(second) == {"None"} and len(set(first)) == len(set(second)) == 4


def test_tasks_have_random_numbers_of_their_own(runtime: ForkRuntime) -> None:
    code = "import random, uuid; print(random.random(), uuid.uuid4())"
    first, second = (run(runtime, python(code))[1].split() for _ in range(2))
    assert not set(first) & set(second)


def test_a_package_that_a_task_installs_is_importable_there(runtime: ForkRuntime) -> None:
    code = (
        "import os, pathlib, importlib; pathlib.Path(os.environ['PIP_TARGET'], 'only_here.py').write_text('x = 1'); "
        "importlib.invalidate_caches(); import only_here; print(only_here.x)"
    )
    assert run(runtime, python(code)) == (0, "1\n", "")


@pytest.mark.parametrize(
    "command",
    [
        Command(script="echo other"),
        Command(image=IMAGE, entrypoint="/bin/sh", arguments=("-c", "echo other")),
        Command(image=IMAGE, entrypoint="python3", arguments=("-m", "this")),
        python("print('other')", PYTHONUNBUFFERED="1"),
        python("print('other')", "x" * MESSAGE_BYTES),
    ],
    ids=["script", "shell", "module", "interpreter's variable", "too long"],
)
def test_what_a_fork_cannot_do_the_same_is_a_process_of_its_own(runtime: ForkRuntime, command: Command) -> None:
    workspace = runtime.open("uid-group0-0-0", ResourceLimits())
    process = workspace.start(command)
    assert isinstance(process, LocalProcess)
    assert wait(process)[0] == 0
    workspace.close()


def test_an_image_stands_for_its_own_interpreter(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    runtime = ForkRuntime(images={IMAGE: [str(tmp_path / "bare" / "bin" / "python")]})
    assert run(runtime, python("import sys; print(sys.prefix)")) == (0, f"{tmp_path / 'bare'}\n", "")
    runtime.close()


def test_terminate_lets_a_task_end_in_its_own_way(runtime: ForkRuntime) -> None:
    code = f"import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); {SLEEP}"
    process, _ = started(runtime, python(code))
    process.terminate()
    assert wait(process)[0] == 143


def test_kill_ends_the_whole_group(runtime: ForkRuntime) -> None:
    code = "import subprocess, time; print(subprocess.Popen(['sleep', '600']).pid, flush=True); time.sleep(600)"
    process, pid = started(runtime, python(code))
    process.kill()
    assert wait(process)[0] == 137
    wait_until(lambda: not is_alive(pid))


def test_what_a_task_leaves_running_in_its_group_ends_with_it(runtime: ForkRuntime) -> None:
    code, output, _ = run(runtime, python("import subprocess; print(subprocess.Popen(['sleep', '600']).pid)"))
    assert code == 0
    wait_until(lambda: not is_alive(int(output)))


def test_a_signal_to_a_task_that_has_ended_does_nothing(runtime: ForkRuntime) -> None:
    process, pid = started(runtime, python("import os; print(os.getpid())"))
    wait_until(lambda: not is_alive(pid))
    process.terminate()
    process.kill()
    assert wait(process)[0] == 0
    assert run(runtime, python("print('on')"))[1] == "on\n"


def test_the_end_of_the_runtime_ends_all_tasks_and_what_they_moved_elsewhere() -> None:
    runtime = ForkRuntime()
    detached = (
        "import os, sys, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(600)\n"
        "time.sleep(600)\n"
    )
    _, detached_pid = started(runtime, python(detached))
    _, pid = started(runtime, python(SLEEP))
    home = Path(f"/proc/{pid}/cwd").resolve().parent
    runtime.close()
    assert not is_alive(pid) and not is_alive(detached_pid)
    assert not home.parent.exists()


def test_many_tasks_leave_no_descriptor_process_or_folder(runtime: ForkRuntime) -> None:
    warm = warm_pid(runtime)

    def held() -> list[int]:
        descriptors = [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (os.getpid(), warm)]
        return [*descriptors, len(children(warm))]

    before = held()
    folders = []
    for _ in range(20):
        workspaces = [runtime.open("uid-group0-0-0", ResourceLimits()) for _ in range(10)]
        processes = [each.start(python("import os; print(os.getcwd())")) for each in workspaces]
        folders += [Path(wait(process)[1].strip()) for process in processes]
        for workspace in workspaces:
            workspace.close()
    assert held() == before and len(set(folders)) == 200
    wait_until(lambda: not any(folder.exists() for folder in folders))


def test_a_warm_process_that_dies_takes_its_tasks_is_told_of_and_replaced(
    runtime: ForkRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    warm = warm_pid(runtime)
    process, pid = started(runtime, python(SLEEP))
    os.kill(warm, signal.SIGKILL)
    assert wait(process)[0] == 137
    wait_until(lambda: not is_alive(pid))
    assert run(runtime, python("print('on')")) == (0, "on\n", "")
    (record,) = caplog.records
    assert "ended with status -9" in record.getMessage()


def test_a_warm_process_that_never_comes_up_is_a_task_that_cannot_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "python-broken"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o700)
    runtime = ForkRuntime(broken)
    with pytest.raises(StartFailed, match="ended with status 3") as caught:
        for _ in range(2):  # the first may be told of the end only when it has been handed over
            assert run(runtime, python("pass"))[0] == 137
    assert caught.value.exit_code == 125 and "status 3" in caplog.text
    runtime.close()


# with the runner


Deliver = Callable[[Runtime, Callable[[], object]], list[Outcome]]


@pytest.fixture
def deliver() -> Deliver:
    """Run an electron as two tasks, one after the other, and give both outcomes."""

    def run_twice(runtime: Runtime, electron: Callable[[], object]) -> list[Outcome]:
        key, call_id = secrets.token_bytes(32), secrets.token_hex(8)
        call = Call(str(uuid.uuid4()), 0, "electron", platform.python_version(), "")
        cloudpickle.register_pickle_by_value(sys.modules[__name__])
        pickles: dict[str, Part] = {"function": cloudpickle.dumps(electron)}
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
        start = seal_envelope(call.header(call_id), pickles, key, task_binding(CALL, call_id))
        folder = call.folder(call_id)
        runner = runner_archive.runner_archive()
        with Emulator(runtime=runtime) as emulator, batch_jobs(emulator) as jobs:
            place = emulator.environment["STORAGE_EMULATOR_HOST"]
            for name, data in (
                (call_name(folder), b"".join(envelope_chunks(start, pickles))),
                (runner.object_name, runner.data),
            ):
                path = f"/upload/storage/v1/b/covalent/o?uploadType=media&name={quote(name, safe='')}"
                urllib.request.urlopen(urllib.request.Request(place + path, data, method="POST")).close()
            variables = {
                ENV_BUCKET: "covalent",
                ENV_FOLDER: folder,
                ENV_CALL_ID: call_id,
                ENV_KEY: key.hex(),
                ENV_TIME_LIMIT: "60.0",
                ENV_RUNNER: runner.object_name,
            }
            container = batch_v1.Runnable.Container(
                image_uri=IMAGE, entrypoint="python3", commands=runner_archive.command()
            )
            spec = batch_v1.TaskSpec(
                runnables=[batch_v1.Runnable(container=container)],
                environment=batch_v1.Environment(variables=variables),
            )
            group = batch_v1.TaskGroup(task_spec=spec, task_count=2, parallelism=1)
            made = jobs.client.create_job(parent=PARENT, job=batch_v1.Job(task_groups=[group]))
            assert jobs.wait(made).status.state == State.SUCCEEDED
            outcomes = []
            for task in range(2):
                address = CallIdentity(call_id, key, folder).task(task)
                path = f"/storage/v1/b/covalent/o/{quote(address.outcome_name, safe='')}?alt=media"
                with urllib.request.urlopen(place + path) as answer:
                    outcomes.append(read_outcome(io.BytesIO(answer.read()), address))
        return outcomes

    return run_twice


def electron() -> None:
    import sys

    print("printed")
    print(next(str(module.__file__) for name, module in sys.modules.items() if name.endswith(".runner.electron_main")))


def failing_electron() -> None:
    raise ValueError("on purpose")


def printed(outcome: Outcome) -> list[str]:
    return outcome.stdout.splitlines()


def test_the_installed_runner_delivers_the_real_outcome(deliver: Deliver) -> None:
    for outcome in deliver(ForkRuntime(), electron):
        assert outcome.kind == VALUE
        assert printed(outcome)[0] == "printed" and "/covalent_parallel_plugin/" in printed(outcome)[1]


def test_an_electron_that_raises_delivers_its_exception(deliver: Deliver) -> None:
    for outcome in deliver(ForkRuntime(), failing_electron):
        assert outcome.kind == EXCEPTION and "on purpose" in str(outcome)


def test_a_python_with_nothing_installed_runs_the_archive_and_imports_it_once(deliver: Deliver, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    first, second = deliver(ForkRuntime(tmp_path / "bare" / "bin" / "python"), electron)
    assert first.kind == second.kind == VALUE
    assert all("/covalent_parallel_runner/" in printed(outcome)[1] for outcome in (first, second))
    # the first task's archive is in its own home, what is kept is not
    assert "/home/.cache/covalent-parallel-" in printed(first)[1] and "/covalent-parallel-" not in printed(second)[1]
