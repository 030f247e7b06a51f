"""Terraform, the real one and the stand-in, and deployments with either."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from deploy_worlds import LINGER, MODULE, STUMBLE, Lingering, World, make_world, write_program


@pytest.fixture
def stand_in(tmp_path: Path) -> str:
    """The path of a stand-in for Terraform."""
    return write_program(tmp_path / "stand-in" / "terraform")


@pytest.fixture(params=["terraform", "stand-in"])
def program(request: pytest.FixtureRequest, stand_in: str) -> str:
    """Both programs: what holds for one holds for the other."""
    if request.param == "stand-in":
        return stand_in
    real = shutil.which("terraform") or shutil.which("tofu")
    if real is None:
        pytest.skip("neither terraform nor tofu is installed")
    return real


@pytest.fixture
def world(program: str, tmp_path: Path) -> World:
    return make_world(program, tmp_path)


@pytest.fixture
def stumbling(program: str, tmp_path: Path) -> World:
    """Its `apply` fails after the first resource."""
    world = make_world(program, tmp_path, {**MODULE, "stumble.tf": STUMBLE})
    world.environment = {"STAND_IN_FAILS": "apply", "STAND_IN_ERRORS": "Error 403: somebody does not have permission"}
    return world


@pytest.fixture
def lingering(program: str, tmp_path: Path) -> Lingering:
    started = tmp_path / "started"
    world = make_world(program, tmp_path, {**MODULE, "linger.tf": LINGER.replace("STARTED", str(started))})
    world.environment = {"STAND_IN_WAITS": str(started)}
    return Lingering(world, started)
