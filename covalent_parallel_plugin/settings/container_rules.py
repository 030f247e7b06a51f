"""What the options of a job's container accept: volumes, secrets, registry, options of docker, packages."""

from __future__ import annotations

import re
import shlex
import unicodedata
from dataclasses import dataclass

from .disk_types import LOCAL_SSD
from .docker_options import docker_options
from .validators import (
    RESERVED_VARIABLES,
    bucket_name,
    list_of_text,
    mapping_of_text,
    readable_bucket_name,
    text,
    variable_problem,
)

# Batch's own recommendation for mount points, and all that Container-Optimized OS allows:
# https://cloud.google.com/batch/docs/create-run-job-storage
MOUNT_ROOT = "/mnt/disks"
# Google's mirror of Docker Hub: https://cloud.google.com/artifact-registry/docs/pull-cached-dockerhub-images
# Docker Hub itself lets an address pull about ten images an hour without an account, and machines behind one NAT share
# theirs: https://docs.docker.com/docker-hub/usage/
MIRROR_HOST = "mirror.gcr.io"
_SECRET = re.compile(
    r"(?:projects/(?P<project>[a-z0-9.:-]+)/secrets/)?(?P<secret>[A-Za-z0-9_-]{1,255})"
    r"(?:(?:/versions/|:)(?P<version>[0-9]+|[A-Za-z][A-Za-z0-9_-]{0,62}))?"
)
_VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
# https://cloud.google.com/storage/docs/objects#naming: a prefix may hold blanks and colons, and no line breaks
_VOLUME = re.compile(r"(gs|nfs)://([^/:\s]+)(/.*?)?(:rw|:ro)?")
# As mount has it, with a colon behind the server
_EXPORT = re.compile(r"(?:nfs://)?([^/:\s]+):(/(?!/)[^:]*)(:rw|:ro)?")
# What would keep Batch from seeing how the container ends, or its program from being the runner
_JOBS_OWN_OPTIONS = ("-d", "--detach", "--entrypoint", "--name", "--cidfile", "--restart", "--rm", "--help")
_VOLUME_OPTIONS = ("-v", "--volume", "--volumes-from", "--mount")
# What pip takes in a file of requirements, and makes sense away from this machine
_PIP_OPTIONS = (
    "-i", "--index-url", "--extra-index-url", "--no-index", "-f", "--find-links", "--trusted-host", "--no-binary",
    "--only-binary", "--prefer-binary", "--pre", "--require-hashes", "--use-feature",
)  # fmt: skip

_NAME_AND_ADDRESS = re.compile(r"[\w.-]+\s*(\[[^]]*\])?\s*@")
# What pip takes for a file where it has no scheme: archives, and what has a separator of folders
_LOCAL_FILE = re.compile(r"^(?!\w+(\+\w+)?:)[^;]*?([\\/]|\.(whl|zip|tar\.\w+|tgz|egg)$)|^[A-Za-z]:\\")
# Not every name with such an ending: there is a package ruamel.yaml
_FILE_OF_REQUIREMENTS = re.compile(
    r"[\w.-]+\.txt|[\w.-]*requirements[\w.-]*\.in|environment\.ya?ml|setup\.(py|cfg)|pyproject\.toml"
    r"|Pipfile(\.lock)?|(poetry|uv|pdm)\.lock"
)
# Its page is not an archive: pip wants git+https, or an archive's address
_REPOSITORY = re.compile(
    r"(?:(?:https?|git)://)?((?:www\.)?(?:github|gitlab|bitbucket)\.(?:com|org)/[\w.-]+/[\w.-]+?(?:\.git)?)/?(?:[@#;\s]|$)"
)
_INDEX_OPTION = re.compile(r"\s(-i|--index-url|--extra-index-url|--no-index|-f|--find-links|--trusted-host)[\s=]")
_EDITABLE = re.compile(r"(-e|--editable)\s*=?\s*")
# https://pip.pypa.io/en/stable/topics/vcs-support/: pip does not take git's own user@host:path
_GIT_ADDRESS = re.compile(r"(?:git\+)?(?:ssh://)?([\w.-]+@[\w.-]+):(?!\d+/)([^/\s][^\s]*)")


@dataclass(frozen=True)
class Volume:
    """One volume: a bucket's objects under a prefix (kind "gs") or a server's export ("nfs"), seen at `mount_path`."""

    name: str
    kind: str
    host: str
    path: str
    is_writable: bool

    @property
    def mount_path(self) -> str:
        return f"{MOUNT_ROOT}/{self.name}"


def stock_image(python_minor: str) -> str:
    """Return the image that jobs run in where none is named, for a minor version of Python such as 3.11."""
    return f"{MIRROR_HOST}/library/python:{python_minor}-slim"


def secret(value: object) -> str:
    """A secret of Secret Manager: NAME (its latest version), NAME:VERSION or projects/P/secrets/NAME/versions/V."""
    name = text(value)
    found = _SECRET.fullmatch(name)
    if not found or (found["project"] and not found["version"]):
        raise ValueError(
            f"names no secret with {name!r}: use NAME, NAME:VERSION or projects/PROJECT/secrets/NAME/versions/VERSION"
        )
    return name


def secret_version(name: str, project_id: str) -> str:
    """The resource name of a secret's version, which google.cloud.batch_v1.Environment.secret_variables takes."""
    found = _SECRET.fullmatch(name)
    assert found is not None  # the rule has seen it
    return (
        f"projects/{found['project'] or project_id}/secrets/{found['secret']}/versions/{found['version'] or 'latest'}"
    )


def secrets(value: object) -> dict[str, str]:
    """Environment variables, each with the secret of Secret Manager that holds its value."""
    result = mapping_of_text(value)
    problems = [problem for key in result if (problem := variable_problem(key))]
    for key, entry in result.items():
        try:
            secret(entry)
        except ValueError as error:
            problems.append(f"{key!r} {error}")
    if problems:
        raise ValueError(f"cannot be used: {'; '.join(problems)}")
    return result


def username(value: object) -> str:
    """A user of a registry, in plain text or as projects/PROJECT/secrets/NAME/versions/VERSION."""
    name = text(value)
    if not name.isprintable() or any(character.isspace() for character in name):
        raise ValueError("is no user's name: leave out spaces")
    return name


def volumes(value: object) -> dict[str, str]:
    """NAME: gs://BUCKET/PREFIX or nfs://SERVER/PATH, read-only unless it ends in :rw."""
    result = mapping_of_text(value)
    problems = []
    for name, source in result.items():
        try:
            volume(name, source)
        except ValueError as error:
            problems.append(str(error))
    names = [name.removeprefix(f"{MOUNT_ROOT}/") for name in result]
    problems += [f"{name!r} is there twice" for name in set(names) if names.count(name) > 1]
    if problems:
        raise ValueError(f"cannot be used: {'; '.join(problems)}")
    return result


def volume(name: str, source: str) -> Volume:
    """One entry of `volumes`.

    Raises:
        ValueError: its name or its source cannot be used.
    """
    plain = name.removeprefix(f"{MOUNT_ROOT}/")
    if not _VOLUME_NAME.fullmatch(plain):
        raise ValueError(
            f"{name!r} is no volume's name: use letters, digits, '-', '_' and '.' (it is mounted at {MOUNT_ROOT}/NAME)"
        )
    if plain.startswith(LOCAL_SSD):
        raise ValueError(f"{name!r} is the name that local_ssd_gb uses: take another one")
    found = _VOLUME.fullmatch(source)
    if export := _EXPORT.fullmatch(source):
        host, path, mode = export.groups(default="")
        raise ValueError(f"{source!r} is no source of a volume: use nfs://{host}{path}{mode}")
    if not found:
        raise ValueError(
            f"{source!r} is no source of a volume: use gs://BUCKET/PREFIX or nfs://SERVER/PATH, with :rw to write there"
        )
    kind, host, path, mode = found.groups()
    if any(unicodedata.category(character) == "Cc" for character in source):
        raise ValueError(f"{source!r} holds a control character: leave it out")
    if kind == "nfs" and not path:
        raise ValueError(f"{source!r} lacks the exported path: use nfs://SERVER/PATH")
    if {".", ".."} & set((path or "").split("/")):
        raise ValueError(f"{source!r} holds '.' or '..': name the folder itself")
    if kind == "gs":
        try:
            (bucket_name if mode == ":rw" else readable_bucket_name)(host)
        except ValueError as error:
            raise ValueError(f"the bucket {host!r} of {source!r} {error}") from error
        path = (path or "").strip("/")
    return Volume(plain, kind, host, path, mode == ":rw")


def container_options(value: object) -> str:
    """Further options of `docker run`."""
    options = text(value)
    if not all(character.isprintable() for character in options):
        raise ValueError("holds a line break or what else cannot be printed: write the options in one line")
    try:
        words = shlex.split(options)
    except ValueError as error:
        raise ValueError(f"cannot be split into words ({error}): close the quotation") from error
    for name, given in docker_options(words):
        if name in _VOLUME_OPTIONS:
            # google.cloud.batch_v1.Runnable.Container.options: volumes have a field of their own
            raise ValueError(f"holds {name}: use the option volumes")
        if name in _JOBS_OWN_OPTIONS:
            raise ValueError(f"holds {name}, which the job itself decides: leave it out")
        if name in ("-e", "--env") and given.startswith(RESERVED_VARIABLES):
            raise ValueError(f"sets {given.split('=', 1)[0]}, which the job itself sets: leave it out")
    return options


def requirements(value: object) -> list[str]:
    """A list of requirements as pip takes them, or text with one in each line."""
    entries = value if isinstance(value, str) else "\n".join(list_of_text(value))
    # A backslash at a line's end continues it, as pip-compile writes hashes.
    lines = [line.strip() for line in re.sub(r"\\[ \t]*(?:\r?\n|$)", " ", entries).splitlines()]
    lines = [_as_installed(line) for line in lines if line and not line.startswith("#")]
    problems = [problem for line in lines if (problem := _requirement_problem(line))]
    if problems:
        raise ValueError(f"cannot be used: {'; '.join(problems)}")
    return lines


def _as_installed(line: str) -> str:
    """An editable requirement that comes from elsewhere, as one to install: in a job's container nobody edits it.

    Those without an address are folders of this machine, not names of packages
    (https://pip.pypa.io/en/stable/cli/pip_install/#cmdoption-e).
    """
    found = _EDITABLE.match(line)
    rest = line[found.end() :].strip("\"' ") if found else ""
    return rest if "://" in rest else line


def _requirement_problem(line: str) -> str:
    from packaging.requirements import InvalidRequirement, Requirement

    if not line.isprintable():
        return f"{line!r} holds what cannot be printed"
    option = re.split(r"[=\s]", line, maxsplit=1)[0]
    if (
        line.startswith(("-r", "-c", "-e", "--requirement", "--constraint", "--editable"))
        and option not in _PIP_OPTIONS
    ):
        return f"{line!r} names a file, which does not travel: write the requirements themselves"
    if line.startswith("-"):
        known = ", ".join(_PIP_OPTIONS)
        return (
            "" if option in _PIP_OPTIONS else f"{line!r} is none of pip's options for requirements: use one of {known}"
        )
    if found := _GIT_ADDRESS.match(line):
        return f"{line!r} is an address for git alone: use git+ssh://{found[1]}/{found[2]}"
    plain = line.split(" #", 1)[0].split(" --", 1)[0].strip()
    address = plain.split("@", 1)[-1].strip() if _NAME_AND_ADDRESS.match(plain) else plain
    if repository := _REPOSITORY.match(address):
        return f"{line!r} is a repository's page, not a package: use git+https://{repository[1]}"
    if address.startswith((".", "/", "~", "file:", "git+file:")) or _LOCAL_FILE.search(address):
        return f"{line!r} is a path, which does not travel: use an index, or git+https://..."
    if _FILE_OF_REQUIREMENTS.fullmatch(plain):
        return f"{line!r} names a file, which does not travel: write the requirements themselves"
    if found := _INDEX_OPTION.search(line):
        return f"{line!r} holds {found[1]}, which pip reads on a line of its own only: write it there"
    if "://" in line.split("@", 1)[0]:
        return ""
    try:
        Requirement(plain)
    except InvalidRequirement as error:
        reason = str(error).split("\n", 1)[0]
        return f"{line!r} is not a requirement ({reason}): use NAME, NAME==VERSION or what else pip takes"
    return ""
