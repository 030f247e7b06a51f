"""What requests to the Cloud Storage emulator ask for: done, or refused in words, and never forgotten."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from google.api_core import exceptions
from google.cloud import storage
from storage_clients import storage_client

from covalent_parallel_plugin.emulator.storage.glob import compile_glob
from covalent_parallel_plugin.emulator.storage.refusals import StorageRefusal
from covalent_parallel_plugin.emulator.storage.server import StorageServer

OBJECT = "/storage/v1/b/stage/o/x"
UPLOAD = "/upload/storage/v1/b/stage/o?uploadType=media&name=new"


@pytest.fixture(scope="module")
def server() -> Iterator[StorageServer]:
    with StorageServer(buckets=["stage", "empty"]) as running:
        yield running


@pytest.fixture
def client(server: StorageServer) -> Iterator[storage.Client]:
    with storage_client(server) as made:
        for blob in list(made.bucket("stage").list_blobs()):
            blob.delete()
        yield made


@pytest.fixture
def bucket(client: storage.Client) -> storage.Bucket:
    found = client.bucket("stage")
    found.blob("x").upload_from_string(b"1")
    return found


def ask(
    server: StorageServer, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=30)
    try:
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        connection.request(method, path, data, headers or {})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else {}
    finally:
        connection.close()


def names(bucket: storage.Bucket, **options: Any) -> tuple[list[str], list[str]]:
    listed = bucket.list_blobs(**options)
    return [blob.name for blob in listed], sorted(listed.prefixes)


# --- what is refused, and in which words


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "told"),
    [
        ("GET", OBJECT + "?nonsense=1", None, {}, "parameter 'nonsense'"),
        ("GET", "/storage/v1/b/stage/o?filter=a", None, {}, "parameter 'filter'"),
        ("GET", "/storage/v1/b/stage/o?softDeleted=true", None, {}, "soft deletion"),
        ("POST", UPLOAD + "&predefinedAcl=publicRead", b"1", {}, "ACLs"),
        ("POST", UPLOAD + "&kmsKeyName=k", b"1", {}, "keys"),
        ("POST", OBJECT + "/rewriteTo/b/stage/o/y?destinationKmsKeyName=k", None, {}, "keys"),
        ("PATCH", OBJECT, {"temporaryHold": True}, {}, "object holds"),
        ("PATCH", OBJECT, {"eventBasedHold": True}, {}, "object holds"),
        ("PATCH", OBJECT, {"acl": [{"entity": "allUsers"}]}, {}, "ACLs"),
        ("PATCH", OBJECT, {"retention": {"mode": "Locked"}}, {}, "retention policies"),
        ("PATCH", OBJECT, {"contenttype": "text/plain"}, {}, "field 'contenttype'"),
        ("PUT", OBJECT, {"contexts": {"custom": {"a": {"value": "b"}}}}, {}, "field 'contexts'"),
        ("POST", OBJECT + "/rewriteTo/b/stage/o/y", {"nonsense": 1}, {}, "field 'nonsense'"),
        ("POST", OBJECT + "/compose", {"sourceObjects": [{"name": "x"}], "nonsense": 1}, {}, "field 'nonsense'"),
        ("POST", OBJECT + "/compose", {"sourceObjects": [{"name": "x", "part": 1}]}, {}, "field 'part'"),
        ("POST", OBJECT + "/compose", {"sourceObjects": [{"name": "x"}], "destination": "y"}, {}, "'destination'"),
        (
            "POST",
            OBJECT + "/compose",
            {"sourceObjects": [{"name": "x", "objectPreconditions": {"ifOther": 1}}]},
            {},
            "field 'ifOther'",
        ),
        ("GET", "/storage/v1/b/stage/o?prefix=a&prefix=b", None, {}, "parameter 'prefix'"),
        ("POST", OBJECT + "/moveTo/o/y", {"contentType": "text/plain"}, {}, "takes no body"),
        ("DELETE", OBJECT, {"metadata": {}}, {}, "takes no body"),
        ("GET", "/storage/v1/b/stage/o?versions=maybe", None, {}, "'versions'"),
        ("GET", "/storage/v1/b/stage/o?projection=some", None, {}, "'projection'"),
        ("POST", OBJECT + "/rewriteTo/b/stage/o/y?rewriteToken=MQ==", None, {}, "'rewriteToken'"),
        ("POST", OBJECT + "/rewriteTo/b/stage/o/y?rewriteToken=%C3%A9", None, {}, "'rewriteToken'"),
        ("POST", OBJECT + "/rewriteTo/b/stage/o/y?maxBytesRewrittenPerCall=5", None, {}, "multiple"),
        ("PATCH", "/storage/v1/b/stage", {"versioning": {"enabled": True}}, {}, "object versioning"),
        ("PATCH", "/storage/v1/b/stage", {"encryption": {"defaultKmsKeyName": "k"}}, {}, "keys"),
        ("PATCH", "/storage/v1/b/stage", {"billing": {"requesterPays": True}}, {}, "requester pays"),
        ("POST", "/storage/v1/b", {"name": "other", "hierarchicalNamespace": {"enabled": True}}, {}, "namespaces"),
        ("GET", OBJECT, None, {"x-goog-encryption-algorithm": "AES256"}, "keys"),
        ("POST", UPLOAD, b"1", {"x-goog-encryption-key": "k"}, "keys"),
        ("POST", UPLOAD, b"1", {"x-goog-meta-a": "b"}, "XML API"),
        ("POST", UPLOAD, b"1", {"x-goog-acl": "private"}, "ACLs"),
        ("POST", UPLOAD, b"1", {"content-encoding": "gzip"}, "contentEncoding"),
        ("GET", OBJECT, None, {"if-modified-since": "Mon, 01 Jan 2024 00:00:00 GMT"}, "header 'if-modified-since'"),
        ("DELETE", OBJECT, None, {"if-match": "abc"}, "header 'if-match'"),
    ],
)
def test_what_would_be_forgotten_is_refused_in_words(
    server: StorageServer,
    bucket: storage.Bucket,
    method: str,
    path: str,
    body: Any,
    headers: dict[str, str],
    told: str,
) -> None:
    status, answer = ask(server, method, path, body, headers)
    assert status == 400
    assert told in answer["error"]["message"]
    assert names(bucket)[0] == ["x"], "nothing was done"


@pytest.mark.parametrize(
    ("method", "path", "told"),
    [
        ("GET", "/storage/v1/b/stage/acl", "ACLs"),
        ("GET", OBJECT + "/acl/allUsers", "ACLs"),
        ("GET", "/storage/v1/b/stage/defaultObjectAcl", "ACLs"),
        ("GET", "/storage/v1/b/stage/iam", "IAM policies"),
        ("PUT", "/storage/v1/b/stage/iam", "IAM policies"),
        ("GET", "/storage/v1/b/stage/storageLayout", "namespaces"),
        ("GET", "/storage/v1/projects/p/serviceAccount", "service agents"),
        ("GET", "/storage/v1/b/stage/notificationConfigs", "notifications"),
        ("POST", "/storage/v1/b/stage/lockRetentionPolicy", "retention policies"),
        ("POST", OBJECT + "/restore", "soft deletion"),
        ("POST", "/stage/x?uploads", "XML API"),
        ("PUT", "/stage/x", "XML API"),
        ("GET", "/stage", "XML API"),
    ],
)
def test_a_part_of_cloud_storage_that_is_not_here_is_named(
    server: StorageServer, method: str, path: str, told: str
) -> None:
    status, answer = ask(server, method, path)
    assert (status, answer["error"]["errors"][0]["reason"]) == (501, "notImplemented")
    assert told in answer["error"]["message"]


def test_what_is_off_or_sent_back_is_no_request(server: StorageServer, bucket: storage.Bucket) -> None:
    blob = bucket.get_blob("x")
    blob.content_type = "text/plain"
    blob.temporary_hold = False
    blob.update()
    again = bucket.get_blob("x")
    assert again.content_type == "text/plain"
    found = bucket.client.get_bucket("stage")
    found.versioning_enabled = False
    found.labels = {"a": "b"}
    found.update()
    assert found.labels == {"a": "b"}


# --- lists


@pytest.mark.parametrize(
    ("glob", "matched"),
    [
        ("a/*.csv", ["a/1.csv"]),
        ("**.csv", ["a/1.csv", "a/b/2.csv"]),
        ("a/**", ["a/1.csv", "a/1.txt", "a/b/2.csv"]),
        ("a/**/*.csv", ["a/1.csv", "a/b/2.csv"]),
        ("a/?.{csv,txt}", ["a/1.csv", "a/1.txt"]),
        ("[a-b]/1*", ["a/1.csv", "a/1.txt"]),
        ("[!a]", ["x"]),
        ("a.1", []),
    ],
)
def test_a_glob_chooses_what_is_listed(bucket: storage.Bucket, glob: str, matched: list[str]) -> None:
    for name in ("a/1.csv", "a/1.txt", "a/b/2.csv"):
        bucket.blob(name).upload_from_string(b"")
    assert names(bucket, match_glob=glob)[0] == matched
    assert names(bucket, match_glob=glob, page_size=1)[0] == matched


@pytest.mark.parametrize("glob", ["[a", "{a", "[z-a]"])
def test_a_glob_without_an_end_is_refused(glob: str) -> None:
    with pytest.raises(StorageRefusal):
        compile_glob(glob)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_objects_named_as_their_prefix_are_listed_where_that_is_asked_for(bucket: storage.Bucket, size: int) -> None:
    for name in ("a/", "a/1", "b/2"):
        bucket.blob(name).upload_from_string(b"")
    assert names(bucket, delimiter="/", page_size=size) == (["x"], ["a/", "b/"])
    with_them = names(bucket, delimiter="/", include_trailing_delimiter=True, page_size=size)
    assert with_them == (["a/", "x"], ["a/", "b/"])


# --- moves, buckets, classes


def move(server: StorageServer, source: str, target: str, query: str = "") -> tuple[int, dict[str, Any]]:
    path = f"/storage/v1/b/stage/o/{quote(source, safe='')}/moveTo/o/{quote(target, safe='')}{query}"
    return ask(server, "POST", path, {})


def test_a_moved_object_is_a_new_one_with_the_same_bytes_and_fields(
    server: StorageServer, bucket: storage.Bucket
) -> None:
    blob = bucket.blob("a/b")
    blob.metadata = {"k": "v"}
    blob.upload_from_string(b"bytes", content_type="text/plain")
    status, moved = move(server, "a/b", "c/d")
    assert (status, moved["name"], moved["metadata"]) == (200, "c/d", {"k": "v"})
    assert int(moved["generation"]) > blob.generation
    assert bucket.blob("c/d").download_as_bytes() == b"bytes"
    assert names(bucket)[0] == ["c/d", "x"]


@pytest.mark.parametrize(
    ("source", "target", "query", "status"),
    [
        ("nothing", "y", "", 404),
        ("x", "x", "", 400),
        ("x", "other", "?ifGenerationMatch=0", 412),
        ("x", "y", "?ifSourceGenerationMatch=1", 412),
    ],
)
def test_a_move_that_is_refused_moves_nothing(
    server: StorageServer, bucket: storage.Bucket, source: str, target: str, query: str, status: int
) -> None:
    bucket.blob("other").upload_from_string(b"2")
    assert move(server, source, target, query)[0] == status
    assert names(bucket)[0] == ["other", "x"]
    assert bucket.blob("x").download_as_bytes() == b"1"


def rewrite(server: StorageServer, query: str, body: Any = None) -> dict[str, Any]:
    return ask(server, "POST", f"{OBJECT}/rewriteTo/b/stage/o/y?maxBytesRewrittenPerCall={1 << 20}{query}", body)[1]


def test_a_rewrite_to_another_class_takes_as_many_calls_as_its_limit_says(
    server: StorageServer, bucket: storage.Bucket
) -> None:
    data = bytes(range(256)) * (10 << 10)
    bucket.blob("x").upload_from_string(data)
    body = {"storageClass": "NEARLINE"}
    answers = [rewrite(server, "", body)]
    while not answers[-1]["done"] and len(answers) < 9:
        answers.append(rewrite(server, f"&rewriteToken={quote(answers[-1]['rewriteToken'])}", body))
    sizes = [int(answer["totalBytesRewritten"]) for answer in answers]
    assert sizes == [1 << 20, 2 << 20, len(data)]
    assert "resource" not in answers[0]
    assert bucket.blob("y").download_as_bytes() == data
    assert rewrite(server, "")["done"], "of the same class"
    bucket.blob("x").upload_from_string(data)
    stale = rewrite(server, f"&rewriteToken={quote(answers[0]['rewriteToken'])}", body)
    assert "'rewriteToken'" in stale["error"]["message"]


def test_an_etag_of_any_object_is_a_star(server: StorageServer, bucket: storage.Bucket) -> None:
    statuses = [ask(server, "GET", OBJECT, None, {name: "*"})[0] for name in ("If-Match", "If-None-Match")]
    assert statuses == [200, 304]


def test_an_upload_of_another_size_than_its_start_said_is_refused(
    server: StorageServer, bucket: storage.Bucket
) -> None:
    session = bucket.blob("new").create_resumable_upload_session(size=5)
    path = session.removeprefix(server.address)
    status, answer = ask(server, "PUT", path, b"12", {"Content-Range": "bytes 0-1/2"})
    assert (status, "x-upload-content-length" in answer["error"]["message"]) == (400, True)
    assert names(bucket)[0] == ["x"]


@pytest.mark.parametrize(
    ("content_range", "status", "stored"),
    [
        ("bytes 0-*/*", 200, b"0123456789"),
        ("bytes 0-*/10", 200, b"0123456789"),
        ("bytes 0-*/20", 308, None),
        ("bytes 0-*/5", 400, None),
        ("bytes 3-*/*", 400, None),
        ("bytes *-9/10", 400, None),
    ],
)
def test_a_chunk_without_a_last_byte_is_all_that_comes(
    server: StorageServer, bucket: storage.Bucket, content_range: str, status: int, stored: bytes | None
) -> None:
    session = bucket.blob("new").create_resumable_upload_session().removeprefix(server.address)
    assert ask(server, "PUT", session, b"0123456789", {"Content-Range": content_range})[0] == status
    found = bucket.get_blob("new")
    assert (None if found is None else found.download_as_bytes()) == stored


def test_addresses_of_the_client_for_node_js_lack_their_beginning(
    server: StorageServer, bucket: storage.Bucket
) -> None:
    assert ask(server, "GET", "/b/stage/o/x")[1]["name"] == "x"
    assert [entry["name"] for entry in ask(server, "GET", "/b?project=p")[1]["items"]] == ["empty", "stage"]
    assert "ACLs" in ask(server, "GET", "/b/stage/o/x/acl")[1]["error"]["message"]


def test_a_put_of_a_bucket_replaces_what_a_patch_would_merge(server: StorageServer) -> None:
    path = "/storage/v1/b/empty"
    assert ask(server, "PATCH", path, {"labels": {"a": "1"}, "cors": [{"origin": ["*"]}]})[0] == 200
    assert ask(server, "PATCH", path, {"labels": {"b": "2"}})[1]["labels"] == {"a": "1", "b": "2"}
    status, answer = ask(server, "PUT", path, {"labels": {"c": "3"}})
    assert (status, answer["labels"], "cors" in answer) == (200, {"c": "3"}, False)
    assert ask(server, "PUT", path, {"location": "EU"})[0] == 400
    assert ask(server, "PUT", path + "?ifMetagenerationMatch=1", {})[0] == 412


def test_objects_have_the_class_of_their_bucket_or_their_own(client: storage.Client) -> None:
    bucket = client.bucket("cold")
    bucket.storage_class = "NEARLINE"
    bucket.create()
    own = bucket.blob("own")
    own.storage_class = "ARCHIVE"
    for blob in (own, bucket.blob("plain")):
        blob.upload_from_string(b"1")
    assert [(blob.name, blob.storage_class) for blob in bucket.list_blobs()] == [
        ("own", "ARCHIVE"),
        ("plain", "NEARLINE"),
    ]
    own.update_storage_class("COLDLINE")
    assert bucket.get_blob("own").storage_class == "COLDLINE"
    bucket.delete(force=True)


def test_a_class_that_is_none_and_a_patch_of_one_are_refused(server: StorageServer, bucket: storage.Bucket) -> None:
    blob = bucket.blob("y")
    blob.storage_class = "FROZEN"
    with pytest.raises(exceptions.BadRequest, match="not a storage class"):
        blob.upload_from_string(b"1")
    status, answer = ask(server, "PATCH", OBJECT, {"storageClass": "COLDLINE"})
    assert (status, "rewriting" in answer["error"]["message"]) == (400, True)
