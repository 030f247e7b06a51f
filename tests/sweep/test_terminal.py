"""A run in a terminal of 80 columns: the live table, `--follow`, and what Ctrl-C asks."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep_command import COMMAND, SweepCommand

from covalent_parallel_plugin.protocol.environment import SERVICES

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

WIDTH, HEIGHT = 80, 20
FILE = """\
name: art
command: [sh, -c, 'echo begun; test $0 != 1 || { echo "no such colour" >&2; exit 3; }; test $0 = 0 || sleep 60', '{i}']
parameters: {i: {start: 0, stop: 6}}
max_parallel: 2
"""


class Terminal:
    """A terminal in which a shell runs, with a tmux server of its own."""

    def __init__(self, sweep: SweepCommand) -> None:
        self._server = f"sweep-{uuid.uuid4().hex[:12]}"
        self._sweep = sweep
        self._commands = 0
        self._is_closed = False
        size = ("-x", str(WIDTH), "-y", str(HEIGHT))
        self._tmux("new-session", "-d", *size, "env", "-i", f"PATH={os.environ['PATH']}", "TERM=screen", "sh")

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-L", self._server, "-f", "/dev/null", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=180, check=True).stdout

    def sweep(self, *words: str) -> None:
        """Start a command in the terminal, once the one before it has ended; its exit status is shown after it."""
        if self._commands:
            self.wait_for(f"command {self._commands} ended")
        self._commands += 1
        variables = ("HOME", "XDG_STATE_HOME", "COVALENT_CONFIG_DIR", *SERVICES)
        there = self._sweep.environment
        given = shlex.join(f"{name}={there[name]}" for name in variables if name in there)
        line = f"clear; env {given} {shlex.join([*COMMAND, 'sweep', *words])}; echo status $?"
        line = f"{line}; echo command {self._commands} ended"
        script = self._sweep.folder / "line.sh"
        script.write_text(f"cd {shlex.quote(str(self._sweep.folder))}\n{line}\n")
        self.type(f". {shlex.quote(str(script))}", "Enter")

    def type(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def wait_for(self, text: str) -> str:
        """Return the screen once it has this text."""
        self._sweep.wait_for(lambda: text in self.screen(), f"{text!r} on the screen:\n{self.screen()}")
        return self.screen()

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._tmux("kill-server")


@pytest.fixture
def sweep(tmp_path: Path) -> SweepCommand:
    command = SweepCommand(tmp_path)
    command.write(FILE)
    return command


@pytest.fixture
def terminal(sweep: SweepCommand) -> Iterator[Terminal]:
    made = Terminal(sweep)
    yield made
    made.close()


def test_the_live_table_and_a_question_answered_with_go_on(sweep: SweepCommand, terminal: Terminal) -> None:
    terminal.sweep("run", "art.yaml", "--local")
    shown = terminal.wait_for("i=1  failed, exit 3  no such colour").splitlines()
    assert shown[0] == "6 are new"
    assert shown[1].startswith("art ") and shown[1].rstrip().endswith("2 of 6")
    assert shown[2].startswith("1 done  2 running  1 failed  2 waiting  elapsed ")
    # What does not fit beside the counts has a line of its own
    assert shown[3].endswith(" machine-hours")
    assert shown[4].startswith("running: i=2 ") and "i=3 " in shown[4]
    assert not any(line.strip() for line in shown[6:])
    terminal.type("C-c")
    terminal.wait_for("Cancel everything (c) or go on (g)? A second Ctrl-C cancels.")
    terminal.type("g")
    sweep.wait_for(lambda: "Cancel everything" not in terminal.screen(), "table without a question")
    assert "2 running" in terminal.screen()
    terminal.type("C-c")
    terminal.wait_for("Cancel everything")
    terminal.type("c")
    shown_text = terminal.wait_for("status 130")
    assert "art: interrupted: 1 done, 1 failed, 2 cancelled, 2 waiting;" in shown_text
    assert shown_text.count("2 cancelled") == 2 and shown_text.count("art ━") == 1


def test_a_second_interrupt_cancels(sweep: SweepCommand, terminal: Terminal) -> None:
    terminal.sweep("run", "art.yaml", "--local")
    terminal.wait_for("2 running  1 failed")
    terminal.type("C-c")
    terminal.wait_for("Cancel everything")
    terminal.type("C-c")
    terminal.wait_for("status 130")
    # The terminal shows again what is typed
    terminal.type("echo typed-$((1+1))", "Enter")
    assert "echo typed-$((1+1))" in terminal.wait_for("typed-2")


@pytest.mark.parametrize("is_asking", [False, True])
def test_a_terminal_that_is_closed_ends_the_run(sweep: SweepCommand, terminal: Terminal, is_asking: bool) -> None:
    terminal.sweep("run", "art.yaml", "--local")
    terminal.wait_for("2 running  1 failed")
    if is_asking:
        terminal.type("C-c")
        terminal.wait_for("Cancel everything")
    terminal.close()
    sweep.wait_for(lambda: sweep.events("finish"), "end of the run")
    assert sweep.statuses()["i=2"] == "cancelled"


def test_followed_output_and_its_question(sweep: SweepCommand, terminal: Terminal) -> None:
    terminal.sweep("run", "art.yaml", "--local", "--follow")
    shown = terminal.wait_for("i=3: begun")
    assert "i=0: begun\n" in shown and "i=1: no such colour\n" in shown
    assert "i=1: failed, exit 3: no such colour\n" in shown
    terminal.type("C-c")
    terminal.wait_for("Cancel everything (c) or go on (g)?")
    terminal.type("c")
    terminal.wait_for("status 130")


def test_no_screen_between_two_draws_is_torn(sweep: SweepCommand, terminal: Terminal) -> None:
    terminal.sweep("run", "art.yaml", "--local")
    terminal.wait_for("2 running  1 failed")
    for _ in range(60):
        lines = terminal.screen().splitlines()
        assert lines[1].startswith("art ━") and lines[2].startswith("1 done  2 running"), lines
        assert lines[3].endswith(" machine-hours"), lines
        assert lines[4].startswith("running: i=2") and lines[5].startswith("i=1  failed"), lines
    terminal.type("C-c")
    terminal.wait_for("Cancel everything")
    terminal.type("c")
    terminal.wait_for("status 130")


def test_what_is_done_runs_again_only_if_that_is_confirmed(sweep: SweepCommand, terminal: Terminal) -> None:
    sweep.write("name: art\ncommand: echo {i}\nparameters: {i: [1, 2]}\n")
    sweep("run", "art.yaml", "--local")
    sweep.write("name: art\ncommand: echo x {i}\nparameters: {i: [1, 2]}\n")
    terminal.sweep("run", "art.yaml", "--local")
    terminal.wait_for("Run 2 that were done again?")
    terminal.type("n", "Enter")
    terminal.wait_for("status 1")
    assert len(sweep.started()) == 2
    terminal.sweep("run", "art.yaml", "--local")
    terminal.wait_for("Run 2 that were done again?")
    terminal.type("y", "Enter")
    terminal.wait_for("status 0")
    assert len(sweep.started()) == 4
