"""The command that diagnoses, and an environment of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import toml

COMMAND = [sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main()", "doctor"]
SERVICES = ("STORAGE_EMULATOR_HOST", "BATCH_EMULATOR_HOST", "LOGGING_EMULATOR_HOST")


def quiet_environment(home: Path, **added: str) -> dict[str, str]:
    """This process's environment without the user's Covalent, Google account and emulator."""
    dropped = ("COVALENT_", "XDG_", "GOOGLE_", "CLOUDSDK_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped) and name not in SERVICES}
    return {**kept, "HOME": str(home), "COVALENT_CONFIG_DIR": str(home), "NO_GCE_CHECK": "true", **added}


def section_text(values: Mapping[str, object]) -> str:
    """The executor's section as TOML."""
    return toml.dumps({"executors": {"gcpbatch": dict(values)}})
