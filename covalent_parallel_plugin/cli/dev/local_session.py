"""An emulator and a private Covalent server that uses it, started side by side."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

from covalent_parallel_plugin.covalent_api.private_server import STOP_SECONDS, PrivateCovalentServer
from covalent_parallel_plugin.emulator.model.own_folders import OwnFolder, remove_dead_folders
from covalent_parallel_plugin.settings.options import SECTION

from ..emulator.covalent_section import section_values
from ..emulator.option_list import EmulatorOptions

# How soon the end of an electron's job is noticed
POLL_SECONDS = 0.5


@contextlib.contextmanager
def session_folder() -> Iterator[Path]:
    """Make a folder for a session, which goes at the end, and remove those of processes that were killed."""
    remove_dead_folders()
    folder = OwnFolder("session")
    try:
        yield folder.path
    finally:
        folder.remove()


class LocalSession:
    """Both of them, with their files below `folder`; a context manager, which ends both.

    At its end the server has `stop_seconds` to cancel the electrons that run.

    Attributes:
        server: its environment leads to the emulator, too.
        variables: point clients at the emulator.
        runtime: what tasks run as, such as "podman".
    """

    def __init__(self, folder: Path, options: EmulatorOptions, stop_seconds: float = STOP_SECONDS) -> None:
        section = section_values(options.bucket) | {"poll_freq": POLL_SECONDS, "cache_dir": str(folder / "cache")}
        self.server = PrivateCovalentServer(folder / "covalent", configuration={SECTION: section})
        self.variables: Mapping[str, str] = {}
        self.runtime = ""
        self._options = options
        self._stop_seconds = stop_seconds
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> LocalSession:
        """Start both. Raises ClickException, PrivateServerError, OSError."""
        try:
            self.server.start(meanwhile=self._start_emulator)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            # First, as it cancels its electrons' jobs on the emulator
            self.server.stop(self._stop_seconds)

    def _start_emulator(self) -> Mapping[str, str]:
        emulator, choice = self._options.start(lambda ended: None)
        self._stack.callback(emulator.stop)
        self.runtime, self.variables = choice.name, emulator.environment
        return self.variables
