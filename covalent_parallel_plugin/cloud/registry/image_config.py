"""What a container image says of itself, as registries and engines have it: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ImageConfig:
    """An image as its configuration describes it.

    `digest` is the manifest's, "" where an engine's own store was asked; `size_bytes` is what is downloaded (a
    registry's compressed layers) or stored (an engine's). Electrons' jobs use neither `entrypoint` nor `command`: they
    name their own.
    """

    uri: str
    digest: str
    os: str
    architecture: str
    user: str
    labels: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    size_bytes: int = 0
    command: tuple[str, ...] = ()
    workdir: str = ""

    @property
    def is_root(self) -> bool:
        """Whether its processes are root by default."""
        return self.user.split(":")[0] in ("", "0", "root")


def image_config(uri: str, digest: str, config: Mapping[str, Any], size_bytes: int) -> ImageConfig:
    """Read an image's configuration: a registry's blob, or what `docker image inspect` prints.

    https://github.com/opencontainers/image-spec/blob/main/config.md
    """
    inner = config.get("config") or config.get("Config") or {}
    pairs = (str(entry).partition("=") for entry in inner.get("Env") or [])
    return ImageConfig(
        uri=uri,
        digest=digest,
        os=str(config.get("os") or config.get("Os") or ""),
        architecture=str(config.get("architecture") or config.get("Architecture") or ""),
        user=str(inner.get("User") or ""),
        labels={str(name): str(value) for name, value in (inner.get("Labels") or {}).items()},
        env={name: value for name, _, value in pairs},
        entrypoint=tuple(map(str, inner.get("Entrypoint") or ())),
        size_bytes=size_bytes,
        command=tuple(map(str, inner.get("Cmd") or ())),
        workdir=str(inner.get("WorkingDir") or ""),
    )
