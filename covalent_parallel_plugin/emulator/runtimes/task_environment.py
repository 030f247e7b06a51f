"""Build the environment variables of a task."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ...protocol.environment import ENV_LIVE

INHERITED = (
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "PIP_CERT", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_NO_INDEX", "PIP_TRUSTED_HOST",
)  # fmt: skip
"""What makes pip work behind a proxy or on another index; nothing else of the outer environment reaches a task."""

SERVICES = ("STORAGE_EMULATOR_HOST", "BATCH_EMULATOR_HOST", "LOGGING_EMULATOR_HOST")

# For tests: live output that comes sooner
PACE = (ENV_LIVE,)


def process_environment(
    folder: Path, python: str, wanted: Mapping[str, str], outer: Mapping[str, str]
) -> dict[str, str]:
    """Build a task's environment: `wanted` wins over what the folders give, those over `outer`.

    pip installs into `folder/packages`, which comes before the interpreter's own packages; the interpreter's folder is
    first on PATH after the packages' programs. The job's own PATH and PYTHONPATH go in front of these.
    """
    packages = folder / "packages"
    home = folder / "home"
    environment = inherited(outer)
    settings = pip_settings(outer)
    if settings is not None:
        environment["PIP_CONFIG_FILE"] = settings
    environment.update(
        LANG="C.UTF-8",
        HOME=str(home),
        TMPDIR=str(folder / "tmp"),
        PIP_TARGET=str(packages),
    )
    environment.update(wanted)
    search = [str(packages / "bin"), str(Path(python).parent), outer.get("PATH", os.defpath)]
    environment["PATH"] = _joined(wanted.get("PATH"), *search)
    environment["PYTHONPATH"] = _joined(wanted.get("PYTHONPATH"), str(packages))
    return environment


def inherited(outer: Mapping[str, str]) -> dict[str, str]:
    """Return what any task gets of the outer environment: proxies, pip's indexes, services elsewhere, and the pace."""
    environment = {name: outer[name] for name in INHERITED if name in outer}
    # the emulators are on loopback: a proxy must not be asked for them
    if any(name.lower().endswith("_proxy") for name in environment):
        for name in ("NO_PROXY", "no_proxy"):
            environment[name] = ",".join(filter(None, [environment.get(name, ""), "127.0.0.1,localhost"]))
    environment.update({name: outer[name] for name in (*SERVICES, *PACE) if name in outer})
    return environment


def pip_settings(outer: Mapping[str, str]) -> str | None:
    """Find the user's own pip settings file, in the order in which pip does; None if there is none."""
    if "PIP_CONFIG_FILE" in outer:
        return outer["PIP_CONFIG_FILE"]
    if "HOME" not in outer:
        return None
    home = Path(outer["HOME"])
    candidates = [
        Path(outer.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf",
        home / "Library" / "Application Support" / "pip" / "pip.conf",
        home / ".pip" / "pip.conf",
    ]
    return next((str(path) for path in candidates if path.is_file()), None)


def _joined(*parts: str | None) -> str:
    return os.pathsep.join(part for part in parts if part)
