"""A process that has imported what `covalent-parallel plan` imports, and runs the command in forks of itself.

Importing takes more than a second, the command itself a tenth of that. Each line of standard input is a request, a JSON
object with "arguments", "folder", "stdout" and "stderr" (files); each line of standard output is an exit status.
"""

from __future__ import annotations

import json
import os
import signal
import sys

import covalent_parallel_plugin.cli.plan.plan_request  # noqa: F401
from covalent_parallel_plugin.cli import main

SECONDS = 120


def run(arguments: list[str], folder: str, stdout: str, stderr: str) -> None:
    signal.alarm(SECONDS)
    os.chdir(folder)
    os.dup2(os.open(stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.dup2(os.open(stderr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    main(["plan", *arguments], prog_name="covalent-parallel")


if __name__ == "__main__":
    for line in sys.stdin:
        if child := os.fork():
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        else:
            sys.stdin.close()
            run(**json.loads(line))
