"""Who is compared, and a measured run of one contender's dispatcher in a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from .environments import Environments, clean_environment
from .services import Counts, Services

SCRIPT = Path(__file__).with_name("dispatcher.py")
RUN_SECONDS = 900
# Whole seconds are all that the replaced plugin takes
POLL_SECONDS = 1
# Where the replaced plugin's entry point writes, and leaves, its files: in a container nobody minds
LEFT_IN = Path("/tmp")

OURS = "this plugin"
OURS_INSTALLED = "this, in the image"
REPLACED = "replaced plugin"


Meanwhile = Callable[[Counts, Callable[[], bool]], None]


@dataclass(frozen=True)
class Contender:
    """A plugin ("ours", "replaced", or the "floor" that sleeps), the Python that dispatches, the image of its jobs.

    `script` is what that Python runs.
    """

    name: str
    plugin: str
    python: Path
    image: str
    script: Path = SCRIPT


@dataclass(frozen=True)
class Measured:
    """What the dispatcher told, the requests that came meanwhile from it and its tasks, and its packages' versions."""

    results: dict[str, Any]
    counts: Counts
    versions: dict[str, str]


def contenders(environments: Environments) -> tuple[Contender, ...]:
    """This plugin with a stock image and with an image that has it, and the replaced plugin."""
    return (
        Contender(OURS, "ours", environments.ours, "stock:latest"),
        Contender(OURS_INSTALLED, "ours", environments.ours, "installed:latest"),
        Contender(REPLACED, "replaced", environments.replaced, "replaced:latest"),
    )


def images(environments: Environments) -> dict[str, list[str]]:
    """What the contenders' images stand for."""
    return {
        "stock:latest": [str(environments.stock)],
        "installed:latest": [str(environments.installed)],
        "replaced:latest": [str(environments.replaced), str(environments.entry_point)],
    }


def measure(contender: Contender, services: Services, meanwhile: Meanwhile | None = None, **options: Any) -> Measured:
    """Run a contender's dispatcher once; `options` are "measure" and what that takes, see dispatcher.py.

    `meanwhile` is called when the measured part begins, with the requests before it and a question whether the
    dispatcher still runs; it may raise to end it.

    Raises:
        RuntimeError: it failed, or took more than 15 minutes; its standard error is in the message.
    """
    dispatch_id = str(uuid.uuid4())
    folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
    given = {
        "plugin": contender.plugin,
        "image": contender.image,
        "bucket": services.new_bucket(),
        "cache": str(folder / "cache"),
        "dispatch_id": dispatch_id,
        "poll_seconds": POLL_SECONDS,
        **options,
    }
    own = {"HOME": str(folder), "COVALENT_CONFIG_DIR": str(folder / "config")}
    try:
        with (folder / "stderr").open("w+") as errors:
            process = subprocess.Popen(
                [str(contender.python), str(contender.script), json.dumps(given)],
                env=clean_environment() | services.variables | {"GOOGLE_CLOUD_PROJECT": "benchmark"} | own,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            return _measured(contender, process, services, errors, meanwhile)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        remove_leavings(dispatch_id)


def remove_leavings(dispatch_id: str) -> None:
    """Remove what the replaced plugin's entry point left in the temporary folder."""
    for left in LEFT_IN.glob(f"*-{dispatch_id}*"):
        left.unlink(missing_ok=True)


def _measured(
    contender: Contender,
    process: subprocess.Popen[str],
    services: Services,
    errors: IO[str],
    meanwhile: Meanwhile | None,
) -> Measured:
    assert process.stdin is not None and process.stdout is not None
    deadline = threading.Timer(RUN_SECONDS, process.kill)
    deadline.start()
    try:
        warm = process.stdout.readline()
        before = services.counts()
        if warm:
            process.stdin.write("go\n")
            process.stdin.flush()
            if meanwhile is not None:
                meanwhile(before, lambda: process.poll() is None)
        told = process.stdout.readline()
        counts = services.counts().since(before)
        process.wait()
    finally:
        deadline.cancel()
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    if not told:
        errors.seek(0)
        raise RuntimeError(f"{contender.name} ended with status {process.returncode}:\n{errors.read()[-5000:]}")
    return Measured(json.loads(told), counts, json.loads(warm)["versions"])
