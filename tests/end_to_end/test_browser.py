"""Covalent's UI in a real browser: the dispatch, its electrons and the executor's attributes.

Chromium is driven over its DevTools protocol, so that the distribution's own browser serves and no driver of a
matching version is needed: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

import covalent_parallel_plugin
from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer

pytestmark = pytest.mark.browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    # The UI asks the internet for fonts; without this it waits for an answer where there is no network.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
    "--window-size=1600,1000",
    "about:blank",
)
APPEAR_SECONDS = 180.0
PACKAGE = Path(covalent_parallel_plugin.__file__).parent
# The demonstration's source up to where it dispatches itself, so that the picture shows what README shows.
WORKFLOW = (PACKAGE / "cli" / "demo" / "workflow.py").read_text().partition("if __name__")[
    0
] + "workflows['iris_svm'] = iris_svm, (), float\n"


class Page:
    """One page of a Chromium, seen and used as a user would: by its text."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._ids)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        deadline = time.monotonic() + APPEAR_SECONDS
        while time.monotonic() < deadline:
            # Events come between the answers; recv waits for either.
            answer = json.loads(self._connection.recv(timeout=APPEAR_SECONDS))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
        raise TimeoutError(f"Chromium did not answer {method}")

    def evaluate(self, expression: str) -> Any:
        return self.command("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def text(self) -> str:
        return str(self.evaluate("document.body ? document.body.innerText : ''"))

    def await_text(self, *wanted: str) -> str:
        """The page's text once it holds every wanted piece."""
        deadline = time.monotonic() + APPEAR_SECONDS
        text = ""
        while time.monotonic() < deadline:
            text = self.text()
            if all(piece in text for piece in wanted):
                return text
            time.sleep(0.2)
        raise AssertionError(f"the page never showed all of {wanted}; it showed:\n{text}")

    def click(self, selector: str, text: str) -> None:
        """Click the first element of those the CSS selector finds that shows `text`."""
        clicked = self.evaluate(
            f"(() => {{ const found = [...document.querySelectorAll({json.dumps(selector)})]"
            f".find(element => element.innerText.includes({json.dumps(text)}));"
            " if (found) found.click(); return Boolean(found) })()"
        )
        assert clicked, f"no element {selector} shows {text!r}"

    def move_mouse(self, x: int, y: int) -> None:
        self.command("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"]))


@contextlib.contextmanager
def opened_page(program: str, profile: Path) -> Iterator[Page]:
    """A page of a Chromium that is started with an empty profile and ended with all its processes."""
    log = profile / "chromium.log"
    with log.open("wb") as output:
        browser = subprocess.Popen(
            [program, *FLAGS[:-1], f"--user-data-dir={profile}", FLAGS[-1]],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        with connect(page_socket(browser, profile), max_size=None) as connection:
            yield Page(connection)
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()


def page_socket(browser: subprocess.Popen[bytes], profile: Path) -> str:
    """Address of the first page's DevTools socket; Chromium writes its port into its profile."""
    written = profile / "DevToolsActivePort"
    deadline = time.monotonic() + APPEAR_SECONDS
    while time.monotonic() < deadline and browser.poll() is None:
        if written.exists() and (lines := written.read_text().splitlines()):
            address = f"http://127.0.0.1:{lines[0]}/json/list"
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with contextlib.suppress(OSError), opener.open(address, timeout=5) as answer:
                for target in json.load(answer):
                    if target["type"] == "page":
                        return str(target["webSocketDebuggerUrl"])
        time.sleep(0.1)
    raise AssertionError(f"Chromium did not start:\n{(profile / 'chromium.log').read_text()[-2000:]}")


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        reason = f"no Chromium found on PATH (looked for {', '.join(NAMES)})"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    profile = tmp_path / "profile"
    profile.mkdir()
    with opened_page(program, profile) as opened:
        yield opened


def test_the_ui_shows_the_dispatch_completed_and_its_executors_attributes(
    page: Page, run_workflows: Callable[[str], Mapping[str, Any]], covalent_server: PrivateCovalentServer
) -> None:
    dispatch = run_workflows(WORKFLOW)["iris_svm"]
    assert dispatch.status == "COMPLETED", dispatch
    page.command("Page.navigate", url=f"{covalent_server.address}/{dispatch.dispatch_id}")
    # Before a node is chosen the only status on the page is the dispatch's.
    page.await_text("Completed", "Load Data", "Train Svm", "Score Svm")
    page.click(".react-flow__node", "Train Svm")
    # The drawer cuts the attributes off after some 200 characters.
    page.await_text("Executor: gcpbatch", "time_limit: 300", "retries: 3", "bucket_name: covalent")
    if path := os.environ.get("SAVE_SCREENSHOT"):
        page.move_mouse(700, 450)
        time.sleep(1)  # until the drawer has slid in and the node's tooltip is gone
        page.screenshot(Path(path))
