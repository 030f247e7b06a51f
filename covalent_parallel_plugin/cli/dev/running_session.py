"""What is known of a session that runs: where its server and its emulator are, and whose process it is."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from covalent_parallel_plugin.batch.trace import TRACES_VARIABLE, traces_folder
from covalent_parallel_plugin.containers.ownership import is_dead
from covalent_parallel_plugin.covalent_api.private_configuration import client_environment
from covalent_parallel_plugin.results.dev_program import OWNER_VARIABLE


@dataclass(frozen=True)
class RunningSession:
    """A session's facts, as its process reports them.

    Attributes:
        owner: its process, as `containers.ownership` names it.
        folder: of all of its files.
        address: of Covalent's UI.
        variables: point clients at the emulator.
        runtime: what tasks run as.
        python: the interpreter of its server.
    """

    owner: str
    folder: str
    address: str
    variables: Mapping[str, str]
    runtime: str
    python: str = sys.executable

    @classmethod
    def from_json(cls, text: str) -> RunningSession:
        """Read what `to_json` wrote. Raises ValueError, TypeError."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """Write it as a line."""
        return json.dumps(asdict(self))

    def is_running(self) -> bool:
        """Whether its process runs."""
        return not is_dead(self.owner)

    @property
    def covalent_home(self) -> Path:
        """The folder of the server and its configuration."""
        return Path(self.folder) / "covalent"

    def environment(self, inherited: Mapping[str, str], owner: str) -> dict[str, str]:
        """Return the environment of a program that uses this session, and that `owner` starts."""
        own = client_environment(inherited, self.covalent_home)
        traces = str(traces_folder({"HOME": str(self.covalent_home)}) or "")
        found = {"PATH": search_path(inherited), OWNER_VARIABLE: owner, TRACES_VARIABLE: traces}
        return own | {**self.variables, **found}


def search_path(inherited: Mapping[str, str]) -> str:
    """Return the search path on which `python` and `covalent-parallel` are found first where this one runs."""
    programs = str(Path(sys.executable).parent)
    folders = inherited.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([programs, *(folder for folder in folders if folder != programs)])


def tell(text: str) -> None:
    """Write a line of the command's own, apart from the program's output."""
    click.echo(f"dev: {text}", err=True)
