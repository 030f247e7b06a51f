"""The command line program of a container engine, podman or docker: calls that end soon, and names for images."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping

_log = logging.getLogger(__name__)

ENGINES = ("podman", "docker")
CALL_SECONDS = 60.0


class ContainerEngine:
    """podman or docker. Raises ValueError for another name, and where the program is not installed."""

    def __init__(self, name: str) -> None:
        if name not in ENGINES:
            raise ValueError(f"{name!r} is no container engine known here: {' or '.join(ENGINES)}")
        program = shutil.which(name)
        if program is None:
            raise ValueError(f"{name} is not installed, or not on the PATH")
        self.name = name
        self.program = program
        self._local_images: set[str] = set()

    @property
    def passes_streams(self) -> bool:
        """Whether a container can have the client's own streams: podman on Linux, where it runs without a server."""
        return self.name == "podman" and sys.platform == "linux" and "CONTAINER_HOST" not in os.environ

    def call(self, *words: str, seconds: float = CALL_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run the program to its end; one that takes longer is killed and counts as failed (exit code 124)."""
        try:
            return subprocess.run(
                [self.program, *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
                # Ctrl-C in a terminal reaches the whole group: a clean-up must live through it
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(words, 124, "", f"{self.name} {words[0]} took longer than {seconds:g} s")

    def start(
        self, words: list[str], environment: Mapping[str, str], folder: str, stdout: int, stderr: int
    ) -> subprocess.Popen[bytes]:
        """Start the program with these streams, in a folder of its own. Raises OSError.

        podman's monitor leaves a file "oom" in the folder it is started in when a container runs out of memory.
        """
        return subprocess.Popen(
            [self.program, *words],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )

    def remove(self, *containers: str) -> None:
        """Kill and remove containers; those that are gone already are no error."""
        if not containers:
            return
        now = ("--time=0", "--ignore") if self.name == "podman" else ()
        ended = self.call("rm", "--force", "--volumes", *now, *containers)
        if ended.returncode and "no such container" not in ended.stderr.lower():
            _log.error("%s could not remove containers: %s", self.name, ended.stderr.strip())

    def image(self, uri: str) -> str:
        """Give the name under which the engine finds an image that Batch, whose engine is docker, calls `uri`.

        podman has no default registry: a name without one is an image of this machine, else docker.io's.
        """
        first, slash, _ = uri.partition("/")
        has_registry = bool(slash) and (first == "localhost" or "." in first or ":" in first)
        if self.name != "podman" or has_registry or uri in self._local_images:
            return uri
        if self.call("image", "exists", uri).returncode == 0:
            self._local_images.add(uri)
            return uri
        return f"docker.io/{uri}" if slash else f"docker.io/library/{uri}"


def registry_of(uri: str) -> str:
    """Give the host of an image's registry."""
    first, slash, _ = uri.partition("/")
    return first if slash and (first == "localhost" or "." in first or ":" in first) else "docker.io"
