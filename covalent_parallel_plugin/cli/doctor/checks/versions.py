"""Judge what is installed here: Python, Covalent, FastAPI, this package, and other plugins of the same name."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ..results import Judged, error, ok

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 12)
# FACTS: 0.132 refuses Covalent's requests with 422 (strict content type)
FIRST_UNUSABLE_FASTAPI = (0, 132)
GROUP = "covalent.executor.executor_plugins"
PLUGIN, MODULE, CLASS = "gcpbatch", "covalent_parallel_plugin.gcpbatch", "GCPBatchExecutor"
REPLACED = "covalent-gcpbatch-plugin"
OURS = "covalent-parallel-plugin"


@dataclass(frozen=True)
class Plugin:
    """A module that Covalent would load as an executor: its name there, where it is, and what brings it."""

    name: str
    module: str
    distribution: str
    provides_class: bool


def judge_python(version: tuple[int, ...], shown: str) -> Judged:
    if OLDEST_PYTHON <= version[:2] <= NEWEST_PYTHON:
        return ok(f"Python {shown}")
    return error(
        f"Python {shown}: Covalent runs on 3.10 to 3.12",
        "make an environment with python3.12: python3.12 -m venv .venv, and install everything there",
    )


def judge_covalent(version: str | None) -> Judged:
    if version is None:
        return error("Covalent is not installed here", "pip install covalent")
    return ok(f"Covalent {version}")


def judge_fastapi(version: str | None) -> Judged:
    """FastAPI serves Covalent's API."""
    if version is None:
        return error("FastAPI, which Covalent's server runs on, is not installed here", "pip install 'fastapi<0.132'")
    if numbers_of(version)[:2] >= FIRST_UNUSABLE_FASTAPI:
        return error(
            f"FastAPI {version}: from 0.132 on it refuses every dispatch of Covalent's with 422",
            "pip install 'fastapi<0.132', then restart the server: covalent restart",
        )
    return ok(f"FastAPI {version}")


def judge_plugin(version: str, plugins: Sequence[Plugin]) -> Judged:
    """Covalent finds the executor by its entry point."""
    if any(plugin.module == MODULE and plugin.name == PLUGIN for plugin in plugins):
        return ok(f"{OURS} {version}, registered as {PLUGIN}")
    return error(
        f"{OURS} {version} can be imported, but is not installed: Covalent does not find its executor",
        f"pip install {OURS}",
    )


def judge_second_plugin(plugins: Sequence[Plugin], replaced_version: str | None) -> Judged:
    """Of two plugins under one name or with one class, the one that Covalent loads last wins, whichever that is."""
    others = [
        plugin for plugin in plugins if plugin.module != MODULE and (plugin.name == PLUGIN or plugin.provides_class)
    ]
    if replaced_version is not None:
        return error(
            f"{REPLACED} {replaced_version} is installed too, under the same name",
            f"pip uninstall {REPLACED}, then restart the server: covalent restart",
        )
    if others:
        found = "; ".join(f"{plugin.module} of {plugin.distribution}" for plugin in others)
        removable = sorted({plugin.distribution for plugin in others})
        return error(
            f"another module provides {CLASS} or the name {PLUGIN}: {found}",
            f"remove it (pip uninstall {' '.join(removable)}, or the file), then: covalent restart",
        )
    return ok(f"no other plugin is called {PLUGIN}")


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution; None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def installed_plugins(executor_dir: Path | None) -> list[Plugin]:
    """What Covalent would load: entry points, and the modules in its folder for plugins."""
    found: dict[tuple[str, str], Plugin] = {}
    for point in metadata.entry_points(group=GROUP):
        name = point.dist.name if point.dist is not None else "an unknown distribution"
        found[point.name, point.value] = Plugin(point.name, point.value, name, _names_class(_source(point.value)))
    if executor_dir is not None and executor_dir.is_dir():
        for path in sorted(executor_dir.glob("*.py")):
            found[path.stem, str(path)] = Plugin(path.stem, str(path), str(executor_dir), _names_class(path))
    return list(found.values())


def _source(module: str) -> Path | None:
    """A module's file, found without importing it."""
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


def numbers_of(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.split("+")[0])[:3])
