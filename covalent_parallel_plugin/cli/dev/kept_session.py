"""The session that `dev --keep` has left running: a file in the user's folder for state, which its process removes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import click

from covalent_parallel_plugin.containers.ownership import OWNER, is_dead
from covalent_parallel_plugin.emulator.model.own_folders import remove_dead_folders

from .running_session import RunningSession

STOP_SECONDS = 20.0
PAUSE_SECONDS = 0.1


def kept_file(environment: Mapping[str, str]) -> Path:
    """Return where the file is.

    Source: https://specifications.freedesktop.org/basedir-spec, where a relative path counts for nothing.
    """
    named = Path(environment.get("XDG_STATE_HOME", ""))
    home = Path(environment.get("HOME") or Path.home())
    return (named if named.is_absolute() else home / ".local" / "state") / "covalent-parallel" / "dev.json"


class KeptSession:
    """The file at `path`, readable by its owner alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> RunningSession | None:
        """Return the session; None if there is none. The file of one that has died is removed.

        Raises ClickException where one runs that another version of this package has started.
        """
        try:
            text = self._path.read_text()
        except OSError:
            return None
        session = None
        try:
            session = RunningSession.from_json(text)
        except (ValueError, TypeError):
            if _process_of(text):
                raise click.ClickException(
                    "the session that is kept is of another version of this package: end it with"
                    " `covalent-parallel dev --stop`"
                ) from None
        # One without its folder ends by itself
        if session is None or not session.is_running() or not Path(session.folder).is_dir():
            self._path.unlink(missing_ok=True)
            remove_dead_folders()
            return None
        return session

    def enter(self, session: RunningSession) -> None:
        """Write the file, whole or not at all.

        Raises ClickException where another session is kept already, or the file cannot be written.
        """
        if self.read() is not None:
            raise _taken()
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._path.parent, prefix=".dev-") as file:
                file.write(session.to_json())
                file.flush()
                os.link(file.name, self._path)
        except OSError as error:
            if self._path.exists():
                raise _taken() from None
            raise click.ClickException(
                f"--keep notes the session in {self._path}, which cannot be written: {error.strerror}. Leave --keep"
                " out, or name another folder in XDG_STATE_HOME"
            ) from error

    def remove(self, session: RunningSession) -> None:
        """Remove the file if it is this session's."""
        with contextlib.suppress(FileNotFoundError):
            if self._path.read_text() == session.to_json():
                self._path.unlink()

    def stop(self) -> bool:
        """End the session that is kept, and say whether there was one. Raises ClickException if it does not end."""
        try:
            text = self._path.read_text()
        except OSError:
            return False
        process_id = _process_of(text)
        if not process_id:
            self.read()
            return False
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process_id, number)
            deadline = time.monotonic() + STOP_SECONDS
            while _process_of(text) and time.monotonic() < deadline:
                time.sleep(PAUSE_SECONDS)
            if not _process_of(text):
                self.read()
                return True
        raise click.ClickException(f"the kept session's process {process_id} does not end")


def _process_of(text: str) -> int:
    """Return the process that a session's file names, in whatever version's form; 0 if it does not run."""
    try:
        owner = str(json.loads(text)["owner"])
    except (ValueError, TypeError, LookupError):
        return 0
    match = OWNER.fullmatch(owner)
    return 0 if match is None or is_dead(owner) else int(match["pid"])


def _taken() -> click.ClickException:
    return click.ClickException(
        "another session is kept already: use it (leave --keep out), or end it with `covalent-parallel dev --stop`"
    )
