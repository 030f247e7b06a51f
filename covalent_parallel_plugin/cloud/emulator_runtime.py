"""Ask an emulator of Batch how it runs tasks: some need the programs in their images."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping

from ..errors import ParallelError
from ..protocol.environment import BATCH_EMULATOR_HOST, STORAGE_EMULATOR_HOST

ANSWER_SECONDS = 10.0
RUNTIME_PATH = "/_emulator/runtime"


def require_containers(environment: Mapping[str, str]) -> None:
    """Check that tasks run in containers where this environment points: on Google they do, on an emulator perhaps.

    An emulator that cannot be reached, or does not report, is taken for one that has containers: what comes next says
    what is wrong with it.

    Raises:
        ParallelError: its tasks are processes of this machine.
    """
    batch, storage = environment.get(BATCH_EMULATOR_HOST), environment.get(STORAGE_EMULATOR_HOST)
    if not batch or not storage:
        return
    # No proxy leads to this machine
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(storage.rstrip("/") + RUNTIME_PATH, timeout=ANSWER_SECONDS) as answer:
            told = json.load(answer)
    except (OSError, ValueError):
        return
    if isinstance(told, dict) and told.get("runs_images") is False:
        raise ParallelError(
            f"the emulator at {batch} ({BATCH_EMULATOR_HOST}) runs tasks as processes of this machine, and a sweep"
            " needs containers: start it with `covalent-parallel dev --runtime podman -- PROGRAM` or `covalent-parallel"
            " emulator --runtime podman` (or docker), which say why where podman does not work; or run the sweep with"
            " --local, which needs no containers where the file has `command` and no `image`; nothing was uploaded"
        )
