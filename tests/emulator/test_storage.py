"""The Cloud Storage emulator, through Google's client and through plain HTTP."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import io
import itertools
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import google_crc32c
import pytest
from google.api_core import exceptions
from google.cloud import storage
from google.cloud.storage.retry import DEFAULT_RETRY
from storage_clients import storage_client

from covalent_parallel_plugin.emulator.storage.multipart import read_related
from covalent_parallel_plugin.emulator.storage.refusals import StorageRefusal
from covalent_parallel_plugin.emulator.storage.server import StorageServer

KIB = 1024
MIB = 1024 * 1024
AWKWARD_NAMES = ["a/b/c.txt", "with space", "ünï/çödé-日本", "100%/50%25", "plus+and&amp?#=x", "trailing/"]


@pytest.fixture()
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture()
def server(data_dir: Path) -> Iterator[StorageServer]:
    with StorageServer(buckets=["stage"], data_dir=data_dir) as running:
        yield running


@pytest.fixture()
def client(server: StorageServer) -> Iterator[storage.Client]:
    with storage_client(server) as made:
        yield made


@pytest.fixture()
def bucket(client: storage.Client) -> storage.Bucket:
    return client.bucket("stage")


class Plain:
    """Requests over http.client, as a program without Google's library sends them."""

    def __init__(self, address: str) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)

    def __call__(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        self.connection.request(method, path, body, headers or {})
        response = self.connection.getresponse()
        return response, response.read()


@pytest.fixture()
def plain(server: StorageServer) -> Iterator[Plain]:
    made = Plain(server.address)
    yield made
    made.connection.close()


def stored_files(data_dir: Path) -> list[Path]:
    return [path for path in data_dir.rglob("*") if path.is_file()]


def crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def patterned(size: int) -> bytes:
    # Bytes that differ from place to place, so that a lost or doubled block shows.
    return b"".join(hashlib.sha256(i.to_bytes(8, "big")).digest() for i in range(size // 32 + 1))[:size]


# -- buckets


def test_a_bucket_is_made_found_listed_and_deleted(client: storage.Client) -> None:
    client.create_bucket("made-here")
    assert client.get_bucket("made-here").name == "made-here"
    assert [found.name for found in client.list_buckets()] == ["made-here", "stage"]
    client.get_bucket("made-here").delete()
    assert client.lookup_bucket("made-here") is None


def test_a_second_bucket_of_the_same_name_is_a_conflict(client: storage.Client) -> None:
    with pytest.raises(exceptions.Conflict, match="already own it"):
        client.create_bucket("stage")


def test_a_bucket_with_objects_is_not_deleted(bucket: storage.Bucket) -> None:
    bucket.blob("x").upload_from_string(b"1")
    with pytest.raises(exceptions.Conflict, match="not empty"):
        bucket.delete()


@pytest.mark.parametrize(
    "name",
    ["ab", "Upper", "-dash", "dash-", "a" * 64, "goog-x", "my-google-x", "g00gle", "1.2.3.4", "a..b", "a b"],
)
def test_an_illegal_bucket_name_is_refused(plain: Plain, name: str) -> None:
    response, body = plain("POST", "/storage/v1/b?project=p", json.dumps({"name": name}))
    assert response.status == 400
    assert json.loads(body)["error"]["errors"][0]["reason"] == "invalid"


@pytest.mark.parametrize("name", ["abc", "a_b-c.d", "a" * 63, "1.2.3", "0" * 60 + "." + "x" * 60])
def test_a_legal_bucket_name_is_taken(plain: Plain, name: str) -> None:
    assert plain("POST", "/storage/v1/b?project=p", json.dumps({"name": name}))[0].status == 200


def test_an_illegal_name_given_to_the_server_is_refused_at_start(data_dir: Path) -> None:
    with pytest.raises(StorageRefusal, match="Invalid bucket name"):
        StorageServer(buckets=["No"], data_dir=data_dir).start()
    assert not stored_files(data_dir)


def test_every_call_on_a_missing_bucket_is_404(client: storage.Client) -> None:
    missing = client.bucket("missing")
    with pytest.raises(exceptions.NotFound, match="bucket does not exist"):
        missing.blob("x").upload_from_string(b"1")
    with pytest.raises(exceptions.NotFound):
        missing.blob("x").download_as_bytes()
    with pytest.raises(exceptions.NotFound):
        list(client.list_blobs("missing"))
    with pytest.raises(exceptions.NotFound):
        missing.reload()


# -- objects through Google's client


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_an_object_of_any_name_comes_back(bucket: storage.Bucket, name: str) -> None:
    bucket.blob(name).upload_from_string(b"bytes of " + name.encode())
    assert bucket.blob(name).download_as_bytes() == b"bytes of " + name.encode()
    assert [blob.name for blob in bucket.list_blobs()] == [name]
    bucket.blob(name).delete()
    assert not bucket.blob(name).exists()


@pytest.mark.parametrize("checksum", ["md5", "crc32c", None])
@pytest.mark.parametrize("size", [0, 1, MIB, 9 * MIB + 17])
def test_an_upload_of_any_size_and_checksum_comes_back(bucket: storage.Bucket, size: int, checksum: str | None) -> None:
    data = patterned(size)
    # 9 MiB is past the size from which the client uploads resumably.
    bucket.blob("x").upload_from_file(io.BytesIO(data), size=size, checksum=checksum)
    blob = bucket.blob("x")
    assert blob.download_as_bytes(checksum=checksum) == data
    blob.reload()
    assert (blob.size, blob.crc32c) == (size, crc32c(data))
    assert blob.md5_hash == base64.b64encode(hashlib.md5(data).digest()).decode()


def test_a_resumable_upload_in_chunks_of_unknown_total_comes_back(bucket: storage.Bucket) -> None:
    data = patterned(3 * 256 * KIB)  # a whole number of chunks: the last request carries no bytes
    with bucket.blob("x").open("wb", chunk_size=256 * KIB) as file:
        file.write(data)
    assert bucket.blob("x").download_as_bytes() == data


def test_a_download_in_chunks_and_of_a_range_is_exact(bucket: storage.Bucket) -> None:
    data = patterned(3 * MIB)
    bucket.blob("x").upload_from_string(data)
    assert bucket.blob("x", chunk_size=256 * KIB).download_as_bytes() == data
    assert bucket.blob("x").download_as_bytes(start=5, end=9) == data[5:10]
    assert bucket.blob("x").download_as_bytes(raw_download=True) == data


def test_the_metadata_of_an_upload_is_kept(bucket: storage.Bucket) -> None:
    blob = bucket.blob("x")
    blob.metadata = {"who": "me"}
    blob.cache_control = "no-store"
    blob.upload_from_string("text", content_type="text/x-own")
    found = bucket.get_blob("x")
    assert found is not None
    assert (found.metadata, found.cache_control, found.content_type) == ({"who": "me"}, "no-store", "text/x-own")


@pytest.mark.parametrize("size", [0, 9_000_000], ids=["in one request", "in several"])
def test_a_list_has_the_custom_metadata_of_each_object(bucket: storage.Bucket, size: int) -> None:
    for name in ("a/1", "a/2", "b/1"):
        blob = bucket.blob(name, chunk_size=4 * 2**20)
        blob.metadata = {"row": f'{{"of": "{name}", "é": "\\ud83d"}}', "seal": "x" * 4096}
        blob.upload_from_file(io.BytesIO(bytes(size)))
    found = {blob.name: blob.metadata["row"] for blob in bucket.list_blobs(prefix="a/", start_offset="a/2")}
    assert found == {"a/2": '{"of": "a/2", "é": "\\ud83d"}'}
    assert [len(blob.metadata["seal"]) for blob in bucket.list_blobs()] == [4096] * 3


@pytest.mark.parametrize("metadata", [{"a": "x" * 4097}, {"a": "é" * 2049}, {str(n): "x" * 4000 for n in range(3)}])
@pytest.mark.parametrize("size", [0, 9_000_000], ids=["in one request", "in several"])
def test_custom_metadata_above_googles_limits_is_refused(
    bucket: storage.Bucket, metadata: dict[str, str], size: int
) -> None:
    blob = bucket.blob("x")
    blob.metadata = metadata
    with pytest.raises(exceptions.BadRequest, match="custom metadata is too large"):
        blob.upload_from_file(io.BytesIO(bytes(size)))
    assert not list(bucket.list_blobs())


def test_a_patch_merges_metadata_and_counts_metagenerations(bucket: storage.Bucket) -> None:
    blob = bucket.blob("x")
    blob.metadata = {"a": "1", "b": "2"}
    blob.upload_from_string("text")
    generation = blob.generation
    blob.metadata = {"a": None, "c": "3"}
    blob.patch()
    found = bucket.get_blob("x")
    assert found is not None
    assert found.metadata == {"b": "2", "c": "3"}
    assert (found.generation, found.metageneration) == (generation, 2)


def test_a_copy_has_the_bytes_and_outlives_its_source(bucket: storage.Bucket) -> None:
    source = bucket.blob("x")
    source.upload_from_string(b"bytes", content_type="text/x-own")
    bucket.copy_blob(source, bucket, "copied/one")
    bucket.blob("rewritten").rewrite(source)
    source.delete()
    assert bucket.blob("copied/one").download_as_bytes() == b"bytes"
    assert bucket.blob("rewritten").download_as_bytes() == b"bytes"
    copied = bucket.get_blob("copied/one")
    assert copied is not None and copied.content_type == "text/x-own"


def test_a_composed_object_joins_its_sources_and_has_no_md5(bucket: storage.Bucket) -> None:
    parts = [patterned(2 * MIB), b"", b"tail"]
    for i, part in enumerate(parts):
        bucket.blob(f"part{i}").upload_from_string(part)
    bucket.blob("whole").compose([bucket.blob(f"part{i}") for i in range(3)])
    whole = bucket.get_blob("whole")
    assert whole is not None
    assert whole.download_as_bytes() == b"".join(parts)
    assert (whole.md5_hash, whole.component_count, whole.crc32c) == (None, 3, crc32c(b"".join(parts)))


def test_a_composition_checks_the_generations_of_its_sources(bucket: storage.Bucket) -> None:
    source = bucket.blob("part")
    source.upload_from_string(b"1")
    generation = source.generation
    bucket.blob("whole").compose([source], if_source_generation_match=[generation])
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("whole").compose([bucket.blob("part")], if_source_generation_match=[generation + 1])


def test_a_content_disposition_beyond_latin_1_does_not_hinder_a_download(bucket: storage.Bucket) -> None:
    blob = bucket.blob("x")
    blob.content_disposition = "attachment; filename=日本.txt"
    blob.upload_from_string(b"1")
    assert bucket.blob("x").download_as_bytes() == b"1"


def test_a_batch_of_deletions_deletes_each(
    client: storage.Client, bucket: storage.Bucket, server: StorageServer
) -> None:
    for name in AWKWARD_NAMES:
        bucket.blob(name).upload_from_string(b"1")
    with client.batch():
        for name in AWKWARD_NAMES:
            bucket.delete_blob(name)
    assert list(bucket.list_blobs()) == []
    assert (server.request_counts["batch"], server.request_counts["objects.delete"]) == (1, len(AWKWARD_NAMES))


def test_a_batch_reports_the_call_that_failed_and_does_the_others(
    client: storage.Client, bucket: storage.Bucket
) -> None:
    bucket.blob("there").upload_from_string(b"1")
    with pytest.raises(exceptions.NotFound), client.batch():
        bucket.delete_blob("not-there")
        bucket.delete_blob("there")
    assert not bucket.blob("there").exists()


def test_a_batch_answers_reads_with_their_resources(client: storage.Client, bucket: storage.Bucket) -> None:
    bucket.blob("x").upload_from_string(b"12345")
    with client.batch():
        blob = bucket.get_blob("x")
    assert blob is not None and blob.size == 5


# -- preconditions and generations


def test_a_write_once_object_is_written_once(bucket: storage.Bucket) -> None:
    bucket.blob("x").upload_from_string(b"first", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        bucket.blob("x").upload_from_string(b"second", if_generation_match=0)
    assert bucket.blob("x").download_as_bytes() == b"first"


def test_of_forty_concurrent_writers_once_exactly_one_wins(server: StorageServer, data_dir: Path) -> None:
    def write(i: int) -> int:
        plain = Plain(server.address)
        path = "/upload/storage/v1/b/stage/o?uploadType=media&name=one&ifGenerationMatch=0"
        status = plain("POST", path, f"writer {i}".encode() * 50_000)[0].status
        plain.connection.close()
        return status

    with ThreadPoolExecutor(40) as threads:
        statuses = list(threads.map(write, range(40)))
    assert sorted(statuses) == [200] + [412] * 39
    assert len(stored_files(data_dir)) == 1


def test_generations_increase_with_each_write(bucket: storage.Bucket) -> None:
    generations = []
    for i in range(5):
        blob = bucket.blob("x")
        blob.upload_from_string(str(i))
        generations.append(blob.generation)
    assert generations == sorted(set(generations))


def test_the_generation_that_was_replaced_is_gone(bucket: storage.Bucket, data_dir: Path) -> None:
    blob = bucket.blob("x")
    blob.upload_from_string(b"old")
    old = blob.generation
    bucket.blob("x").upload_from_string(b"new")
    assert bucket.get_blob("x", generation=old) is None
    assert len(stored_files(data_dir)) == 1


def test_preconditions_on_reads_patches_and_deletes_are_kept(bucket: storage.Bucket) -> None:
    blob = bucket.blob("x")
    blob.upload_from_string(b"1")
    wrong = blob.generation + 1
    for refused in (
        lambda: bucket.blob("x").download_as_bytes(if_generation_match=wrong),
        lambda: bucket.blob("x").reload(if_generation_match=wrong),
        lambda: bucket.blob("x").reload(if_metageneration_match=7),
        lambda: blob.patch(if_metageneration_match=7),
        lambda: bucket.blob("x").delete(if_generation_match=wrong),
        lambda: bucket.blob("x").delete(if_generation_not_match=blob.generation),
        lambda: bucket.blob("absent").upload_from_string(b"1", if_generation_match=wrong, retry=None),
    ):
        with pytest.raises(exceptions.PreconditionFailed):
            refused()
    bucket.blob("x").delete(if_generation_match=blob.generation)
    assert not bucket.blob("x").exists()


def test_a_read_of_what_the_client_has_already_is_304(bucket: storage.Bucket, plain: Plain) -> None:
    blob = bucket.blob("x")
    blob.upload_from_string(b"1")
    query = f"ifGenerationNotMatch={blob.generation}"
    assert plain("GET", f"/storage/v1/b/stage/o/x?{query}")[0].status == 304
    response, body = plain("GET", f"/storage/v1/b/stage/o/x?alt=media&{query}")
    assert (response.status, body) == (304, b"")
    response, body = plain("GET", "/storage/v1/b/stage/o/x", headers={"If-None-Match": blob.etag})
    assert (response.status, body) == (304, b"")


def test_a_malformed_precondition_is_refused_not_ignored(plain: Plain) -> None:
    path = "/upload/storage/v1/b/stage/o?uploadType=media&name=x&ifGenerationMatch=zero"
    assert plain("POST", path, b"1")[0].status == 400
    assert plain("GET", "/storage/v1/b/stage/o/x")[0].status == 404


# -- plain HTTP


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_plain_media_upload_and_download_work(plain: Plain, name: str) -> None:
    upload = f"/upload/storage/v1/b/stage/o?uploadType=media&name={quote(name, safe='')}&ifGenerationMatch=0"
    response, body = plain("POST", upload, b"\x00\xff", {"Content-Type": "application/x-own"})
    assert response.status == 200
    assert json.loads(body)["name"] == name
    for path in ("/storage/v1/b/stage/o/", "/download/storage/v1/b/stage/o/"):
        response, body = plain("GET", f"{path}{quote(name, safe='')}?alt=media")
        assert (response.status, body) == (200, b"\x00\xff")
        assert response.headers["Content-Type"] == "application/x-own"


def test_a_download_carries_the_headers_the_clients_check(bucket: storage.Bucket, plain: Plain) -> None:
    blob = bucket.blob("x")
    blob.upload_from_string(b"12345")
    headers = plain("GET", "/storage/v1/b/stage/o/x?alt=media")[0].headers
    md5 = base64.b64encode(hashlib.md5(b"12345").digest()).decode()
    assert headers["X-Goog-Hash"] == f"crc32c={crc32c(b'12345')},md5={md5}"
    assert headers["X-Goog-Generation"] == str(blob.generation)
    assert headers["X-Goog-Stored-Content-Length"] == headers["Content-Length"] == "5"
    assert headers["X-Goog-Stored-Content-Encoding"] == "identity"


@pytest.mark.parametrize(
    ("asked", "status", "expected", "content_range"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-30", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=8-100", 206, b"89", "bytes 8-9/10"),
        ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=5-2", 200, b"0123456789", None),
        ("items=1-2", 200, b"0123456789", None),
    ],
)
def test_a_range_request_gets_its_range(
    plain: Plain, asked: str, status: int, expected: bytes | None, content_range: str | None
) -> None:
    plain("POST", "/upload/storage/v1/b/stage/o?uploadType=media&name=x", b"0123456789")
    response, body = plain("GET", "/storage/v1/b/stage/o/x?alt=media", headers={"Range": asked})
    assert (response.status, response.headers["Content-Range"]) == (status, content_range)
    if expected is not None:
        assert body == expected


def test_a_missing_object_is_an_error_in_googles_form(plain: Plain) -> None:
    response, body = plain("GET", "/storage/v1/b/stage/o/nothing%2Fhere?alt=media")
    message = "No such object: stage/nothing/here"
    detail = {"domain": "global", "reason": "notFound", "message": message}
    assert response.status == 404
    assert json.loads(body) == {"error": {"code": 404, "message": message, "errors": [detail]}}


def test_an_unknown_path_is_404(plain: Plain) -> None:
    assert plain("GET", "/storage/v1/b/stage/o/a/b")[0].status == 404
    assert plain("GET", "/storage/v1/nowhere")[0].status == 404


def test_an_address_that_is_not_utf_8_is_refused(plain: Plain) -> None:
    assert plain("GET", "/storage/v1/b/stage/o/%FF")[0].status == 400
    assert plain("GET", "/storage/v1/b/stage/o?prefix=%FF")[0].status == 400


def test_text_that_no_utf_8_can_hold_is_refused_and_the_bucket_stays_usable(
    plain: Plain, client: storage.Client
) -> None:
    for resource in ('{"name": "bad\\udcff"}', '{"name": "good", "contentType": "text/\\udcff"}'):
        start = "/upload/storage/v1/b/stage/o?uploadType=resumable"
        response, body = plain("POST", start, resource, {"Content-Type": "application/json"})
        assert response.status == 400, body
    assert list(client.list_blobs("stage")) == []


def test_an_illegal_object_name_is_refused(plain: Plain) -> None:
    for name in ("", ".", "..", "a%0Ab", ".well-known/acme-challenge/a", "x" * 1025):
        path = f"/upload/storage/v1/b/stage/o?uploadType=media&name={name}"
        assert plain("POST", path, b"1")[0].status == 400


def test_an_unknown_listing_parameter_is_refused_not_ignored(plain: Plain) -> None:
    assert plain("GET", "/storage/v1/b/stage/o?matchglob=a*")[0].status == 400


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
@pytest.mark.parametrize("media", [b"", b"body", b"--frontier in the text\r\n--front", b"\r\n" * 300_000])
def test_a_multipart_upload_is_taken_apart_exactly(plain: Plain, newline: str, media: bytes) -> None:
    head = newline.join(
        ["--frontier", "Content-Type: application/json", "", '{"name": "x"}', "--frontier", "Content-Type: a/b", "", ""]
    )
    body = head.encode() + media + f"{newline}--frontier--{newline}".encode()
    headers = {"Content-Type": "multipart/related; boundary=frontier"}
    response, answer = plain("POST", "/upload/storage/v1/b/stage/o?uploadType=multipart", body, headers)
    assert (response.status, json.loads(answer)["contentType"]) == (200, "a/b")
    assert plain("GET", "/storage/v1/b/stage/o/x?alt=media")[1] == media


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_a_multipart_upload_is_read_alike_however_it_is_cut(size: int) -> None:
    media = b"\r\n--frontie\r\n-" * 3
    body = b'--frontier\r\n\r\n{"name": "x"}\r\n--frontier\r\nContent-Type: a/b\r\n\r\n' + media
    body += b"\r\n--frontier--\r\n"

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]

    async def read() -> tuple[bytes, str | None, bytes]:
        metadata, media_type, rest = await read_related(pieces(), "multipart/related; boundary=frontier")
        return metadata, media_type, b"".join([chunk async for chunk in rest])

    assert asyncio.run(read()) == (b'{"name": "x"}', "a/b", media)


@pytest.mark.parametrize(
    "body", [b"", b"--frontier", b'--frontier\r\n\r\n{"name": "x"}\r\n--frontier\r\n\r\nbody without an end']
)
def test_a_malformed_multipart_upload_leaves_nothing(plain: Plain, data_dir: Path, body: bytes) -> None:
    headers = {"Content-Type": "multipart/related; boundary=frontier"}
    response, _ = plain("POST", "/upload/storage/v1/b/stage/o?uploadType=multipart&name=x", body, headers)
    assert response.status == 400
    assert not stored_files(data_dir)


@pytest.mark.parametrize("field", ["crc32c", "md5Hash"])
def test_a_wrong_checksum_in_the_metadata_is_refused(plain: Plain, data_dir: Path, field: str) -> None:
    metadata = json.dumps({"name": "x", field: "AAAAAA=="})
    body = f"--f\r\n\r\n{metadata}\r\n--f\r\n\r\nbody\r\n--f--".encode()
    headers = {"Content-Type": "multipart/related; boundary=f"}
    response, answer = plain("POST", "/upload/storage/v1/b/stage/o?uploadType=multipart", body, headers)
    assert response.status == 400
    assert b"doesn't match calculated" in answer
    assert not stored_files(data_dir)


@pytest.mark.parametrize("header", [{"X-Goog-Hash": "crc32c=AAAAAA=="}, {"Content-MD5": "AAAAAA=="}])
def test_a_wrong_checksum_in_a_header_is_refused(plain: Plain, header: dict[str, str]) -> None:
    response, _ = plain("POST", "/upload/storage/v1/b/stage/o?uploadType=media&name=x", b"body", header)
    assert response.status == 400
    assert plain("GET", "/storage/v1/b/stage/o/x")[0].status == 404


# -- resumable uploads


def begin(plain: Plain, query: str = "name=x", resource: dict[str, Any] | None = None) -> str:
    path = f"/upload/storage/v1/b/stage/o?uploadType=resumable&{query}"
    response, _ = plain("POST", path, json.dumps(resource or {}), {"X-Upload-Content-Type": "a/b"})
    assert response.status == 200
    location = urlsplit(response.headers["Location"])
    return f"{location.path}?{location.query}"


def test_a_resumable_upload_tells_how_far_it_is(plain: Plain) -> None:
    session = begin(plain)
    data = patterned(256 * KIB + 10)
    status = {"Content-Range": "bytes */*"}
    response, _ = plain("PUT", session, b"", status)
    assert (response.status, response.headers["Range"]) == (308, None)
    response, _ = plain("PUT", session, data[: 256 * KIB], {"Content-Range": f"bytes 0-{256 * KIB - 1}/*"})
    assert (response.status, response.headers["Range"]) == (308, f"bytes=0-{256 * KIB - 1}")
    assert plain("GET", "/storage/v1/b/stage/o/x")[0].status == 404
    # The last chunk repeats ten bytes that have arrived already.
    header = {"Content-Range": f"bytes {256 * KIB - 10}-{len(data) - 1}/{len(data)}"}
    response, body = plain("PUT", session, data[256 * KIB - 10 :], header)
    assert (response.status, json.loads(body)["size"]) == (200, str(len(data)))
    assert plain("PUT", session, b"", status)[0].status == 200
    assert plain("GET", "/storage/v1/b/stage/o/x?alt=media")[1] == data


def test_a_chunk_that_leaves_a_gap_or_has_a_wrong_size_is_refused(plain: Plain) -> None:
    session = begin(plain)
    for content_range, size in [
        ("bytes 5-9/10", 5),
        ("bytes 0-9/*", 10),
        ("bytes 0-9/10", 4),
        ("bytes 0-19/10", 20),
        ("bytes nonsense", 1),
    ]:
        assert plain("PUT", session, b"x" * size, {"Content-Range": content_range})[0].status == 400
    assert plain("PUT", session, b"0123456789", {"Content-Range": "bytes 0-9/10"})[0].status == 200


def test_a_cancelled_resumable_upload_leaves_nothing(plain: Plain, data_dir: Path) -> None:
    session = begin(plain)
    plain("PUT", session, b"x" * 256 * KIB, {"Content-Range": f"bytes 0-{256 * KIB - 1}/*"})
    assert plain("DELETE", session)[0].status == 499
    assert plain("PUT", session, b"x", {"Content-Range": "bytes 0-0/1"})[0].status == 499
    assert not stored_files(data_dir)


def test_a_resumable_upload_keeps_its_precondition_until_the_end(plain: Plain, data_dir: Path) -> None:
    session = begin(plain, "name=x&ifGenerationMatch=0")
    plain("POST", "/upload/storage/v1/b/stage/o?uploadType=media&name=x", b"faster")
    assert plain("PUT", session, b"slow")[0].status == 412
    assert plain("GET", "/storage/v1/b/stage/o/x?alt=media")[1] == b"faster"
    assert len(stored_files(data_dir)) == 1


def test_an_unknown_session_is_404(plain: Plain) -> None:
    assert plain("PUT", "/upload/storage/v1/b/stage/o?upload_id=none", b"x")[0].status == 404


# -- what breaks off


def until(condition: Any, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.01)


def send_part(server: StorageServer, request_line: str, headers: str, part: bytes) -> socket.socket:
    host, port = urlsplit(server.address).netloc.split(":")
    connection = socket.create_connection((host, int(port)), timeout=60)
    connection.sendall(f"{request_line} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n\r\n".encode() + part)
    return connection


def test_an_upload_that_breaks_off_leaves_no_object_and_no_file(
    server: StorageServer, plain: Plain, data_dir: Path
) -> None:
    path = "POST /upload/storage/v1/b/stage/o?uploadType=media&name=x"
    connection = send_part(server, path, "Content-Length: 9000000", b"x" * 3_000_000)
    until(lambda: stored_files(data_dir))
    connection.close()
    until(lambda: not stored_files(data_dir))
    assert plain("GET", "/storage/v1/b/stage/o/x")[0].status == 404


def test_a_chunk_that_breaks_off_can_be_sent_again(server: StorageServer, plain: Plain, data_dir: Path) -> None:
    session = begin(plain)
    data = patterned(4 * MIB)
    first = 256 * KIB
    plain("PUT", session, data[:first], {"Content-Range": f"bytes 0-{first - 1}/{len(data)}"})
    rest = f"Content-Range: bytes {first}-{len(data) - 1}/{len(data)}"
    broken = send_part(
        server, f"PUT {session}", f"{rest}\r\nContent-Length: {len(data) - first}", data[first : 3 * MIB]
    )
    until(lambda: stored_files(data_dir)[0].stat().st_size > first)
    broken.close()
    until(lambda: stored_files(data_dir)[0].stat().st_size == first)
    response, _ = plain("PUT", session, b"", {"Content-Range": "bytes */*"})
    assert (response.status, response.headers["Range"]) == (308, f"bytes=0-{first - 1}")
    name, value = rest.split(": ")
    response, body = plain("PUT", session, data[first:], {name: value})
    assert (response.status, json.loads(body)["crc32c"]) == (200, crc32c(data))
    assert plain("GET", "/storage/v1/b/stage/o/x?alt=media")[1] == data


def test_a_download_goes_on_when_the_object_is_deleted_meanwhile(server: StorageServer, plain: Plain) -> None:
    data = patterned(24 * MIB)
    plain("POST", "/upload/storage/v1/b/stage/o?uploadType=media&name=x", data)
    reader = Plain(server.address)
    reader.connection.request("GET", "/storage/v1/b/stage/o/x?alt=media")
    response = reader.connection.getresponse()
    beginning = response.read(1000)
    assert plain("DELETE", "/storage/v1/b/stage/o/x")[0].status == 204
    assert beginning + response.read() == data
    reader.connection.close()


# -- listing


def test_a_listing_is_in_name_order_and_complete_over_pages(client: storage.Client, bucket: storage.Bucket) -> None:
    names = [f"k/{i:03}" for i in range(25)]
    for name in reversed(names):
        bucket.blob(name).upload_from_string(b"1")
    listed = client.list_blobs("stage", page_size=10)
    assert [[blob.name for blob in page] for page in listed.pages] == [names[:10], names[10:20], names[20:]]


def test_a_listing_by_prefix_and_offset_holds_what_it_should(client: storage.Client, bucket: storage.Bucket) -> None:
    for name in ["a", "b/1", "b/2", "b/3", "b0", "c"]:
        bucket.blob(name).upload_from_string(b"1")

    def listed(**options: Any) -> list[str]:
        return [blob.name for blob in client.list_blobs("stage", **options)]

    assert listed(prefix="b/") == ["b/1", "b/2", "b/3"]
    assert listed(start_offset="b/2") == ["b/2", "b/3", "b0", "c"]
    assert listed(prefix="b/", start_offset="b/2", end_offset="b/3") == ["b/2"]
    assert listed(max_results=2) == ["a", "b/1"]
    assert listed(prefix="nothing") == []


@pytest.mark.parametrize("page_size", [1, 2, 3, None])
def test_a_delimiter_groups_names_once_over_all_pages(
    client: storage.Client, bucket: storage.Bucket, page_size: int | None
) -> None:
    for name in ["d/", "d/a", "d/e/1", "d/e/2", "d/e0", "d/f/", "d/g", "x"]:
        bucket.blob(name).upload_from_string(b"1")
    listed = client.list_blobs("stage", prefix="d/", delimiter="/", page_size=page_size)
    pages = [([blob.name for blob in page], page.prefixes) for page in itertools.islice(listed.pages, 20)]
    assert [name for names, _ in pages for name in names] == ["d/", "d/a", "d/e0", "d/g"]
    assert [prefix for _, prefixes in pages for prefix in prefixes] == ["d/e/", "d/f/"]


def test_a_made_up_page_token_is_refused(plain: Plain) -> None:
    assert plain("GET", "/storage/v1/b/stage/o?pageToken=%21%21")[0].status == 400


# -- the server


def test_forty_uploads_at_once_all_arrive(server: StorageServer, data_dir: Path) -> None:
    payload = patterned(3 * MIB)

    def round_trip(i: int) -> bool:
        plain = Plain(server.address)
        body = payload + str(i).encode()
        status = plain("POST", f"/upload/storage/v1/b/stage/o?uploadType=media&name=n{i}", body)[0].status
        back = plain("GET", f"/storage/v1/b/stage/o/n{i}?alt=media")[1]
        plain.connection.close()
        return status == 200 and back == body

    with ThreadPoolExecutor(40) as threads:
        assert all(threads.map(round_trip, range(40)))
    assert len(stored_files(data_dir)) == 40


def test_requests_are_counted_by_kind_and_readable_over_http(
    server: StorageServer, bucket: storage.Bucket, plain: Plain
) -> None:
    bucket.blob("x").upload_from_string(b"1", retry=DEFAULT_RETRY)
    bucket.blob("x").download_as_bytes()
    bucket.blob("x").reload()
    list(bucket.list_blobs())
    bucket.blob("x").delete()
    expected = dict.fromkeys(["objects.insert", "objects.download", "objects.get", "objects.list", "objects.delete"], 1)
    assert expected.items() <= server.request_counts.items()
    response, body = plain("GET", "/_emulator/counts")
    assert response.status == 200
    assert expected.items() <= json.loads(body).items()


def test_a_taken_port_is_named(server: StorageServer) -> None:
    port = int(server.address.rpartition(":")[2])
    with pytest.raises(OSError, match=f"cannot listen on port {port}"):
        StorageServer(port=port).start()


def test_a_stopped_server_leaves_no_files_and_frees_its_port(data_dir: Path) -> None:
    server = StorageServer(buckets=["stage"], data_dir=data_dir)
    server.start()
    plain = Plain(server.address)
    plain("POST", "/upload/storage/v1/b/stage/o?uploadType=media&name=x", b"1")
    plain.connection.close()
    server.stop()
    assert list(data_dir.iterdir()) == []
    with StorageServer(port=int(server.address.rpartition(":")[2])) as again:
        assert again.address == server.address


def test_a_server_stops_while_a_client_keeps_an_upload_open(data_dir: Path) -> None:
    server = StorageServer(buckets=["stage"], data_dir=data_dir)
    server.start()
    path = "POST /upload/storage/v1/b/stage/o?uploadType=media&name=x"
    connection = send_part(server, path, "Content-Length: 9000000", b"x" * 3_000_000)
    until(lambda: stored_files(data_dir))
    server.stop()
    connection.close()
    assert list(data_dir.iterdir()) == []
