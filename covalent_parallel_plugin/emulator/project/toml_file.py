"""Read the project's resources from TOML (`emulator --known FILE`): its keys are the fields of `ProjectResources`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar

import toml  # type: ignore[import-untyped]  # has no types

from . import resources

T = TypeVar("T")
Reader = Callable[[str, object], Any]


def read_project_file(path: Path) -> resources.ProjectResources:
    """Read a file.

    Raises:
        ProjectResourcesError: it is not TOML, or has a key or a value that means nothing.
        OSError: it cannot be read.
    """
    try:
        described = toml.loads(path.read_text())
    except (toml.TomlDecodeError, UnicodeDecodeError) as error:
        raise resources.ProjectResourcesError(f"{path}: this is not TOML: {error}") from error
    try:
        found: resources.ProjectResources = _made(resources.ProjectResources, "", described, _PROJECT)
    except resources.ProjectResourcesError as error:
        raise resources.ProjectResourcesError(f"{path}: {error}") from error
    return found


def _text(where: str, value: object) -> str:
    return _of_kind(where, value, str, "text in quotes")


def _truth(where: str, value: object) -> bool:
    return _of_kind(where, value, bool, "true or false")


def _whole(where: str, value: object) -> int:
    if isinstance(value, bool):
        raise resources.ProjectResourcesError(f"{where} must be a whole number, not {value!r}")
    return _of_kind(where, value, int, "a whole number")


def _number(where: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise resources.ProjectResourcesError(f"{where} must be a number, not {value!r}")
    return float(value)


def _texts(where: str, value: object) -> tuple[str, ...]:
    return tuple(_text(where, entry) for entry in _of_kind(where, value, list, "a list of texts"))


def _of_kind(where: str, value: object, kind: type[T], described: str) -> T:
    if not isinstance(value, kind):
        raise resources.ProjectResourcesError(f"{where} must be {described}, not {value!r}")
    return value


def _table(read: Reader) -> Reader:
    def reader(where: str, value: object) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise resources.ProjectResourcesError(f"{where} must be a table, not {value!r}")
        return {name: read(f"{where}.{name}", entry) for name, entry in value.items()}

    return reader


def _record(kind: Callable[..., Any], readers: Mapping[str, Reader]) -> Reader:
    return lambda where, value: _made(kind, where, value, readers)


def _made(kind: Any, where: str, value: object, readers: Mapping[str, Reader]) -> Any:
    if not isinstance(value, Mapping):
        raise resources.ProjectResourcesError(f"{where} must be a table, not {value!r}")
    at = f"{where}." if where else ""
    for name in value:
        if name not in readers:
            raise resources.ProjectResourcesError(f"{at}{name} is not a known key: use one of {', '.join(readers)}")
    for field in fields(kind):
        if field.name not in value and field.default is MISSING and field.default_factory is MISSING:
            raise resources.ProjectResourcesError(f"{at}{field.name} is missing")
    return kind(**{name: readers[name](at + name, entry) for name, entry in value.items()})


_BUCKET: Mapping[str, Reader] = {
    "location": _text,
    "lifecycle_days": lambda where, value: _whole(where, value) or None,
    "lifecycle_prefix": _text,
    "uniform_access": _truth,
    "public_access_prevention": _truth,
    "denied": _texts,
}
_SUBNETWORK: Mapping[str, Reader] = {"region": _text, "private_google_access": _truth}
_PROJECT: Mapping[str, Reader] = {
    "projects": _texts,
    "disabled_apis": _texts,
    "regions": _table(_texts),
    "machine_types": _table(_record(resources.Machine, {"cpus": _whole, "memory_mb": _whole, "zones": _texts})),
    "accelerator_types": _table(_record(resources.Accelerator, {"most": _whole, "zones": _texts})),
    "service_accounts": _table(_record(resources.ServiceAccount, {"disabled": _truth, "may_act_as": _truth})),
    "secrets": _texts,
    "networks": _table(_record(resources.Network, {"subnetworks": _table(_record(resources.Subnetwork, _SUBNETWORK))})),
    "quotas": _table(_table(_number)),
    "buckets": _table(_record(resources.BucketFacts, _BUCKET)),
    "denied": _texts,
}
