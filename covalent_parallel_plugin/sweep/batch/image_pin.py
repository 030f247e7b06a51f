"""Pin the image of a sweep on Batch, and read what it says of itself, if a registry or this machine has it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from ...cloud.registry.client import read_image_config
from ...cloud.registry.image_config import ImageConfig
from ...cloud.registry.image_reference import ImageReference, parse_reference
from ...errors import CloudError, MissingResourceError, MistakeError
from ...protocol.environment import BATCH_EMULATOR_HOST
from ..local.image import PLATFORM, ImagePullError, check_is_here, choose_engine, pin_image
from ..sweep_file import SweepFile
from ..tasks import PinnedImage, loader_variables


@dataclass(frozen=True)
class BatchImage:
    """An image as a job names it.

    Attributes:
        pinned: what it says of itself, for the tasks' keys and words.
        uri: for the job.
        environment: variables of the image that the loader of the tasks' supervisor must not see.
    """

    pinned: PinnedImage
    uri: str
    environment: Mapping[str, str]

    @classmethod
    def of(cls, pinned: PinnedImage) -> BatchImage:
        """Return an image that was pinned for Batch."""
        return cls(pinned, pinned.reference, pinned.environment)


def pin_batch_image(file: SweepFile, environment: Mapping[str, str], last: PinnedImage | None = None) -> BatchImage:
    """Ask the image's registry for it; on the emulator the engine of this machine, which runs its containers too.

    Where it cannot be read and the file has an entrypoint, it is the last run's, else the bare name is used.

    Args:
        file: the sweep's.
        environment: the variables that name the services.
        last: as the last run found it.

    Raises:
        ImagePullError: it is not there, for another platform, or cannot be read and the file has no entrypoint.
        ParallelError: there is no engine on this machine, or nothing to run.
    """
    reference = _reference(file.image)
    try:
        if BATCH_EMULATOR_HOST in environment and not _has_local_registry(reference):
            pinned = pin_image(choose_engine(), file.image, file.pull)
        else:
            pinned = _from_registry(file.image, reference)
    except MissingResourceError as error:
        raise ImagePullError(f"image {file.image!r} is not there: {error}") from error
    except CloudError as error:
        if file.entrypoint is None:
            raise ImagePullError(
                f"image {file.image!r} cannot be read here ({error}): write `entrypoint` in the file, with the words"
                " that the image begins with, since on Batch they come before `command`"
            ) from error
        pinned = _unread_image(file, environment, last)
    if not (file.command or file.flags or file.entrypoint or (file.entrypoint is None and _has_words(pinned))):
        raise MistakeError(f"image {file.image!r} has neither ENTRYPOINT nor CMD: write a command in the file")
    return BatchImage.of(pinned)


def kept_batch_image(file: SweepFile, last: PinnedImage, environment: Mapping[str, str]) -> BatchImage:
    """Return the image of the last run, which may have been one on this machine.

    Raises:
        ImagePullError: it is not there any more, or no registry has it.
    """
    if not last.reference.startswith("sha256:"):
        return BatchImage.of(last)
    # The id of an image on this machine
    if BATCH_EMULATOR_HOST in environment:
        check_is_here(choose_engine(), last)
        return BatchImage.of(last)
    if last.digest == last.reference:
        raise ImagePullError(
            f"--keep-image: the image of the last run, {last.reference}, is on this machine alone: push it, and run"
            " without --keep-image"
        )
    reference = _reference(file.image)
    return BatchImage.of(replace(last, reference=f"{reference.host}/{reference.path}@{last.digest}"))


def _unread_image(file: SweepFile, environment: Mapping[str, str], last: PinnedImage | None) -> PinnedImage:
    with suppress(ImagePullError):
        if last is not None:
            return kept_batch_image(file, last, environment).pinned
    return PinnedImage(digest=file.image, reference=file.image)


def _reference(image: str) -> ImageReference:
    try:
        return parse_reference(image)
    except ValueError as error:
        raise ImagePullError(f"image: {error}") from error


def _has_local_registry(reference: ImageReference) -> bool:
    """Whether the name's host is a registry on this machine; `localhost` alone stands for the engine's own images."""
    return reference.is_local and ":" in reference.host


def _from_registry(image: str, reference: ImageReference) -> PinnedImage:
    found = read_image_config(image)
    _check_platform(found)
    return PinnedImage(
        digest=found.digest,
        reference=f"{reference.host}/{reference.path}@{found.digest}",
        entrypoint=found.entrypoint,
        command=found.command,
        user=found.user,
        workdir=found.workdir,
        environment=loader_variables(found.env),
    )


def _check_platform(found: ImageConfig) -> None:
    platform = f"{found.os}/{found.architecture}"
    if platform != PLATFORM:
        raise ImagePullError(
            f"image {found.uri!r} is for {platform}, not for {PLATFORM}, which Batch's machines have: build it with"
            f" `--platform {PLATFORM}`"
        )


def _has_words(image: PinnedImage) -> bool:
    return bool(image.entrypoint or image.command)
