"""Commands run one after the other in a process of their own, which loads Covalent once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

_SOURCE = """
import inspect, json, sys
from click.testing import CliRunner
from covalent_parallel_plugin.cli import main

# Newer releases of click always keep the two streams apart.
apart = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
for line in sys.stdin:
    ended = CliRunner(**apart).invoke(main, json.loads(line))
    print(json.dumps([ended.exit_code, ended.stdout_bytes.decode(), ended.stderr_bytes.decode()]), flush=True)
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


class CommandProcess:
    """Runs `covalent-parallel` with arguments; a context manager."""

    def __init__(self, environment: Mapping[str, str]):
        self._process = subprocess.Popen(
            [sys.executable, "-c", _SOURCE],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> CommandProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, *arguments: str) -> Ended:
        """Run a command to its end."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{json.dumps(arguments)}\n")
        self._process.stdin.flush()
        return Ended(*json.loads(self._process.stdout.readline()))
