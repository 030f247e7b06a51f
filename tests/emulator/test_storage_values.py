"""Values of what users set on buckets and objects in the Cloud Storage emulator: kept as sent, or refused."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.api_core import exceptions
from google.cloud import storage
from storage_clients import storage_client

from covalent_parallel_plugin.emulator.storage.server import StorageServer

BUCKET = "/storage/v1/b/stage"
OBJECT = BUCKET + "/o/x"
DELETE = {"action": {"type": "Delete"}, "condition": {"age": 1}}


@pytest.fixture(scope="module")
def server() -> Iterator[StorageServer]:
    with StorageServer(buckets=["stage"]) as running:
        yield running


@pytest.fixture
def bucket(server: StorageServer) -> Iterator[storage.Bucket]:
    with storage_client(server) as client:
        found = client.bucket("stage")
        found.blob("x").upload_from_string(b"1")
        yield found


def ask(server: StorageServer, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=30)
    try:
        connection.request(method, path, json.dumps(body))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        (BUCKET, {"labels": "x"}, "'labels'"),
        (BUCKET, {"labels": {"a": 5}}, "'labels.a'"),
        (BUCKET, {"labels": {"A": "b"}}, "Invalid label 'A'"),
        (BUCKET, {"labels": {"a": "b c"}}, "Invalid label 'a'"),
        (BUCKET, {"labels": {f"k{number}": "" for number in range(65)}}, "at most 64 labels"),
        (BUCKET, {"cors": {"origin": ["*"]}}, "'cors'"),
        (BUCKET, {"cors": [{"nonsense": 1}]}, "field 'cors.nonsense'"),
        (BUCKET, {"cors": [{"maxAgeSeconds": "soon"}]}, "'cors.maxAgeSeconds'"),
        (BUCKET, {"website": {"x": 1}}, "field 'website.x'"),
        (BUCKET, {"iamConfiguration": {"nonsense": True}}, "field 'iamConfiguration.nonsense'"),
        (BUCKET, {"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": "maybe"}}}, "true or false"),
        (BUCKET, {"iamConfiguration": {"publicAccessPrevention": "x"}}, "enforced"),
        (BUCKET, {"rpo": "X"}, "ASYNC_TURBO"),
        (BUCKET, {"storageClass": "FROZEN"}, "not a storage class"),
        (BUCKET, {"lifecycle": {"rule": [{"action": {"type": "Burn"}}]}}, "'lifecycle.rule.action.type'"),
        (BUCKET, {"lifecycle": {"rule": [DELETE | {"condition": {"hue": 1}}]}}, "'lifecycle.rule.condition.hue'"),
        (BUCKET, {"lifecycle": {"rule": [DELETE | {"condition": {"age": True}}]}}, "a whole number"),
        (OBJECT, {"contentType": 5}, "'contentType'"),
        (OBJECT, {"cacheControl": {"a": 1}}, "'cacheControl'"),
        (OBJECT, {"metadata": ["a"]}, "'metadata'"),
        (OBJECT, {"metadata": {"a": {"b": "c"}}}, "'metadata.a'"),
        (OBJECT, {"customTime": "yesterday"}, "RFC 3339"),
        (OBJECT, {"customTime": "2024-02-30T00:00:00Z"}, "RFC 3339"),
    ],
)
def test_a_value_that_its_field_cannot_have_is_refused(
    server: StorageServer, bucket: storage.Bucket, method: str, path: str, body: Any, told: str
) -> None:
    before = ask(server, "PATCH", path, {})[1]
    status, answer = ask(server, method, path, body)
    assert status == 400
    assert told in answer["error"]["message"]
    after = ask(server, "PATCH", path, {})[1]
    changing = {"metageneration", "updated", "etag"}
    assert {key: after[key] for key in after.keys() - changing} == {
        key: before[key] for key in before.keys() - changing
    }


def test_every_setting_of_a_bucket_that_is_kept_comes_back(bucket: storage.Bucket) -> None:
    found = bucket.client.get_bucket("stage")
    found.labels = {"team": "größe", "empty": ""}
    found.cors = [{"origin": ["*"], "method": ["GET"], "maxAgeSeconds": 3, "responseHeader": ["a"]}]
    found.add_lifecycle_delete_rule(age=2, is_live=True, matches_prefix=["a"])
    found.add_lifecycle_set_storage_class_rule("COLDLINE", days_since_custom_time=1)
    found.add_lifecycle_abort_incomplete_multipart_upload_rule(age=3)
    found.configure_website("index.html", "404.html")
    found.iam_configuration.uniform_bucket_level_access_enabled = True
    found.iam_configuration.public_access_prevention = "enforced"
    found.patch()
    again = bucket.client.get_bucket("stage")
    assert again.labels == {"team": "größe", "empty": ""}
    assert again.cors == found.cors
    assert [rule["action"]["type"] for rule in again.lifecycle_rules] == [
        "Delete",
        "SetStorageClass",
        "AbortIncompleteMultipartUpload",
    ]
    assert again.iam_configuration.public_access_prevention == "enforced"
    assert again.updated > again.time_created
    again.disable_website()
    again.clear_lifecycle_rules()
    again.labels = {}
    again.update()
    assert list(bucket.client.get_bucket("stage").lifecycle_rules) == []


@pytest.mark.parametrize(
    ("location", "shown", "kind"),
    [(None, "US", "multi-region"), ("us-east1", "US-EAST1", "region"), ("eur4", "EUR4", "dual-region")],
)
def test_a_bucket_says_where_it_is(bucket: storage.Bucket, location: str | None, shown: str, kind: str) -> None:
    made = bucket.client.create_bucket("elsewhere", location=location)
    try:
        assert (made.location, made.location_type) == (shown, kind)
        made.labels = {"a": "b"}
        made.patch()
        assert (made.location, made.location_type) == (shown, kind)
    finally:
        made.delete()


@pytest.mark.parametrize("how", ["patch", "update"])
def test_a_null_takes_a_key_of_the_metadata_away(bucket: storage.Bucket, how: str) -> None:
    blob = bucket.blob("x")
    blob.metadata = {"a": "1", "b": "2"}
    blob.patch()
    blob.metadata = {"a": None, "b": "2", "c": "3"}
    getattr(blob, how)()
    assert bucket.get_blob("x").metadata == {"b": "2", "c": "3"}


def test_a_custom_time_is_only_set_later(server: StorageServer, bucket: storage.Bucket) -> None:
    assert ask(server, "PATCH", OBJECT, {"customTime": "2024-01-01T00:00:00Z"})[0] == 200
    assert ask(server, "PATCH", OBJECT, {"customTime": "2024-01-01T02:00:00.5+01:00"})[0] == 200
    for body in ({"customTime": "2024-01-01T01:00:00Z"}, {"customTime": None}):
        status, answer = ask(server, "PATCH", OBJECT, body)
        assert (status, "'customTime'" in answer["error"]["message"]) == (400, True)
    with pytest.raises(exceptions.BadRequest, match="customTime"):
        blob = bucket.blob("x")
        blob.content_type = "text/plain"
        blob.update()
    bucket.blob("x").upload_from_string(b"2")
    assert bucket.get_blob("x").custom_time is None
