"""The runtime that runs tasks as processes: what a task finds, and what is left of it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from covalent_parallel_plugin.emulator.execution.running_step import LINE_BYTES, LineSplitter
from covalent_parallel_plugin.emulator.model.runtime_interface import Command, Process, ResourceLimits, StartFailed
from covalent_parallel_plugin.emulator.runtimes.process import ProcessRuntime
from covalent_parallel_plugin.emulator.runtimes.task_environment import pip_settings, process_environment

IMAGE = "python:3-slim"


@pytest.fixture
def runtime() -> Iterator[ProcessRuntime]:
    made = ProcessRuntime()
    yield made
    made.close()


def wait(process: Process, seconds: float = 20.0) -> tuple[int, str]:
    """Give the exit code and the standard output."""
    output = b""
    deadline = time.monotonic() + seconds
    while True:
        exit_code = process.poll()
        select.select([process.stdout], [], [], 0.02)
        try:
            output += os.read(process.stdout, 1 << 20)
        except BlockingIOError:
            pass
        if exit_code is not None:
            process.close()
            return exit_code, output.decode()
        assert time.monotonic() < deadline, "the process did not end"


def run(runtime: ProcessRuntime, command: Command) -> tuple[int, str]:
    workspace = runtime.open("uid-group0-0-0", ResourceLimits())
    ended = wait(workspace.start(command))
    workspace.close()
    return ended


def python(code: str, **environment: str) -> Command:
    return Command(image=IMAGE, entrypoint="python3", arguments=("-c", code), environment=environment)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ends(pid: int) -> bool:
    deadline = time.monotonic() + 60
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_python_is_the_interpreter_that_was_given(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", symlinks=True)
    runtime = ProcessRuntime(tmp_path / "bare" / "bin" / "python")
    assert run(runtime, python("import sys; print(sys.prefix)")) == (0, f"{tmp_path / 'bare'}\n")
    nested = "import subprocess; subprocess.run(['python3', '-c', 'import sys; print(sys.prefix)'])"
    assert run(runtime, python(nested)) == (0, f"{tmp_path / 'bare'}\n")
    runtime.close()


def test_an_image_stands_for_its_own_interpreter_and_default_command() -> None:
    runtime = ProcessRuntime(images={"mine": (sys.executable, "-c", "print('default')")})
    assert run(runtime, Command(image="mine")) == (0, "default\n")
    assert run(runtime, Command(image="mine", arguments=("python", "-c", "print('given')"))) == (0, "given\n")
    runtime.close()


@pytest.mark.parametrize("named", ["python:3.11-slim", "mirror.gcr.io/library/python:3.11-slim"])
def test_an_official_image_stands_for_its_interpreter_under_all_its_names(named: str) -> None:
    runtime = ProcessRuntime(images={named: ("true",)})
    for asked in ("python:3.11-slim", "docker.io/library/python:3.11-slim", "mirror.gcr.io/library/python:3.11-slim"):
        assert Path(runtime.interpreter(asked)[0]).name == "true"
    runtime.close()


def test_of_two_names_of_an_image_each_has_its_own_interpreter() -> None:
    runtime = ProcessRuntime(images={"mirror.gcr.io/library/python:3": ("true",), "python:3": ("false",)})
    found = [runtime.interpreter(name)[0] for name in ("python:3", "mirror.gcr.io/library/python:3")]
    assert [Path(program).name for program in found] == ["false", "true"]
    runtime.close()


def test_an_interpreter_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such program"):
        ProcessRuntime(tmp_path / "python")


@pytest.mark.parametrize(
    ("entrypoint", "exit_code"), [("no-such-program", 127), ("/no/such/file", 127), ("/etc/passwd", 126)]
)
def test_an_entrypoint_that_cannot_start_has_dockers_exit_code(
    runtime: ProcessRuntime, entrypoint: str, exit_code: int
) -> None:
    workspace = runtime.open("uid-group0-0-0", ResourceLimits())
    with pytest.raises(StartFailed, match=entrypoint) as caught:
        workspace.start(Command(image=IMAGE, entrypoint=entrypoint))
    assert caught.value.exit_code == exit_code
    workspace.close()


def test_nothing_of_the_outer_environment_reaches_a_task(
    runtime: ProcessRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COVALENT_CONFIG_DIR", "/outer")
    monkeypatch.setenv("MY_SECRET", "x")
    _, output = run(runtime, python("import os; print(sorted(os.environ))", GIVEN="1"))
    names = set(eval(output))
    assert {"GIVEN", "HOME", "PATH", "LANG"} <= names
    assert names.isdisjoint({"COVALENT_CONFIG_DIR", "MY_SECRET", "PYTEST_CURRENT_TEST"})


def test_two_tasks_share_no_folder(runtime: ProcessRuntime) -> None:
    code = "import os, tempfile; print(os.environ['HOME'], os.getcwd(), tempfile.gettempdir())"
    first, second = (set(run(runtime, python(code))[1].split()) for _ in range(2))
    assert len(first) == len(second) == 3 and first.isdisjoint(second)


def test_a_package_that_a_task_installs_is_importable_there_and_gone_afterwards(
    runtime: ProcessRuntime, tmp_path: Path
) -> None:
    wheel = tmp_path / "only_in_the_task-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("only_in_the_task.py", "def main(): print('imported')\n")
        for name, text in {
            "METADATA": "Metadata-Version: 2.1\nName: only-in-the-task\nVersion: 1\n",
            "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "entry_points.txt": "[console_scripts]\nonly-here = only_in_the_task:main\n",
            "RECORD": "",
        }.items():
            archive.writestr(f"only_in_the_task-1.dist-info/{name}", text)
    code = (
        "import subprocess, sys\n"
        "pip = [sys.executable, '-m', 'pip', 'install', '-q', '--no-index']\n"
        "subprocess.run([*pip, sys.argv[1]], check=True)\n"
        "subprocess.run(['only-here'], check=True)\n"
        "print(__import__('only_in_the_task').__file__)\n"
    )
    command = Command(image=IMAGE, entrypoint="python3", arguments=("-c", code, str(wheel)))
    exit_code, output = run(runtime, command)
    assert exit_code == 0, output
    assert output.splitlines()[-2] == "imported"
    runtime.close()
    assert not Path(output.splitlines()[-1]).exists()
    outside = subprocess.run([sys.executable, "-c", "import only_in_the_task"], capture_output=True, check=False)
    assert outside.returncode == 1


def test_what_a_task_leaves_running_in_its_group_ends_with_it(runtime: ProcessRuntime) -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid)"
    exit_code, output = run(runtime, python(code))
    assert exit_code == 0 and ends(int(output))


def test_what_a_killed_task_moved_to_another_session_ends_with_it(runtime: ProcessRuntime) -> None:
    code = (
        "import subprocess, time; print(subprocess.Popen(['sleep', '600'], start_new_session=True, "
        "stdout=subprocess.DEVNULL).pid, flush=True); time.sleep(600)"
    )
    workspace = runtime.open("uid-group0-0-0", ResourceLimits())
    process = workspace.start(python(code))
    select.select([process.stdout], [], [], 60)
    pid = int(os.read(process.stdout, 100))
    process.kill()
    assert wait(process)[0] == 137
    workspace.close()
    assert ends(pid)


def test_terminate_lets_a_task_end_in_its_own_way(runtime: ProcessRuntime) -> None:
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); print('up', flush=True); "
        "time.sleep(600)"
    )
    workspace = runtime.open("uid-group0-0-0", ResourceLimits())
    process = workspace.start(python(code))
    select.select([process.stdout], [], [], 60)
    process.terminate()
    assert wait(process)[0] == 143
    workspace.close()


def test_a_closed_runtime_leaves_no_folder() -> None:
    runtime = ProcessRuntime()
    home = Path(run(runtime, python("import os; print(os.environ['HOME'])"))[1].strip())
    runtime.close()
    assert not home.parent.parent.exists()


def test_a_script_may_name_its_own_interpreter(runtime: ProcessRuntime) -> None:
    script = f"#!{sys.executable}\nimport sys\nprint(sys.version_info[0])\n"
    assert run(runtime, Command(script=script)) == (0, "3\n")


def test_a_script_file_is_run_by_the_shell(runtime: ProcessRuntime, tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text("echo from a file\n")
    path.chmod(0o700)
    assert run(runtime, Command(script_path=str(path))) == (0, "from a file\n")


def test_a_proxy_is_never_asked_for_the_stand_in(tmp_path: Path) -> None:
    made = process_environment(tmp_path, sys.executable, {}, {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "corp"})
    assert (made["NO_PROXY"], made["no_proxy"]) == ("corp,127.0.0.1,localhost", "127.0.0.1,localhost")


def test_the_services_of_the_outer_environment_are_passed_on_unless_the_stand_in_runs_its_own(tmp_path: Path) -> None:
    outer = {"STORAGE_EMULATOR_HOST": "http://outer:1", "BATCH_EMULATOR_HOST": "outer:2"}
    made = process_environment(tmp_path, sys.executable, {"BATCH_EMULATOR_HOST": "own:3"}, outer)
    assert (made["STORAGE_EMULATOR_HOST"], made["BATCH_EMULATOR_HOST"]) == ("http://outer:1", "own:3")


def test_a_jobs_own_search_paths_come_first_and_keep_the_tasks(tmp_path: Path) -> None:
    made = process_environment(
        tmp_path, "/env/bin/python", {"PATH": "/job/bin", "PYTHONPATH": "/job"}, {"PATH": "/bin"}
    )
    assert made["PATH"] == f"/job/bin:{tmp_path}/packages/bin:/env/bin:/bin"
    assert made["PYTHONPATH"] == f"/job:{tmp_path}/packages"


def test_the_users_pip_settings_are_found(tmp_path: Path) -> None:
    settings = tmp_path / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True)
    settings.write_text("")
    assert pip_settings({"HOME": str(tmp_path)}) == str(settings)
    assert pip_settings({"HOME": str(tmp_path), "PIP_CONFIG_FILE": "/other"}) == "/other"
    assert pip_settings({"HOME": str(tmp_path / "nobody")}) is None


def test_lines_are_cut_at_newlines_across_pieces_and_at_the_limit() -> None:
    lines = LineSplitter()
    assert list(lines.feed(b"one\ntw")) == ["one"]
    assert list(lines.feed(b"o\n\nthr")) == ["two", ""]
    assert list(lines.flush()) == ["thr"]
    assert [len(line) for line in lines.feed(b"x" * (LINE_BYTES + 5) + b"\n")] == [LINE_BYTES, 5]
