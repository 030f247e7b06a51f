"""`image build --context` with a real engine and registry, and the commands of the workflow for GitHub Actions."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from image_command import command
from registry_server import Registry, running_registry
from test_sweep_examples import EXAMPLES, in_place_of

from covalent_parallel_plugin.cloud.registry.client import read_image_config

pytestmark = pytest.mark.containers


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A registry on this machine, which podman speaks plain HTTP to."""
    with running_registry() as running:
        settings = tmp_path / "registries.conf"
        settings.write_text(f'[[registry]]\nlocation = "{running.host}"\ninsecure = true\n')
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(settings))
        yield running


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder whose Dockerfile needs no base, and which its .dockerignore keeps a file of out."""
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / ".dockerignore").write_text("secret\n")
    (folder / "secret").write_text("x")
    (folder / "Dockerfile").write_text('FROM scratch\nARG WHO\nLABEL who=$WHO\nCOPY . /\nENTRYPOINT ["/x"]\n')
    return folder


def test_what_was_built_and_pushed_is_named_by_its_digest(registry: Registry, small: Path, engine: str) -> None:
    tag = f"{registry.host}/p/r/small:1"
    words = ("build", "--context", str(small), "--tag", tag, f"--engine={engine}", "--build-arg=WHO=me", "--push")
    ended = command(*words)
    assert ended.returncode == 0, ended.stderr
    image = ended.stdout.removeprefix("image: ").strip()
    config = read_image_config(image)
    assert image == f"{registry.host}/p/r/small@{config.digest}" and config.labels["who"] == "me"
    assert {name for blob in registry.blobs.values() for name in names_in(blob)} == {"Dockerfile", ".dockerignore"}
    subprocess.run([engine, "rmi", "--force", tag], capture_output=True, timeout=60)


def names_in(blob: bytes) -> list[str]:
    """The files of a layer; of another blob none."""
    if blob[:2] != b"\x1f\x8b":
        return []
    with tarfile.open(fileobj=io.BytesIO(blob)) as layer:
        return layer.getnames()


def test_a_dockerfile_from_elsewhere_is_built(names: Callable[[str], str], small: Path, engine: str) -> None:
    other = small.parent / "other"
    (small / "Dockerfile").rename(other)
    tag = names("elsewhere")
    ended = command("build", "--context", str(small), "--dockerfile", str(other), "--tag", tag, f"--engine={engine}")
    assert (ended.returncode, ended.stdout) == (0, f"image: {tag}\n"), ended.stderr


def test_a_build_that_fails_says_what_the_engine_said(names: Callable[[str], str], small: Path, engine: str) -> None:
    (small / "Dockerfile").write_text("FROM scratch\nCOPY nothing /\n")
    ended = command("build", "--context", str(small), "--tag", names("failing"), f"--engine={engine}")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "nothing" in ended.stderr.splitlines()[-1]


def test_the_workflows_commands_build_and_publish(registry: Registry, engine: str, tmp_path: Path) -> None:
    workflow = yaml.safe_load((EXAMPLES / "github-actions" / "image.yml").read_text())
    shutil.copytree(EXAMPLES / "calculator", tmp_path / "calculator")
    # Small, since podman compresses what it pushes; the base is in the tests of the examples
    recipe = tmp_path / "calculator" / "Dockerfile"
    recipe.write_text(in_place_of(recipe.read_text(), ("FROM python:3.11-slim", "FROM scratch")))
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "docker").write_text(f'#!/bin/sh\nexec "{shutil.which(engine)}" "$@"\n')
    (programs / "docker").chmod(0o755)
    name = f"{registry.host}/Owner/repository/calculator"
    variables = {"IMAGE": name, "REF": "v1", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"), **workflow["env"]}
    steps = {step["name"]: step["run"] for step in workflow["jobs"]["ghcr"]["steps"] if "run" in step}
    try:
        for step in ("Build", "Push"):
            ended = subprocess.run(
                ["bash", "-e", "-c", steps[step]],
                cwd=tmp_path,
                env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", **variables},
                capture_output=True,
                text=True,
                timeout=600,
            )
            assert ended.returncode == 0, ended.stderr
    finally:
        built = [f"{name.lower()}:{tag}" for tag in ("latest", "v1")]
        subprocess.run([engine, "rmi", "--force", *built], capture_output=True, timeout=60)
    assert {tag for path, tag in registry.manifests if "calculator" in path} >= {"latest", "v1"}
    assert (tmp_path / "summary").read_text().startswith(f"image: {name.lower()}@sha256:")
