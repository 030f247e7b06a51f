"""What the two plugins' images add to their base: installed size, and the number of packages."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from covalent_parallel_plugin.cli.image import dockerfile_steps
from covalent_parallel_plugin.cli.image.versions import versions_here
from covalent_parallel_plugin.cli.image.wheel import write_wheel

from .environments import INSTALL_SECONDS, REPLACED_PLUGIN, Environments, clean_environment
from .tables import Bound, Line, Table

OURS, REPLACED = "this plugin", "replaced plugin"
MOST_OF_THE_REPLACED = 0.4
BLOCK_BYTES = 512  # of stat's st_blocks, on every system


def image_table(environments: Environments, tell: Callable[[str], None]) -> Table:
    """Install what each image's Dockerfile installs into an empty folder, for this Python, and measure the folders.

    The replaced plugin's list is the one in its own distribution: requirements-image.txt, then Covalent.
    """
    here = versions_here()
    covalent = f"covalent=={here.covalent}"
    with tempfile.TemporaryDirectory(prefix="benchmarks-image-") as work:
        ours, replaced, context = (Path(work) / name for name in ("ours", "replaced", "context"))
        context.mkdir()
        tell("installing what this plugin's image has")
        versions = (str(here.python), str(here.covalent), str(here.cloudpickle))
        _run(dockerfile_steps.__file__, "libraries", *versions, "--quiet", "--target", str(ours))
        _pip(ours, "--no-deps", "--no-index", str(write_wheel(context)))
        tell("installing what the replaced plugin's image has")
        _pip(replaced, "--requirement", str(environments.entry_point.parent / "requirements-image.txt"), covalent)
        folders = {OURS: ours, REPLACED: replaced}
        lines = [
            Line(
                "installed size, MB",
                {name: [installed_bytes(folder) / 1e6] for name, folder in folders.items()},
                Bound(MOST_OF_THE_REPLACED, is_ratio=True),
            ),
            Line("packages", {name: [_packages(folder)] for name, folder in folders.items()}),
        ]
    title = f"What the image adds to Python {platform.python_version()} ({covalent}; {REPLACED_PLUGIN})"
    return Table(title, [OURS, REPLACED], (OURS, REPLACED), lines)


def installed_bytes(folder: Path) -> int:
    """What `du` counts: the blocks of every file and folder."""
    return sum(path.lstat().st_blocks * BLOCK_BYTES for path in (folder, *folder.rglob("*")))


def _packages(folder: Path) -> int:
    return sum(1 for _ in importlib.metadata.distributions(path=[str(folder)]))


def _pip(folder: Path, *arguments: str) -> None:
    _run("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", str(folder), *arguments)


def _run(*words: str) -> None:
    subprocess.run(
        [sys.executable, *words], check=True, timeout=INSTALL_SECONDS, env=clean_environment(), stdout=sys.stderr
    )
