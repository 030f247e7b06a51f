"""Show a bucket's objects as files in a folder, as gcsfuse does, and write changed files back as objects."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..model.runtime_interface import CANNOT_START, StartFailed
from ..model.storage_names import is_object_name

# gcsfuse's own, https://cloud.google.com/storage/docs/gcsfuse-cli
_FILE_MODE = 0o644
_FOLDER_MODE = 0o755

_Stamp = tuple[int, int, int]


def storage_client(address: str) -> Any:
    """Make a client of Cloud Storage at this address, without credentials."""
    from google.auth.credentials import AnonymousCredentials
    from google.auth.transport.requests import AuthorizedSession
    from google.cloud import storage  # type: ignore[attr-defined]

    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]
    session = AuthorizedSession(credentials)  # type: ignore[no-untyped-call]
    session.trust_env = False  # no proxy leads to loopback
    options = {"api_endpoint": address}
    return storage.Client(project="emulator", credentials=credentials, client_options=options, _http=session)


def mounted_bucket(
    remote_path: str, folder: Path, environment: Mapping[str, str], options: Sequence[str] = ()
) -> BucketFolder:
    """Mount a bucket of the Cloud Storage that a task's environment names, as a folder. Raises StartFailed."""
    address = environment.get("STORAGE_EMULATOR_HOST")
    if not address:
        raise StartFailed(CANNOT_START, f"gs://{remote_path} cannot be mounted: there is no Cloud Storage here")
    return BucketFolder(storage_client(address), remote_path, folder, options)


class BucketFolder:
    """The objects of `remote_path`, BUCKET or BUCKET/PREFIX, in `folder`; of gcsfuse's `options` its modes count."""

    def __init__(self, client: Any, remote_path: str, folder: Path, options: Sequence[str] = ()) -> None:
        bucket, _, prefix = remote_path.partition("/")
        self._bucket = client.bucket(bucket)
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._place = f"gs://{bucket}/{self._prefix}"
        self.folder = folder
        self._file_mode = _mode(options, "file-mode", _FILE_MODE)
        self._folder_mode = _mode(options, "dir-mode", _FOLDER_MODE)
        self._stamps: dict[str, _Stamp] = {}
        self._lock = threading.Lock()

    def fill(self) -> None:
        """Make the folder with a file for each object; names that no file can have are left out.

        Raises StartFailed.
        """
        self._make(self.folder)
        self._try("read", self._download)
        self._stamps = dict(self._files())

    def put_back(self) -> list[str]:
        """Write new and changed files as objects, delete those of files that are gone; give what went wrong.

        Links are not files: what they point to may be anywhere. A file that no object can be made of does not keep
        others from being written, and is reported again the next time.
        """
        problems: list[str] = []
        try:
            with self._lock:
                self._try("write", lambda: self._upload(problems))
        except StartFailed as error:
            problems.append(str(error))
        return problems

    def _download(self) -> None:
        for blob in self._bucket.client.list_blobs(self._bucket, prefix=self._prefix):
            name = blob.name[len(self._prefix) :]
            parts = name.rstrip("/").split("/")
            if any(part in ("", ".", "..") or len(os.fsencode(part)) > 255 or "\0" in part for part in parts):
                continue
            path = self.folder.joinpath(*parts)
            if any(above.is_file() for above in path.parents) or path.exists():  # "a" and "a/b" are both objects
                continue
            self._make(path if name.endswith("/") else path.parent)
            if not name.endswith("/"):
                blob.download_to_filename(str(path))
                path.chmod(self._file_mode)

    def _upload(self, problems: list[str]) -> None:
        now = dict(self._files())
        changed = [name for name, stamp in now.items() if self._stamps.get(name) != stamp]
        nameless = {name for name in changed if not is_object_name(self._prefix + name)}
        problems += [
            f"gcsfuse could not write {self._place}: no object can have the name of the file {name!r}"
            for name in sorted(nameless)
        ]
        for name in changed:
            if name not in nameless:
                with open(os.open(self.folder / name, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                    self._bucket.blob(self._prefix + name).upload_from_file(file)
        for name in self._stamps.keys() - now.keys():
            blob = self._bucket.blob(self._prefix + name)
            if blob.exists():
                blob.delete()
        self._stamps = {name: stamp for name, stamp in now.items() if name not in nameless}

    def _files(self) -> Iterator[tuple[str, _Stamp]]:
        for folder, _, names in os.walk(self.folder):
            for name in names:
                path = Path(folder, name)
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
                    yield str(path.relative_to(self.folder)), stamp

    def _make(self, folder: Path) -> None:
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir()
            path.chmod(self._folder_mode)

    def _try(self, verb: str, act: Callable[[], None]) -> None:
        from google.api_core.exceptions import GoogleAPIError
        from google.cloud.storage.exceptions import DataCorruption
        from requests import RequestException

        try:
            act()
        except (GoogleAPIError, DataCorruption, RequestException, OSError) as error:
            raise StartFailed(CANNOT_START, f"gcsfuse could not {verb} {self._place}: {error}") from error


def _mode(options: Sequence[str], name: str, default: int) -> int:
    words = " ".join(options).replace("=", " ").replace(",", " ").split()
    for option in (f"--{name}", name):
        if option in words[:-1]:
            try:
                return int(words[words.index(option) + 1], 8)
            except ValueError:
                return default
    return default
