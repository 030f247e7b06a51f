"""`covalent-parallel plan` as its users run it: a process with a home and a configuration folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.cloud import batch_v1

COMMAND = [sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main(prog_name='covalent-parallel')"]
SECTION = '[executors.gcpbatch]\nproject_id = "my-project"\nbucket_name = "some-bucket"\n'
SECONDS = 120


@dataclass(frozen=True)
class Ended:
    """How a run of the command ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """The Jobs of a workflow, with their nodes, from `--format json`."""
        assert self.status == 0, self.stderr
        found: list[dict[str, Any]] = json.loads(self.stdout)["jobs"]
        return found

    @property
    def job(self) -> batch_v1.Job:
        """The bare Job of `--format json`, as a strict reader of the v1 types has it."""
        assert self.status == 0, self.stderr
        return batch_v1.Job.from_json(self.stdout, ignore_unknown_fields=False)


class Forking:
    """The process of forking.py, with a home and the usual configuration."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("forking.py"))],
            cwd=folder,
            env=Planner(folder, None).environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, folder: Path, arguments: tuple[str, ...]) -> Ended:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        files = [self._folder / name for name in ("stdout", "stderr")]
        request = {"arguments": arguments, "folder": str(folder), "stdout": str(files[0]), "stderr": str(files[1])}
        print(json.dumps(request), file=self._process.stdin, flush=True)
        status = int(self._process.stdout.readline())
        return Ended(status, *(file.read_text() for file in files))

    def end(self) -> None:
        self._process.communicate(timeout=SECONDS)


class Planner:
    """Runs the command in a folder: in a process of its own, or in a fork where nothing but arguments differ."""

    def __init__(self, folder: Path, forking: Forking | None):
        self.folder = folder
        self._forking = forking
        self.home.mkdir(exist_ok=True)
        self.configuration.parent.mkdir(exist_ok=True)
        self.configuration.write_text(SECTION)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def configuration(self) -> Path:
        return self.folder / "configuration" / "covalent.conf"

    @property
    def environment(self) -> dict[str, str]:
        """No variable of the outer environment that could lead to an account, a server or a configuration."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "COVALENT_CONFIG_DIR": str(self.configuration.parent),
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.folder / "no-such-file"),
        }

    def configure(self, text: str) -> None:
        """Have another configuration file than the usual one."""
        self._forking = None
        self.configuration.write_text(text)

    def write(self, name: str, text: str) -> str:
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(text)
        return name

    def __call__(self, *arguments: str) -> Ended:
        return self._forking.run(self.folder, arguments) if self._forking is not None else self.alone(*arguments)

    def alone(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Ended:
        """In a process that is started as users start it."""
        done = subprocess.run(
            [*COMMAND, "plan", *arguments],
            cwd=self.folder,
            env={**self.environment, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)
