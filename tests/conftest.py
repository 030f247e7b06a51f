"""Fixtures: one emulator and one private Covalent server on it, for the whole session, or for each of its workers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from covalent_parallel_plugin.covalent_api.private_configuration import Value
from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator
    from docs_build.browser import Page

EXECUTOR_SECTION: dict[str, Value] = {
    "project_id": "local",
    "region": "us-east1",
    "bucket_name": "covalent",
    "container_image_uri": "python:3.11-slim",
    "poll_freq": 0.5,
}

# How long an example takes says more about the machine's load than about the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

# What a script starts in the background ignores Ctrl-C, and so would every command that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def traces_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where calls in this process leave their traces: not among the user's own."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(folder))
        yield folder / "covalent-parallel" / "traces"


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    # Here, so that tests of pure code do not load gRPC.
    from covalent_parallel_plugin.emulator import Emulator, ProcessRuntime

    # Electrons of tests use Covalent and what else is installed here; what tasks see by default is tested by itself
    with Emulator(buckets=("covalent",), runtime=ProcessRuntime(site_packages=True)) as running:
        yield running


@pytest.fixture(scope="session")
def covalent_server(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrivateCovalentServer]:
    home = tmp_path_factory.mktemp("covalent")
    section = EXECUTOR_SECTION | {"cache_dir": str(home / "cache")}
    with PrivateCovalentServer(home, emulator.environment, configuration={"executors.gcpbatch": section}) as server:
        yield server


@pytest.fixture(scope="module")
def browser_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page of a Chromium that reaches no other machine."""
    from docs_build.browser import NAMES, find_chromium, opened_page

    program = find_chromium()
    if program is None:
        reason = f"no Chromium found on PATH (looked for {', '.join(NAMES)})"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with opened_page(program, tmp_path_factory.mktemp("chromium")) as opened:
        yield opened
