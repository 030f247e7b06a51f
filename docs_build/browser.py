"""A page of the Chromium that is installed, driven over DevTools: no driver of a matching version is needed.

The protocol: https://chromedevtools.github.io/devtools-protocol/
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    # A page that asks the internet for something waits for an answer where there is no network
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
    "--window-size=1600,1000",
)
APPEAR_SECONDS = 180.0


def find_chromium() -> str | None:
    """Return the program, None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One page of a Chromium, seen and used as a user would: by its text.

    Attributes:
        events: what it reported of those that `command("Network.enable")` and the like ask for: method, parameters.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        self.events: list[tuple[str, dict[str, Any]]] = []

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Have the browser do something; return what it answers."""
        number = next(self._ids)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        deadline = time.monotonic() + APPEAR_SECONDS
        while time.monotonic() < deadline:
            if (answer := self._receive()).get("id") == number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
        raise TimeoutError(f"Chromium did not answer {method}")

    def await_event(self, method: str) -> dict[str, Any]:
        """Wait for an event that was not reported yet; return its parameters."""
        deadline = time.monotonic() + APPEAR_SECONDS
        while time.monotonic() < deadline:
            if (answer := self._receive()).get("method") == method:
                result: dict[str, Any] = answer["params"]
                return result
        raise TimeoutError(f"Chromium never reported {method}")

    def _receive(self) -> dict[str, Any]:
        """The next answer, or the next event, which is noted."""
        answer: dict[str, Any] = json.loads(self._connection.recv(timeout=APPEAR_SECONDS))
        if "method" in answer:
            self.events.append((answer["method"], answer["params"]))
        return answer

    def open(self, address: str) -> float:
        """Open a page, and wait until all of it is there; return the seconds that this took."""
        self.command("Page.enable")
        began = time.perf_counter()
        seen = len(self.events)
        answer = self.command("Page.navigate", url=address)
        assert "errorText" not in answer, answer
        if not any(method == "Page.loadEventFired" for method, _ in self.events[seen:]):
            self.await_event("Page.loadEventFired")
        return time.perf_counter() - began

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript; a promise is awaited."""
        answer = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self) -> str:
        """The text that is seen."""
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
        """Move the mouse there."""
        self.command("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, key: str) -> None:
        """Press a key, such as Tab."""
        codes = {"Tab": 9, "Enter": 13}
        for kind in ("keyDown", "keyUp"):
            self.command("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key])

    def size(self, width: int, height: int = 900, scale: float = 1) -> None:
        """Give the window so many pixels of CSS, each `scale` of a picture's."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )

    def prefer(self, scheme: str) -> None:
        """Let the user prefer a scheme, light or dark, and nothing that moves."""
        preferred = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in preferred.items()]
        self.command("Emulation.setEmulatedMedia", features=features)

    def screenshot(self, path: Path, is_whole: bool = False, **options: Any) -> None:
        """Write a picture of what is seen, or of the whole page."""
        options = {"format": "png", "captureBeyondViewport": is_whole, **options}
        if is_whole and "clip" not in options:
            size = self.command("Page.getLayoutMetrics")["cssContentSize"]
            options["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        path.write_bytes(base64.b64decode(self.command("Page.captureScreenshot", **options)["data"]))


@contextlib.contextmanager
def opened_page(program: str, profile: Path) -> Iterator[Page]:
    """A page of a Chromium that is started with an empty profile and ended with all its processes."""
    log = profile / "chromium.log"
    with log.open("wb") as output:
        browser = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
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
