"""The stock image and its names."""

from __future__ import annotations

from pathlib import Path

import pytest

import covalent_parallel_plugin
from covalent_parallel_plugin.containers.engine import names_of
from covalent_parallel_plugin.settings import OPTIONS
from covalent_parallel_plugin.settings.container_rules import stock_image

ROOT = Path(covalent_parallel_plugin.__file__).parent
NAMES = (
    "python:3.11-slim",
    "docker.io/library/python:3.11-slim",
    "mirror.gcr.io/library/python:3.11-slim",
)


def test_the_stock_image_comes_from_googles_mirror() -> None:
    assert stock_image("3.11") == "mirror.gcr.io/library/python:3.11-slim"


@pytest.mark.parametrize("uri", [*NAMES, "library/python:3.11-slim", "docker.io/python:3.11-slim"])
def test_an_official_image_has_all_its_names_whichever_is_given_and_that_one_first(uri: str) -> None:
    assert names_of(uri)[0] == uri
    assert set(names_of(uri)) == {uri, *NAMES}


def test_a_digest_stays_with_the_name() -> None:
    digest = f"python@sha256:{'0' * 64}"
    assert f"mirror.gcr.io/library/{digest}" in names_of(digest)


@pytest.mark.parametrize(
    "uri",
    [
        "someone/python:3.11-slim",
        "localhost/python:3.11-slim",
        "localhost:5000/python:3.11-slim",
        "us-docker.pkg.dev/p/library/python:3.11-slim",
        "mirror.gcr.io/someone/python:3.11-slim",
        "mirror.gcr.io.example/library/python:3.11-slim",
        "quay.io/library/python:3.11-slim",
    ],
)
def test_any_other_image_has_one_name(uri: str) -> None:
    assert names_of(uri) == (uri,)


def test_what_is_written_without_the_constant_names_the_same_image() -> None:
    recipe = (ROOT / "assets" / "docker" / "Dockerfile").read_text()
    assert f"ARG BASE_IMAGE={stock_image('${PYTHON_MINOR}')}\n" in recipe
    assert stock_image("X.Y") in OPTIONS["container_image_uri"].help
    pages = [ROOT.parent / "README.md", *(ROOT.parent / "docs").rglob("*.md")]
    assert {"images.md", "options.md"} <= {p.name for p in pages if stock_image("X.Y") in p.read_text()}
    assert [page.name for page in pages if "`python:X.Y-slim`" in page.read_text()] == []
