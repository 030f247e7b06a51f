"""Fetch what tasks are given: objects that are named by their digest, and objects of other people's."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

from ...protocol.envelope import ForgedError
from ...protocol.sweep_objects import content_name
from .. import bucket_http as storage
from .side_by_side import each

_COPY_BYTES = 1 << 20


def fetch_all(bucket_name: str, sweep_folder: str, objects: Mapping[str, tuple[str, int]]) -> None:
    """Fetch objects of one bucket, some at a time.

    Args:
        objects: path -> the object's name and its generation, 0 for any.

    Raises:
        BucketError: one cannot be read. ForgedError: one has not the bytes that its name says. OSError.
    """

    def fetch(client: storage.BucketClient, entry: tuple[str, tuple[str, int]]) -> None:
        path, (name, generation) = entry
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w+b") as file:
            client.get(name, file, generation=generation)
            digest = name.rpartition("/")[2]
            if name == content_name(sweep_folder, digest):
                file.seek(0)
                seen = hashlib.sha256()
                for piece in iter(lambda: file.read(_COPY_BYTES), b""):
                    seen.update(piece)
                if seen.hexdigest() != digest:
                    raise ForgedError("%s is not what it is named after" % name)

    each(objects.items(), fetch, lambda: storage.from_environment(bucket_name))
