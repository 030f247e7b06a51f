"""The built site: it is read without the internet, so no page may fetch a script, a style, a font or a picture."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

# Elements of a page that a browser fetches for, and the attribute that says from where
FETCHING = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "link": "href",
}
# Links that are only for others to read
NOT_FETCHED = {"canonical", "prev", "next"}
_STYLE_ADDRESS = re.compile(r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"')]+)")


class _Fetches(HTMLParser):
    """Collects what a page fetches from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element with an address of another machine."""
        values = dict(attrs)
        address = values.get(FETCHING.get(tag, "")) or ""
        if re.match(r"(https?:)?//", address) and values.get("rel") not in NOT_FETCHED:
            self.found.append(f"<{tag}> {address}")
        # The theme's script asks these addresses: a repository's stars, and the program that draws diagrams
        if values.get("data-md-component") == "source":
            self.found.append(f"<{tag}> the repository's figures: leave repo_url out of mkdocs.yml")
        if "mermaid" in (values.get("class") or "").split():
            self.found.append(f"<{tag}> a diagram that is drawn by a script from elsewhere")


def problems(site: Path) -> list[str]:
    """Return what the pages and styles of a built site fetch from elsewhere; a site without pages is a problem too."""
    pages = sorted(site.rglob("*.html"))
    found = [f"{path.relative_to(site)} fetches {what}" for path in pages for what in _of_page(path)]
    for path in sorted(site.rglob("*.css")):
        addresses = _STYLE_ADDRESS.findall(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(site)} fetches {address}" for address in addresses]
    return found if pages else [f"{site} has no page"]


def _of_page(path: Path) -> Iterator[str]:
    parser = _Fetches()
    text = path.read_text(encoding="utf-8")
    parser.feed(text)
    yield from parser.found
    yield from _STYLE_ADDRESS.findall(" ".join(re.findall(r"<style[^>]*>(.*?)</style>", text, re.DOTALL)))
