"""Build any Dockerfile of the user's own with docker, podman or Cloud Build."""

from __future__ import annotations

import base64
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...cloud.registry.image_reference import parse_reference
from .build import LIMIT_SECONDS, ImageTarget, raise_mistakes, run_all, submit_command, target_mistakes
from .build_failures import DOCKERFILE_REMEDIES, explain_failure, last_line
from .external_programs import CLOUD_BUILD, Programs

DOCKERFILE = "Dockerfile"
BUILDER = "gcr.io/cloud-builders/docker"
CONFIG_FILE, DIGEST_FILE = "cloudbuild.json", "digest"
# Where a Dockerfile from outside the context is during a build in the cloud
_VOLUME = "/dockerfile"
# Of one argument of a build's step 10,000 characters are allowed, of all of them 100:
# https://cloud.google.com/build/docs/build-config-file-schema
_WORD_CHARACTERS = 9000
_ARGUMENT = re.compile(r"[A-Za-z_]\w*=.*", re.ASCII | re.DOTALL)
_PUSHED = re.compile(r"\bdigest: (sha256:[0-9a-f]{64})\b")


@dataclass(frozen=True, kw_only=True)
class DockerfileOptions(ImageTarget):
    """What to build: `dockerfile` is the context's own if it is None, and is looked for in the context too.

    `arguments` are the build's, NAME=VALUE.
    """

    context: Path
    dockerfile: Path | None = None
    arguments: tuple[str, ...] = ()

    @property
    def file(self) -> Path:
        """The Dockerfile."""
        if self.dockerfile is None:
            return self.context / DOCKERFILE
        inside = self.context / self.dockerfile
        return inside if inside.is_file() and not self.dockerfile.is_file() else self.dockerfile


def check_dockerfile(options: DockerfileOptions, engine: str) -> None:
    """Refuse what could only fail later. Raises BuildError with all mistakes."""
    raise_mistakes([*_mistakes(options), *target_mistakes(options, engine)])


def _mistakes(options: DockerfileOptions) -> Iterator[str]:
    if not options.context.is_dir():
        yield f"--context {options.context} is not a folder: give the one that the Dockerfile copies from"
    elif not options.file.is_file():
        remedy = "give one with --dockerfile" if options.dockerfile is None else "give one that is there"
        named = options.file if options.dockerfile is None else f"--dockerfile {options.file}"
        yield f"{named} is not a file: {remedy}"
    for argument in options.arguments:
        if not _ARGUMENT.fullmatch(argument):
            yield f"--build-arg {argument!r} is not of the form NAME=VALUE"


def dockerfile_commands(engine: str, options: DockerfileOptions, folder: str) -> list[tuple[str, ...]]:
    """Return what is run, in this order; `folder` has Cloud Build's file, and takes the digest."""
    context = str(options.context.resolve())
    if engine == CLOUD_BUILD:
        return [(*submit_command(options, context, f"{folder}/{CONFIG_FILE}"), *options.engine_arguments)]
    words = [f"--platform={options.platform}", f"--file={options.file.resolve()}", f"--tag={options.tag}"]
    words += [f"--build-arg={argument}" for argument in options.arguments]
    made = [(engine, "build", *words, *options.engine_arguments, context)]
    if not options.push:
        return made
    # docker prints the digest
    noted = [f"--digestfile={folder}/{DIGEST_FILE}"] if engine == "podman" else []
    return [*made, (engine, "push", *noted, options.tag)]


def cloud_build_config(options: DockerfileOptions) -> dict[str, Any]:
    """Return the file with the steps of Cloud Build.

    A Dockerfile inside the context is in its upload; any other is written in a step of its own.
    """
    file, context = options.file.resolve(), options.context.resolve()
    steps: list[dict[str, Any]] = []
    more: dict[str, Any] = {}
    if file.is_relative_to(context):
        place = file.relative_to(context).as_posix()
    else:
        place = f"{_VOLUME}/{DOCKERFILE}"
        more = {"volumes": [{"name": "dockerfile", "path": _VOLUME}]}
        text = base64.b64encode(file.read_bytes()).decode()
        words = [text[start : start + _WORD_CHARACTERS] for start in range(0, len(text), _WORD_CHARACTERS)]
        script = f'printf %s "$@" | base64 -d >{place}'
        steps.append({"name": BUILDER, "entrypoint": "bash", "args": _plain("-c", script, "bash", *words), **more})
    arguments = [f"--build-arg={argument}" for argument in options.arguments]
    build = _plain("build", f"--platform={options.platform}", f"--file={place}", f"--tag={options.tag}", *arguments)
    steps.append({"name": BUILDER, "env": ["DOCKER_BUILDKIT=1"], "args": [*build, "."], **more})
    return {"steps": steps, "images": [options.tag], "timeout": f"{LIMIT_SECONDS:.0f}s"}


def _plain(*words: str) -> list[str]:
    """Return words in which Cloud Build replaces nothing."""
    return [word.replace("$", "$$") for word in words]


def build_dockerfile(engine: str, options: DockerfileOptions, programs: Programs, tell: Callable[[str], None]) -> str:
    """Build, and push where that is wanted; return how a sweep's file names the image.

    That is its digest, where the engine reports it after a push.

    Raises:
        BuildError: a command failed. OSError: the Dockerfile cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="covalent-parallel-image-") as folder:
        if engine == CLOUD_BUILD:
            Path(folder, CONFIG_FILE).write_text(json.dumps(cloud_build_config(options)), encoding="utf-8")
        ended = run_all(
            dockerfile_commands(engine, options, folder),
            programs,
            tell,
            # What the Dockerfile's own steps printed says nothing of the engine
            lambda command, ended: explain_failure(command, ended, last_line(ended), DOCKERFILE_REMEDIES, options.tag),
        )
        if not options.push and engine != CLOUD_BUILD:
            return options.tag
        noted = Path(folder, DIGEST_FILE)
        digests = [noted.read_text("ascii").strip()] if noted.is_file() else _PUSHED.findall(ended.said)
    return _pinned(options.tag, digests[-1]) if digests else options.tag


def _pinned(tag: str, digest: str) -> str:
    image = parse_reference(tag)
    return f"{image.host}/{image.path}@{digest}"
