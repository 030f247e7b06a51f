"""Faults of requests to Cloud Storage: that they take place, and that they are counted."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from batch_jobs import State, batch_jobs
from google.api_core import exceptions
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption
from storage_clients import storage_client

from covalent_parallel_plugin.emulator import Emulator, Fault, Faults, Timing
from covalent_parallel_plugin.emulator.faults.plan import FaultPlan
from covalent_parallel_plugin.emulator.faults.target_names import READS, WRITES
from covalent_parallel_plugin.emulator.storage.server import StorageServer

MIB = 1 << 20
BODY = bytes(range(256)) * 16


@pytest.fixture(scope="module")
def plan() -> FaultPlan:
    return FaultPlan()


@pytest.fixture(scope="module")
def server(plan: FaultPlan) -> Iterator[StorageServer]:
    with StorageServer(buckets=["stage"], faults=plan) as running:
        yield running


@pytest.fixture
def client(server: StorageServer, plan: FaultPlan, monkeypatch: pytest.MonkeyPatch) -> Iterator[storage.Client]:
    # else the client asks for the bucket at times of its own choosing
    monkeypatch.setenv("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "1")
    with storage_client(server) as made:
        yield made
    plan.set(Faults())


@pytest.fixture
def bucket(client: storage.Client) -> storage.Bucket:
    return client.bucket("stage")


def put(plan: FaultPlan, fault: Fault) -> int:
    plan.set(Faults((fault,)))
    return plan.consumed[fault.title]


def upload(bucket: storage.Bucket, name: str, body: bytes = BODY, **options: Any) -> storage.Blob:
    blob = bucket.blob(name)
    blob.upload_from_string(body, retry=None, **options)
    return blob


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (503, exceptions.ServiceUnavailable),
        (500, exceptions.InternalServerError),
        (429, exceptions.TooManyRequests),
        (403, exceptions.Forbidden),
    ],
)
def test_a_download_is_refused_and_the_next_is_not(
    plan: FaultPlan, bucket: storage.Bucket, code: int, error: type[Exception]
) -> None:
    blob = upload(bucket, "a")
    fault = Fault("storage.error", request="objects.download", code=code, first=1)
    before = put(plan, fault)
    with pytest.raises(error):
        blob.download_as_bytes(retry=None)
    assert blob.download_as_bytes(retry=None) == BODY
    assert plan.consumed[fault.title] == before + 1


def test_a_408_is_got_over_by_the_clients_own_retry(plan: FaultPlan, bucket: storage.Bucket) -> None:
    blob = upload(bucket, "a")
    put(plan, Fault("storage.error", name="408", request="objects.get", code=408, first=1))
    blob.reload()
    assert blob.size == len(BODY) and plan.consumed["408"] == 1


def test_reads_are_forbidden_and_writes_are_not(plan: FaultPlan, bucket: storage.Bucket) -> None:
    put(plan, Fault("storage.error", name="reads", request="reads", code=403))
    blob = upload(bucket, "r")
    with pytest.raises(exceptions.Forbidden, match=r"storage\.objects\.get"):
        blob.download_as_bytes(retry=None)
    assert plan.consumed["reads"] == 1


def test_writes_are_forbidden_and_reads_are_not(plan: FaultPlan, bucket: storage.Bucket) -> None:
    blob = upload(bucket, "w")
    put(plan, Fault("storage.error", name="writes", request="writes", code=403))
    with pytest.raises(exceptions.Forbidden, match=r"storage\.objects\.create"):
        upload(bucket, "w2")
    with pytest.raises(exceptions.Forbidden, match=r"storage\.objects\.delete"):
        blob.delete(retry=None)
    with pytest.raises(exceptions.Forbidden, match=r"storage\.objects\.create"):
        bucket.blob("w3").compose([blob], retry=None)
    assert blob.download_as_bytes(retry=None) == BODY
    assert plan.consumed["writes"] == 3


@pytest.mark.parametrize("chunk_size", [None, MIB], ids=["multipart", "resumable"])
def test_an_upload_is_known_by_its_objects_name(
    plan: FaultPlan, bucket: storage.Bucket, chunk_size: int | None
) -> None:
    fault = Fault("storage.error", name=f"by name {chunk_size}", request="writes", object="calls/*ö", code=503)
    put(plan, fault)
    # the client sends up to 8 MiB in one request
    bodies = BODY * (1 if chunk_size is None else 2304)
    for name in ("calls/x", "other/ö", "calls/ö"):
        blob = bucket.blob(name, chunk_size=chunk_size)
        if name == "calls/ö":
            with pytest.raises(exceptions.ServiceUnavailable):
                blob.upload_from_string(bodies, retry=None)
        else:
            blob.upload_from_string(bodies, retry=None)
            assert blob.download_as_bytes() == bodies
    assert plan.consumed[fault.title] == 1


def test_a_chunk_of_a_resumable_upload_is_known_by_its_objects_name(plan: FaultPlan, bucket: storage.Bucket) -> None:
    put(plan, Fault("storage.error", name="chunk", request="uploads.chunk", object="big", code=503, skip=1, first=1))
    blob = bucket.blob("big", chunk_size=MIB)
    blob.upload_from_string(BODY * 2304)
    assert blob.download_as_bytes() == BODY * 2304 and plan.consumed["chunk"] == 1


def test_an_upload_takes_effect_and_its_answer_is_lost(plan: FaultPlan, bucket: storage.Bucket) -> None:
    put(plan, Fault("storage.lost", name="lost 503", request="objects.insert", code=503, first=1))
    with pytest.raises(exceptions.ServiceUnavailable):
        upload(bucket, "lost", if_generation_match=0)
    with pytest.raises(exceptions.PreconditionFailed):
        upload(bucket, "lost", if_generation_match=0)
    assert bucket.blob("lost").download_as_bytes() == BODY and plan.consumed["lost 503"] == 1


def test_an_upload_takes_effect_and_its_connection_is_closed(plan: FaultPlan, bucket: storage.Bucket) -> None:
    put(plan, Fault("storage.lost", name="lost", request="objects.insert", first=1))
    with pytest.raises(requests.exceptions.ConnectionError):
        upload(bucket, "closed")
    assert bucket.blob("closed").download_as_bytes() == BODY and plan.consumed["lost"] == 1


def test_a_dropped_connection_has_no_effect(plan: FaultPlan, bucket: storage.Bucket) -> None:
    put(plan, Fault("storage.drop", name="drop", request="objects.insert", first=1))
    with pytest.raises(requests.exceptions.ConnectionError):
        upload(bucket, "dropped")
    assert not bucket.blob("dropped").exists() and plan.consumed["drop"] == 1


def test_a_slow_request_does_not_hold_up_others(plan: FaultPlan, bucket: storage.Bucket) -> None:
    blob = upload(bucket, "slow")
    put(plan, Fault("storage.slow", name="slow", object="slow", seconds=60, first=1))
    with pytest.raises(requests.exceptions.Timeout):
        blob.download_as_bytes(timeout=0.3, retry=None)
    assert blob.download_as_bytes(timeout=30, retry=None) == BODY and plan.consumed["slow"] == 1


@pytest.mark.parametrize("body", [BODY, BODY * 2048], ids=["small", "streamed"])
def test_a_download_breaks_off_in_the_middle(
    plan: FaultPlan, server: StorageServer, bucket: storage.Bucket, body: bytes
) -> None:
    upload(bucket, "cut", body)
    fault = Fault("storage.truncate", object="cut", name=f"cut {len(body)}")
    put(plan, fault)
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=60)
    connection.request("GET", "/storage/v1/b/stage/o/cut?alt=media")
    response = connection.getresponse()
    assert (response.status, response.getheader("Content-Length")) == (200, str(len(body)))
    with pytest.raises(http.client.IncompleteRead) as caught:
        response.read()
    connection.close()
    assert body[: len(body) // 2] == caught.value.partial and plan.consumed[fault.title] == 1


@pytest.mark.parametrize("body", [BODY, BODY * 2048], ids=["small", "streamed"])
def test_a_download_of_the_right_length_has_a_wrong_byte(plan: FaultPlan, bucket: storage.Bucket, body: bytes) -> None:
    blob = upload(bucket, "bad", body)
    fault = Fault("storage.corrupt", name=f"corrupt {len(body)}", first=1)
    put(plan, fault)
    with pytest.raises(DataCorruption):
        blob.download_as_bytes(retry=None)
    assert blob.download_as_bytes(retry=None) == body and plan.consumed[fault.title] == 1


def test_a_wrong_byte_is_not_seen_by_a_client_without_the_checksum(plan: FaultPlan, bucket: storage.Bucket) -> None:
    blob = upload(bucket, "bad")
    put(plan, Fault("storage.corrupt", name="unseen", keeps_hash=False))
    got = blob.download_as_bytes(retry=None)
    assert len(got) == len(BODY) and sum(one != other for one, other in zip(got, BODY, strict=True)) == 1
    assert plan.consumed["unseen"] == 1


def test_an_empty_download_cannot_be_spoilt_and_consumes_nothing(plan: FaultPlan, bucket: storage.Bucket) -> None:
    blob = upload(bucket, "empty", b"")
    put(plan, Fault("storage.truncate", name="empty"))
    assert blob.download_as_bytes(retry=None) == b"" and plan.consumed["empty"] == 0


def statuses(server: StorageServer, path: str) -> list[int]:
    """Return the status of each answer to one request, those that come before the last one too."""
    host, port = urlsplit(server.address).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return [int(code) for code in re.findall(rb"^HTTP/1.1 (\d+)", answer, re.MULTILINE)]


def test_a_request_gets_every_status(plan: FaultPlan, server: StorageServer) -> None:
    for code in range(100, 600):
        put(plan, Fault("storage.error", name="any", code=code))
        found = statuses(server, "/storage/v1/b/stage")
        assert found == ([code, 200] if code < 200 else [code])
    assert plan.consumed["any"] == 500


@pytest.mark.parametrize("request_kind", [*READS, *WRITES, "batch", "unknown"])
def test_every_kind_of_request_can_be_refused(plan: FaultPlan, request_kind: str) -> None:
    assert Fault("storage.error", request=request_kind, code=503).value("request") == request_kind


def test_a_request_is_sent_to_another_place(plan: FaultPlan, server: StorageServer) -> None:
    there = f"{server.address}/storage/v1/b/stage?fields=name"
    put(plan, Fault("storage.error", name="elsewhere", request="buckets.get", code=302, location=there, first=1))
    answer = requests.get(f"{server.address}/storage/v1/b/stage", timeout=60)
    assert (answer.status_code, answer.url) == (200, there) and plan.consumed["elsewhere"] == 1


def test_a_download_stops_half_way_and_goes_on(plan: FaultPlan, bucket: storage.Bucket) -> None:
    blob = upload(bucket, "stalled")
    put(plan, Fault("storage.stall", name="for ever", object="stalled", first=1))
    with pytest.raises(requests.exceptions.ConnectionError, match="timed out"):
        blob.download_as_bytes(timeout=0.3, retry=None)
    put(plan, Fault("storage.stall", name="a while", object="stalled", seconds=0.1))
    assert blob.download_as_bytes(retry=None) == BODY
    assert (plan.consumed["for ever"], plan.consumed["a while"]) == (1, 1)


def test_a_download_trickles(plan: FaultPlan, bucket: storage.Bucket) -> None:
    blob = upload(bucket, "thin")
    put(plan, Fault("storage.trickle", name="thin", object="thin", bytes_per_second=4 * len(BODY)))
    started = time.monotonic()
    assert blob.download_as_bytes(retry=None) == BODY
    assert time.monotonic() - started >= 0.15 and plan.consumed["thin"] == 1


@pytest.mark.parametrize("what", ["garbage", "truncate"])
def test_an_answer_that_is_named_is_spoilt_after_its_effect(
    plan: FaultPlan, server: StorageServer, bucket: storage.Bucket, what: str
) -> None:
    put(plan, Fault(f"storage.{what}", name=f"{what} list", request="objects.list", first=1))
    answer = requests.get(f"{server.address}/storage/v1/b/stage/o", timeout=60, stream=True)
    assert answer.status_code == 200
    with pytest.raises((requests.exceptions.JSONDecodeError, requests.exceptions.ChunkedEncodingError)):
        answer.json()
    put(plan, Fault(f"storage.{what}", name=f"{what} insert", request="objects.insert", first=1))
    with pytest.raises((requests.exceptions.RequestException, ValueError)):
        upload(bucket, f"kept-{what}")
    assert bucket.blob(f"kept-{what}").exists()
    assert (plan.consumed[f"{what} list"], plan.consumed[f"{what} insert"]) == (1, 1)


def test_a_rule_that_names_no_request_spoils_downloads_alone(plan: FaultPlan, bucket: storage.Bucket) -> None:
    put(plan, Fault("storage.garbage", name="downloads"))
    blob = upload(bucket, "spoilt")
    assert blob.download_as_bytes(checksum=None, retry=None) == b"\xff" * len(BODY)
    assert plan.consumed["downloads"] == 1


@pytest.mark.parametrize("token", ["same", "new"])
def test_a_list_does_not_end_while_the_rule_strikes(
    plan: FaultPlan, client: storage.Client, bucket: storage.Bucket, token: str
) -> None:
    upload(bucket, "listed")
    names = {blob.name for blob in bucket.list_blobs()}
    put(plan, Fault("storage.endless", name=token, request="objects.list", token=token, first=4))
    listed = client.list_blobs("stage")
    tokens = []
    for page in listed.pages:
        assert {blob.name for blob in page} == names
        tokens.append(listed.next_page_token)
    assert len(tokens) == 5 and tokens[-1] is None
    assert len(set(tokens[:-1])) == (1 if token == "same" else 4) and plan.consumed[token] == 4


def test_a_bucket_is_missing(plan: FaultPlan, bucket: storage.Bucket) -> None:
    put(plan, Fault("storage.no_bucket", name="gone", bucket="sta*"))
    with pytest.raises(exceptions.NotFound, match="The specified bucket does not exist"):
        upload(bucket, "x")
    with pytest.raises(exceptions.NotFound, match="The specified bucket does not exist"):
        list(bucket.list_blobs(retry=None))
    assert plan.consumed["gone"] == 2


def test_requests_in_a_batch_are_struck_one_by_one(
    plan: FaultPlan, client: storage.Client, bucket: storage.Bucket
) -> None:
    blobs = [upload(bucket, name) for name in ("one", "two")]
    put(plan, Fault("storage.error", name="in a batch", object="two", code=503))
    with pytest.raises(exceptions.ServiceUnavailable), client.batch():
        for blob in blobs:
            blob.delete(retry=None)
    plan.set(Faults())
    assert [blob.exists() for blob in blobs] == [False, True]
    assert plan.consumed["in a batch"] == 1


def test_a_rule_for_all_requests_strikes_those_in_a_batch_and_not_the_batch(
    plan: FaultPlan, client: storage.Client, bucket: storage.Bucket
) -> None:
    blobs = [upload(bucket, name) for name in ("three", "four")]
    put(plan, Fault("storage.error", name="one of a batch", code=503, first=1))
    with pytest.raises(exceptions.ServiceUnavailable), client.batch():
        for blob in blobs:
            blob.delete(retry=None)
    plan.set(Faults())
    assert [blob.exists() for blob in blobs] == [True, False]


def test_a_batch_is_refused_as_a_whole_by_a_rule_of_its_own(
    plan: FaultPlan, client: storage.Client, bucket: storage.Bucket
) -> None:
    blob = upload(bucket, "one")
    put(plan, Fault("storage.error", name="whole", request="batch", code=503))
    with pytest.raises(exceptions.ServiceUnavailable), client.batch():
        blob.delete(retry=None)
    assert blob.exists() and plan.consumed["whole"] == 1


def test_a_share_of_many_requests_fails(plan: FaultPlan, bucket: storage.Bucket) -> None:
    blob = upload(bucket, "many")
    put(plan, Fault("storage.error", name="share", rate=0.2, code=503))

    def fetch(_: int) -> bool:
        try:
            return bool(blob.download_as_bytes(retry=None) == BODY)
        except exceptions.ServiceUnavailable:
            return False

    with ThreadPoolExecutor(4) as pool:
        failed = list(pool.map(fetch, range(200))).count(False)
    assert failed == plan.consumed["share"] and 15 < failed < 70


def call(address: str, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    connection.request(method, path, body)
    response = connection.getresponse()
    content = json.loads(response.read())
    connection.close()
    return response.status, content


def test_another_process_switches_faults_on_and_reads_what_took_place() -> None:
    faults = Faults((Fault("job.refused", name="switched"), Fault("storage.error", name="all", code=503)), seed=3)
    timing = Timing(queue_seconds=0.02, schedule_seconds=0.02)
    with Emulator(logging_port=None, timing=timing) as emulator, batch_jobs(emulator) as jobs:
        address = emulator.environment["STORAGE_EMULATOR_HOST"]
        assert jobs.run().status.state == State.SUCCEEDED
        none = {"faults": {"seed": 0, "rules": []}, "consumed": {}}
        assert call(address, "GET", "/_emulator/faults") == (200, none)
        assert call(address, "PUT", "/_emulator/faults", json.dumps(faults.to_json()).encode())[0] == 200
        assert jobs.run().status.state == State.FAILED
        assert call(address, "GET", "/storage/v1/b/covalent")[0] == 503
        # the emulator's own addresses are never struck: else faults could not be switched off again
        found = call(address, "GET", "/_emulator/faults")
        assert found == (200, {"faults": faults.to_json(), "consumed": {"switched": 1, "all": 1}})
        assert call(address, "PUT", "/_emulator/faults", json.dumps(Faults().to_json()).encode())[0] == 200
        assert jobs.run().status.state == State.SUCCEEDED
        assert call(address, "GET", "/storage/v1/b/covalent")[0] == 200


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"rules": [{"kind": "storage.eror"}]}'])
def test_a_wrong_description_is_refused_and_the_faults_stay(
    server: StorageServer, plan: FaultPlan, body: bytes
) -> None:
    before = plan.faults
    status, content = call(server.address, "PUT", "/_emulator/faults", body)
    assert status == 400 and content["error"]["message"]
    assert plan.faults is before


def test_the_counts_over_http_have_batch_calls_and_attempts_beside_requests() -> None:
    with Emulator(logging_port=None) as emulator, batch_jobs(emulator) as jobs:
        jobs.run()
        _, counts = call(emulator.environment["STORAGE_EMULATOR_HOST"], "GET", "/_emulator/counts")
    assert (counts["attempts"], counts["tasks"], counts["batch_calls"]["CreateJob"]) == (1, 1, 1)
    assert counts["emulator.counts"] == 1 and counts["faults_consumed"] == {}


def test_without_faults_no_request_is_struck(plan: FaultPlan, bucket: storage.Bucket) -> None:
    before = plan.consumed
    assert upload(bucket, "free").download_as_bytes(retry=None) == BODY
    assert plan.consumed == before
