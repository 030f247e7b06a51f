"""A sweep's inputs in buckets, through Google's client."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.errors import MissingResourceError
from covalent_parallel_plugin.sweep.mistakes import LocatedText, Location
from covalent_parallel_plugin.sweep.staging.inputs import InputError, pin_inputs, stage_inputs


@pytest.fixture
def prefix() -> str:
    return f"inputs/{uuid.uuid4()}"


def put(store: ObjectStore, prefix: str, **contents: bytes) -> None:
    for name, data in contents.items():
        assert store.put(f"{prefix}/{name.replace('__', '/')}", data)


def inputs(address: str) -> dict[str, LocatedText]:
    return {"faces": LocatedText(address, Location(1, 1))}


def version(address: str, tmp_path: Path) -> str:
    return pin_inputs(inputs(address), tmp_path / "cache.json")["faces"]


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_objects_below_a_prefix_are_a_folder_downloaded_once(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    put(store, prefix, a=b"1", deep__b=b"", **{"empty__": b""})
    put(store, f"{prefix}2", a=b"not of these")
    address = f"gs://covalent/{prefix}"
    found = version(address, tmp_path)
    # A download that was broken off counts for nothing
    (tmp_path / "staged" / f"faces-{found[:16]}.part" / "objects").mkdir(parents=True)
    folder = stage_inputs(inputs(address), {"faces": found}, tmp_path / "staged")["faces"]
    assert files(folder) == {"a": b"1", "deep/b": b""}
    assert (folder / "empty").is_dir()
    for name in ("a", "deep/b"):
        store.delete(f"{prefix}/{name}")
    assert stage_inputs(inputs(address), {"faces": found}, tmp_path / "staged")["faces"] == folder
    assert [path.name for path in (tmp_path / "staged").iterdir()] == [f"faces-{found[:16]}"]


def test_one_object_is_a_file(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    put(store, prefix, **{"faces.csv": b"1,2"})
    address = f"gs://covalent/{prefix}/faces.csv"
    versions = {"faces": version(address, tmp_path)}
    for _ in range(2):
        path = stage_inputs(inputs(address), versions, tmp_path / "staged")["faces"]
        assert (path.name, path.read_bytes()) == ("faces.csv", b"1,2")


def test_an_object_that_is_written_anew_is_another_version(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    put(store, prefix, a=b"1")
    address = f"gs://covalent/{prefix}/"
    before = version(address, tmp_path)
    assert version(address, tmp_path) == before
    store.delete(f"{prefix}/a")
    put(store, prefix, a=b"1")
    assert version(address, tmp_path) != before
    with pytest.raises(InputError, match=rf"^inputs: faces: {address} changed while it was downloaded: run the sweep"):
        stage_inputs(inputs(address), {"faces": before}, tmp_path / "staged")
    assert not (tmp_path / "staged" / f"faces-{before[:16]}").exists()


def test_what_is_not_there_is_named(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    address = f"gs://covalent/{prefix}"
    with pytest.raises(InputError, match=rf"^inputs: faces: {address} has no objects: name an object, or a prefix"):
        version(address, tmp_path)
    with pytest.raises(MissingResourceError, match="the bucket 'no-such-bucket' does not exist"):
        version("gs://no-such-bucket/faces", tmp_path)


@pytest.mark.parametrize("name", ["../../x", "a/../../x", "/x", "a//b", "./a", "a/./b"])
def test_no_object_leaves_the_folder(store: ObjectStore, prefix: str, tmp_path: Path, name: str) -> None:
    assert store.put(f"{prefix}/{name}", b"")
    with pytest.raises(InputError, match="which is not a path of a file: move it elsewhere"):
        version(f"gs://covalent/{prefix}", tmp_path)


def test_a_file_that_is_a_folder_too_is_refused(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    put(store, prefix, a=b"", a__b__c=b"")
    with pytest.raises(InputError, match="has an object 'a' and others below it: a file cannot be a folder"):
        version(f"gs://covalent/{prefix}", tmp_path)


def test_a_folder_that_cannot_be_written_to_is_named(store: ObjectStore, prefix: str, tmp_path: Path) -> None:
    put(store, prefix, a=b"1")
    (tmp_path / "staged").write_text("a file")
    address = f"gs://covalent/{prefix}"
    with pytest.raises(InputError, match=rf"cannot be written to {tmp_path}/staged: (Not a directory|File exists)$"):
        stage_inputs(inputs(address), {"faces": version(address, tmp_path)}, tmp_path / "staged")
