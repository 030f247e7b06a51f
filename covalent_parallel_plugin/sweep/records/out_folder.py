"""The folder that a sweep writes to: who holds it, which sweep it belongs to, and the files in it."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import BinaryIO

from ...errors import MistakeError
from .journal import Journal, JournalError, JournalHeldError, State, open_event

JOURNAL = "journal.jsonl"
COPY = "sweep.yaml"
# Names that begin with a dot are no task's
STANDARD_INPUT_COPY = ".standard-input"
INPUT_DIGESTS = ".input-digests.json"
DOWNLOADS = ".inputs"
STAGED_FILES = ".files"
TRIALS = ".try"
# Of the seals of all that a sweep has in the bucket: whoever knows it can forge a result
KEY = ".key"
MOVED_PREFIX = ".moved-"
UNFINISHED = ".part"
# Asks the run to start nothing more
DRAIN = ".drain"
CANCEL = ".cancel"
# How long a process that has just made the journal may take to write its first line
FIRST_LINE_SECONDS = 1.0


class OutFolderError(MistakeError):
    """The folder cannot be used; the message names it and what to do."""


class OutFolder:
    """The folder of one sweep, OUT in the messages."""

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100  # links stay as they were given

    @property
    def journal_path(self) -> Path:
        """Where the journal is."""
        return self.path / JOURNAL

    @property
    def drain_path(self) -> Path:
        """The file that asks the run to start nothing more."""
        return self.path / DRAIN

    def take_drain(self) -> bool:
        """Remove that file; whether it was there. Raises OSError."""
        return _take(self.drain_path)

    @property
    def cancel_path(self) -> Path:
        """The file that asks for the end of a run that hears no signals."""
        return self.path / CANCEL

    def take_cancel(self) -> bool:
        """Remove that file; whether it was there. Raises OSError."""
        return _take(self.cancel_path)

    def task_folder(self, name: str) -> Path:
        """Return the folder of a task."""
        return self.path / name

    def task_folders(self) -> set[str]:
        """List the names of all folders in it."""
        if not self.path.is_dir():
            return set()
        with os.scandir(self.path) as entries:
            return {entry.name for entry in entries if entry.is_dir(follow_symlinks=False)}

    def state(self, name: str) -> State:
        """Read the state of the sweep of this name; an empty one where there is no journal yet.

        Raises:
            OutFolderError: the folder belongs to another sweep, or is not a sweep's. JournalError: it cannot be read.
        """
        if not self.journal_path.exists():
            self._refuse_others_files()
            return State()
        state = State.read(self.journal_path)
        self._refuse_another_sweep(state, name)
        return state

    @contextlib.contextmanager
    def hold(self, name: str, hears_signals: bool = True) -> Iterator[Journal]:
        """Hold the folder for the sweep of this name, made if it is not there.

        `hears_signals`: whether SIGTERM ends the run, and not all of this process.

        Raises:
            OutFolderError: another process holds it, it belongs to another sweep, or is not a sweep's.
            JournalError: its journal cannot be read.
        """
        try:
            self._refuse_others_files()
            self.path.mkdir(parents=True, exist_ok=True)
            journal = Journal.open(self.journal_path)
        except JournalHeldError as error:
            pid = self._holder()
            raise OutFolderError(
                f"another run holds {self.path}: process {pid}; wait for it, or end it with"
                f" `covalent-parallel sweep cancel {self.path}`"
            ) from error
        except OSError as error:
            raise OutFolderError(f"{self.path} cannot be used: {error.strerror}: give --out another folder") from error
        with journal:
            self._refuse_another_sweep(journal.state, name)
            # They were meant for an earlier run
            self.take_drain()
            self.take_cancel()
            sweep_id = journal.state.sweep_id or secrets.token_hex(6)
            journal.append(open_event(sweep_id, name) | {"hears_signals": hears_signals})
            yield journal

    def key(self) -> bytes | None:
        """Return the key of the sweep's seals; None where there is none. Raises OSError."""
        try:
            return bytes.fromhex((self.path / KEY).read_text("ascii"))
        except FileNotFoundError:
            return None
        except ValueError as error:  # cut, or changed
            raise OutFolderError(
                f"{self.path / KEY} holds no key of a sweep: remove it, and run again: it is read from the sweep's job"
            ) from error

    def keep_key(self, key: bytes) -> None:
        """Keep the key of the sweep's seals, for nobody but the owner to read. Raises OSError."""
        unfinished = self.path / f"{KEY}{UNFINISHED}"
        unfinished.unlink(missing_ok=True)
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(key.hex())
        unfinished.replace(self.path / KEY)

    @contextlib.contextmanager
    def written_aside(self, name: str) -> Iterator[BinaryIO]:
        """Open a file to be written; it has its name once all of it is written. Raises OSError."""
        path = self.path / name
        # `gather` may write beside a run
        unfinished = path.with_name(f".{name}.{os.getpid()}{UNFINISHED}")
        try:
            with unfinished.open("wb") as file:
                yield file
            unfinished.replace(path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def rename_folders(self, names: Mapping[str, str]) -> None:
        """Rename tasks' folders: new name -> old one. What is in the place of one becomes an attempt of it.

        Raises:
            OSError: one cannot be renamed.
        """
        between = {new: self.path / f"{MOVED_PREFIX}{number}" for number, new in enumerate(names)}
        for new, old in names.items():
            self.task_folder(old).rename(between[new])
        for new, folder in between.items():
            place = self.task_folder(new)
            if place.exists():
                number = next(number for number in count() if not (folder / f"attempt-{number}").exists())
                place.rename(folder / f"attempt-{number}")
            folder.rename(place)

    def _holder(self) -> str:
        """Return the number of the process that holds the journal."""
        deadline = time.monotonic() + FIRST_LINE_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(JournalError):
                if pid := State.read(self.journal_path).pid:
                    return str(pid)
            time.sleep(0.05)
        return "not known"

    def _refuse_others_files(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise OutFolderError(f"{self.path} is not a folder: give --out another one")
        if self.path.is_dir() and not self.journal_path.exists() and any(self.path.iterdir()):
            raise OutFolderError(
                f"{self.path} has files in it and is not a sweep's folder: give --out another one, or empty it"
            )

    def _refuse_another_sweep(self, state: State, name: str) -> None:
        if state.name not in ("", name):
            raise OutFolderError(
                f"{self.path} belongs to the sweep {state.name!r}, and this one is {name!r}: give --out another folder"
            )


def _take(path: Path) -> bool:
    """Remove a file; whether it was there. Raises OSError."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
