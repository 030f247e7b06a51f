"""A run on Batch in a terminal: what is asked before it, and what Ctrl-C asks."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from batch_sweeps import Answer, FakeMachines, on_emulator, write_file
from sweep_command import SweepCommand
from test_terminal import Terminal

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


@pytest.fixture
def on_machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., FakeMachines]]:
    with on_emulator(monkeypatch.setenv) as start:
        yield start


def slow(task: Mapping[str, Any], attempt: int) -> Answer:
    return Answer(seconds=60)


@pytest.fixture
def machines(on_machines: Callable[..., FakeMachines]) -> FakeMachines:
    return on_machines(slow)


@pytest.fixture
def sweep(machines: FakeMachines, tmp_path: Path) -> SweepCommand:
    write_file(tmp_path)
    return SweepCommand(tmp_path)


@pytest.fixture
def terminal(sweep: SweepCommand) -> Iterator[Terminal]:
    made = Terminal(sweep)
    yield made
    made.close()


QUESTION = "Cancel everything (c), go on (g) or detach (d)? A second Ctrl-C cancels."


def test_a_run_that_is_detached_by_a_key_goes_on(
    sweep: SweepCommand, terminal: Terminal, machines: FakeMachines
) -> None:
    terminal.sweep("run", "art.yaml")
    sweep.wait_for(lambda: machines.started.total() == 6, "start")
    terminal.type("C-c")
    terminal.wait_for(QUESTION)
    terminal.type("g")
    sweep.wait_for(lambda: QUESTION not in terminal.screen(), "table without a question")
    terminal.type("C-c")
    terminal.wait_for(QUESTION)
    terminal.type("d")
    shown = terminal.wait_for("status 0")
    assert "art: detached: 6 waiting" in shown and "sweep gather" in shown
    assert machines.job_states() == ["RUNNING"]


@pytest.mark.parametrize("key", ["c", "C-c"])
def test_a_run_is_cancelled_by_a_key_or_a_second_interrupt(
    sweep: SweepCommand, terminal: Terminal, machines: FakeMachines, key: str
) -> None:
    terminal.sweep("run", "art.yaml")
    sweep.wait_for(lambda: machines.started.total() == 6, "start")
    terminal.type("C-c")
    terminal.wait_for(QUESTION)
    terminal.type(key)
    assert "art: interrupted: " in terminal.wait_for("status 130")
    assert machines.job_states() == ["CANCELLED"]


def test_a_terminal_is_asked_once_before_many_machine_hours(
    sweep: SweepCommand, terminal: Terminal, machines: FakeMachines
) -> None:
    long = ("run", "art.yaml", "--set", "time_limit=7200")
    terminal.sweep(*long)
    shown = terminal.wait_for("Go on? [y/N]")
    assert "At most 6 tasks x 7200 s x 2 attempts = 24 machine-hours" in shown
    terminal.type("n", "Enter")
    terminal.wait_for("nothing was started")
    assert (machines.started.total(), machines.rpcs["CreateJob"]) == (0, 0)
    terminal.sweep(*long, "--yes", "--detach")
    assert "Go on?" not in terminal.wait_for("status 0")
    assert machines.rpcs["CreateJob"] == 1


def test_without_a_terminal_nobody_is_asked(sweep: SweepCommand, machines: FakeMachines) -> None:
    assert "Go on?" not in sweep("run", "art.yaml", "--set", "time_limit=7200", "--detach").stdout
    assert machines.rpcs["CreateJob"] == 1
