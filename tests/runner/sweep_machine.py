"""A sweep's machine: two folders that stand for its volumes, and the runner's processes on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ended_process import TASK_SECONDS, Ended, ended
from sweep_rounds import SweepRound, bucket_at

from covalent_parallel_plugin.batch import runner_archive
from covalent_parallel_plugin.emulator import Emulator

STARTING = """
import sys
sys.path.insert(0, sys.argv[1])
from {package}.runner.sweep.{module} import main
from {package}.runner.sweep.machine import MachinePaths
sys.exit(main(MachinePaths(*sys.argv[2:])))
"""


@dataclass
class Machine:
    """Two folders that stand for a machine's volumes."""

    shared: Path
    tasks: Path
    archive: Path
    services: dict[str, str]
    staged: SweepRound

    def start(self, module: str, **variables: str) -> subprocess.Popen[bytes]:
        code = STARTING.format(package=runner_archive.ARCHIVED_PACKAGE, module=module)
        environment = {"PATH": os.defpath, **self.services, **self.staged.environment, **variables}
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-c", code, str(self.archive), str(self.shared), str(self.tasks)],
            env=environment,
            cwd=self.shared.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, module: str = "supervisor", **variables: str) -> Ended:
        return ended(self.start(module, **variables))

    def folder(self, index: int = 0) -> Path:
        return self.tasks / f"{self.staged.round}-{index}" / "files"


MakeMachine = Callable[..., Machine]


def made_machine(
    emulator: Emulator, folder: Path, *tasks: dict[str, Any], is_ready: bool = True, **setup: Any
) -> Machine:
    """Stage tasks and return a machine for them."""
    staged = SweepRound(bucket_at(emulator.environment["STORAGE_EMULATOR_HOST"]), setup)
    archive = folder / "runner.zip"
    archive.write_bytes(runner_archive.runner_archive(for_sweeps=True).data)
    machine = Machine(folder / "shared", folder / "tasks", archive, emulator.environment, staged)
    for each in (machine.shared, machine.tasks):
        each.mkdir()
    document = staged.stage(*tasks)
    if is_ready:
        (machine.shared / "setup.json").write_text(json.dumps(document))
    return machine


def shell(script: str, **fields: Any) -> dict[str, Any]:
    return {"argv": ["sh", "-c", script], **fields}


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + TASK_SECONDS
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.02)
