"""The section that has Covalent's jobs run on the emulator: printed, or written into Covalent's file."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from ...errors import MistakeError
from ...settings.config_edit import with_values
from ...settings.config_file import ConfigFile, config_path, read_config_file, read_config_text
from ...settings.container_rules import stock_image
from ...settings.options import SECTION
from ..exit_statuses import shown_error

PROJECT = "local-project"
REGION = "us-east1"
# Covalent itself gives up after one
LOCK_SECONDS = 5.0
_COPY = "{name}.google-{number}"


def section_values(bucket: str) -> dict[str, str | int | float]:
    """Return the options that an emulator needs."""
    return {"project_id": PROJECT, "region": REGION, "bucket_name": bucket, "poll_freq": 1}


def section_text(bucket: str, environment: Mapping[str, str]) -> str:
    """Return the section to be copied by hand."""
    image = {"container_image_uri": stock_image(f"{sys.version_info.major}.{sys.version_info.minor}")}
    return (
        f"# For {config_path(environment)}, which --configure writes: if it has a line [{SECTION}] already, put these"
        f" under that one.\n{with_values('', {**section_values(bucket), **image})}"
    )


def configure(bucket: str, environment: Mapping[str, str]) -> str:
    """Write the options into Covalent's file, and return what was done.

    Other options, sections and comments stay. Where the section named another project, the file is copied first.

    Raises:
        ClickException: the file is broken or cannot be written; it is as it was.
    """
    path = config_path(environment)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            return _configure_locked(path, section_values(bucket), environment)
    except OSError as error:
        raise click.ClickException(
            f"--configure: {path} cannot be written: {error.strerror or error}: make it and its folder writable, or"
            " copy the section that the emulator prints without --configure"
        ) from error


def _configure_locked(path: Path, values: Mapping[str, str | int | float], environment: Mapping[str, str]) -> str:
    before = read_config_file(environment)
    if before.problem:
        raise shown_error(MistakeError(f"--configure: {path} {before.problem}: {before.remedy}"))
    if before.exists and not path.stat().st_mode & 0o200:
        raise PermissionError(13, "it is read-only")
    text = path.read_text() if before.exists else ""
    changed = with_values(text, values)
    if not _differs_only_by(before, changed, values):
        mistake = (
            f"--configure: {path} has [{SECTION}] in a form that cannot be changed safely: write each of its options in"
            f" a line of its own below a line [{SECTION}]"
        )
        raise shown_error(MistakeError(mistake))
    replaced = {key: before.section[key] for key in values if before.section.get(key, values[key]) != values[key]}
    report = [f"# {path} has in [{SECTION}] now: " + ", ".join(f"{key} = {value!r}" for key, value in values.items())]
    if replaced:
        report.append("# Before: " + ", ".join(f"{key} = {value!r}" for key, value in replaced.items()))
    if before.section.get("project_id") not in (None, "", PROJECT):
        copy = _copy(path)
        report.append(f"# The file as it was is {copy}. Back to Google: mv {copy} {path}")
    if changed != text:
        _replace(path, changed)
    return "\n".join(report) + "\n"


def _differs_only_by(before: ConfigFile, changed: str, values: Mapping[str, object]) -> bool:
    after = read_config_text(before.path, changed)
    executors = before.content.get("executors", {})
    if after.problem or not isinstance(executors, Mapping):
        return False
    name = SECTION.rpartition(".")[2]
    expected = {**before.content, "executors": {**executors, name: {**before.section, **values}}}
    return after.content == expected


def _copy(path: Path) -> Path:
    """Copy the file to a name beside it that is not there yet."""
    for number in range(1, 1000):
        copy = path.with_name(_COPY.format(name=path.name, number=number))
        with contextlib.suppress(FileExistsError):
            # made for this user alone, then with the file's own mode
            os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            shutil.copy2(path, copy)
            return copy
    raise FileExistsError(17, f"there are 999 copies of it, remove some: {copy}")


def _replace(path: Path, text: str) -> None:
    """Write a file all at once; a link stays one."""
    target = path.resolve()
    descriptor, partial = tempfile.mkstemp(prefix=f"{path.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        if target.exists():
            shutil.copymode(target, partial)
        Path(partial).replace(target)
    except BaseException:
        Path(partial).unlink()
        raise


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock that Covalent holds while it writes the file (covalent._shared_files.config, 0.240)."""
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)
