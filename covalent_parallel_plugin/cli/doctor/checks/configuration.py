"""Check Covalent's configuration file, the options, and the folder for large payloads."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from pathlib import Path

from ....settings import OPTIONS, SECTION, nearest
from ..check_runner import OPTIONS_CHECK, Facts, check
from ..results import CheckResult, error, ok, warning
from ..setup import FROM_DEFAULT, Setup

# Their values may be passwords, which do not belong into what people paste
NAMES_ONLY = ("environment",)
LINE_CHARACTERS = 100


@check(
    "config.file",
    "Covalent can read and write its configuration file; a second `[executors.gcpbatch]` makes it unreadable",
    "edit the file as the text says",
)
def file(setup: Setup, facts: Facts) -> CheckResult:
    """Covalent reads the file when it is imported, and writes it anew."""
    file = setup.file
    if file.problem:
        return error(f"{file.path} {file.problem}", file.remedy)
    if not _is_file_writable(file.path):
        return error(
            f"{file.path} cannot be written, and Covalent writes it whenever it is imported",
            f"make it yours: chown $USER {file.path.parent} {file.path}",
        )
    if not file.exists:
        return ok(f"{file.path} is not there yet: Covalent makes it with its defaults")
    if not file.section:
        return ok(f"{file.path} is readable, and sets nothing under [{SECTION}]")
    return ok(f"{file.path} is readable")


@check(
    "config.options",
    "every option with its value, and where that comes from: `--set`, the file, the default",
    "nothing to mend: it only tells",
)
def options(setup: Setup, facts: Facts) -> CheckResult:
    shown = {name: f"{name} = {shown_value(name, value)}" for name, value in setup.values.items()}
    lines = [f"{shown[name]} ({setup.sources[name]})" for name in OPTIONS if setup.sources[name] != FROM_DEFAULT]
    defaults = [shown[name] for name in OPTIONS if setup.sources[name] == FROM_DEFAULT]
    chosen = len(lines)
    # One long line would hide the few that were set.
    lines += textwrap.wrap(
        ", ".join(defaults), LINE_CHARACTERS, initial_indent="default: ", subsequent_indent=" " * len("default: ")
    )
    return ok(f"{chosen} set, {len(defaults)} at their defaults; the file is {setup.file.path}", details=lines)


@check(
    OPTIONS_CHECK,
    "options that are missing, wrong, or contradict each other",
    "edit them as each line says",
)
def mistakes(setup: Setup, facts: Facts) -> CheckResult:
    """Report what `run()` would refuse before anything is staged."""
    count = len(setup.mistakes)
    if not count:
        return ok("every option is given that must be, and none is wrong")
    return error(
        "1 option needs attention" if count == 1 else f"{count} options need attention",
        f"edit [{SECTION}] in {setup.file.path} as each line says",
        details=setup.mistakes,
    )


@check(
    "config.unknown_keys",
    "keys under `[executors.gcpbatch]` that are no options, with the nearest that is",
    "rename or remove them",
)
def unknown_keys(setup: Setup, facts: Facts) -> CheckResult:
    """The executor ignores them, which is rarely what was meant."""
    unknown = [name for name in setup.file.section if name not in OPTIONS]
    if not unknown:
        return ok("none")
    is_one = len(unknown) == 1
    lines = [f"{name}{f': did you mean {near}?' if (near := nearest(name, OPTIONS)) else ''}" for name in unknown]
    return warning(
        f"[{SECTION}] has {', '.join(unknown)}, which {'is no option' if is_one else 'are no options'}",
        f"edit {setup.file.path}: rename or remove {'it' if is_one else 'them'}",
        details=lines,
    )


@check(
    "config.cache_dir",
    "`cache_dir` can be written to, or made",
    "name another folder in `cache_dir`",
    options=("cache_dir",),
)
def cache_dir(setup: Setup, facts: Facts) -> CheckResult:
    path = Path(setup.settings.cache_dir)
    existing = _nearest_folder(path)
    if not _is_folder_usable(existing):
        return error(
            f"{str(path)!r} cannot be {'written to' if existing == path else f'made below {existing}'}",
            "name another folder in cache_dir, or change this one's owner",
        )
    return ok(f"{path} is writable" if existing == path else f"{path} will be made below {existing}")


def shown_value(name: str, value: object) -> str:
    """Return a value as it may be shown to others."""
    if name in NAMES_ONLY and isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: ..." for key in value) + "}"
    return repr(value)


def _is_file_writable(path: Path) -> bool:
    """Whether Covalent can write the file, or make it."""
    if path.exists():
        return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    return _is_folder_usable(_nearest_folder(path.parent))


def _nearest_folder(path: Path) -> Path:
    """Return the path, or the nearest above it that exists."""
    absolute = path.absolute()
    return next(folder for folder in (absolute, *absolute.parents) if folder.exists())


def _is_folder_usable(path: Path) -> bool:
    return path.is_dir() and os.access(path, os.W_OK | os.X_OK)
