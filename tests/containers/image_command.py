"""`covalent-parallel image` as a user calls it."""

from __future__ import annotations

import os
import subprocess
import sys

BUILD_SECONDS = 900


def command(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    code = "from covalent_parallel_plugin.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, "image", *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=BUILD_SECONDS,
    )
