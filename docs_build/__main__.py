"""Write the generated parts of the pages: `python -m docs_build`. With --check, or --site, look and change nothing."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .commands import undescribed_options
from .pages import stale_pages, written_pages
from .site import problems

DOCS = Path(__file__).parents[1] / "docs"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what is asked; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m docs_build", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="fail if a page is behind the code, or an option has no help"
    )
    parser.add_argument("--site", type=Path, help="fail if this built site fetches anything")
    parser.add_argument("--docs", type=Path, default=DOCS, help="the folder of the pages")
    given = parser.parse_args(arguments)
    found = []
    if given.site is not None:
        found += problems(given.site)
    if given.check:
        found += [f"no help text: {name}" for name in undescribed_options()]
        found += [f"{page} is behind the code: python -m docs_build" for page in stale_pages(given.docs)]
    if given.site is None and not given.check:
        for path, text in written_pages(given.docs).items():
            path.write_text(text, encoding="utf-8")
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
