"""Covalent with folders of its own, before a test module imports it; the command in a folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import own_covalent
import pytest
from planner import Forking, Planner

own_covalent.load()


@pytest.fixture(scope="session")
def forking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forking]:
    running = Forking(tmp_path_factory.mktemp("forking"))
    yield running
    running.end()


@pytest.fixture
def plan(tmp_path: Path, forking: Forking) -> Planner:
    return Planner(tmp_path, forking)
