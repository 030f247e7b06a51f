"""How a session ends: with its program, by a signal, and after `kill -9`; nothing is left of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from dev_command import SECONDS, Dev, wait_until

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes through /proc")


@pytest.fixture
def dev(tmp_path: Path) -> Dev:
    return Dev(tmp_path)


def test_dispatches_that_a_program_leaves_running_are_waited_for_and_count(dev: Dev) -> None:
    ended = dev.run_script("dispatched(add, 1, 2), dispatched(divide, 0)", "--runtime=process")
    assert ended.status == 1, ended.stderr
    assert "dispatches are still running: waiting for the end; Ctrl-C cancels" in ended.stderr
    assert "dev: add: COMPLETED after " in ended.stderr
    assert "--- why divide failed\nTraceback" in ended.stderr
    assert dev.processes() == [] and dev.folders() == []
    assert list(dev.home.rglob("*")) == []


def test_a_dispatch_that_the_program_did_not_come_to_start_is_not_waited_for(dev: Dev) -> None:
    registered = "from covalent._dispatcher_plugins.local import LocalDispatcher as server"
    ended = dev.run_script(f"{registered}\nserver.register(ct.lattice(add))(1, 2)", "--runtime=process", "--quiet")
    assert ended.status == 1
    assert "dev: 1 of them never started: the program ended before" in ended.stderr


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)]
)
def test_a_signal_ends_all_and_leaves_nothing(number: signal.Signals, status: int, dev: Dev) -> None:
    started = dev.folder / "started"
    # One in the background, of which dev knows nothing
    script = dev.script(
        f"import subprocess; subprocess.Popen(['setsid', 'sleep', '600'])\nresult(rest, {str(started)!r})"
    )
    with dev.start("--runtime=process", "--", "python", script) as process:
        wait_until(started.exists)
        assert len(dev.processes()) >= 6
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        process.wait()
        wait_until(lambda: not dev.processes())
        stderr = process.stderr.read() if process.stderr else ""
    assert process.returncode == status, stderr
    wait_until(lambda: not dev.folders())


def test_ctrl_c_while_all_is_starting_leaves_nothing(dev: Dev) -> None:
    with dev.start("--runtime=process", "--", "true") as process:
        assert process.stderr is not None
        assert "starting" in process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)
        process.wait()
        told = process.stderr.read()
        assert process.returncode == 130 and "Traceback" not in told, told
        assert "dev: interrupted: ending what runs, the emulator and the server" in told
    assert dev.processes() == [] and dev.folders() == []


def test_an_interrupt_while_the_emulator_is_imported_is_not_an_error_of_its_own(dev: Dev) -> None:
    program = (
        "import sys\n"
        "from covalent_parallel_plugin.cli.emulator.option_list import EmulatorOptions\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'covalent_parallel_plugin.emulator':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "try:\n"
        "    EmulatorOptions().start(print)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS)
    assert (ended.stdout, ended.stderr) == ("interrupted\n", "")


def test_a_program_ends_with_the_session_that_somebody_killed(dev: Dev) -> None:
    started = dev.folder / "started"
    script = dev.script(
        f"import subprocess; subprocess.Popen(['setsid', 'sleep', '600'])\ndispatched(rest, {str(started)!r})\n"
    )
    with dev.start("--runtime=process", "--", "python", script) as process:
        wait_until(started.exists)
        (host,) = (
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if b"cli.dev.host" in _read(path)
            and f"TESTED_DEV={dev.folder}".encode() in _read(path.with_name("environ"))
        )
        os.kill(host, signal.SIGKILL)
        process.wait()
        assert process.stderr is not None
        assert process.returncode == 1 and "Error: " in process.stderr.read().splitlines()[-1]
    wait_until(lambda: not dev.processes() and not dev.folders())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended, or is another user's
        return b""


def test_what_is_left_of_a_kept_session_that_was_killed_goes_with_the_next_start(dev: Dev) -> None:
    assert dev.run("--runtime=process", "--keep", "--", "true").status == 0
    state = dev.home / ".local" / "state" / "covalent-parallel" / "dev.json"
    assert state.exists() and len(dev.folders()) >= 1
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            is_mine = f"TESTED_DEV={dev.folder}".encode() in path.read_bytes().split(b"\0")
        except OSError:
            continue
        if is_mine:
            os.kill(int(path.parent.name), signal.SIGKILL)
    ended = dev.run("--runtime=process", "--", "sh", "-c", "ls $TMPDIR")
    assert ended.status == 0, ended.stderr
    assert "starting an emulator and a Covalent server" in ended.stderr
    assert len([name for name in ended.stdout.split() if name.startswith("cpe-session-")]) == 1
    assert dev.folders() == [] and not state.exists()
