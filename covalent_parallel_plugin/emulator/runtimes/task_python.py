"""Choose the interpreter that stands for an image, and what its tasks share: pip's cache and installed requirements."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...containers.engine import names_of
from ...protocol.environment import ENV_PACKAGES
from ..model.user_cache import TodaysFolder, UserCache
from .plain_python import plain_python


class TaskPython:
    """Interpreters by image: those of `images`, else `python`, else a Python of this version without packages.

    With `site_packages` the last is the one that runs this. Raises ValueError for an interpreter that is not there.
    """

    def __init__(
        self,
        python: Path | None = None,
        images: Mapping[str, Sequence[str]] | None = None,
        site_packages: bool = False,
        cache: UserCache | None = None,
    ) -> None:
        named = python or (sys.executable if site_packages else None)
        self._python = None if named is None else _default_command("python", (str(named),))
        commands = {uri: _default_command(uri, command) for uri, command in (images or {}).items()}
        self._images = {name: command for uri, command in commands.items() for name in names_of(uri)} | commands
        self._cache = UserCache(os.environ) if cache is None else cache
        self._lock = threading.Lock()
        self._plain: str | None = None
        self._packages: TodaysFolder | None = None

    def interpreter(self, image: str, own_folder: Path) -> Sequence[str]:
        """Return the interpreter that an image stands for, with its default command.

        `own_folder` is for the one without packages where the user has no folder for caches. Raises OSError.
        """
        if image in self._images:
            return self._images[image]
        if self._python is not None:
            return self._python
        with self._lock:
            # The user may remove the cache at any time
            if self._plain is None or not Path(self._plain).exists():
                self._plain = str(plain_python(self._cache.folder() or own_folder))
            return (self._plain,)

    def shared_variables(self, interpreter: str, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the variables by which a task finds what others have downloaded and installed.

        Installed requirements are shared where the interpreter has no packages of its own: those might change. They
        belong to this day, to the interpreter, and to pip's settings.
        """
        downloads = self._cache.folder("pip")
        if downloads is None:
            return {}
        variables = {"PIP_CACHE_DIR": str(downloads)}
        if interpreter == self._plain:
            variables[ENV_PACKAGES] = str(self._packages_folder(environment))
        return {name: value for name, value in variables.items() if name not in environment}

    def close(self) -> None:
        """Let what tasks have shared be removed when it is old."""
        if self._packages is not None:
            self._packages.release()
            self._packages = None

    def _packages_folder(self, environment: Mapping[str, str]) -> Path:
        settings = {name: value for name, value in sorted(environment.items()) if name.startswith("PIP_")}
        settings.pop("PIP_TARGET", None)
        file = Path(settings.get("PIP_CONFIG_FILE", os.devnull))
        text = file.read_bytes() if file.is_file() else b""
        key = hashlib.sha256(repr((self._plain, settings, text)).encode()).hexdigest()[:16]
        with self._lock:
            if self._packages is not None and not self._packages.path.is_dir():
                self._packages.release()
                self._packages = None
            if self._packages is None:
                parent = self._cache.folder("packages")
                assert parent is not None  # pip's is there
                self._packages = TodaysFolder(parent)
        folder = self._packages.path / key
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder


def _default_command(image: str, command: Sequence[str]) -> tuple[str, ...]:
    """Check that an image's interpreter is there, and give its full path."""
    program = shutil.which(command[0]) if command else None
    if program is None:
        raise ValueError(f"{image!r} stands for {' '.join(command) or 'nothing'!r}, and there is no such program")
    return (str(Path.cwd() / program), *command[1:])
