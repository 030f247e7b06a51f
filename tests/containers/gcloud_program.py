#!/usr/bin/env python3
"""A program of the tests in place of `gcloud`, for images: `storage cp` and `storage rsync`, and nothing else of it.

It copies between a folder and the Cloud Storage that STORAGE_EMULATOR_HOST names, with the standard library alone.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlencode

SCHEME = "gs://"
SECONDS = 60


class CopyRefused(Exception):
    """What cannot be copied, with the reason."""


class Storage:
    """Objects of Cloud Storage, by their gs:// address."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def names(self, address: str) -> list[str]:
        """Return the addresses of all objects that begin with this one."""
        bucket, prefix = split_address(address)
        found: list[str] = []
        query = {"prefix": prefix}
        while True:
            page = json.loads(self._ask(f"/storage/v1/b/{bucket}/o?{urlencode(query)}"))
            found += [f"{SCHEME}{bucket}/{item['name']}" for item in page.get("items", [])]
            if "nextPageToken" not in page:
                return found
            query["pageToken"] = page["nextPageToken"]

    def download(self, address: str, path: Path) -> None:
        """Write an object to a file."""
        bucket, name = split_address(address)
        content = self._ask(f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}?alt=media")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def upload(self, path: Path, address: str, content_type: str) -> None:
        """Make an object of a file."""
        bucket, name = split_address(address)
        query = urlencode({"uploadType": "media", "name": name})
        headers = {"Content-Type": content_type}
        self._ask(f"/upload/storage/v1/b/{bucket}/o?{query}", path.read_bytes(), headers)

    def _ask(self, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
        request = urllib.request.Request(self._address + path, data=body, headers=headers or {})
        try:
            with self._opener.open(request, timeout=SECONDS) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise CopyRefused(f"{path}: {error} {error.read(2000).decode(errors='replace')}") from error


def split_address(address: str) -> tuple[str, str]:
    """Return the bucket and the object of gs://BUCKET/OBJECT."""
    bucket, _, name = address.removeprefix(SCHEME).partition("/")
    return bucket, name


def is_object(place: str) -> bool:
    return place.startswith(SCHEME)


def matches(storage: Storage, source: str) -> list[str]:
    """Return the files or objects of a name with or without `*`, which stands for characters other than `/`."""
    if not is_object(source):
        folder, _, pattern = source.rpartition("/")
        found = sorted(str(path) for path in Path(folder or ".").glob(pattern))
    elif "*" in source:
        names = storage.names(source.partition("*")[0])
        found = [name for name in names if name.count("/") == source.count("/") and fnmatch.fnmatch(name, source)]
    else:
        found = [source]
    if not found:
        raise CopyRefused(f"the following URLs matched no objects or files: {source}")
    return found


def copy_one(storage: Storage, source: str, target: str, content_type: str = "application/octet-stream") -> None:
    if is_object(source) == is_object(target):
        raise CopyRefused(f"this program copies to or from {SCHEME}, not {source} to {target}")
    if is_object(target):
        storage.upload(Path(source), target, content_type)
    else:
        storage.download(source, Path(target))


def copy(storage: Storage, sources: list[str], target: str, content_type: str) -> None:
    """Copy files or objects into a folder or prefix, or one to a name of its own."""
    found = [name for source in sources for name in matches(storage, source)]
    is_folder = target.endswith("/") or len(found) > 1 or (not is_object(target) and Path(target).is_dir())
    for name in found:
        place = f"{target.rstrip('/')}/{name.rpartition('/')[2]}" if is_folder else target
        copy_one(storage, name, place, content_type)


def synchronize(storage: Storage, source: str, target: str) -> None:
    """Copy all that is below a folder or prefix; what is only at the target stays."""
    root = f"{source.rstrip('/')}/"
    if is_object(source):
        found = [name for name in storage.names(root) if not name.endswith("/")]
    else:
        found = [str(path) for path in Path(source).rglob("*") if path.is_file()]
    for name in found:
        copy_one(storage, name, f"{target.rstrip('/')}/{name.removeprefix(root)}")


def main(words: list[str]) -> int:
    """Run a command; return its exit status."""
    parser = argparse.ArgumentParser(prog="gcloud")
    storage_parser = parser.add_subparsers(required=True).add_parser("storage")
    commands = storage_parser.add_subparsers(dest="command", required=True)
    for name in ("cp", "rsync"):
        command = commands.add_parser(name)
        command.add_argument("--no-user-output-enabled", action="store_true")
        command.add_argument("--content-type", default="application/octet-stream")
        command.add_argument("-r", "--recursive", action="store_true")
        command.add_argument("sources", nargs="+")
        command.add_argument("target")
    given = parser.parse_args(words)
    storage = Storage(os.environ["STORAGE_EMULATOR_HOST"])
    try:
        if given.command == "cp":
            copy(storage, given.sources, given.target, given.content_type)
        else:
            (source,) = given.sources
            synchronize(storage, source, given.target)
    except (CopyRefused, OSError) as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
