"""What a dispatch's electrons have printed, as text by node."""

from __future__ import annotations

import warnings

from ..cloud.timed_calls import Deadline
from ..covalent_api.config_file import configured_options
from ..covalent_api.secret_file import read_secret, secret_path
from ..covalent_api.server_client import ServerClient
from ..protocol.object_names import STREAMS
from .dispatch_logs import DispatchLogs
from .electron_log import LogLine
from .known_dispatch import KnownDispatch
from .stores import Stores
from .wanted_output import Wanted

SECONDS = 20.0


def dispatch_texts(dispatch_id: str) -> dict[int, str]:
    """Return what there is now, by node; a line of a map's item begins with which one. Warns of what is missing.

    Raises:
        MissingResourceError: no such dispatch.
    """
    stores = Stores()
    known = KnownDispatch(dispatch_id, ServerClient.configured(), {}, configured_options(), stores.at)
    no_secret = f"what runs cannot be read: there is no secret of a server at {secret_path()}"
    logs = DispatchLogs(known, Wanted(streams=STREAMS), read_secret(secret_path()), no_secret, stores)
    look = logs.look(Deadline(SECONDS), is_only=True)
    texts: dict[int, list[str]] = {}
    for line in look.lines:
        if isinstance(line, LogLine):
            prefix = f"item {line.item} | " if line.item is not None else ""
            texts.setdefault(line.node, []).append(f"{prefix}{line.text}\n")
        else:
            texts.setdefault(line.node, []).append(f"({line.size} bytes of {line.stream} are missing)\n")
    for notice in look.notices:
        warnings.warn(notice, stacklevel=3)
    return {node: "".join(lines) for node, lines in sorted(texts.items())}
