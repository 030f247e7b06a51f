"""A private Covalent server: its environment, its configuration file and its life."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from covalent_parallel_plugin.covalent_api.own_pages import why_not_from
from covalent_parallel_plugin.covalent_api.private_configuration import (
    client_environment,
    private_environment,
    write_configuration,
)
from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer, PrivateServerError

END_SECONDS = 120.0


def answers(address: str) -> bool:
    host, _, port = urlsplit(address).netloc.partition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True


def ends_answering(address: str) -> bool:
    deadline = time.monotonic() + END_SECONDS
    while time.monotonic() < deadline:
        if not answers(address):
            return True
        time.sleep(0.1)
    return False


def test_the_environment_leads_to_nothing_of_the_users(tmp_path: Path) -> None:
    users = {
        "HOME": "/home/someone",
        "XDG_CACHE_HOME": "/home/someone/caches",
        "COVALENT_DATABASE": "/home/someone/covalent.sqlite",
        "LOGLEVEL": "DEBUG",
        "LANG": "C.UTF-8",
    }
    environment = private_environment(users, tmp_path)
    assert environment["HOME"] == str(tmp_path)
    assert environment["COVALENT_CONFIG_DIR"].startswith(str(tmp_path))
    assert environment["LANG"] == "C.UTF-8"
    assert environment.keys().isdisjoint({"XDG_CACHE_HOME", "COVALENT_DATABASE", "LOGLEVEL"})


def test_a_client_keeps_its_home_and_leads_to_no_other_covalent(tmp_path: Path) -> None:
    users = {"HOME": "/home/someone", "XDG_CACHE_HOME": "/caches", "COVALENT_SVC_PORT": "1", "LANG": "C.UTF-8"}
    environment = client_environment(users, tmp_path)
    assert environment.items() >= {"HOME": "/home/someone", "XDG_CACHE_HOME": "/caches", "LANG": "C.UTF-8"}.items()
    assert environment["COVALENT_CONFIG_DIR"].startswith(str(tmp_path))
    assert "COVALENT_SVC_PORT" not in environment


def test_the_environment_keeps_a_proxy_away_from_loopback(tmp_path: Path) -> None:
    environment = private_environment({"NO_PROXY": "example.org"}, tmp_path)
    assert environment["NO_PROXY"] == "example.org,127.0.0.1,localhost"


def test_the_configuration_file_holds_the_sections_given(tmp_path: Path) -> None:
    path = write_configuration(tmp_path, 4711, {"executors.gcpbatch": {"region": 'a"b', "poll_freq": 0.5}})
    text = path.read_text()
    assert "[executors.gcpbatch]" in text
    assert 'region = "a\\"b"' in text
    assert "poll_freq = 0.5" in text
    assert "port = 4711" in text


def test_a_server_answers_keeps_its_files_in_its_home_and_is_gone_after_stop(tmp_path: Path) -> None:
    users_home = tmp_path / "user"
    users_home.mkdir()
    with PrivateCovalentServer(tmp_path / "server", inherited=os.environ | {"HOME": str(users_home)}) as server:
        assert server.is_running
        assert server.get_json("/api/v2/dispatches?count=1&status_only=true")["dispatches"] == []
        assert_own_pages_only(server.address)
    assert not server.is_running
    assert not answers(server.address)
    assert list(users_home.iterdir()) == []
    assert list((tmp_path / "server").rglob("dispatcher_db.sqlite"))
    written = [path for path in (tmp_path / "server").rglob("*") if not path.is_symlink()]
    assert {"server.log", "covalent.conf", "dispatcher_db.sqlite"} <= {path.name for path in written}
    assert {path for path in [tmp_path / "server", *written] if path.stat().st_mode & 0o077} == set()


def assert_own_pages_only(address: str) -> None:
    netloc = urlsplit(address).netloc
    own, foreign = (
        [{}, {"Origin": address}, {"Host": netloc.replace("127.0.0.1", "localhost")}],
        [
            {"Host": "evil.example"},
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://localhost:1"},
        ],
    )
    polling = "/socket.io/?EIO=4&transport=polling"
    for headers, statuses in [*((each, {200}) for each in own), *((each, {403}) for each in foreign)]:
        for path in ("/api/v2/dispatches", polling, "/"):
            assert status_of(netloc, "GET", path, headers) in statuses, (path, headers)
    for headers in foreign:
        preflight = headers | {"Access-Control-Request-Method": "PUT"}
        assert status_of(netloc, "OPTIONS", "/api/v2/dispatches", preflight) == 403
        upgrade = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        path = "/socket.io/?EIO=4&transport=websocket"
        assert status_of(netloc, "GET", path, upgrade | {"Origin": address}) == 101
        assert status_of(netloc, "GET", path, upgrade | headers) == 403


def status_of(netloc: str, method: str, path: str, headers: Mapping[str, str]) -> int:
    connection = http.client.HTTPConnection(netloc, timeout=END_SECONDS)
    connection.request(method, path, headers=dict(headers))
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("host", ["127.0.0.1:40123", "localhost:40123", "[::1]:40123", "ui.localhost:40123", ""])
def test_a_program_and_the_servers_own_page_may_call_it(host: str) -> None:
    assert why_not_from(host, "") == ""
    assert not host or why_not_from(host, f"http://{host}") == ""


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example", ""),
        ("evil.example:40123", "http://evil.example:40123"),
        ("127.0.0.1.evil.example", ""),
        ("0.0.0.0:40123", ""),
        ("[::1", ""),
        ("localhost:40123", "http://evil.example:40123"),
        ("localhost:40123", "http://localhost"),
        ("localhost:40123", "http://localhost:40123@evil.example"),
        ("localhost:40123", "null"),
        ("localhost:40123", "http://localhost:x"),
    ],
)
def test_a_foreign_page_may_not(host: str, origin: str) -> None:
    assert why_not_from(host, origin) != ""


def test_a_server_that_dies_at_its_start_raises_with_the_end_of_its_log(tmp_path: Path) -> None:
    server = PrivateCovalentServer(
        tmp_path, {"COVALENT_DATABASE_URL": f"sqlite+pysqlite:///{tmp_path}/missing/folder.sqlite"}
    )
    with pytest.raises(PrivateServerError, match="unable to open database file"):
        server.start()
    assert not server.is_running


def test_a_taken_port_is_refused_at_once(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = PrivateCovalentServer(tmp_path, port=taken.getsockname()[1])
        with pytest.raises(OSError, match="in use"):
            server.start()


def test_a_server_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib\n"
        "from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer\n"
        "print(PrivateCovalentServer(pathlib.Path(sys.argv[1])).start().address, flush=True)\n"
        "time.sleep(300)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        address = starter.stdout.readline().strip()
        assert answers(address)
        starter.send_signal(signal.SIGKILL)
    assert ends_answering(address)
