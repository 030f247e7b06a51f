"""cloud/session.py: which requests go straight to a connection, and which by way of `requests`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from google.auth.credentials import AnonymousCredentials

from covalent_parallel_plugin.cloud.session import LeanSession

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def buckets(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return emulator.environment["STORAGE_EMULATOR_HOST"] + "/storage/v1/b?project=local"


def goes_straight(url: str) -> bool:
    answer = LeanSession(AnonymousCredentials(), 1).request("GET", url, timeout=30)
    assert answer.status_code == 200
    # What `requests` has sent remembers the adapter that did.
    return not hasattr(answer, "connection")


def test_a_request_goes_straight_to_its_host(buckets: str) -> None:
    assert goes_straight(buckets)


@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_a_list_of_hosts_without_a_proxy_is_no_proxy(
    buckets: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "example.org")
    assert goes_straight(buckets)


def test_with_a_proxy_requests_decides_which_way_to_go(buckets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert not goes_straight(buckets)
