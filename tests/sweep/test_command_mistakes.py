"""Mistakes on the command line of `sweep`: each says what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep_command import SweepCommand

FILE = "name: art\ncommand: echo {i}\nparameters: {i: [1, 2]}\n"


@pytest.fixture
def sweep(tmp_path: Path) -> SweepCommand:
    command = SweepCommand(tmp_path)
    command.write(FILE)
    for out in ("art", "other"):
        command("run", "art.yaml", "--local", "--out", out)
    return command


@pytest.mark.parametrize("command", ["logs", "show"])
def test_a_sweep_without_a_task_asks_for_the_task(sweep: SweepCommand, command: str) -> None:
    ended = sweep(command, "other", status=2)
    assert "Error: which task of other? Give its name after the sweep's; it has i=1 i=2\n" in ended.stderr


def test_a_task_without_a_sweep_asks_for_the_sweep(sweep: SweepCommand) -> None:
    for words in (["i=1"], ["nothing", "i=1"]):
        assert "there is no sweep" in sweep("logs", *words, status=1).stderr


def test_a_parameter_that_is_set_without_its_place(sweep: SweepCommand) -> None:
    assert sweep("run", "art.yaml", "--local", "--set", "i=3", status=2).stderr == (
        "art.yaml: --set i=3: 'i' is not a key of a sweep: write it under parameters, with --set as parameters.i\n"
    )


def test_a_home_that_cannot_be_written_to_stops_no_run(sweep: SweepCommand) -> None:
    home = {"XDG_STATE_HOME": str(sweep.folder / "art.yaml")}
    ended = sweep("run", "art.yaml", "--local", "--out", "third", more=home)
    assert ended.stderr == (
        f"warning: {sweep.folder}/art.yaml/covalent-parallel/sweeps: Not a directory: commands find this sweep by its"
        " folder only\n"
    )
    assert "tasks    2: 2 done" in sweep("status", "third", more=home).stdout
    assert sweep("list", more=home).stdout == "no sweeps\n"


def test_a_plan_beside_a_run_says_that_there_is_one(sweep: SweepCommand) -> None:
    sweep.write(FILE.replace("echo", "sleep 6") + "task_name: n{i}\n")
    running = sweep.start("run", "art.yaml", "--local")
    sweep.wait_for(lambda: "n1" in sweep.started(), "task")
    assert "warning: a run is under way: tasks that it has started count" in sweep("plan", "art.yaml").stderr
    sweep("cancel", "art")
    running.communicate(timeout=60)
