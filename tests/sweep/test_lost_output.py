"""A run whose output nobody reads any more, and commands whose output or folder cannot be written to."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
from sweep_command import COMMAND, SweepCommand

FILE = """\
name: art
command: [sh, -c, 'echo begun; test $0 = 0 || sleep 60', "{i}"]
parameters: {i: {start: 0, stop: 6}}
max_parallel: 2
"""


@pytest.fixture
def sweep(tmp_path: Path) -> SweepCommand:
    command = SweepCommand(tmp_path)
    command.write(FILE)
    return command


def is_finished(sweep: SweepCommand) -> bool:
    return bool(sweep.events("finish")) and sweep.statuses()["i=1"] == "cancelled"


@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_a_pipe_that_is_closed_ends_the_run_as_ctrl_c_does(sweep: SweepCommand, follow: list[str]) -> None:
    running = sweep.start("run", "art.yaml", "--local", *follow)
    assert running.stdout is not None and running.stderr is not None
    sweep.wait_for(lambda: len(sweep.started()) >= 3, "third task")
    # As of `| tee log`, which Ctrl-C ends as well
    running.stdout.close()
    running.send_signal(signal.SIGINT)
    assert running.wait(180) == 130
    with running.stderr:
        errors = running.stderr.read()
    assert is_finished(sweep)
    assert "Traceback" not in errors and "Exception" not in errors
    assert "standard output cannot be written to: Broken pipe." in errors


def test_a_pipe_that_is_closed_ends_the_run_without_a_signal(sweep: SweepCommand) -> None:
    sweep.write(FILE.replace("sleep 60", "{ sleep 0.2; test $0 = 1 || sleep 60; }"))
    running = sweep.start("run", "art.yaml", "--local")
    assert running.stdout is not None and running.stderr is not None
    assert running.stdout.readline() == "6 are new\n"
    running.stdout.close()
    with running.stderr:
        assert running.wait(180) == 130
    # The first task's end is where a line is printed next; one that had begun by then was ended
    assert sweep.events("finish")
    assert set(list(sweep.statuses().values())[2:]) <= {"cancelled", "waiting"}


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("run", "art.yaml", "--local"), "standard output cannot be written to"),
        (("list",), "standard output"),
    ],
)
def test_a_full_disk_under_the_output_is_named(sweep: SweepCommand, words: tuple[str, ...], what: str) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [*COMMAND, "sweep", *words],
            cwd=sweep.folder, env=sweep.environment, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (1, f"Error: {what}: No space left on device\n")
    assert sweep.started() == []


def test_a_folder_that_cannot_be_removed_is_named(sweep: SweepCommand) -> None:
    sweep.write("name: art\ncommand: echo {i}\nparameters: {i: 1}\n")
    sweep("run", "art.yaml", "--local")
    folder = sweep.folder / "art"
    folder.chmod(0o555)
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("this user may write everywhere")
        ended = sweep("clean", "art", "--yes", status=1)
    finally:
        folder.chmod(0o755)
    assert "removed" not in ended.stdout
    assert ended.stderr.startswith(f"Error: {folder}/") and ended.stderr.endswith(": Permission denied\n")
    assert "rm:" not in ended.stderr
