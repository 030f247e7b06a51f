"""The Python environments that are compared, made on first use and kept in `benchmarks/.environments`."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
FOLDER = Path(__file__).resolve().parent / ".environments"
INSTALL_SECONDS = 1200

REPLACED_PLUGIN = "covalent-gcpbatch-plugin==0.15.0"
# Newer ones make Covalent's server refuse every dispatch; nothing here starts one, but the environment is a user's
REPLACED_REQUIREMENTS = (REPLACED_PLUGIN, "fastapi<0.132")


@dataclass(frozen=True)
class Environments:
    """Interpreters: `ours` dispatches with this checkout, `replaced` is the replaced plugin's dispatcher and container.

    `stock` has nothing installed, as python:3.x-slim; `installed` has cloudpickle and this checkout, as an image with
    this package has. `entry_point` is the program that the replaced plugin's container runs.
    """

    ours: Path
    replaced: Path
    stock: Path
    installed: Path
    entry_point: Path


def stock_python() -> Path:
    """Return a Python that has nothing installed."""
    return _environment("stock", ())


def prepare() -> Environments:
    """Make what is missing. Raises CalledProcessError when an installation fails; pip's output is on stderr then."""
    replaced = _environment("replaced", REPLACED_REQUIREMENTS)
    package = _site_packages(replaced) / "covalent_gcpbatch_plugin"
    return Environments(
        ours=Path(sys.executable),
        replaced=replaced,
        stock=stock_python(),
        installed=_environment("installed", ("cloudpickle",), CHECKOUT),
        entry_point=package / "assets" / "docker" / "exec.py",
    )


def clean_environment() -> dict[str, str]:
    """This process's variables without those that would change what a contender does."""
    prefixes = ("COVALENT", "PYTHON", "VIRTUAL_ENV", "GOOGLE_", "STORAGE_", "BATCH_", "LOGGING_")
    return {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}


def _environment(name: str, requirements: Sequence[str], linked: Path | None = None) -> Path:
    """The Python of a virtual environment with these requirements, and with a folder on its path if one is given."""
    FOLDER.mkdir(exist_ok=True)
    # so that nobody has to name this folder in the repository's own list
    (FOLDER / ".gitignore").write_text("*\n")
    folder = FOLDER / name
    python = folder / "bin" / "python"
    marker = folder / "made-of"
    made_of = "\n".join([platform.python_version(), *requirements, str(linked or "")])
    if marker.is_file() and marker.read_text() == made_of:
        return python
    print(f"making the environment {name!r} in {folder}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    pip = [] if requirements else ["--without-pip"]
    _run(sys.executable, "-m", "venv", *pip, str(folder))
    if requirements:
        _run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)
    if linked is not None:
        (_site_packages(python) / "linked.pth").write_text(f"{linked}\n")
    # last, so that one whose making was interrupted is made again
    marker.write_text(made_of)
    return python


def _site_packages(python: Path) -> Path:
    return python.parent.parent / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=INSTALL_SECONDS, env=clean_environment(), stdout=sys.stderr)
