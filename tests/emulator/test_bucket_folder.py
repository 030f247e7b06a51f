"""A bucket as a folder, on the emulator's own storage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from covalent_parallel_plugin.emulator.model.runtime_interface import StartFailed
from covalent_parallel_plugin.emulator.runtimes.gcsfuse_folder import BucketFolder, storage_client
from covalent_parallel_plugin.emulator.storage.server import StorageServer


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with StorageServer(buckets=("data",)) as server:
        yield storage_client(server.address)


@pytest.fixture
def folder(client: Any, tmp_path: Path) -> BucketFolder:
    bucket = client.bucket("data")
    for blob in client.list_blobs(bucket):
        blob.delete()
    for name in ("p/a", "p/deep/b", "pq/c", "p/empty/", "p/../escaped", "p//twice", "p/a/below"):
        bucket.blob(name).upload_from_string(name)
    made = BucketFolder(client, "data/p", tmp_path / "made", ["--file-mode=640", "--dir-mode 750"])
    made.fill()
    return made


def names(client: Any) -> set[str]:
    return {blob.name for blob in client.list_blobs("data")}


def test_objects_below_the_prefix_are_files_and_other_names_are_left_out(folder: BucketFolder) -> None:
    files = {str(path.relative_to(folder.folder)) for path in folder.folder.rglob("*")}
    assert files == {"a", "deep", "deep/b", "empty"}
    assert (folder.folder / "deep" / "b").read_text() == "p/deep/b"
    assert not (folder.folder.parent / "escaped").exists()


def test_files_have_the_modes_that_were_asked_for(folder: BucketFolder) -> None:
    assert (folder.folder / "a").stat().st_mode & 0o777 == 0o640
    assert (folder.folder / "deep").stat().st_mode & 0o777 == 0o750


def test_nothing_is_written_where_nothing_was_changed(folder: BucketFolder, client: Any) -> None:
    before = {blob.name: blob.generation for blob in client.list_blobs("data")}
    assert folder.put_back() == []
    assert {blob.name: blob.generation for blob in client.list_blobs("data")} == before


def test_changes_are_put_back_and_links_are_not_followed(folder: BucketFolder, client: Any, tmp_path: Path) -> None:
    (tmp_path / "private").write_text("not for the bucket")
    (folder.folder / "link").symlink_to(tmp_path / "private")
    (folder.folder / "a").write_text("changed")
    (folder.folder / "deep" / "b").unlink()
    (folder.folder / "new").write_text("new")
    before = names(client)
    assert folder.put_back() == []
    assert names(client) == before - {"p/deep/b"} | {"p/new"}
    assert client.bucket("data").blob("p/a").download_as_text() == "changed"


def test_a_second_time_only_what_changed_since_is_written(folder: BucketFolder, client: Any) -> None:
    (folder.folder / "a").write_text("changed")
    folder.put_back()
    client.bucket("data").blob("p/a").upload_from_string("by somebody else")
    folder.put_back()
    assert client.bucket("data").blob("p/a").download_as_text() == "by somebody else"


def test_a_bucket_that_is_not_there_is_exit_code_125_and_names_it(client: Any, tmp_path: Path) -> None:
    with pytest.raises(StartFailed, match="gs://missing/") as caught:
        BucketFolder(client, "missing", tmp_path / "made").fill()
    assert caught.value.exit_code == 125


def test_what_cannot_be_put_back_is_told(folder: BucketFolder, client: Any, tmp_path: Path) -> None:
    lost = BucketFolder(client, "missing/x", tmp_path / "made")
    (folder.folder / "new").write_text("new")
    (problem,) = lost.put_back()
    assert "could not write gs://missing/x/" in problem


def test_files_whose_names_no_object_can_have_are_told_and_the_others_are_put_back(
    folder: BucketFolder, client: Any
) -> None:
    for name in (b"b-latin\xff", b"c-two\nlines"):
        (folder.folder / os.fsdecode(name)).write_text("lost")
    (folder.folder / "z").write_text("after them")
    (folder.folder / "deep" / "b").unlink()
    before = names(client)
    problems = folder.put_back()
    assert names(client) == before - {"p/deep/b"} | {"p/z"}
    assert len(problems) == 2
    assert all("could not write gs://data/p/" in problem for problem in problems)
    assert "b-latin" in problems[0] and "c-two" in problems[1]
    assert "\n" not in "".join(problems)
    "".join(problems).encode()  # the task's log takes it


def test_a_file_that_was_not_put_back_is_told_until_it_can_be(folder: BucketFolder, client: Any) -> None:
    wrong = folder.folder / "two\nlines"
    wrong.write_text("saved in the end")
    assert len(folder.put_back()) == len(folder.put_back()) == 1
    wrong.rename(folder.folder / "lines")
    assert folder.put_back() == []
    assert client.bucket("data").blob("p/lines").download_as_text() == "saved in the end"
