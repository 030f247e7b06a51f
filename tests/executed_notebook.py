"""Execute a notebook as a front end does, in a process of its own, and save it; perhaps interrupt it on the way."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

SECONDS = 120


def executed(
    path: Path, interrupt_at: Path | None = None, starts: int = 0, environment: Mapping[str, str] | None = None
) -> Any:
    """Execute a notebook in its folder, whatever its cells raise; return it as it was saved.

    With `interrupt_at` the kernel is interrupted when that journal has so many starts of tasks. `environment` stands
    for one with a home of its own.
    """
    home = path.parent / "home"
    own_environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON"))},
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "COVALENT_CONFIG_DIR": str(home / "covalent"),
    }
    words = [str(path), *([str(interrupt_at), str(starts)] if interrupt_at else [])]
    ended = subprocess.run(
        [sys.executable, __file__, *words],
        env=environment or own_environment,
        capture_output=True,
        text=True,
        timeout=SECONDS + 60,
    )
    assert ended.returncode == 0, ended.stderr
    return nbformat.read(path, nbformat.NO_CONVERT)  # type: ignore[no-untyped-call]


def write_notebook(path: Path, *cells: str) -> Path:
    """Write a notebook of these cells of code."""
    made = new_notebook(cells=[new_code_cell(cell) for cell in cells])  # type: ignore[no-untyped-call]
    nbformat.write(made, path)  # type: ignore[no-untyped-call]
    return path


def displays(cell: Any) -> list[Any]:
    """The outputs of a cell that were displayed, and may have been updated since."""
    return [output for output in cell.outputs if output.output_type == "display_data"]


def _interrupt(client: NotebookClient, journal: Path, starts: int) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        # The last line may be torn
        lines = journal.read_text().split("\n")[:-1] if journal.exists() else []
        if sum(json.loads(line)["event"] == "start" for line in lines) >= starts:
            asyncio.run(client.km.interrupt_kernel())
            return
        time.sleep(0.05)


def main() -> None:
    """Execute the notebook at a path, and save it there."""
    path = Path(sys.argv[1])
    notebook = nbformat.read(path, nbformat.NO_CONVERT)  # type: ignore[no-untyped-call]
    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook, timeout=SECONDS, kernel_name="python3", allow_errors=True, coalesce_streams=True, resources=resources
    )
    if len(sys.argv) > 2:
        threading.Thread(target=_interrupt, args=(client, Path(sys.argv[2]), int(sys.argv[3])), daemon=True).start()
    client.execute()
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
