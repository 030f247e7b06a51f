"""The forms of the Cloud Storage emulator's answers: selected fields, unpacked bytes, batches, concurrent transfers."""

from __future__ import annotations

import gzip
import http.client
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from google.api_core import exceptions
from google.cloud import storage
from google.cloud.storage import transfer_manager
from storage_clients import storage_client

from covalent_parallel_plugin.emulator.storage.partial_answers import select_fields
from covalent_parallel_plugin.emulator.storage.refusals import StorageRefusal
from covalent_parallel_plugin.emulator.storage.server import StorageServer

TEXT = b"hello world " * 200_000


@pytest.fixture(scope="module")
def server() -> Iterator[StorageServer]:
    with StorageServer(buckets=["stage"]) as running:
        yield running


@pytest.fixture
def bucket(server: StorageServer) -> Iterator[storage.Bucket]:
    with storage_client(server) as client:
        found = client.bucket("stage")
        for blob in list(found.list_blobs()):
            blob.delete()
        yield found


def ask(
    server: StorageServer, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=30)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


# --- objects that are stored compressed


def packed(bucket: storage.Bucket, data: bytes, **properties: str) -> storage.Blob:
    blob = bucket.blob("packed")
    blob.content_encoding = "gzip"
    for name, value in properties.items():
        setattr(blob, name, value)
    blob.upload_from_string(data, content_type="text/plain")
    return blob


def test_a_client_that_takes_no_gzip_gets_the_bytes_unpacked(server: StorageServer, bucket: storage.Bucket) -> None:
    blob = packed(bucket, gzip.compress(TEXT) + gzip.compress(b"the end"))
    path = "/download/storage/v1/b/stage/o/packed?alt=media"
    for headers in ({}, {"Range": "bytes=0-3"}, {"Accept-Encoding": "br"}):
        status, got, body = ask(server, "GET", path, headers=headers)
        assert (status, body) == (200, TEXT + b"the end")
        assert (got.get("content-encoding"), got["x-goog-stored-content-encoding"]) == (None, "gzip")
        assert "content-length" not in got
    assert blob.download_as_bytes() == TEXT + b"the end"


def test_a_client_that_takes_gzip_gets_the_bytes_as_they_are_stored(
    server: StorageServer, bucket: storage.Bucket
) -> None:
    stored = gzip.compress(TEXT)
    blob = packed(bucket, stored)
    path = "/download/storage/v1/b/stage/o/packed?alt=media"
    status, got, body = ask(server, "GET", path, headers={"Accept-Encoding": "gzip, deflate"})
    assert (status, got["content-encoding"], body) == (200, "gzip", stored)
    assert blob.download_as_bytes(raw_download=True) == stored
    assert blob.download_as_bytes(start=2, end=5, raw_download=True) == stored[2:6]


def test_nothing_is_unpacked_where_that_is_forbidden_or_impossible(
    server: StorageServer, bucket: storage.Bucket
) -> None:
    path = "/download/storage/v1/b/stage/o/packed?alt=media"
    stored = gzip.compress(TEXT)
    packed(bucket, stored, cache_control="public, no-transform")
    _, got, body = ask(server, "GET", path)
    assert (got["content-encoding"], body) == ("gzip", stored)
    packed(bucket, b"not compressed at all")
    assert ask(server, "GET", path)[2] == b"not compressed at all"


def test_damaged_gzip_is_no_whole_answer(server: StorageServer, bucket: storage.Bucket) -> None:
    packed(bucket, gzip.compress(bytes(range(256)) * 9)[:-12])
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        ask(server, "GET", "/download/storage/v1/b/stage/o/packed?alt=media")


# --- the parameter `fields`

LISTED = {
    "kind": "storage#objects",
    "items": [{"name": "a", "size": "1", "metadata": {"k": "v", "l": "w"}}, {"name": "b", "size": "2"}],
    "nextPageToken": "t",
}


@pytest.mark.parametrize(
    ("fields", "selected"),
    [
        ("*", LISTED),
        ("kind", {"kind": "storage#objects"}),
        ("items(name),nextPageToken", {"items": [{"name": "a"}, {"name": "b"}], "nextPageToken": "t"}),
        ("items/name, kind", {"kind": "storage#objects", "items": [{"name": "a"}, {"name": "b"}]}),
        ("items(name,metadata/k)", {"items": [{"name": "a", "metadata": {"k": "v"}}, {"name": "b"}]}),
        ("items/metadata(k),items/size", {"items": [{"metadata": {"k": "v"}, "size": "1"}, {"size": "2"}]}),
        ("*/name", {"kind": "storage#objects", "items": [{"name": "a"}, {"name": "b"}], "nextPageToken": "t"}),
        ("items,items/name", {"items": LISTED["items"]}),
        ("none", {}),
    ],
)
def test_fields_select_a_part_of_the_answer(fields: str, selected: Any) -> None:
    assert select_fields(LISTED, fields) == selected


@pytest.mark.parametrize(
    "fields", ["items(name", "items)", ",", "a,,b", "a/", "/a", "a b", "a%", "a(" * 90, "a/" * 9000]
)
def test_a_selection_that_cannot_be_read_is_refused(fields: str) -> None:
    with pytest.raises(StorageRefusal, match="Invalid field selection"):
        select_fields(LISTED, fields)


def test_every_kind_of_answer_is_cut_down(server: StorageServer, bucket: storage.Bucket) -> None:
    bucket.blob("x").upload_from_string(b"1")
    for method, path, body in (
        ("GET", "/storage/v1/b/stage/o/x", None),
        ("PATCH", "/storage/v1/b/stage/o/x", b"{}"),
        ("GET", "/storage/v1/b/stage", None),
        ("POST", "/upload/storage/v1/b/stage/o?uploadType=media&name=x", b"2"),
        ("POST", "/storage/v1/b/stage/o/x/compose", b'{"sourceObjects": [{"name": "x"}]}'),
        ("POST", "/storage/v1/b/stage/o/x/copyTo/b/stage/o/x", b""),
    ):
        mark = "&" if "?" in path else "?"
        status, _, answer = ask(server, method, f"{path}{mark}fields={quote('name,metageneration')}", body)
        assert (status, json.loads(answer).keys()) == (200, {"name", "metageneration"}), path
    listed = list(bucket.list_blobs(fields="items(name),nextPageToken", page_size=1))
    assert [(blob.name, blob.size) for blob in listed] == [("x", None)]
    status, _, answer = ask(server, "GET", "/storage/v1/b/stage/o/none?fields=name")
    assert (status, json.loads(answer)["error"]["code"]) == (404, 404)


@pytest.mark.parametrize(
    ("query", "headers", "told"),
    [
        ("?alt=proto", {}, "'alt'"),
        ("?callback=f", {}, "parameter 'callback'"),
        ("", {"X-HTTP-Method-Override": "DELETE"}, "header 'x-http-method-override'"),
        ("", {"Content-Encoding": "gzip"}, "header 'content-encoding'"),
        ("", {"x-goog-custom-audit-job": "a"}, "audit logs"),
    ],
)
def test_another_form_is_refused(
    server: StorageServer, bucket: storage.Bucket, query: str, headers: dict[str, str], told: str
) -> None:
    bucket.blob("x").upload_from_string(b"1")
    status, _, answer = ask(server, "GET", "/storage/v1/b/stage/o/x" + query, headers=headers)
    assert (status, told in json.loads(answer)["error"]["message"]) == (400, True)


# --- batches and concurrent transfers


def test_a_batch_composes(bucket: storage.Bucket) -> None:
    bucket.blob("x").upload_from_string(b"1")
    with bucket.client.batch():
        bucket.blob("y").compose([bucket.blob("x"), bucket.blob("x")])
    assert bucket.blob("y").download_as_bytes() == b"11"


def test_what_cannot_be_in_a_batch_is_named(server: StorageServer, bucket: storage.Bucket) -> None:
    bucket.blob("x").upload_from_string(b"1")
    lines = [
        "--b",
        "Content-Type: application/http",
        "",
        "GET /storage/v1/b/stage/o/x?alt=media HTTP/1.1",
        "",
        "--b",
        "Content-Type: application/http",
        "",
        "GET /storage/v1/b/stage/iam/testPermissions?permissions=storage.objects.get&permissions=a HTTP/1.1",
        "",
        "--b--",
    ]
    body = "\r\n".join(lines).encode()
    _, _, answer = ask(server, "POST", "/batch/storage/v1", body, {"Content-Type": "multipart/mixed; boundary=b"})
    assert b"objects.download cannot be a part of a batch" in answer
    assert b'"storage.objects.get"' in answer


def test_a_batch_that_partly_fails_does_the_rest(bucket: storage.Bucket) -> None:
    bucket.blob("x").upload_from_string(b"1")
    with pytest.raises(exceptions.NotFound), bucket.client.batch():
        bucket.blob("none").delete()
        bucket.blob("x").delete()
    assert list(bucket.list_blobs()) == []


def test_the_transfer_manager_moves_many_files_and_large_ones(bucket: storage.Bucket, tmp_path: Path) -> None:
    up, down = tmp_path / "up", tmp_path / "down"
    up.mkdir()
    names = [f"{number} é#%" for number in range(5)]
    for number, name in enumerate(names):
        (up / name).write_bytes(zlib.compress(bytes([number])) * number * 9999)
    options = {"worker_type": transfer_manager.THREAD, "raise_exception": True}
    transfer_manager.upload_many_from_filenames(
        bucket, names, source_directory=str(up), blob_name_prefix="tree/", skip_if_exists=True, **options
    )
    transfer_manager.download_many_to_path(
        bucket, [f"tree/{name}" for name in names], destination_directory=str(down), **options
    )
    assert {path.name: path.read_bytes() for path in (down / "tree").iterdir()} == {
        path.name: path.read_bytes() for path in up.iterdir()
    }
    whole = down / "whole"
    transfer_manager.download_chunks_concurrently(
        bucket.blob(f"tree/{names[4]}"), str(whole), chunk_size=70_000, worker_type=transfer_manager.THREAD
    )
    assert whole.read_bytes() == (up / names[4]).read_bytes()
