"""What the tests of the image share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
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
