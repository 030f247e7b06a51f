"""Fixtures: a Python image, and an emulator whose tasks are containers.

Without an engine or an image the tests are skipped, unless REQUIRE_CONTAINERS says that they must run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from base_image import MissingBase, as_python_slim
from image_command import BUILD_SECONDS, command
from outer_pip import outer_pip

from covalent_parallel_plugin.containers.engine_check import why_not
from covalent_parallel_plugin.emulator import ContainerRuntime, Emulator, Timing
from covalent_parallel_plugin.gcpbatch import GCPBatchExecutor

ENGINE = os.environ.get("CONTAINER_ENGINE", "podman")
SECRET = "projects/local/secrets/token/versions/3"
NFS_EXPORT = "files.example:/exports/data"


def do_without(reason: str) -> None:
    if os.environ.get("REQUIRE_CONTAINERS"):
        pytest.fail(f"container tests must run here, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def engine() -> str:
    if reason := why_not(ENGINE):
        do_without(f"{ENGINE} cannot run containers: {reason}")
    return ENGINE


@pytest.fixture(scope="session")
def image(engine: str) -> Iterator[str]:
    """An image with a Python, under the name of Docker's official one."""
    try:
        with as_python_slim(engine):
            yield "python:3.11-slim"
    except MissingBase as error:
        do_without(str(error))


@pytest.fixture(scope="session")
def own_python(engine: str, image: str) -> str:
    """The image, if what is pickled here can be unpickled in it."""
    code = "import sys; print(*sys.version_info[:2])"
    ended = subprocess.run(
        [engine, "run", "--rm", "--network=host", image, "python3", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    theirs, ours = ended.stdout.split(), [str(part) for part in sys.version_info[:2]]
    if theirs != ours:
        pytest.skip(f"the image has Python {'.'.join(theirs)}, this is {'.'.join(ours)}: only equal ones work together")
    return image


@pytest.fixture(scope="session")
def pip_arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a build needs to reach this machine's package index."""
    conf, volumes = outer_pip(tmp_path_factory.mktemp("pip"))
    words = ["--network=host", *(f"--volume={volume}" for volume in volumes)]
    return [f"--pip-conf={conf}", *(f"--engine-arg={word}" for word in words)]


@pytest.fixture(scope="session")
def names(engine: str) -> Iterator[Callable[[str], str]]:
    """Names for images that are removed in the end."""
    if engine != "podman":
        pytest.skip("these builds are written for podman: docker's have no --volume, which the package index may need")
    given = []

    def name(what: str) -> str:
        given.append(f"localhost/covalent-parallel-test-{what}:{uuid.uuid4().hex[:12]}")
        return given[-1]

    yield name
    subprocess.run(["podman", "rmi", "--force", "--ignore", *given], capture_output=True, timeout=BUILD_SECONDS)


@pytest.fixture(scope="session")
def runner_image(own_python: str, names: Callable[[str], str], pip_arguments: list[str]) -> str:
    """The image as `image build` makes it, from what has the name of Docker's official image."""
    name = names("runner")
    ended = command("build", "--engine=podman", f"--tag={name}", *pip_arguments)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f'container_image_uri = "{name}"\n'
    return name


@pytest.fixture(scope="session")
def nfs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nfs")


@pytest.fixture(scope="session")
def runtime(engine: str, nfs_folder: Path) -> ContainerRuntime:
    return ContainerRuntime(engine, nfs={NFS_EXPORT: nfs_folder})


@pytest.fixture(scope="session")
def emulator(image: str, runtime: ContainerRuntime) -> Iterator[Emulator]:
    with Emulator(
        buckets=("covalent", "data"),
        runtime=runtime,
        secrets={SECRET: "s3cret #1"},
        tasks_at_once=4,
        timing=Timing(grace_seconds=2),
    ) as made:
        yield made


@pytest.fixture
def services(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """The emulator, with this process's environment pointing at it."""
    for name, address in emulator.environment.items():
        monkeypatch.setenv(name, address)
    return emulator


@pytest.fixture
def make_executor(services: Emulator, own_python: str, tmp_path: Path) -> Callable[..., GCPBatchExecutor]:
    def make(**options: Any) -> GCPBatchExecutor:
        common = {
            "project_id": "local",
            "bucket_name": "covalent",
            "container_image_uri": own_python,
            "poll_freq": 0.1,
            "cache_dir": str(tmp_path / "cache"),
        }
        return GCPBatchExecutor(**common | options)

    return make
