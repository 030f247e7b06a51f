"""Check what is installed here: Python, Covalent, FastAPI, this package, and other plugins of the same name."""

from __future__ import annotations

import importlib.util
import platform
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from .... import __version__
from ..check_runner import Facts, check
from ..results import CheckResult, error, ok
from ..setup import Setup

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 12)
# FACTS: 0.132 refuses Covalent's requests with 422 (strict content type)
FIRST_UNUSABLE_FASTAPI = (0, 132)
GROUP = "covalent.executor.executor_plugins"
PLUGIN, MODULE, CLASS = "gcpbatch", "covalent_parallel_plugin.gcpbatch", "GCPBatchExecutor"
REPLACED = "covalent-gcpbatch-plugin"
OURS = "covalent-parallel-plugin"


@dataclass(frozen=True)
class InstalledPlugin:
    """A module that Covalent would load as an executor: its name there, where it is, and what brings it."""

    name: str
    module: str
    distribution: str
    provides_class: bool


@check(
    "versions.python",
    "the Python that runs this is one that Covalent runs on (3.10 to 3.12)",
    "make an environment with such a Python",
)
def python(setup: Setup, facts: Facts) -> CheckResult:
    return evaluate_python(sys.version_info[:3], platform.python_version())


@check(
    "versions.covalent",
    "Covalent is installed here",
    "`pip install covalent`",
)
def covalent(setup: Setup, facts: Facts) -> CheckResult:
    version = _installed_version("covalent")
    if version is None:
        return error("Covalent is not installed here", "pip install covalent")
    return ok(f"Covalent {version}")


@check(
    "versions.fastapi",
    "FastAPI is older than 0.132, from which on it refuses every dispatch with 422",
    "`pip install 'fastapi<0.132'`, restart the server",
)
def fastapi(setup: Setup, facts: Facts) -> CheckResult:
    """FastAPI serves Covalent's API."""
    version = _installed_version("fastapi")
    if version is None:
        return error("FastAPI, which Covalent's server runs on, is not installed here", "pip install 'fastapi<0.132'")
    if refuses_dispatches(version):
        return error(
            f"FastAPI {version}: from 0.132 on it refuses every dispatch of Covalent's with 422",
            "pip install 'fastapi<0.132', then restart the server: covalent restart",
        )
    return ok(f"FastAPI {version}")


@check(
    "versions.plugin",
    "this package is installed, and not only importable: Covalent finds it by its entry point",
    "`pip install covalent-parallel-plugin`",
)
def plugin(setup: Setup, facts: Facts) -> CheckResult:
    if any(found.module == MODULE and found.name == PLUGIN for found in _installed_plugins(None)):
        return ok(f"{OURS} {__version__}, registered as {PLUGIN}")
    return error(
        f"{OURS} {__version__} can be imported, but is not installed: Covalent does not find its executor",
        f"pip install {OURS}",
    )


@check(
    "versions.second_plugin",
    "nothing else brings a plugin `gcpbatch` or a class `GCPBatchExecutor`: the replaced plugin"
    " covalent-gcpbatch-plugin, another distribution, a module in Covalent's folder for plugins",
    "uninstall the other one, restart the server",
)
def second_plugin(setup: Setup, facts: Facts) -> CheckResult:
    """Of two plugins under one name or with one class, the one that Covalent loads last wins, whichever that is."""
    folder = setup.file.value("sdk", "executor_dir")
    others = [
        found
        for found in _installed_plugins(Path(folder) if folder else None)
        if found.module != MODULE and (found.name == PLUGIN or found.provides_class)
    ]
    replaced_version = _installed_version(REPLACED)
    if replaced_version is not None:
        return error(
            f"{REPLACED} {replaced_version} is installed too, under the same name",
            f"pip uninstall {REPLACED}, then restart the server: covalent restart",
        )
    if others:
        named = "; ".join(f"{found.module} of {found.distribution}" for found in others)
        removable = sorted({found.distribution for found in others})
        return error(
            f"another module provides {CLASS} or the name {PLUGIN}: {named}",
            f"remove it (pip uninstall {' '.join(removable)}, or the file), then: covalent restart",
        )
    return ok(f"no other plugin is called {PLUGIN}")


def evaluate_python(version: tuple[int, ...], shown: str) -> CheckResult:
    """Judge a version of Python."""
    if OLDEST_PYTHON <= version[:2] <= NEWEST_PYTHON:
        return ok(f"Python {shown}")
    return error(
        f"Python {shown}: Covalent runs on 3.10 to 3.12",
        "make an environment with python3.12: python3.12 -m venv .venv, and install everything there",
    )


def refuses_dispatches(fastapi: str) -> bool:
    """Whether Covalent's server cannot work with this version of FastAPI."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", fastapi.split("+")[0])[:2])
    return numbers >= FIRST_UNUSABLE_FASTAPI


def _installed_version(distribution: str) -> str | None:
    """Return the version of an installed distribution; None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _installed_plugins(executor_dir: Path | None) -> list[InstalledPlugin]:
    """Return what Covalent would load: entry points, and the modules in its folder for plugins."""
    found: dict[tuple[str, str], InstalledPlugin] = {}
    for point in metadata.entry_points(group=GROUP):
        name = point.dist.name if point.dist is not None else "an unknown distribution"
        provides_class = _names_class(_source(point.value))
        found[point.name, point.value] = InstalledPlugin(point.name, point.value, name, provides_class)
    if executor_dir is not None and executor_dir.is_dir():
        for path in sorted(executor_dir.glob("*.py")):
            found[path.stem, str(path)] = InstalledPlugin(path.stem, str(path), str(executor_dir), _names_class(path))
    return list(found.values())


def _source(module: str) -> Path | None:
    """Find a module's file without importing it."""
    try:
        spec = importlib.util.find_spec(module.partition(":")[0])
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def _names_class(path: Path | None) -> bool:
    if path is None or path.suffix != ".py" or not path.is_file():
        return False
    text = path.read_text(encoding="utf-8", errors="replace")
    return re.search(rf"^(class {CLASS}\b|EXECUTOR_PLUGIN_NAME\s*=\s*[\"']{CLASS}[\"'])", text, re.M) is not None
