"""Fixtures: one emulator and one private Covalent server on it, for the whole session."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from covalent_parallel_plugin.private_server import PrivateCovalentServer, Value

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

EXECUTOR_SECTION: dict[str, Value] = {
    "project_id": "local",
    "region": "us-east1",
    "bucket_name": "covalent",
    "container_image_uri": "python:3.11-slim",
    "poll_freq": 0.5,
}


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    # Here, so that tests of pure code do not load gRPC.
    from covalent_parallel_plugin.emulator import Emulator

    with Emulator(buckets=("covalent",)) as running:
        yield running


@pytest.fixture(scope="session")
def covalent_server(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateCovalentServer]:
    home = tmp_path_factory.mktemp("covalent")
    section = EXECUTOR_SECTION | {"cache_dir": str(home / "cache")}
    with PrivateCovalentServer(home, emulator.environment, configuration={"executors.gcpbatch": section}) as server:
        yield server
