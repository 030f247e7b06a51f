"""Run tasks as containers of podman or docker, whose outputs belong to the caller in the end."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ...containers.cleanup import remove_containers_of
from ...containers.container import (
    CANNOT_START,
    NOT_EXECUTABLE,
    NOT_FOUND,
    ContainerIdentity,
    ContainerSpec,
    Process,
    ResourceLimits,
)
from ...containers.engine import ContainerEngine
from ...containers.process import ContainerProcess, PreparedClient
from ...containers.run_command import run_arguments, sort_variables
from ...errors import MistakeError
from ...programs.task_folder import has_foreign_owner, restore_folder, share_files, take_ownership, unshare_files
from ...programs.verdict import ProgramEnd
from ..sweep_file import SweepFile
from ..tasks import LocalPaths, PinnedImage
from .hand_command import INPUTS_FOLDER, TASK_FOLDER, caller_ids, engine_words, task_binds
from .interfaces import TaskStart
from .plain_command import program_paths

LABEL = "covalent-parallel-sweep"
NAME_PREFIX = "covalent-parallel-sweep"
# Below OUT, for what the engine's clients need: gone at the end of a run, or at the start of the next one
CLIENTS_FOLDER = ".containers"
_OF_ENGINE = (CANNOT_START, NOT_EXECUTABLE, NOT_FOUND)


class TaskContainers:
    """Starts each task as a container of an image that has been pinned, on this machine's network.

    Memory without swap, and CPUs, are limited to what the file asks for. Raises ParallelError for a folder that no
    engine can bind.
    """

    def __init__(
        self,
        engine: ContainerEngine,
        file: SweepFile,
        image: PinnedImage,
        sweep_id: str,
        out: Path,
        inputs: Mapping[str, Path],
    ) -> None:
        for path in (out, *inputs.values()):
            if ":" in str(path):
                raise MistakeError(f"{path} cannot be bound into a container: choose a path without ':'")
        self._engine = engine
        self._file = file
        self._image = image
        self._sweep_id = sweep_id
        self._clients = out / CLIENTS_FOLDER
        self._inputs = inputs
        self._folder = file.outputs or TASK_FOLDER
        self._words = engine_words(engine.name, file, *caller_ids())
        if engine.name == "docker":
            # what it prints comes through the client; a copy would fill the disk
            self._words.append("--log-driver=none")
        self._shared: dict[Path, list[tuple[Path, int]]] = {}

    def remove_leftovers(self, folders: Iterable[Path] = ()) -> None:
        """Remove what a run that was killed has left: this sweep's containers, and no others.

        What they wrote into the folders of their tasks becomes the caller's, and closed to others. Raises OSError.
        """
        remove_containers_of(self._engine, LABEL, self._sweep_id)
        shutil.rmtree(self._clients, ignore_errors=True)
        for folder in folders:
            # a link in their place could lead anywhere
            if not folder.is_symlink() and folder.is_dir():
                files = restore_folder(folder)
                self._take_over(files)
                # files in it may still be as open as their container needed them
                files.chmod(0o700)

    def close(self) -> None:
        """Remove what the engine's clients needed."""
        shutil.rmtree(self._clients, ignore_errors=True)

    def paths(self, folder: Path) -> LocalPaths:
        """Return the paths in the container."""
        inputs = {name: f"{INPUTS_FOLDER}/{name}" for name in self._inputs}
        result = self._file.result.file if self._file.result else ""
        return program_paths(self._folder, inputs, self._file.config, result)

    def start(self, start: TaskStart) -> Process:
        """Start the container; what keeps the engine from starting it shows at its end. Raises StartFailed, OSError."""
        name = self._name(start)
        client = self._prepare(start, name)
        self._shared[start.folder] = share_files(start.files)
        return ContainerProcess(self._engine, name, lambda: client, tuple)

    def event(self, process: Process) -> Mapping[str, int]:
        """Return nothing: a container is found by its label."""
        return {}

    def end(self, start: TaskStart, process: Process, exit_code: int, errors: Sequence[str]) -> ProgramEnd:
        """Make the caller the owner of the outputs, and return how the program ended. Raises OSError."""
        client = self._client_folder(start)
        self._take_over(start.files)
        unshare_files(start.files, self._shared.pop(start.folder, ()))
        assert isinstance(process, ContainerProcess)
        has_run = (client / "pid").exists()
        is_out_of_memory = (client / "oom").exists()
        shutil.rmtree(client, ignore_errors=True)
        words = engine_error(self._engine.name, errors)
        if exit_code in _OF_ENGINE and not has_run and (words or self._engine.name == "podman"):
            return ProgramEnd(exit_code, refused=words or "the container could not be started")
        if process.was_lost:
            return ProgramEnd(exit_code, lost=f"{self._engine.name}'s client or monitor was killed")
        return ProgramEnd(exit_code, is_out_of_memory=is_out_of_memory)

    def _name(self, start: TaskStart) -> str:
        return f"{NAME_PREFIX}-{self._sweep_id}-{start.task.index}-{start.attempt}"

    def _client_folder(self, start: TaskStart) -> Path:
        return self._clients / f"{start.task.index}-{start.attempt}"

    def _prepare(self, start: TaskStart, name: str) -> PreparedClient:
        client = self._client_folder(start)
        client.mkdir(mode=0o700, parents=True)
        outer = dict(os.environ)
        variables = sort_variables(start.environment, outer)
        entrypoint = start.launch.entrypoint
        settings = self._file.settings
        words = [*self._words, *([f"--pidfile={client / 'pid'}"] if self._engine.name == "podman" else [])]
        if entrypoint == ():
            words.append("--entrypoint=")
        variables_file = _nameless_file(client, variables.lines)
        arguments = run_arguments(
            self._engine.name,
            ContainerSpec(
                self._image.reference,
                entrypoint[0] if entrypoint else "",
                [*(entrypoint or ())[1:], *start.launch.arguments],
                settings.container_options,
                ResourceLimits(round(settings.vcpus * 1000), settings.memory),
                words,
                pull="never",
            ),
            ContainerIdentity(name, self._sweep_id, LABEL),
            binds=task_binds(self._file, start.files, self._inputs),
            variables=variables,
            variables_file=f"/dev/fd/{variables_file}",
            cpus=os.cpu_count() or 1,
            passes_streams=self._engine.passes_streams,
        )
        return PreparedClient(arguments, {**outer, **variables.handed_on}, str(client), (variables_file,))

    def _take_over(self, files: Path) -> None:
        user, group = caller_ids()
        if not has_foreign_owner(files, user):
            return
        if user == 0:
            take_ownership(files, user, group)
        elif self._engine.name == "podman":
            # 0 in there is the caller out here; neither follows links
            for words in (("chown", "-hR", "0:0"), ("chmod", "-R", "u+rwX")):
                ended = self._engine.call("unshare", *words, str(files))
                if ended.returncode:
                    raise OSError(f"the ownership of {files} cannot be changed to yours: {ended.stderr.strip()}")


def _nameless_file(folder: Path, lines: Iterable[str]) -> int:
    """Write lines to a file that has no name, so that secrets stay nowhere; return a descriptor to read them by."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
        file.seek(0)
        return os.dup(file.fileno())


def engine_error(engine: str, errors: Sequence[str]) -> str:
    """Return what the engine itself says in the last lines of standard error, "" if it says nothing."""
    # the second is ContainerProcess's, where there is no such program any more
    mark = re.compile(rf"(?:{'docker' if engine == 'docker' else 'Error'}|the container could not be started): (.+)")
    for line in reversed(errors):
        if match := mark.match(line):
            return match[1].strip()
    return ""
