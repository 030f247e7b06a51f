"""The command line by which a task can be tried by hand: pure functions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ...containers.container import Bind
from ...containers.run_command import network_words, split_options
from ..sweep_file import SweepFile
from ..tasks import Launch

TASK_FOLDER = "/mnt/sweep/task"
INPUTS_FOLDER = "/mnt/sweep/inputs"


def task_binds(file: SweepFile, files: Path, inputs: Mapping[str, Path]) -> list[Bind]:
    """Return the folders of a task as its container sees them: its own, and its inputs, which are read-only."""
    bound = [Bind(str(path), f"{INPUTS_FOLDER}/{name}", "ro") for name, path in inputs.items()]
    return [Bind(str(files), file.outputs or TASK_FOLDER), *bound]


def caller_ids() -> tuple[int, int]:
    """Return the user and the group whom outputs are to belong to."""
    return os.geteuid(), os.getegid()


def engine_words(engine: str, file: SweepFile, user: int, group: int) -> list[str]:
    """Return the words of `run` that a sweep's file and its caller ask for, beside limits, names and folders."""
    words = [f"--workdir={file.workdir}"] if file.workdir else []
    if engine == "docker" and user != 0:
        words.append(f"--user={user}:{group}")
    settings = file.settings
    if settings.needs_gpu_drivers:
        count = settings.accelerators
        if engine == "docker":
            words.append(f"--gpus={count or 'all'}")
        else:
            words += [f"--device=nvidia.com/gpu={number}" for number in range(count)] or ["--device=nvidia.com/gpu=all"]
    return words


def hand_command(
    engine: str, file: SweepFile, image: str, launch: Launch, files: Path, inputs: Mapping[str, Path]
) -> list[str]:
    """Return the words of `docker run` (or `podman run`) that start a task as the sweep does, in this folder.

    `image` is what the engine knows the pinned image by. Secrets are named, and taken from the caller's variables.
    """
    settings = file.settings
    words = [engine, "run", "--rm", f"--memory={settings.memory}m", f"--memory-swap={settings.memory}m"]
    if settings.vcpus < (os.cpu_count() or 1):
        words.append(f"--cpus={settings.vcpus:g}")
    options = split_options(settings.container_options)
    words += [*network_words(options), *options, *engine_words(engine, file, *caller_ids())]
    words += [f"--env={name}={value}" for name, value in launch.environment.items()]
    words += [f"--env={name}" for name in file.secrets]
    words += [f"--volume={bind}" for bind in task_binds(file, files, inputs)]
    first, *rest = launch.entrypoint or ("",)
    if launch.entrypoint is not None:
        words.append(f"--entrypoint={first}")
    return [*words, image, *rest, *launch.arguments]
