"""Which sweeps there are on this machine: a small file for each, so that commands find a sweep by its name."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from ...errors import ParallelError
from .out_folder import OutFolder

_IDS = re.compile(r"[0-9a-f]{12}")


class UnknownSweepError(ParallelError):
    """No sweep, or more than one, has this name; the message lists the known ones."""


class SweepsIndex:
    """The sweeps of this machine by name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> SweepsIndex:
        """Return the user's index.

        Source: https://specifications.freedesktop.org/basedir-spec, where a relative path counts for nothing.
        """
        named = Path(environment.get("XDG_STATE_HOME", ""))
        home = Path(environment.get("HOME") or Path.home())
        return cls((named if named.is_absolute() else home / ".local" / "state") / "covalent-parallel" / "sweeps")

    def add(self, sweep_id: str, name: str, out: OutFolder) -> None:
        """Add a sweep, in place of one whose folder was removed. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self.forget(out)
        partial = self._folder / f".{sweep_id}.{os.getpid()}"
        partial.write_text(json.dumps({"name": name, "folder": str(out.path)}), encoding="utf-8")
        partial.replace(self._folder / f"{sweep_id}.json")

    def known(self) -> list[OutFolder]:
        """List the folders of all sweeps that are still there, by name."""
        return [OutFolder(folder) for _, folder in sorted(self._entries())]

    def forget(self, out: OutFolder) -> None:
        """Leave out the sweeps that were in this folder."""
        for path in self._folder.glob("*.json"):
            if Path(_read(path).get("folder", "")) == out.path:
                path.unlink(missing_ok=True)

    def has(self, text: str, here: Path) -> bool:
        """Return whether a sweep has this folder, name or id, or several have."""
        return _is_sweep(here / text) or any(name == text for name, _ in self._entries()) or bool(self._with_id(text))

    def find(self, text: str | None, here: Path) -> OutFolder:
        """Find a sweep by its folder, name or id; without any the one in this folder or just below it.

        Raises:
            UnknownSweepError: there is none, or there are several.
        """
        if text is None:
            return self._find_here(here)
        if _is_sweep(here / text):
            return OutFolder(here / text)
        entries = self._entries()
        folders = [folder for name, folder in entries if name == text] or self._with_id(text)
        if len(folders) == 1:
            return OutFolder(folders[0])
        if folders:
            raise UnknownSweepError(
                f"several sweeps are called {text!r}: give the folder: {' '.join(sorted(map(str, folders)))}"
            )
        names = " ".join(sorted({name for name, _ in entries})) or "none yet"
        raise UnknownSweepError(f"there is no sweep {text!r}: give a sweep's folder, or the name of one: {names}")

    def _find_here(self, here: Path) -> OutFolder:
        if _is_sweep(here):
            return OutFolder(here)
        below = [path for path in sorted(here.iterdir()) if _is_sweep(path)]
        if len(below) == 1:
            return OutFolder(below[0])
        found = " ".join(path.name for path in below) or "none"
        raise UnknownSweepError(f"which sweep? Give its name or folder; in this folder there are: {found}")

    def _with_id(self, sweep_id: str) -> list[Path]:
        folder = _read(self._folder / f"{sweep_id}.json").get("folder", "") if _IDS.fullmatch(sweep_id) else ""
        return [Path(folder)] if folder and _is_sweep(Path(folder)) else []

    def _entries(self) -> list[tuple[str, Path]]:
        entries = [_read(path) for path in self._folder.glob("*.json")]
        return [
            (entry["name"], Path(entry["folder"]))
            for entry in entries
            if {"name", "folder"} <= entry.keys() and _is_sweep(Path(entry["folder"]))
        ]


def _is_sweep(folder: Path) -> bool:
    try:
        return OutFolder(folder).journal_path.is_file()
    except (OSError, ValueError):  # no path can have such a name
        return False


def _read(path: Path) -> dict[str, str]:
    try:
        entry = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # removed meanwhile, or not ours
        return {}
    return entry if isinstance(entry, dict) else {}
