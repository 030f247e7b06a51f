"""Let a program that writes to a fixed path find its task's folder there: a link in place of an empty folder."""

from __future__ import annotations

import os
from pathlib import Path

from ...containers.container import CANNOT_START, StartFailed


def link_outputs(outputs: str, files: Path) -> None:
    """Make `outputs` a link to a task's folder; one that another task left is replaced.

    Raises:
        StartFailed: files are there already, or nothing can be written there.
    """
    path = Path(outputs)
    try:
        if path.is_symlink():
            path.unlink()
        elif path.is_dir():
            _remove_empty(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(files)
    except OSError as error:
        raise StartFailed(
            CANNOT_START,
            f"outputs: {outputs} cannot become the task's folder: {error.strerror}: use an image in which it is"
            " missing or empty, and no read-only root",
        ) from error


def _remove_empty(path: Path) -> None:
    """Remove a folder in which there are folders alone, such as the one that the container starts in."""
    for top, folders, names in os.walk(path):
        names += [name for name in folders if os.path.islink(os.path.join(top, name))]
        if names:
            raise StartFailed(
                CANNOT_START,
                f"outputs: the image has files in {path} already, such as {os.path.join(top, sorted(names)[0])}:"
                " use a path that is missing or empty in it",
            )
    for top, _, _ in os.walk(path, topdown=False):
        os.rmdir(top)
