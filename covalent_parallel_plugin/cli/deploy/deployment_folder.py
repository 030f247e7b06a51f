"""Where a deployment's files and state are: one folder for each project and name, readable by its owner only."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ...errors import DeployError

INFRA = Path(__file__).resolve().parents[2] / "assets" / "infra"
# Begins the first line of every file of ours; others in the folder (a backend, say) are the user's
MARK = "# Part of covalent-parallel-plugin:"
# Only Covalent's own command needs it
LEFT_OUT = frozenset({"covalent.tf"})
OWNER_ONLY = 0o700


def data_folder(environment: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Where programs keep a user's data: XDG_DATA_HOME, else ~/.local/share, on macOS ~/Library/Application Support.

    Source: https://specifications.freedesktop.org/basedir-spec, where a relative path counts for nothing.
    """
    named = Path(environment.get("XDG_DATA_HOME", ""))
    if named.is_absolute():
        return named
    home = Path(environment.get("HOME") or Path.home())
    return home / "Library" / "Application Support" if platform == "darwin" else home / ".local" / "share"


def folder_of(project: str, name: str, environment: Mapping[str, str]) -> Path:
    """The folder of one deployment."""
    return _all(environment) / project / name


def known_deployments(environment: Mapping[str, str]) -> list[tuple[str, str]]:
    """Project and name of every deployment that has a folder."""
    return sorted((folder.parent.name, folder.name) for folder in _all(environment).glob("*/*") if folder.is_dir())


def prepare_folder(folder: Path, source: Path = INFRA) -> bool:
    """Have the folder, with the Terraform files of this version.

    Returns:
        Whether the required versions are others than at the last time, so that providers may have to be fetched anew.

    Raises:
        DeployError: it cannot be made or written to.
    """
    try:
        _make(folder)
        wanted = {path.name: path.read_text(encoding="utf-8") for path in sorted(source.glob("*.tf"))}
        wanted = {name: text for name, text in wanted.items() if name not in LEFT_OUT}
        before = folder / "versions.tf"
        is_other = before.exists() and before.read_text(encoding="utf-8") != wanted.get("versions.tf")
        for path in folder.glob("*.tf"):
            if path.name not in wanted and path.read_text(encoding="utf-8", errors="replace").startswith(MARK):
                # Of an earlier version of this package; together with the new ones it would define things twice.
                path.unlink()
        for name, text in wanted.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise DeployError(f"the folder {folder} cannot be used: {error}: set XDG_DATA_HOME to another place") from error
    return is_other


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # State may come to hold what others should not read. `mkdir` alone is subject to the umask, and leaves be what is.
    for part in (folder.parent.parent, folder.parent, folder):
        part.chmod(OWNER_ONLY)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"no leave to write to {folder}")


def _all(environment: Mapping[str, str]) -> Path:
    return data_folder(environment) / "covalent-parallel" / "deploy"
