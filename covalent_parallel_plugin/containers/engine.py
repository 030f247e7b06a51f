"""The command line program of a container engine, podman or docker: calls that end soon, and names for images."""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

_log = logging.getLogger(__name__)

ENGINES = ("podman", "docker")
CALL_SECONDS = 60.0
# Docker's official images have a name here, and one on Google's mirror of Docker Hub:
# https://cloud.google.com/artifact-registry/docs/pull-cached-dockerhub-images
MIRROR = "mirror.gcr.io/library/"
_OFFICIAL = re.compile(rf"(?:{re.escape(MIRROR)}|(?:(?:index\.)?docker\.io/)?(?:library/)?)([^/]+)")


def names_of(uri: str) -> tuple[str, ...]:
    """Return all names of one image, the given one first: Docker's official images have several, any other has one."""
    official = _OFFICIAL.fullmatch(uri)
    if official is None:
        return (uri,)
    name = official[1]
    return tuple(dict.fromkeys((uri, name, f"docker.io/library/{name}", f"{MIRROR}{name}")))


class ContainerEngine:
    """podman or docker. Raises ValueError for another name, and where the program is not installed."""

    def __init__(self, name: str) -> None:
        if name not in ENGINES:
            raise ValueError(f"{name!r} is not a container engine known here: {' or '.join(ENGINES)}")
        program = shutil.which(name)
        if program is None:
            raise ValueError(f"{name} is not installed, or not on the PATH")
        self.name = name
        self.program = program
        self._local_images: dict[str, str] = {}

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
        self,
        words: list[str],
        environment: Mapping[str, str],
        folder: str,
        stdout: int,
        stderr: int,
        descriptors: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start the program with these streams and further descriptors, in a folder of its own. Raises OSError.

        podman's monitor leaves a file "oom" in the folder it is started in when a container runs out of memory.
        """
        return subprocess.Popen(
            [self.program, *words],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=dict(environment),
            cwd=folder,
            pass_fds=descriptors,
            start_new_session=True,
        )

    def process_ids(self, *containers: str) -> set[int]:
        """Return the process id on this machine of each running container's first process."""
        if not containers:
            return set()
        # one that has just gone fails the call, and the others are listed all the same
        listed = self.call("inspect", "--format={{.State.Pid}}", *containers).stdout.split()
        return {int(pid) for pid in listed if pid.isdecimal() and pid != "0"}

    def is_there(self, container: str) -> bool:
        """Return whether podman has a container, which its client removes before it ends; docker's does not."""
        return self.name == "podman" and self.call("container", "exists", container).returncode == 0

    def remove(self, *containers: str) -> None:
        """Kill and remove containers; those that are gone already are no error."""
        if not containers:
            return
        now = ("--time=0", "--ignore") if self.name == "podman" else ()
        ended = self.call("rm", "--force", "--volumes", *now, *containers)
        if ended.returncode and "no such container" not in ended.stderr.lower():
            _log.error("%s could not remove containers: %s", self.name, ended.stderr.strip())

    def image(self, uri: str) -> str:
        """Return the name under which the engine finds an image that Batch, whose engine is docker, calls `uri`.

        An official image of Docker's that is here under another of its names is not pulled again: a machine may have no
        network. podman has no default registry: a name without one is an image of this machine, else docker.io's.
        """
        names = names_of(uri)
        is_short = self.name == "podman" and not _has_registry(uri)
        if len(names) == 1 and not is_short:
            return uri
        if uri not in self._local_images:
            here = next((name for name in names if self.call("image", "inspect", name).returncode == 0), None)
            if here is None:
                return uri if not is_short else f"docker.io/{uri}" if "/" in uri else f"docker.io/library/{uri}"
            self._local_images[uri] = here
        return self._local_images[uri]


def registry_of(uri: str) -> str:
    """Return the host of an image's registry."""
    return uri.partition("/")[0] if _has_registry(uri) else "docker.io"


def _has_registry(uri: str) -> bool:
    first, slash, _ = uri.partition("/")
    return bool(slash) and (first == "localhost" or "." in first or ":" in first)
