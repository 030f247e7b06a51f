"""Programs that stand in for docker, podman and gcloud: shell scripts in a folder of their own."""

from __future__ import annotations

from pathlib import Path

from covalent_parallel_plugin.cli.image.external_programs import Programs


class Shelf:
    """A folder of programs, each a shell script, which is all that `programs` finds."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.programs = Programs(path=str(folder))

    def put(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
        path.chmod(0o755)
