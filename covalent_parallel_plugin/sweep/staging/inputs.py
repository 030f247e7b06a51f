"""Inputs of a sweep: the versions that keys stand on, and where tasks of this machine find them.

Only an input in a bucket loads Google's client.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import MistakeError
from ..mistakes import LocatedText
from .file_tree import content_digest, files_below

# Of a bucket, as it is written in `inputs`
BUCKET_PREFIX = "gs://"
# A file that was changed so shortly before may change again without another time: clocks of disks have steps
SETTLED_NS = 2_000_000_000


class InputError(MistakeError):
    """An input is not there, cannot be read, or has changed meanwhile."""


class DigestCache:
    """Digests of files that were read before; one whose size, time and inode are the same is not read again.

    Args:
        path: of the JSON file that keeps them; it need not be there.
        now_ns: the time.
    """

    def __init__(self, path: Path, now_ns: Callable[[], int] = time.time_ns):
        self._path, self._now_ns = path, now_ns
        self._known: dict[str, list[object]] = {}
        self._used: dict[str, list[object]] = {}
        with contextlib.suppress(OSError, ValueError):
            read = json.loads(path.read_bytes())
            self._known = read if isinstance(read, dict) else {}

    def digest(self, path: Path) -> str:
        """Return the SHA-256 of a file's bytes, or of what it is where it has none. Raises OSError."""
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            return "no file"
        entry = self._known.get(str(path))
        if not isinstance(entry, list) or entry[:-1] != _version(status):
            digest, status = content_digest(path)
            entry = [*_version(status), digest]
        if status.st_mtime_ns + SETTLED_NS < self._now_ns():
            self._used[str(path)] = entry
        return str(entry[-1])

    def save(self) -> None:
        """Keep the digests that were asked for, if the folder is there; without them files are read again."""
        unfinished = self._path.with_name(f"{self._path.name}.part")
        with contextlib.suppress(OSError):
            unfinished.write_text(json.dumps(self._used))
            unfinished.replace(self._path)


def pin_inputs(
    inputs: Mapping[str, LocatedText], cache: Path, project_id: str = "", last: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the versions of inputs by name: of their contents, or of a bucket's objects.

    Args:
        inputs: paths, absolute, and gs:// addresses.
        cache: the file with digests of earlier runs, in the sweep's folder; where that is in an input, it is left out.
        project_id: of the buckets' client, "" for its own default.
        last: the versions of the last run: then nobody is contacted, and those of buckets are taken from here.

    Raises:
        InputError: one is not there, or cannot be read.
        CloudError: a bucket cannot be used.
    """
    digests, versions = DigestCache(cache), dict[str, str]()
    for name, text in inputs.items():
        if not is_in_bucket(text):
            versions[name] = content_version(local_files(name, Path(text.text), cache.parent, digests))
        elif last is None:
            from .bucket_inputs import BucketInput

            versions[name] = BucketInput.find(name, text.text, project_id).version
        elif name in last:
            versions[name] = last[name]
    digests.save()
    return versions


def stage_inputs(
    inputs: Mapping[str, LocatedText], versions: Mapping[str, str], folder: Path, project_id: str = ""
) -> dict[str, Path]:
    """Return the paths of inputs on this machine by name; what is in a bucket is downloaded, once for each version.

    Args:
        versions: of the inputs, as `pin_inputs` has found them.
        folder: for downloads; it need not be there.

    Raises:
        InputError: what is in a bucket has changed, or does not fit into a folder.
        CloudError: a bucket cannot be used.
    """
    paths = dict[str, Path]()
    for name, text in inputs.items():
        paths[name] = Path(text.text)
        if is_in_bucket(text):
            from .bucket_inputs import BucketInput, find_download

            found = find_download(name, versions[name], folder)
            paths[name] = found or BucketInput.find(name, text.text, project_id).download(versions[name], folder)
    return paths


def is_in_bucket(text: LocatedText) -> bool:
    """Return whether an input is the object of a bucket, or several."""
    return text.text.startswith(BUCKET_PREFIX)


@dataclass(frozen=True)
class LocalFile:
    """A file of an input: its path in there, "" where the input is this file, its place, and its digest."""

    inner: str
    path: Path
    digest: str


def local_files(name: str, path: Path, out: Path, digests: DigestCache) -> list[LocalFile]:
    """List what is in an input of this machine, but for the sweep's own folder.

    Raises:
        InputError: it cannot be read.
    """
    own = os.path.realpath(out)

    def is_entered(folder: Path) -> bool:
        return os.path.realpath(folder) != own

    try:
        if not path.is_dir():
            return [LocalFile("", path, digests.digest(path))]
        return [LocalFile(inner, file, _inner_digest(file, digests)) for inner, file in files_below(path, is_entered)]
    except OSError as error:
        why = f"inputs: {name}: {error.filename or path} cannot be read: {error.strerror}"
        raise InputError(f"{why}: name a file or a folder that can") from error


def content_version(files: Sequence[LocalFile]) -> str:
    """Return the version of an input that consists of these files."""
    if [file.inner for file in files] == [""]:
        return files[0].digest
    lines = "".join(f"{file.inner}\0{file.digest}\n" for file in files)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _inner_digest(path: Path, digests: DigestCache) -> str:
    """Return the digest of a file in a folder; of a link that leads nowhere, where it leads to."""
    if path.is_symlink() and not path.exists():
        return f"link to {path.readlink()}"
    return digests.digest(path)


def _version(status: os.stat_result) -> list[object]:
    return [status.st_size, status.st_mtime_ns, status.st_ino]
