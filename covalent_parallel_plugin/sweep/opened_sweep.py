"""A sweep's file, read and checked, with the folder it writes to; also as the last run left both in that folder."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MistakeError, ParallelError
from ..settings.config_file import read_config_file
from .mistakes import SweepFileError, mistake_line
from .reading.sweep_schema import read_draft
from .records.journal import State
from .records.out_folder import COPY, INPUT_DIGESTS, STANDARD_INPUT_COPY, OutFolder
from .staging.inputs import pin_inputs
from .staging.preparation import Preparation
from .sweep_file import SweepFile
from .tasks import Pinned, PinnedImage, SweepTasks


@dataclass(frozen=True)
class FileRequest:
    """Which file, with which `--set`, where it writes (None: in a folder of its name, here), and where tasks run.

    Attributes:
        data: what the file holds, where it is made and nowhere on a disk.
        preparation: what is called for each task before it starts; None for nothing.
    """

    path: Path
    overrides: Sequence[str] = ()
    out: Path | None = None
    is_local: bool = True
    data: bytes | None = None
    preparation: Preparation | None = None


class SavedInput:
    """Standard input, read once; `data` is None until it was."""

    def __init__(self, read: Callable[[], bytes] = lambda: sys.stdin.buffer.read()) -> None:
        self.data: bytes | None = None
        self._read = read

    def __call__(self) -> bytes:
        """Return all of it."""
        if self.data is None:
            self.data = self._read()
        return self.data


@dataclass(frozen=True)
class OpenedSweep:
    """A sweep whose file has no mistakes.

    Attributes:
        shown_path: the file as the user calls it.
        tasks: with keys of an image and inputs that are not known yet.
        warnings: about the file and its tasks.
    """

    shown_path: str
    file: SweepFile
    out: OutFolder
    tasks: SweepTasks
    overrides: Sequence[str]
    stdin: SavedInput
    warnings: Sequence[str]

    @classmethod
    def open(cls, request: FileRequest, environment: Mapping[str, str], stdin: SavedInput) -> OpenedSweep:
        """Read and check a file.

        Raises:
            SweepFileError: its mistakes, all of them. ParallelError: it cannot be read.
        """
        data = request.data
        try:
            data = request.path.read_bytes() if data is None else data
        except OSError as error:
            raise MistakeError(f"{request.path} cannot be read: {error.strerror}") from error
        return cls._of(request, data, environment, stdin)

    @classmethod
    def reopen(cls, out: OutFolder, environment: Mapping[str, str], state: State | None = None) -> OpenedSweep:
        """Read the file of the last run from the folder that it wrote to; `state` where its journal was read already.

        Raises:
            SweepFileError: what it needs has changed so that there are mistakes. ParallelError: it was never run.
        """
        event = last_run(state or State.read(out.journal_path), out)
        if not event["file"]:
            raise MistakeError(
                f"the sweep in {out.path} was gathered without its file: `run` the file with --out {out.path}"
            )
        stdin = SavedInput((out.path / STANDARD_INPUT_COPY).read_bytes)
        data = (out.path / COPY).read_bytes()
        is_local = bool(event.get("local", True))
        request = FileRequest(Path(event["file"]), event["overrides"], out.path, is_local)
        return cls._of(request, data, environment, stdin)

    @classmethod
    def _of(cls, request: FileRequest, data: bytes, environment: Mapping[str, str], stdin: SavedInput) -> OpenedSweep:
        path, overrides = request.path, request.overrides
        config = read_config_file(environment)
        if config.problem:
            raise MistakeError(f"{config.path} {config.problem}: {config.remedy}")
        draft = read_draft(
            path, data, is_local=request.is_local, overrides=overrides, configured=config.section, stdin=stdin
        )
        if draft.file is None:
            raise SweepFileError(str(path), draft.mistakes)
        file, tasks = draft.file, SweepTasks(draft.file, Pinned(), preparation=request.preparation)
        mistakes, warnings = tasks.check(draft.has_all_names, draft.has_all_values)
        if draft.mistakes or mistakes:
            raise SweepFileError(str(path), [*draft.mistakes, *mistakes])
        folder = OutFolder(request.out if request.out is not None else Path(file.name))
        lines = [mistake_line(str(path), warning) for warning in warnings]
        return cls(str(path), file, folder, tasks, overrides, stdin, lines)

    def last_image(self, state: State) -> PinnedImage | None:
        """Return the image as the last run found it; None where that had another one, or there was none."""
        is_same = state.run is not None and state.run["image"] == self.file.image
        return state.pinned.image if is_same else None

    def versions(self, last: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the versions of the inputs; with the last run's nobody is contacted. Raises InputError, CloudError."""
        if not self.file.inputs:
            return {}
        return pin_inputs(self.file.inputs, self.out.path / INPUT_DIGESTS, self.file.settings.project_id, last)

    def tasks_as_of(self, state: State) -> SweepTasks:
        """Return the tasks with the keys that they have if nothing has moved elsewhere. Raises InputError."""
        return self.pinned_tasks(Pinned(self.last_image(state), self.versions(state.pinned.inputs)))

    def pinned_tasks(self, pinned: Pinned) -> SweepTasks:
        """Return the tasks with the keys that they have with this image and these inputs."""
        return SweepTasks(self.file, pinned, self.tasks.files)


def last_run(state: State, out: OutFolder) -> Mapping[str, Any]:
    """Return the event of the last run. Raises ParallelError."""
    if state.run is None:
        raise ParallelError(f"the sweep in {out.path} has not run yet")
    return state.run
