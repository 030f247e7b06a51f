"""The plugin that this project replaces, which nobody here wrote, completes its jobs on the emulator.

It runs in an environment of its own. To make one and run this:

    python3.11 -m venv FOLDER && FOLDER/bin/pip install covalent-gcpbatch-plugin 'fastapi<0.132'
    REPLACED_PLUGIN_PYTHON=FOLDER/bin/python pytest tests/emulator/test_replaced_plugin.py
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from covalent_parallel_plugin.emulator import Emulator, ProcessRuntime

PYTHON = os.environ.get("REPLACED_PLUGIN_PYTHON", "")
DRIVER = Path(__file__).with_name("replaced_plugin_driver.py")
SECONDS = 180

pytestmark = pytest.mark.skipif(
    not PYTHON, reason="REPLACED_PLUGIN_PYTHON names no Python that has covalent-gcpbatch-plugin"
)


def entry_point() -> str:
    """Find the program that the plugin's container runs."""
    code = (
        "from importlib.util import find_spec; "
        "print(find_spec('covalent_gcpbatch_plugin').submodule_search_locations[0] + '/assets/docker/exec.py')"
    )
    found = subprocess.run(
        [PYTHON, "-c", code], capture_output=True, text=True, timeout=SECONDS, check=True, env=bare_environment()
    )
    return found.stdout.strip()


def bare_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("COVALENT", "PYTHON"))}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("replaced")
    runtime = ProcessRuntime(images={"replaced:latest": (PYTHON, entry_point())})
    with Emulator(runtime=runtime) as emulator:
        ended = subprocess.run(
            [PYTHON, str(DRIVER), emulator.environment["BATCH_EMULATOR_HOST"], str(folder / "cache")],
            env=bare_environment() | emulator.environment | {"HOME": str(folder)},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        output = [record.text for record in emulator.logs.records()]
    assert ended.returncode == 0, f"{ended.stderr}\n" + "\n".join(output)
    return {**json.loads(ended.stdout.splitlines()[-1]), "output": output}


def test_it_brings_back_a_value(outcomes: dict[str, Any]) -> None:
    assert outcomes["value"]["value"] == {"product": 42}
    assert "multiplying" in outcomes["output"]


def test_it_brings_back_an_exceptions_message(outcomes: dict[str, Any]) -> None:
    assert outcomes["exception"]["error"] == "division by zero"
