"""Commands whose errors go through to the terminal: streams that stay open, and readers that go away."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from covalent_parallel_plugin.cli.deploy.interruptible_process import CommandResult, run

SECONDS = 60.0
# A process of its own, whose standard error can be closed
RUN = """
import os, sys
from pathlib import Path
from covalent_parallel_plugin.cli.deploy.interruptible_process import run
ended = run([sys.executable, "-c", sys.argv[1]], Path.cwd(), os.environ)
print(ended.status, "last line" in ended.errors)
"""
# More than a pipe holds
FLOOD = """
import sys
for number in range(5000):
    print("a line of some length, number", number, file=sys.stderr)
print("last line", file=sys.stderr)
sys.exit(3)
"""


def test_what_holds_standard_error_open_after_the_commands_end_is_not_waited_for(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    command = ["sh", "-c", f"echo told >&2; cat {gate} >/dev/null & exit 3"]
    ended: list[CommandResult] = []
    running = threading.Thread(target=lambda: ended.append(run(command, tmp_path, os.environ)), daemon=True)
    running.start()
    running.join(SECONDS)
    try:
        assert ended == [CommandResult(3, "", "told\n")]
    finally:
        gate.write_text("")  # what was left ends


def test_a_command_runs_to_its_end_when_nobody_reads_its_errors_any_more(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RUN, FLOOD], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stderr.close()
        try:
            process.wait(SECONDS)
        finally:
            process.kill()
        assert process.stdout.read().split() == [b"3", b"True"]
