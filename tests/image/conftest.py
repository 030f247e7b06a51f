"""What the tests of the image share."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import warm_python
from image_commands import Command
from registry_server import Registry, running_registry
from shelf import Shelf


@pytest.fixture
def registry() -> Iterator[Registry]:
    with running_registry() as running:
        yield running


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    folder = tmp_path / "programs"
    folder.mkdir()
    return Shelf(folder)


@pytest.fixture
def command(shelf: Shelf, tmp_path: Path) -> Command:
    """Run `covalent-parallel image` with the shelf's programs alone."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        code = "from covalent_parallel_plugin.cli import main; main(prog_name='covalent-parallel')"
        variables = {"PATH": str(shelf.folder), "HOME": str(tmp_path), "COVALENT_CONFIG_DIR": str(tmp_path)}
        return warm_python.run(code, "image", *words, environment={**os.environ, **variables}, folder=tmp_path)

    return run
