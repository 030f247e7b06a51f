"""Names of images."""

from __future__ import annotations

import pytest

from covalent_parallel_plugin.cloud.registry.image_reference import parse_reference
from covalent_parallel_plugin.settings.container_rules import stock_image

DIGEST = "sha256:" + "0a" * 32


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("python", "docker.io/library/python:latest"),
        ("python:3.11-slim", "docker.io/library/python:3.11-slim"),
        ("user/name", "docker.io/user/name:latest"),
        ("docker.io/python:3", "docker.io/library/python:3"),
        ("index.docker.io/library/python:3", "docker.io/library/python:3"),
        ("us-east1-docker.pkg.dev/p/r/i:t", "us-east1-docker.pkg.dev/p/r/i:t"),
        ("localhost/name", "localhost/name:latest"),
        ("localhost:5000/a/b_c__d-e.f:T_1.2-3", "localhost:5000/a/b_c__d-e.f:T_1.2-3"),
        (f"gcr.io/p/i@{DIGEST}", f"gcr.io/p/i@{DIGEST}"),
        (f"gcr.io/p/i:t@{DIGEST}", f"gcr.io/p/i:t@{DIGEST}"),
    ],
)
def test_a_reference_is_completed_as_engines_do(text: str, whole: str) -> None:
    assert str(parse_reference(text)) == whole


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not an image"),
        ("a b", "is not an image"),
        ("name:", "a tag has"),
        ("name:a/b:c", "is not an image"),
        ("Name", "no capital letters"),
        ("https://gcr.io/p/i", "leave https:// out"),
        ("name@sha256:12", "64 hexadecimal digits"),
        ("name:" + "t" * 129, "at most 128"),
        ("name:tag\n", "a tag has"),
        ("-host.io/x", "is not an image"),
    ],
)
def test_what_is_no_reference_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_reference(text)


def test_docker_hubs_api_has_another_name() -> None:
    assert parse_reference("python").address == "https://registry-1.docker.io"


@pytest.mark.parametrize(
    ("text", "scheme"), [("localhost:5000/a", "http"), ("127.0.0.1:1/a", "http"), ("a.io/b", "https")]
)
def test_only_registries_of_this_machine_are_spoken_to_in_plain_text(text: str, scheme: str) -> None:
    assert parse_reference(text).address.startswith(f"{scheme}://")


@pytest.mark.parametrize("host", ["europe-docker.pkg.dev", "gcr.io", "eu.gcr.io"])
def test_googles_registries_are_known(host: str) -> None:
    assert parse_reference(f"{host}/p/i").is_google


@pytest.mark.parametrize("host", ["evil-docker.pkg.dev.example.com", "notgcr.io", "docker.io"])
def test_other_registries_never_get_a_google_token(host: str) -> None:
    assert not parse_reference(f"{host}/p/i").is_google


def test_the_mirror_is_asked_without_an_account() -> None:
    assert not parse_reference(stock_image("3.11")).is_google
