"""What `wait` and `covalent-parallel dev` have to know of each other, so that neither says what the other one does."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

PROGRESS_VARIABLE = "COVALENT_PARALLEL_PROGRESS"
OWNER_VARIABLE = "COVALENT_PARALLEL_DEV"
"""The process of `dev` that started a program; it cancels what an interrupted program leaves running."""
RAISED_VARIABLE = "COVALENT_PARALLEL_RAISED"
"""A file in which `wait` enters the dispatches whose error it raises: `dev` then need not print it again."""


def note_raised(dispatch_id: str, environment: Mapping[str, str] = os.environ) -> None:
    """Enter a dispatch, where the environment names a file."""
    path = environment.get(RAISED_VARIABLE)
    if path:
        # At worst an error is printed twice
        with contextlib.suppress(OSError), open(path, "a") as file:
            file.write(f"{dispatch_id}\n")


def raised_dispatches(path: Path) -> frozenset[str]:
    """Return the dispatches in the file."""
    return frozenset(path.read_text().split()) if path.exists() else frozenset()
