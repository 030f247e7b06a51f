"""The environment and the configuration file of a private Covalent server and of its clients."""

from __future__ import annotations

import json
import os
import site
from collections.abc import Mapping
from pathlib import Path

from ..settings.config_file import config_path

LOOPBACK = "127.0.0.1"
PRIVATE_SERVER = f"{__package__}.private_server"
"""The module that a private server's process runs."""
_SENT_VARIABLES = "sent_variables.json"

Value = str | int | float | bool


def client_environment(inherited: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return `inherited` with Covalent's configuration below `home`, and without other variables of Covalent.

    HOME stays: the configuration file of a server that has started names every folder of Covalent's.
    """
    kept = {name: value for name, value in inherited.items() if not name.startswith("COVALENT_")}
    for name in ("NO_PROXY", "no_proxy"):
        kept[name] = ",".join(filter(None, (kept.get(name, ""), LOOPBACK, "localhost")))
    return kept | {
        "COVALENT_CONFIG_DIR": str(config_path({"HOME": str(home)}).parent),
        "COVALENT_DISABLE_DASK": "1",
    }


def private_environment(inherited: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return `inherited` without anything that leads to the user's own Covalent, and with HOME at `home`."""
    kept = {name: value for name, value in inherited.items() if not name.startswith("XDG_") and name != "LOGLEVEL"}
    # A Covalent installed with `pip install --user` is found through HOME, which changes here.
    kept.setdefault("PYTHONUSERBASE", site.getuserbase())
    return client_environment(kept, home) | {"HOME": str(home)}


def write_configuration(home: Path, port: int, sections: Mapping[str, Mapping[str, Value]]) -> Path:
    """Write Covalent's configuration file below `home` and return its path."""
    ours: dict[str, Mapping[str, Value]] = {
        "sdk": {"no_cluster": "true", "log_level": "warning"},
        "dispatcher": {"address": LOOPBACK, "port": port},
        "user_interface": {"address": LOOPBACK, "port": port},
    }
    path = config_path({"HOME": str(home)})
    for folder in (home, path.parent.parent, path.parent):
        folder.mkdir(mode=0o700, exist_ok=True)
    lines: list[str] = []
    for section, values in (ours | dict(sections)).items():
        lines.append(f"[{section}]")
        # JSON's strings, numbers and booleans are TOML's as well.
        lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    with open(path, "w", opener=open_private) as file:
        file.write("\n".join(lines) + "\n")
    return path


def write_sent_variables(home: Path, variables: Mapping[str, str]) -> None:
    """Keep what a server was sent after its start: the system shows only the environment that it began with."""
    with open(home / _SENT_VARIABLES, "w", opener=open_private) as file:
        json.dump(dict(variables), file)


def read_sent_variables(home: Path) -> dict[str, str]:
    """Return what `write_sent_variables` has kept. Raises OSError, ValueError."""
    variables: dict[str, str] = json.loads((home / _SENT_VARIABLES).read_text())
    return variables


def open_private(path: str, flags: int) -> int:
    """Open a file, as an opener of `open`, for its owner alone."""
    descriptor = os.open(path, flags, 0o600)
    os.fchmod(descriptor, 0o600)  # one that was there
    return descriptor
