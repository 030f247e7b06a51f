"""A session that `dev --keep` has left running, and what programs get of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

import pytest
from dev_command import Dev, Ended, wait_until

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes through /proc")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Dev, Ended]]:
    """A session that is kept, and how the `dev` that started it ended."""
    dev = Dev(tmp_path_factory.mktemp("kept"))
    ended = dev.run_script("print(result(add, 1, 2).result, os.environ['HOME'])", "--runtime=process", "--keep")
    yield dev, ended
    stopped = dev.run("--stop")
    assert (stopped.status, stopped.stderr) == (0, "dev: the kept session has ended\n")
    assert dev.processes() == [] and dev.folders() == []
    assert not state_file(dev).exists()
    assert dev.run("--stop").stderr == "dev: no session is kept\n"


@pytest.fixture
def kept(first: tuple[Dev, Ended]) -> Dev:
    return first[0]


def state_file(dev: Dev) -> Path:
    return dev.home / ".local" / "state" / "covalent-parallel" / "dev.json"


def test_keep_says_how_to_come_back_and_where_the_ui_is(first: tuple[Dev, Ended]) -> None:
    dev, ended = first
    assert (ended.status, ended.stdout) == (0, f"3 {dev.home}\n"), ended.stderr
    assert "dev: add: COMPLETED after " in ended.stderr
    assert "`covalent-parallel dev -- PROGRAM` uses it again" in ended.stderr
    assert "`covalent-parallel dev --stop` ends it" in ended.stderr
    address = next(line.split()[-1] for line in ended.stderr.splitlines() if "kept: Covalent's UI is at " in line)
    with build_opener(ProxyHandler({})).open(address, timeout=60) as page:
        assert b"<html" in page.read()
    assert stat.S_IMODE(state_file(dev).stat().st_mode) == 0o600
    # Nothing else of it is in the user's home
    assert [path for path in dev.home.rglob("*") if path.is_file()] == [state_file(dev)]


def test_a_program_has_its_own_streams_arguments_and_status(kept: Dev) -> None:
    ended = kept.run("--", "sh", "-c", "cat; echo $0; echo to-stderr >&2; exit 7", "--keep")
    assert (ended.status, ended.stdout) == (7, "--keep\n")
    assert "to-stderr\n" in ended.stderr
    assert kept.run("--", "sh", "-c", "kill -KILL $$").status == 128 + signal.SIGKILL


def test_python_is_the_one_that_runs_the_command_in_shells_too(kept: Dev) -> None:
    assert kept.run("--", "python", "-c", "import sys; print(sys.prefix)").stdout == f"{sys.prefix}\n"
    assert kept.run("--", "sh", "-c", "python -c 'import sys; print(sys.prefix)'").stdout == f"{sys.prefix}\n"


def test_a_failed_electron_is_a_line_and_its_traceback_comes_at_the_end(kept: Dev) -> None:
    ended = kept.run_script("print(result(divide, 0).status)")
    assert (ended.status, ended.stdout) == (0, "FAILED\n")
    lines = ended.stderr.splitlines()
    assert "dev: divide: RUNNING" in lines
    (failed,) = (line for line in lines if line.startswith("dev: divide: FAILED after "))
    assert failed.endswith(" s: ZeroDivisionError: division by zero")
    assert lines.count("ZeroDivisionError: division by zero") == 1
    # Of the dispatch before it there is nothing
    assert not any("add" in line for line in lines)


def test_an_error_that_wait_raises_is_printed_once_and_ends_the_program_with_1(kept: Dev) -> None:
    waiting = "from covalent_parallel_plugin import wait"
    ended = kept.run_script(f"{waiting}\nprint(wait(dispatched(add, 1, 2)), flush=True)\nwait(dispatched(divide, 0))")
    assert (ended.status, ended.stdout) == (1, "3\n"), ended.stderr
    assert "return 1 / by" in ended.stderr
    assert "ZeroDivisionError: division by zero" in ended.stderr.splitlines()
    assert "--- why divide failed" not in ended.stderr
    ended = kept.run_script("assert result(divide, 0).result, 'no value'")
    assert ended.status == 1 and "--- why divide failed\nTraceback" in ended.stderr


def test_the_report_of_a_programs_dispatch_is_made_from_the_sessions_trace(kept: Dev) -> None:
    program = "print(result(add, 1, 2).dispatch_id)"
    dispatch_id = kept.run_script(program).stdout.strip()
    reported = kept.run("--", "covalent-parallel", "report", dispatch_id, "--format", "json")
    assert reported.status == 0, reported.stderr
    (electron,) = (each for each in json.loads(reported.stdout)["electrons"] if each["kind"] == "lone")
    assert electron["name"] == "add" and electron["attempts"][0]["machine"]["type"], electron
    assert "image" in electron["phases"] and not json.loads(reported.stdout)["missing"]


def test_quiet_prints_no_line_for_an_electron_and_still_says_why_one_failed(kept: Dev) -> None:
    ended = kept.run_script("print(result(divide, 0).status)", "--quiet")
    assert "dev: divide" not in ended.stderr
    assert "--- why divide failed\nTraceback" in ended.stderr


def test_the_jobs_of_an_interrupted_program_are_cancelled_and_the_session_goes_on(kept: Dev) -> None:
    started = kept.folder / "started"
    with kept.start("--", "python", kept.script(f"result(rest, {str(started)!r})")) as process:
        wait_until(started.exists)
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate()
    assert process.returncode == 130, stderr
    address = json.loads(state_file(kept).read_text())["address"]

    def latest() -> str:
        with build_opener(ProxyHandler({})).open(f"{address}/api/v2/dispatches?count=1&status_only=true") as answer:
            return str(json.load(answer)["dispatches"][0]["status"])

    wait_until(lambda: latest() == "CANCELLED")


def test_options_of_an_emulator_that_runs_already_are_refused(kept: Dev) -> None:
    ended = kept.run("--runtime", "process", "--tasks", "3", "--", "true")
    assert ended.status == 2
    assert "--runtime, --tasks: a session is kept" in ended.stderr and "dev --stop" in ended.stderr


def test_a_session_that_another_version_keeps_is_not_used_and_can_be_ended(tmp_path: Path) -> None:
    dev = Dev(tmp_path)
    assert dev.run("--runtime=process", "--keep", "--", "true").status == 0
    written = json.loads(state_file(dev).read_text())
    state_file(dev).write_text(json.dumps({"owner": written["owner"], "of another": "version"}))
    ended = dev.run("--", "true")
    assert ended.status == 1 and "of another version" in ended.stderr and "dev --stop" in ended.stderr
    assert dev.run("--stop").stderr == "dev: the kept session has ended\n"
    assert dev.processes() == [] and not state_file(dev).exists()
    state_file(dev).write_text("not of any version")
    assert dev.run("--stop").stderr == "dev: no session is kept\n"
    assert not state_file(dev).exists()


def test_a_session_whose_folder_somebody_removed_ends_and_another_one_takes_its_place(tmp_path: Path) -> None:
    dev = Dev(tmp_path)
    assert dev.run("--runtime=process", "--keep", "--", "true").status == 0
    shutil.rmtree(json.loads(state_file(dev).read_text())["folder"])
    ended = dev.run_script("print(result(add, 1, 2).result)", "--runtime=process")
    assert (ended.status, ended.stdout) == (0, "3\n"), ended.stderr
    wait_until(lambda: not dev.processes() and not dev.folders())
    assert not state_file(dev).exists()


def test_another_dev_within_a_program_is_refused(kept: Dev) -> None:
    ended = kept.run("--", "sh", "-c", "covalent-parallel dev -- echo again")
    assert (ended.status, ended.stdout) == (2, "")
    assert "run echo again itself" in ended.stderr
