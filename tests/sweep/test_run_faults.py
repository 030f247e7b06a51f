"""Runs in which something goes wrong: files are edited, the disk is full, the journal is spoilt."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sweep_command import COMMAND, SECONDS, SweepCommand

from covalent_parallel_plugin.sweep.local.image import choose_engine


@pytest.fixture
def sweep(tmp_path: Path) -> SweepCommand:
    return SweepCommand(tmp_path)


def test_files_that_are_edited_during_a_run_are_brought_as_they_were(sweep: SweepCommand) -> None:
    for name in ("plain", "filled.template"):
        (sweep.folder / name).write_text("as it was\n")
    sweep.write(
        f"command: [sh, -c, 'cat plain filled; for f in plain filled.template; do echo $0 >{sweep.folder}/$f; done',"
        " '{i}']\nparameters: {i: [0, 1]}\nfiles: [plain, filled.template]\nmax_parallel: 1\n"
    )
    sweep("run", "art.yaml", "--local")
    for task in ("i=0", "i=1"):
        assert (sweep.folder / "art" / task / "stdout.txt").read_text() == "as it was\n" * 2
    # the next run has the new ones
    assert "files changed" in sweep("plan", "art.yaml").stdout
    sweep("clean", "art", "--yes")
    assert not (sweep.folder / "art").exists()


def test_a_table_that_does_not_fit_says_to_make_room(sweep: SweepCommand) -> None:
    sweep.write("command: ['true']\nparameters: {i: [0, 1]}\nflags: true\n")
    sweep("run", "art.yaml", "--local")
    # The name that a table has until it is complete holds the process's id, which `exec` keeps
    script = 'ln -s /dev/full "art/.results.csv.$$.part"; exec "$@"'
    words = ["sh", "-c", script, "sh", *COMMAND, "sweep", "run", "art.yaml", "--local", "--again", "all"]
    ended = subprocess.run(
        words, cwd=sweep.folder, env=sweep.environment, capture_output=True, text=True, timeout=SECONDS
    )
    assert ended.returncode == 1
    assert "No space left on device: make room, then run again" in ended.stderr


def test_a_folder_that_was_removed_by_hand_is_listed_once(sweep: SweepCommand) -> None:
    sweep.write("command: ['true']\nparameters: {i: [0, 1]}\nflags: true\n")
    for _ in range(2):
        shutil.rmtree(sweep.folder / "art", ignore_errors=True)
        sweep("run", "art.yaml", "--local")
    assert len(sweep("list").stdout.splitlines()) == 1
    assert "2 done" in sweep("status", "art").stdout


def test_memory_is_measured_where_it_is_more_than_our_own(sweep: SweepCommand) -> None:
    # In a process of its own: that of many tests may have had more memory than the program takes
    code = "x = b'x' * 300_000_000"
    sweep.write(f'command: [{sys.executable}, -c, "{code}"]\nparameters: {{i: [0]}}\nconfig: json\n')
    sweep("run", "art.yaml", "--local")
    (row,) = json.loads((sweep.folder / "art" / "results.json").read_text())
    assert 290 < row["task.peak_mb"] < 600


def test_an_engine_that_cannot_run_gives_way_to_the_other_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, status in (("podman", 125), ("docker", 0)):
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {status}\n")
        (tmp_path / name).chmod(0o755)
    assert choose_engine().name == "docker"
    (tmp_path / "docker").unlink()
    assert choose_engine().name == "podman"
