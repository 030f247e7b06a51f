"""Keep what the tasks on one VM share, where tasks are containers: a disk, and volumes of the engine's."""

from __future__ import annotations

import threading
from pathlib import Path

from ...containers.engine import ContainerEngine
from .container_volumes import place_below


class VmShare:
    """What the tasks on one VM share: a disk, and volumes, whose names begin with `place`."""

    def __init__(self, engine: ContainerEngine, folder: Path, place: str) -> None:
        self._engine = engine
        self.folder = folder
        self._place = place
        self._lock = threading.Lock()
        self.volumes: set[str] = set()

    def volume(self, name: str) -> str:
        """Return the engine's name for a volume of the VM's, which is there then.

        Of containers that start at the same time podman would let one make it, and refuse the others.
        """
        own = f"{self._place}-{name}"
        with self._lock:
            if own not in self.volumes:
                self.volumes.add(own)
                self._engine.call("volume", "create", own)
        return own

    def disk(self, path: str) -> Path:
        """Return what stands for a path of the VM: a file that is there, or a folder, at first empty, and for everyone.

        Raises StartFailed.
        """
        place = place_below(self.folder, path)
        if not place.is_file():
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o777)
        return place
