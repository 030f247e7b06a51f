"""Pull an image once and pin it: what runs is the image that was found then, whatever its tag means later."""

from __future__ import annotations

import json
import shutil
from typing import Any, Literal

from ...containers.engine import ENGINES, ContainerEngine, registry_of
from ...containers.engine_check import why_not
from ...errors import ParallelError, without_passwords
from ..tasks import PinnedImage, loader_variables

PLATFORM = "linux/amd64"
PULL_SECONDS = 3600.0
_LOGIN = ("unauthorized", "authentication required", "denied", "forbidden", "no basic auth", "login")


class ImagePullError(ParallelError):
    """An image is not available here: it is missing, for another platform, or its registry refuses; says what to do."""


def choose_engine() -> ContainerEngine:
    """Return podman, or else docker; where both are installed, the first that can run a container.

    Raises:
        ParallelError: neither is installed.
    """
    installed = [name for name in ENGINES if shutil.which(name)]
    if not installed:
        raise ParallelError("an image needs podman or docker, and neither is installed, or on the PATH: install one")
    if len(installed) > 1:
        installed = [name for name in installed if not why_not(name)] or installed
    return ContainerEngine(installed[0])


def pin_image(engine: ContainerEngine, image: str, pull: Literal["always", "missing"]) -> PinnedImage:
    """Pull an image, with "missing" only if it is not on this machine, and return what it says of itself.

    An image of this machine, which `localhost/` stands for, is never pulled if it is there; one without a registry in
    its name is used if it is there and cannot be pulled.

    Raises:
        ImagePullError: the registry refused, or the image is not for linux/amd64.
    """
    name = engine.image(image)
    found = _inspect(engine, name)
    if found is None or (pull == "always" and registry_of(name) != "localhost"):
        pulled = engine.call("pull", "--quiet", f"--platform={PLATFORM}", name, seconds=PULL_SECONDS)
        # one that was built here and has no registry in its name is nowhere else
        if pulled.returncode and (found is None or not _is_short(image)):
            raise ImagePullError(_refusal(engine.name, image, name, pulled.stderr))
        found = _inspect(engine, name)
    if found is None:
        raise ImagePullError(f"image {image!r} was pulled, but is not found: run `{engine.name} image inspect {name}`")
    return _config(image, name, found)


def check_is_here(engine: ContainerEngine, image: PinnedImage) -> None:
    """Raise ImagePullError if the image of an earlier run is not on this machine any more."""
    if engine.call("image", "inspect", image.reference).returncode:
        raise ImagePullError(
            f"--keep-image: the image of the last run, {image.reference}, is not on this machine any more: run"
            " without --keep-image"
        )


def _is_short(image: str) -> bool:
    return registry_of(image) == "docker.io" and not image.startswith("docker.io/")


def _inspect(engine: ContainerEngine, name: str) -> dict[str, Any] | None:
    ended = engine.call("image", "inspect", name)
    if ended.returncode:
        return None
    (found,) = json.loads(ended.stdout)
    return dict(found)


def _config(image: str, name: str, found: dict[str, Any]) -> PinnedImage:
    platform = f"{found.get('Os', '')}/{found.get('Architecture', '')}"
    if platform != PLATFORM:
        raise ImagePullError(
            f"image {image!r} is for {platform}, not for {PLATFORM}, which Batch's machines have: build it with"
            f" `--platform {PLATFORM}`"
        )
    config = found.get("Config") or {}
    return PinnedImage(
        digest=_digest(name, found),
        reference=_image_id(found),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        user=config.get("User") or "",
        workdir=config.get("WorkingDir") or "",
        environment=loader_variables(dict(text.split("=", 1) for text in config.get("Env") or () if "=" in text)),
    )


def _image_id(found: dict[str, Any]) -> str:
    """Return the image's id as both engines write it (podman leaves the algorithm out)."""
    return f"sha256:{str(found['Id']).removeprefix('sha256:')}"


def _digest(name: str, found: dict[str, Any]) -> str:
    """Return the digest of the registry that the image was named by, else of any, else the image's id."""
    digests = dict(text.split("@", 1) for text in found.get("RepoDigests") or () if "@" in text)
    repository = name.partition("@")[0]
    if ":" in repository.rpartition("/")[2]:
        repository = repository.rpartition(":")[0]
    of_others = next(iter(digests.values()), _image_id(found))
    return str(digests.get(repository, of_others))


def _refusal(engine: str, image: str, name: str, errors: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    # the last line of both engines' says why
    words = without_passwords(lines[-1].removeprefix("Error: ")) if lines else "it gave no reason"
    text = f"image {image!r} cannot be pulled: {words}"
    is_here_alone = registry_of(name) == "localhost"
    if not is_here_alone and any(word in errors.lower() for word in _LOGIN):
        text += f": log in with `{engine} login {registry_of(name)}`, or correct the name"
    elif is_here_alone or _is_short(image):
        text += f": build it with `{engine} build -t {image} FOLDER`, or correct the name"
    return text
