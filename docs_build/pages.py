"""The generated parts of pages: each stands between `<!-- generated: NAME -->` and `<!-- end of NAME -->`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from covalent_parallel_plugin.cli.doctor.checks import table as checks

from .commands import commands
from .tables import api, emulator_api, errors, exit_statuses, limits, options

PARTS: dict[str, Callable[[], str]] = {
    "options": options,
    "commands": commands,
    "checks": checks,
    "exit-statuses": exit_statuses,
    "limits": limits,
    "api": api,
    "errors": errors,
    "emulator-api": emulator_api,
}
_PART = re.compile(r"^<!-- generated: (\S+) -->$.*?^<!-- end of \1 -->$", re.MULTILINE | re.DOTALL)


def with_parts(text: str) -> str:
    """Return a page's text with its generated parts made anew. Raises KeyError for a part that nothing makes."""
    return _PART.sub(
        lambda part: f"<!-- generated: {part[1]} -->\n\n{PARTS[part[1]]()}\n\n<!-- end of {part[1]} -->", text
    )


def parts_in(docs: Path) -> list[str]:
    """Return the names of the generated parts that the pages of a folder have."""
    return sorted(part[1] for path in docs.rglob("*.md") for part in _PART.finditer(path.read_text(encoding="utf-8")))


def written_pages(docs: Path) -> dict[Path, str]:
    """Return what the pages of a folder that are behind the code should be."""
    made = {path: with_parts(path.read_text(encoding="utf-8")) for path in sorted(docs.rglob("*.md"))}
    return {path: text for path, text in made.items() if text != path.read_text(encoding="utf-8")}


def stale_pages(docs: Path) -> list[str]:
    """Return the pages that are behind the code, and the parts that no page has."""
    missing = sorted(set(PARTS) - set(parts_in(docs)))
    return [*map(str, written_pages(docs)), *(f"a page with the part {name!r}" for name in missing)]
