"""A sweep from Python in containers: with a function that prepares its tasks, here and through the emulator's Batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from covalent_parallel_plugin import Sweep, grid
from covalent_parallel_plugin.emulator import Emulator

pytestmark = pytest.mark.containers

# Reads what was prepared, runs it, and changes it
SCRIPT = "echo value=$(cat {sweep.folder}/deep/number); {sweep.folder}/tool; echo more >>{sweep.folder}/tool"


def prepare(task: Any, folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "number").write_text(f"{task.parameters['x'] * 10}\n")
    (folder / "tool").write_text(f"#!/bin/sh\necho tool of {task.name}\n")
    (folder / "tool").chmod(0o755)


def test_prepared_tasks_come_out_the_same_here_and_on_batch(
    services: Emulator, image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)

    def make(out: str) -> Sweep:
        return Sweep(
            image=image,
            entrypoint=["sh", "-c"],
            command=[SCRIPT],
            parameters=grid(x=[1, 2]),
            prepare=prepare,
            result={"stdout": r"value=(?P<value>\S+)"},
            resources={"vcpus": 1, "memory": 128, "project_id": "local", "bucket_name": "covalent", "poll_freq": 1},
            name="prep",
            out=out,
        )

    here = make("here").run(local=True, show=False)
    there = make("there").run(show=False)
    for records in (here, there):
        assert [(record.status, record["value"], record.reason) for record in records] == [
            ("done", 10, ""),
            ("done", 20, ""),
        ]
        for record in records:
            assert (record.folder / "stdout.txt").read_text().endswith(f"tool of {record.name}\n")
            # What it did not change is none of its outputs
            assert [path.name for path in (record.folder / "files").iterdir()] == ["tool"]
            assert (record.folder / "files" / "tool").read_text().endswith("more\n")
    assert make("there").plan().plan.to_run == 0
