"""A report's page in a real browser: offline, in both themes, narrow, printed, by keyboard, and read aloud."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pypdf
import pytest
from sample_reports import grid_sweep, screen_compounds, still_running

from covalent_parallel_plugin.results.report.html import page as page_text
from covalent_parallel_plugin.results.report.model import SERVICE, ElectronFailure, Report
from docs_build.browser import Page

pytestmark = pytest.mark.browser

HOSTILE = "</script><b id=planted>no torsions</b>"
WIDE, NARROW = 1300, 400
A4_POINTS = (595, 842)
MOST_TABS = 400


def hostile(report: Report) -> Report:
    """Return a report of the same shape whose texts are HTML."""
    electrons = [
        replace(
            electron,
            name=electron.name + HOSTILE,
            failure=electron.failure and ElectronFailure(HOSTILE, HOSTILE, HOSTILE),
        )
        for electron in report.electrons
    ]
    return replace(report, name=HOSTILE, electrons=tuple(electrons), missing=(HOSTILE,))


REPORTS = {
    "dispatch": screen_compounds(),
    "running": still_running(),
    "sweep": grid_sweep(),
    "hostile": hostile(screen_compounds()),
    "empty": Report("dispatch", "an-id", "", "", made=1.79e9, missing=("There is no trace of it here.",)),
}


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pages")
    for name, report in REPORTS.items():
        (folder / f"{name}.html").write_text(page_text(report), encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in REPORTS}


@pytest.fixture
def page(browser_page: Page) -> Iterator[Page]:
    """The page, as wide as a desk's and light."""
    browser_page.size(WIDE)
    browser_page.prefer("light")
    yield browser_page
    browser_page.command("Emulation.setScriptExecutionDisabled", value=False)


def headings(page: Page) -> list[str]:
    return list(page.evaluate("[...document.querySelectorAll('h2')].map(element => element.textContent.trim())"))


@pytest.mark.parametrize("name", REPORTS)
def test_a_page_asks_for_nothing_and_has_no_error(page: Page, addresses: dict[str, str], name: str) -> None:
    for domain in ("Network", "Runtime", "Log"):
        page.command(f"{domain}.enable")
    page.events.clear()
    page.open(addresses[name])
    page.evaluate("new Promise(idle => requestIdleCallback(idle))")
    asked = [values["request"]["url"] for method, values in page.events if method == "Network.requestWillBeSent"]
    assert [address for address in asked if not address.startswith("data:")] == [addresses[name]]
    wrong = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"}
    assert [event for event in page.events if event[0] in wrong] == []


@pytest.mark.parametrize("name", REPORTS)
def test_a_page_fits_its_window_and_is_drawn_in_both_themes(
    page: Page, addresses: dict[str, str], name: str, tmp_path: Path
) -> None:
    """The pictures stay in SAVE_REPORT_SCREENSHOTS, if that is set, to be looked at."""
    folder = Path(os.environ.get("SAVE_REPORT_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    grounds, pictures = {}, []
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        for width in (WIDE, NARROW):
            page.size(width)
            page.open(addresses[name])
            assert page.evaluate("document.scrollingElement.scrollWidth") <= width, scheme
            grounds[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
            pictures.append(folder / f"{name}-{scheme}-{width}.png")
            page.screenshot(pictures[-1], is_whole=True)
    assert grounds["light"] != grounds["dark"]
    page.open("about:blank")
    colours = {picture.stem: colours_of(page, picture) for picture in pictures}
    assert min(colours.values()) > (20 if name == "empty" else 60), colours


def colours_of(page: Page, picture: Path) -> int:
    """How many colours a picture has: the browser knows how to read it."""
    address = "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()
    return int(
        page.evaluate(
            f"""(async () => {{
                const image = new Image(); image.src = {json.dumps(address)}; await image.decode();
                const canvas = new OffscreenCanvas(image.width, Math.min(image.height, 4000));
                const drawn = canvas.getContext('2d'); drawn.drawImage(image, 0, 0);
                return new Set(new Uint32Array(drawn.getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size
            }})()"""
        )
    )


def test_without_script_all_of_it_can_be_read(page: Page, addresses: dict[str, str]) -> None:
    page.open(addresses["dispatch"])
    shown = headings(page)
    page.command("Emulation.setScriptExecutionDisabled", value=True)
    page.open(addresses["dispatch"])
    assert headings(page) == shown and len(shown) >= 8
    text = page.text()
    report = REPORTS["dispatch"]
    electrons = [electron for electron in report.electrons if electron.kind != SERVICE]
    assert [electron.title for electron in electrons if electron.name not in text] == []
    assert [each.title for each in report.suggestions if each.title not in text] == []
    for electron in report.electrons:
        if electron.failure is not None:
            assert electron.failure.message.splitlines()[0] in text


def test_it_prints_on_a4_with_every_section(page: Page, addresses: dict[str, str]) -> None:
    page.open(addresses["dispatch"])
    options = {"preferCSSPageSize": True, "paperWidth": 8.5, "paperHeight": 11}
    printed = base64.b64decode(page.command("Page.printToPDF", **options)["data"])
    document = pypdf.PdfReader(io.BytesIO(printed))
    sizes = {(round(float(sheet.mediabox.width)), round(float(sheet.mediabox.height))) for sheet in document.pages}
    (size,) = sizes
    assert all(abs(side - a4) <= 1 for side, a4 in zip(sorted(size), A4_POINTS, strict=True))
    text = " ".join(" ".join(sheet.extract_text().split()) for sheet in document.pages)
    assert [heading for heading in headings(page) if heading not in text] == []
    assert len(document.pages) < 15


def test_the_keyboard_reaches_everything_and_shows_where_it_is(page: Page, addresses: dict[str, str]) -> None:
    page.open(addresses["dispatch"])
    seen = []
    for _ in range(MOST_TABS):
        page.press("Tab")
        focused = page.evaluate(
            """(() => { const element = document.activeElement;
                if (!element || element === document.body) return null;
                const style = getComputedStyle(element), box = element.getBoundingClientRect();
                return {what: element.outerHTML.slice(0, 120), href: element.getAttribute('href') || '',
                        outline: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0,
                        seen: box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.left >= 0} })()"""
        )
        if focused is None or (seen and focused == seen[0]):
            break
        seen.append(focused)
    else:
        pytest.fail(f"after {MOST_TABS} presses of Tab the page has not ended")
    assert seen[0]["href"].startswith("#") and "skip" in seen[0]["what"].lower(), seen[0]
    assert [each for each in seen if not (each["outline"] and each["seen"])] == []
    focusable = page.evaluate(
        "[...document.querySelectorAll('a[href], button, summary, input, select, [tabindex=\"0\"]')]"
        ".filter(element => element.checkVisibility()).length"
    )
    assert len(seen) >= focusable > 5


def test_html_in_a_message_stays_text(page: Page, addresses: dict[str, str]) -> None:
    page.open(addresses["hostile"])
    assert page.evaluate("document.querySelectorAll('#planted').length") == 0
    assert HOSTILE in page.text()
    data = page.evaluate("JSON.stringify(JSON.parse(document.getElementById('data').textContent))")
    assert HOSTILE in json.dumps(json.loads(data))


@pytest.mark.parametrize(("scheme", "width"), [("light", WIDE), ("dark", NARROW)])
@pytest.mark.parametrize("name", REPORTS)
def test_axe_finds_nothing(page: Page, addresses: dict[str, str], name: str, scheme: str, width: int) -> None:
    """Contrast, names, landmarks and the like: https://github.com/dequelabs/axe-core."""
    page.prefer(scheme)
    page.size(width)
    page.open(addresses[name])
    assert axe_violations(page) == []


def axe_violations(page: Page) -> list[str]:
    found = find_spec("axe_core_python")
    assert found is not None and found.origin is not None
    page.evaluate(Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8") + "; undefined")
    violations = page.evaluate(
        "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map(each =>"
        " ({id: each.id, help: each.help, nodes: each.nodes.slice(0, 3).map(node => node.html.slice(0, 200))})))"
    )
    return [f"{each['id']}: {each['help']}: {each['nodes']}" for each in violations]
