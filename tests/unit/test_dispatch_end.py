"""Waiting for the end of a dispatch, with a server that answers, is late, or goes away."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from covalent_parallel_plugin.covalent_api.server_client import ServerClient
from covalent_parallel_plugin.errors import SettingsError, UnavailableError
from covalent_parallel_plugin.results.dispatch_end import (
    OUTAGE_SECONDS,
    await_end,
    checked_timeout,
    stopped_by_user,
)


class Server:
    """A server of Covalent's as far as it is asked for a state; `sleep` passes the time, and what happens in it."""

    def __init__(self) -> None:
        self.state, self.requests, self.seconds = "RUNNING", 0, 0.0
        self.ends_after = self.breaks_from = math.inf
        self.breaks_to = math.inf
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.requests += 1
                is_broken = outer.breaks_from <= outer.seconds < outer.breaks_to
                body = json.dumps({"dispatches": [{"status": outer.state}]}).encode()
                self.send_response(500 if is_broken else 200)
                self.end_headers()
                self.wfile.write(b"" if is_broken else body)

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.client = ServerClient(f"http://127.0.0.1:{self.http.server_port}")

    def clock(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        if self.seconds >= self.ends_after:
            self.state = "COMPLETED"

    def stop(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


def test_a_server_is_asked_ever_less_often_and_never_more_than_five_times_a_second(server: Server) -> None:
    server.ends_after = 600
    assert await_end(server.client, "d", None, lambda: None, server.clock, server.sleep) == "COMPLETED"
    assert server.requests < 400 and server.seconds < 603


def test_a_server_that_comes_back_is_waited_for(server: Server) -> None:
    server.breaks_from, server.breaks_to, server.ends_after = 5, 5 + OUTAGE_SECONDS - 3, 200
    assert await_end(server.client, "d", None, lambda: None, server.clock, server.sleep) == "COMPLETED"


def test_a_server_that_goes_away_ends_the_waiting_and_the_dispatch_is_named(server: Server) -> None:
    begun = threading.Event()

    def sleep(seconds: float) -> None:
        if not begun.is_set():
            begun.set()
            server.stop()
        server.sleep(seconds)

    with pytest.raises(UnavailableError, match=r"dispatch d may go on: wait for it again once the server is back"):
        await_end(server.client, "d", None, lambda: None, server.clock, sleep)
    assert OUTAGE_SECONDS <= server.seconds < OUTAGE_SECONDS + 5


def test_a_timeout_counts_while_the_server_does_not_answer(server: Server) -> None:
    server.breaks_from = 1
    with pytest.raises(TimeoutError, match=r"dispatch d has not ended within 10 s; it goes on"):
        await_end(server.client, "d", 10, lambda: None, server.clock, server.sleep)


def test_the_user_may_stop_waiting_and_is_told_that_the_dispatch_goes_on(
    server: Server, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COVALENT_PARALLEL_DEV", raising=False)

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), stopped_by_user("d"):
        await_end(server.client, "d", None, lambda: None, server.clock, interrupt)
    assert capsys.readouterr().err == 'stopped waiting; dispatch d goes on: ct.cancel("d") cancels it\n'


@pytest.mark.parametrize("value", [None, 0, 2.5, math.inf])
def test_a_timeout_is_seconds_or_none(value: float | None) -> None:
    assert checked_timeout(value) == value


@pytest.mark.parametrize("value", ["5", -1, math.nan, True, b"x", [1]])
def test_anything_else_for_a_timeout_is_refused(value: object) -> None:
    with pytest.raises(SettingsError, match=r"timeout is .*: give seconds, 0 or more, or None for no limit"):
        checked_timeout(value)
