"""What several commands of a sweep take: the sweep itself, by its name or folder."""

from __future__ import annotations

import os
from pathlib import Path

from covalent_parallel_plugin.sweep.out_folder import OutFolder
from covalent_parallel_plugin.sweep.sweeps_index import SweepsIndex

NAME_OR_FOLDER = "[NAME|FOLDER]"


def find_sweep(text: str | None) -> OutFolder:
    """Find a sweep by name or folder; without either the one that is here. Raises UnknownSweepError."""
    return SweepsIndex.of(os.environ).find(text, Path.cwd())
