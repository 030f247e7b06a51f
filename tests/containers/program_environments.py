"""Virtual environments of programs that are not ours, made from the package index and kept below XDG_CACHE_HOME."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from base_image import alone, cache_folder

SECONDS = 600


class NotInstalled(Exception):
    """A program cannot be installed here; the text says why."""


def program_environment(*requirements: str) -> Path:
    """Return the folder of a virtual environment with these packages, made at the first call (about a minute).

    Raises NotInstalled.
    """
    key = hashlib.sha256(repr((sys.version_info[:3], sys.base_prefix, requirements)).encode()).hexdigest()[:12]
    name = f"{requirements[0].partition('==')[0]}-{key}"
    with alone(f"{name}.lock"):
        folder = cache_folder() / name
        installed = folder / "installed"
        if not installed.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(folder))
            _run(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements)
            # last, so that an interrupted installation is done again from the start
            installed.touch()
    return folder


def _run(*command: str) -> None:
    try:
        ended = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=SECONDS)
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(f"{' '.join(command)} took more than {SECONDS} s") from error
    if ended.returncode != 0:
        raise NotInstalled(f"{' '.join(command)} ended with status {ended.returncode}: {ended.stderr[-2000:]}")
