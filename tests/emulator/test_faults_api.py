"""Faults of requests to the JSON APIs, and their counters."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests

from covalent_parallel_plugin.cloud.rest_client import RestClient
from covalent_parallel_plugin.emulator import Emulator, Fault, Faults

MACHINE = "https://compute.googleapis.com/compute/v1/projects/p/zones/us-east1-b/machineTypes/n2-standard-4"
REGION = "https://compute.googleapis.com/compute/v1/projects/p/regions/us-east1"


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator(batch_port=None, logging_port=None) as running:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", running.environment["STORAGE_EMULATOR_HOST"])
        yield running


def test_requests_are_counted_as_the_permissions_that_they_need(emulator: Emulator) -> None:
    apis = RestClient.connect()
    for url in (MACHINE, MACHINE, REGION):
        assert apis.get(url).is_ok
    apis.request("POST", "https://iam.googleapis.com/v1/projects/p/serviceAccounts/a@b.c:testIamPermissions", body={})
    assert emulator.request_counts == {
        "compute.machineTypes.get": 2,
        "compute.regions.get": 1,
        "iam.serviceAccounts.testPermissions": 1,
    }


@pytest.mark.parametrize(("code", "status"), [(503, "UNAVAILABLE"), (429, "RESOURCE_EXHAUSTED"), (418, "UNKNOWN")])
def test_an_error_strikes_what_it_names_in_googles_form(emulator: Emulator, code: int, status: str) -> None:
    fault = Fault("api.error", request="compute.machineTypes.*", code=code, message="too busy", first=1)
    emulator.faults.set(Faults((fault,)))
    apis = RestClient.connect()
    assert apis.get(REGION).is_ok
    refused = apis.get(MACHINE)
    assert (refused.status, refused.message, refused.content["error"]["status"]) == (code, "too busy", status)
    assert apis.get(MACHINE).is_ok
    assert list(emulator.faults.consumed.values()) == [1]


def test_a_slow_answer_comes_all_the_same_and_is_counted(emulator: Emulator) -> None:
    emulator.faults.set(Faults((Fault("api.slow", seconds=0.2),)))
    assert RestClient.connect().get(REGION).is_ok
    assert list(emulator.faults.consumed.values()) == [1]


def test_a_request_gets_every_status(emulator: Emulator) -> None:
    url = emulator.environment["STORAGE_EMULATOR_HOST"] + urlsplit(REGION).path
    for code in range(200, 600):
        emulator.faults.set(Faults((Fault("api.error", name="any", code=code),)))
        assert requests.get(url, timeout=60).status_code == code
    assert emulator.faults.consumed["any"] == 400


@pytest.mark.parametrize("what", ["drop", "truncate", "garbage"])
def test_an_answer_is_spoilt(emulator: Emulator, what: str) -> None:
    emulator.faults.set(Faults((Fault(f"api.{what}", name=what, first=1),)))
    url = emulator.environment["STORAGE_EMULATOR_HOST"] + urlsplit(REGION).path
    with pytest.raises(requests.exceptions.RequestException):
        requests.get(url, timeout=60).json()
    assert requests.get(url, timeout=60).json()["name"] == "us-east1"
    assert emulator.faults.consumed[what] == 1


def test_faults_of_storage_leave_the_json_apis_alone(emulator: Emulator) -> None:
    emulator.faults.set(Faults((Fault("storage.error", code=503),)))
    assert RestClient.connect().get(REGION).is_ok
