"""Judge Covalent's configuration file, the options, and the folder for large payloads."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from pathlib import Path

from ....covalent_api.config_file import ConfigFile
from ....settings import OPTIONS, SECTION, nearest
from ..results import Judged, error, ok, warning
from ..setup import FROM_DEFAULT, Case

# Their values may be passwords, which do not belong into what people paste
NAMES_ONLY = ("environment",)
LINE_CHARACTERS = 100


def judge_file(file: ConfigFile, is_writable: bool) -> Judged:
    """Covalent reads the file when it is imported, and writes it anew."""
    if file.problem:
        return error(f"{file.path} {file.problem}", file.remedy)
    if not is_writable:
        return error(
            f"{file.path} cannot be written, and Covalent writes it whenever it is imported",
            f"make it yours: chown $USER {file.path.parent} {file.path}",
        )
    if not file.exists:
        return ok(f"{file.path} is not there yet: Covalent makes it with its defaults")
    if not file.section:
        return ok(f"{file.path} is readable, and sets nothing under [{SECTION}]")
    return ok(f"{file.path} is readable")


def judge_options(case: Case) -> Judged:
    """Every option with its value and where it comes from."""
    lines = []
    for name in OPTIONS:
        if case.sources[name] != FROM_DEFAULT:
            lines.append(f"{name} = {shown(name, case.values[name])} ({case.sources[name]})")
    defaults = [f"{name} = {shown(name, case.values[name])}" for name in OPTIONS if case.sources[name] == FROM_DEFAULT]
    # One long line would hide the few that were set.
    lines += textwrap.wrap(
        ", ".join(defaults), LINE_CHARACTERS, initial_indent="default: ", subsequent_indent=" " * len("default: ")
    )
    chosen = len(OPTIONS) - len(defaults)
    return ok(f"{chosen} set, {len(defaults)} at their defaults; the file is {case.file.path}", details=lines)


def judge_mistakes(case: Case) -> Judged:
    """What `run()` would refuse before anything is staged."""
    if not case.mistakes:
        return ok("every option is given that must be, and none is wrong")
    return error(
        "1 option needs attention" if len(case.mistakes) == 1 else f"{len(case.mistakes)} options need attention",
        f"edit [{SECTION}] in {case.file.path} as each line says",
        details=case.mistakes,
    )


def judge_unknown_keys(section: Mapping[str, object], path: Path) -> Judged:
    """Keys that are no options are ignored by the executor, which is rarely what was meant."""
    unknown = [name for name in section if name not in OPTIONS]
    if not unknown:
        return ok("none")
    lines = []
    for name in unknown:
        near = nearest(name)
        lines.append(f"{name}{f': did you mean {near}?' if near else ''}")
    return warning(
        f"[{SECTION}] has {', '.join(unknown)}, which {'is no option' if len(unknown) == 1 else 'are no options'}",
        f"edit {path}: rename or remove {'it' if len(unknown) == 1 else 'them'}",
        details=lines,
    )


def judge_cache_dir(path: str, existing: Path, is_usable: bool) -> Judged:
    """`existing` is the folder, or the nearest above it that is there."""
    if not is_usable:
        return error(
            f"{path!r} cannot be {'written to' if existing == Path(path) else f'made below {existing}'}",
            "name another folder in cache_dir, or change this one's owner",
        )
    return ok(f"{path} is writable" if existing == Path(path) else f"{path} will be made below {existing}")


def is_file_writable(path: Path) -> bool:
    """Whether Covalent can write the file, or make it."""
    if path.exists():
        return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return is_folder_usable(nearest_folder(path.parent))


def nearest_folder(path: Path) -> Path:
    """The path, or the nearest above it that exists."""
    absolute = path.absolute()
    return next(folder for folder in (absolute, *absolute.parents) if folder.exists())


def is_folder_usable(path: Path) -> bool:
    return path.is_dir() and os.access(path, os.W_OK | os.X_OK)


def shown(name: str, value: object) -> str:
    """A value as it may be shown to others."""
    if name in NAMES_ONLY and isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: ..." for key in value) + "}"
    return repr(value)
