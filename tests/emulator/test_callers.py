"""Who may call the emulator: its own user's programs, and neither another user's nor a web page."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import grpc
import pytest
from google.cloud.batch_v1 import ListJobsRequest
from google.cloud.logging_v2.types import ListLogsRequest

from covalent_parallel_plugin.emulator import Emulator
from covalent_parallel_plugin.emulator.model.callers import UNKNOWN, Callers, is_loopback, user_of

NOBODY = 65534
SECONDS = 60
LIST_JOBS, LIST_LOGS = "google.cloud.batch.v1.BatchService/ListJobs", "google.logging.v2.LoggingServiceV2/ListLogs"
JOBS = ListJobsRequest.serialize(ListJobsRequest(parent="projects/p/locations/us-east1"))
LOGS = ListLogsRequest.serialize(ListLogsRequest(parent="projects/p"))
# What a user tries, one line of JSON: HTTP's status and message, and gRPC's
CALLS = f"""
import encodings.idna, http.client, json, os, sys, grpc
# before it is another user, who may not be able to read them
grpc.insecure_channel("127.0.0.1:9").close()
storage, batch, logging, user = sys.argv[1:]
os.setgid(int(user)); os.setuid(int(user))
found = []
for path in ("/storage/v1/b/covalent", "/_emulator/faults", "/compute/v1/projects/p/regions/us-east1"):
    connection = http.client.HTTPConnection(storage, timeout={SECONDS})
    connection.request("GET", path)
    answer = connection.getresponse()
    found.append([answer.status, answer.read().decode()])
    connection.close()
for address, method, message in ((batch, "{LIST_JOBS}", {JOBS!r}), (logging, "{LIST_LOGS}", {LOGS!r})):
    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary("/" + method)(message, timeout={SECONDS})
            found.append(["OK", ""])
        except grpc.RpcError as error:
            found.append([error.code().name, error.details()])
print(json.dumps(found))
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


def netloc(emulator: Emulator) -> str:
    return urlsplit(emulator.environment["STORAGE_EMULATOR_HOST"]).netloc


def call_as(emulator: Emulator, user: int) -> list[list[object]]:
    addresses = [netloc(emulator), *(emulator.environment[f"{name}_EMULATOR_HOST"] for name in ("BATCH", "LOGGING"))]
    ended = subprocess.run(
        [sys.executable, "-c", CALLS, *addresses, str(user)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return list(json.loads(ended.stdout))


def status_of(emulator: Emulator, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(netloc(emulator), timeout=SECONDS)
    connection.request("GET", "/storage/v1/b/covalent", headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def code_of(emulator: Emulator, authority: str = "", **metadata: str) -> tuple[str, str]:
    options = [("grpc.default_authority", authority)] if authority else []
    with grpc.insecure_channel(emulator.environment["BATCH_EMULATOR_HOST"], options=options) as channel:
        try:
            channel.unary_unary(f"/{LIST_JOBS}")(JOBS, timeout=SECONDS, metadata=tuple(metadata.items()))
        except grpc.RpcError as error:
            return error.code().name, error.details()
    return "OK", ""


@as_root
def test_another_user_is_refused_by_all_services_with_the_reason_and_the_remedy(emulator: Emulator) -> None:
    found = call_as(emulator, NOBODY)
    assert [status for status, _ in found] == [403, 403, 403, "PERMISSION_DENIED", "PERMISSION_DENIED"]
    assert all(f"user {NOBODY} (nobody) may not call it: start one of your own" in str(text) for _, text in found)


@as_root
def test_roots_emulator_belongs_to_the_user_of_sudo_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_UID", str(NOBODY))
    with Emulator() as emulator:
        assert [status for status, _ in call_as(emulator, NOBODY)] == [200, 200, 200, "OK", "OK"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_user_of_a_connection_is_known_until_its_client_closes_it(family: socket.AddressFamily) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        with socket.socket(family) as client:
            client.connect((host if family == socket.AF_INET else f"::ffff:{host}", port))
            accepted, address = listener.accept()
            assert user_of(address, accepted.getsockname()) == os.geteuid()
        # whose it was is not told then, though the kernel says 0
        assert user_of(address, accepted.getsockname()) == UNKNOWN
        accepted.close()
    assert Callers().why_not(UNKNOWN)


def test_users_of_tasks_are_asked_for_when_no_other_rule_fits() -> None:
    asked = []

    def task_users() -> set[int]:
        asked.append(1)
        return {os.geteuid() + 5}

    callers = Callers(task_users)
    assert [callers.why_not(user) for user in (None, 0, os.geteuid())] == ["", "", ""] and asked == []
    assert callers.why_not(os.geteuid() + 5) == "" and callers.why_not(os.geteuid() + 6) != ""
    assert callers.why_not(os.geteuid() + 5) == "" and len(asked) == 2, "remembered for a while"


@pytest.mark.parametrize("name", ["127.0.0.1:80", "localhost", "LOCALHOST:1", "a.localhost:1", "[::1]:80", "127.9.9.9"])
def test_loopback_has_several_names(emulator: Emulator, name: str) -> None:
    assert is_loopback(name)
    assert status_of(emulator, Host=name)[0] == 200 and status_of(emulator, Origin=f"http://{name}")[0] == 200


@pytest.mark.parametrize(
    "name",
    ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0:80", "10.0.0.1"],
)
def test_a_foreign_host_or_origin_is_refused_with_the_reason_and_the_remedy(emulator: Emulator, name: str) -> None:
    assert not is_loopback(name)
    status, text = status_of(emulator, Host=name)
    assert status == 403 and name in text and "localhost" in text
    status, text = status_of(emulator, Origin=f"http://{name}")
    assert status == 403 and name in text and "web page" in text
    code, text = code_of(emulator, authority=name)
    assert code == "PERMISSION_DENIED" and name in text
    code, text = code_of(emulator, origin=f"http://{name}")
    assert code == "PERMISSION_DENIED" and name in text


@pytest.mark.parametrize("origin", ["null", "file://", "http://", "http://127.0.0.1@evil.example", "http://[::1"])
def test_an_origin_that_is_no_place_is_refused(emulator: Emulator, origin: str) -> None:
    assert status_of(emulator, Origin=origin)[0] == 403


@pytest.mark.parametrize("authority", ["localhost:1", "host.docker.internal:1", "host.containers.internal"])
def test_grpc_answers_under_the_names_of_loopback(emulator: Emulator, authority: str) -> None:
    assert code_of(emulator, authority=authority) == ("OK", "")


def test_a_preflight_and_a_simple_request_of_a_page_are_refused_and_change_nothing(emulator: Emulator) -> None:
    headers = {"Origin": "http://evil.example", "Content-Type": "text/plain", "Access-Control-Request-Method": "PUT"}
    for method, path in [
        ("OPTIONS", "/_emulator/faults"),
        ("PUT", "/_emulator/faults"),
        ("POST", "/upload/storage/v1/b/covalent/o?uploadType=media&name=x"),
        ("POST", "/batch/storage/v1"),
    ]:
        connection = http.client.HTTPConnection(netloc(emulator), timeout=SECONDS)
        connection.request(method, path, body=b'{"rules": []}', headers=headers)
        assert connection.getresponse().status == 403
        connection.close()
    assert status_of(emulator)[0] == 200 and "objects.insert" not in emulator.request_counts
