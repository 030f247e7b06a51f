"""The name of a container image, taken apart: pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ...settings.container_rules import MIRROR_HOST

DOCKER_HUB = "docker.io"
# What Docker Hub's API is called, which is not its name in references
DOCKER_HUB_API = "registry-1.docker.io"

# https://github.com/distribution/reference, regexp.go
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?|\[[0-9a-fA-F:]+\](?::[0-9]+)?")
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class ImageReference:
    """An image's registry, its path there, and which of its versions: a digest, else a tag."""

    host: str
    path: str
    tag: str
    digest: str

    @property
    def version(self) -> str:
        """What the registry is asked for."""
        return self.digest or self.tag

    @property
    def is_google(self) -> bool:
        """Whether a Google account opens it: Artifact Registry or Container Registry, but the mirror is everybody's."""
        is_registry = self.host == "gcr.io" or self.host.endswith(("-docker.pkg.dev", ".gcr.io"))
        return is_registry and self.host != MIRROR_HOST

    @property
    def is_local(self) -> bool:
        """Whether the registry is on this machine, where engines speak plain HTTP."""
        name = self.host.rsplit(":", 1)[0] if not self.host.endswith("]") else self.host
        return name in ("localhost", "127.0.0.1", "[::1]")

    @property
    def address(self) -> str:
        """Where the registry's API is."""
        host = DOCKER_HUB_API if self.host == DOCKER_HUB else self.host
        return f"{'http' if self.is_local else 'https'}://{host}"

    def __str__(self) -> str:
        return (
            f"{self.host}/{self.path}"
            + (f":{self.tag}" if self.tag else "")
            + (f"@{self.digest}" if self.digest else "")
        )


def is_digest(text: object) -> bool:
    """Whether this is a digest as registries write it: all that may become part of an address."""
    return isinstance(text, str) and _DIGEST.fullmatch(text) is not None


def parse_reference(text: str) -> ImageReference:
    """Read a reference as engines do: without a host it is Docker Hub's, without a tag `latest`.

    Raises:
        ValueError: it is none.
    """
    rest, at, digest = text.partition("@")
    if at and not is_digest(digest):
        raise ValueError(f"{text!r} is not an image: what follows '@' has to be sha256: and 64 hexadecimal digits")
    first, slash, tail = rest.partition("/")
    has_host = bool(slash) and ("." in first or ":" in first or first == "localhost")
    host, name = (first, tail) if has_host else (DOCKER_HUB, rest)
    path, colon, tag = name.partition(":")
    if "://" in text:
        raise ValueError(f"{text!r} is not an image: leave {text.split('://', 1)[0]}:// out")
    if not _HOST.fullmatch(host) or not _PATH.fullmatch(path):
        hint = ": names of images have no capital letters" if path != path.lower() else ""
        raise ValueError(
            f"{text!r} is not an image{hint or ', such as REGION-docker.pkg.dev/PROJECT/REPOSITORY/NAME:TAG'}"
        )
    if colon and not _TAG.fullmatch(tag):
        raise ValueError(f"{text!r} is not an image: a tag has letters, digits, '_', '.' and '-', at most 128")
    if host == "index.docker.io":
        host = DOCKER_HUB
    if host == DOCKER_HUB and "/" not in path:
        path = f"library/{path}"
    return ImageReference(host, path, tag or ("" if digest else "latest"), digest)
