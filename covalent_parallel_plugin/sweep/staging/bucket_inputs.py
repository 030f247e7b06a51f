"""Inputs in buckets: the generations of their objects, and their download, whole or not at all."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...cloud.storage import ObjectStore, StoredObject
from ...errors import CacheDirError
from .inputs import BUCKET_PREFIX, InputError

# Downloads at a time
THREADS = 8
VERSION_DIGITS = 16
# Folders of a download: of a single object, and of all below a prefix
ONE, MANY = "object", "objects"


@dataclass(frozen=True)
class BucketInput:
    """The objects that an input names: one, or all below a prefix as below a folder.

    Attributes:
        name: of the input.
        address: gs://BUCKET/OBJECT or gs://BUCKET/PREFIX.
        project_id: of the client; "" for its own default.
        objects: by their paths below the prefix; one object has the path "".
    """

    name: str
    address: str
    project_id: str
    store: ObjectStore
    objects: dict[str, StoredObject]

    @classmethod
    def find(cls, name: str, address: str, project_id: str) -> BucketInput:
        """List the objects.

        Raises:
            InputError: there are none, or their names cannot be those of files.
            CloudError: the bucket cannot be used.
        """
        bucket, _, prefix = address.removeprefix(BUCKET_PREFIX).partition("/")
        prefix = prefix.rstrip("/")
        store = ObjectStore.shared(project_id, bucket)
        start = f"{prefix}/" if prefix else ""
        objects = {stored.name[len(start) :]: stored for stored in store.list(start) if stored.name != start}
        if not objects:
            single = [stored for stored in store.list(prefix) if prefix and stored.name == prefix]
            objects = {"": single[0]} if single else {}
        if not objects:
            raise InputError(f"inputs: {name}: {address} has no objects: name an object, or a prefix of some")
        for path in filter(None, objects):
            _check_path(path, f"inputs: {name}: {address}", objects)
        return cls(name, address, project_id, store, objects)

    @property
    def version(self) -> str:
        """A digest of the objects' generations."""
        lines = "".join(f"{path}\0{stored.generation}\n" for path, stored in sorted(self.objects.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def download(self, version: str, folder: Path) -> Path:
        """Download the objects; return the path of the input, whose folder has its name once all of it is there.

        Args:
            version: that they must have.
            folder: for all downloads, of which one process at a time takes care.

        Raises:
            InputError: they have another version, or do not fit into the folder.
            CloudError: the bucket cannot be used.
        """
        place = _place(self.name, version, folder)
        unfinished = place.with_name(f"{place.name}.part")
        threads = ThreadPoolExecutor(THREADS)
        try:
            if unfinished.exists():
                shutil.rmtree(unfinished)
            unfinished.mkdir(parents=True)
            for _ in threads.map(lambda path: self._get(path, unfinished), self.objects):
                pass
            # An object has no generation on its way, so that they are looked at again
            if BucketInput.find(self.name, self.address, self.project_id).version != version:
                raise self._changed()
            unfinished.rename(place)
        except OSError as error:
            # What the store cannot write to is one of its own errors, with the disk's as the cause
            cause = error.__cause__ if isinstance(error, CacheDirError) else error
            why = getattr(cause, "strerror", None) or str(cause)
            raise InputError(f"inputs: {self.name}: {self.address} cannot be written to {folder}: {why}") from error
        finally:
            threads.shutdown(cancel_futures=True)
        return _path_in(place)

    def _get(self, path: str, folder: Path) -> None:
        stored = self.objects[path]
        if path.endswith("/"):
            (folder / MANY / path).mkdir(parents=True, exist_ok=True)
            return
        target = folder / MANY / path if path else folder / ONE / PurePosixPath(stored.name).name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            if not self.store.get(stored.name, file):
                raise self._changed()

    def _changed(self) -> InputError:
        return InputError(f"inputs: {self.name}: {self.address} changed while it was downloaded: run the sweep again")


def find_download(name: str, version: str, folder: Path) -> Path | None:
    """Return the path of an input that was downloaded in this version, None if it was not."""
    place = _place(name, version, folder)
    return _path_in(place) if place.exists() else None


def _place(name: str, version: str, folder: Path) -> Path:
    return folder / f"{name}-{version[:VERSION_DIGITS]}"


def _path_in(place: Path) -> Path:
    return place / MANY if (place / MANY).exists() else next((place / ONE).iterdir())


def _check_path(path: str, named: str, paths: Collection[str]) -> None:
    """Refuse a path that leaves its folder, or that is a file's and a folder's too. Raises InputError."""
    parts = path.removesuffix("/").split("/")
    if {"", ".", ".."} & set(parts) or "\0" in path:
        raise InputError(f"{named} has an object {path!r}, which is not a path of a file: move it elsewhere")
    above = ["/".join(parts[:count]) for count in range(1, len(parts) + path.endswith("/"))]
    if both := next((folder for folder in above if folder in paths), None):
        raise InputError(f"{named} has an object {both!r} and others below it: a file cannot be a folder; move one")
