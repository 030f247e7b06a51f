"""The stock image, a Python of Docker's official images, and the names under which registries and engines have it."""

from __future__ import annotations

import re

MIRROR_HOST = "mirror.gcr.io"
"""Google's mirror of Docker Hub: https://cloud.google.com/artifact-registry/docs/pull-cached-dockerhub-images

Docker Hub itself lets an address pull about ten images an hour without an account, and machines behind one NAT share
theirs: https://docs.docker.com/docker-hub/usage/
"""
MIRROR = f"{MIRROR_HOST}/library/"
_OFFICIAL = re.compile(rf"(?:{re.escape(MIRROR)}|(?:(?:index\.)?docker\.io/)?(?:library/)?)([^/]+)")


def stock_image(python_minor: str) -> str:
    """The image that jobs run in where none is named, for a minor version of Python such as 3.11."""
    return f"{MIRROR}python:{python_minor}-slim"


def names_of(uri: str) -> tuple[str, ...]:
    """All names of one image, the given one first: Docker's official images have several, any other has one."""
    official = _OFFICIAL.fullmatch(uri)
    if official is None:
        return (uri,)
    name = official[1]
    return tuple(dict.fromkeys((uri, name, f"docker.io/library/{name}", f"{MIRROR}{name}")))
