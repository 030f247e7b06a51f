"""examples/checkpoint, unchanged: its machine is preempted twice, and it continues after what it had saved."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer
from covalent_parallel_plugin.emulator import Emulator, Fault, Faults, ProcessRuntime

EXAMPLE = Path(__file__).parents[2] / "examples" / "checkpoint" / "train.py"
SECONDS = 300


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivateCovalentServer]:
    preempted = Fault(
        "attempt.preempt", provisioning="SPOT", attempt="0-1", after_output="begins after epoch", after_seconds=1
    )
    section = {"project_id": "local", "bucket_name": "covalent", "poll_freq": 0.5, "cache_dir": str(tmp_path / "cache")}
    with (
        Emulator(runtime=ProcessRuntime(site_packages=True), faults=Faults((preempted,))) as emulator,
        PrivateCovalentServer(
            tmp_path / "home", emulator.environment, configuration={"executors.gcpbatch": section}
        ) as running,
    ):
        yield running


def test_it_continues_after_what_it_saved_when_its_machine_was_preempted(
    server: PrivateCovalentServer, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", str(EXAMPLE), str(state)],
        env=server.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    status, _, value = ended.stdout.strip().splitlines()[-1].partition(" ")
    assert status == "COMPLETED", ended.stdout
    result = ast.literal_eval(value)
    assert (result["epoch"], result["machines"]) == (40, 3)
    assert result["loss"] == pytest.approx(0.9**40)
    stdout, stderr = ended.stdout, ended.stderr
    assert [line for line in stdout.splitlines() if line.startswith("---")] == [
        "--- attempt 0, which was run again ---",
        "--- attempt 1, which was run again ---",
        "--- attempt 2 ---",
    ]
    assert (stdout.count("saved epoch"), stdout.count("begins after epoch")) == (2, 3), stderr
