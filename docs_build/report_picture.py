"""Write the picture of a report that README shows: `python -m docs_build.report_picture`.

Runs the demonstration, and has the installed Chromium draw the upper part of its report.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .browser import find_chromium, opened_page

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "report.png"
DEMO = (sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main()", "demo", "--report")
WIDTH = 1000
# Up to the end of this section
LAST_SECTION = "timeline"


def draw(page: Path, picture: Path, profile: Path) -> None:
    """Write the picture of a report's upper part."""
    program = find_chromium()
    if program is None:
        sys.exit("no Chromium found on PATH; on Debian: apt-get install chromium")
    with opened_page(program, profile) as seen:
        seen.size(WIDTH, scale=1.5)
        seen.prefer("light")
        seen.open(page.as_uri())
        bottom = seen.evaluate(f"document.getElementById('{LAST_SECTION}').getBoundingClientRect().bottom + scrollY")
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": bottom + 16, "scale": 1}
        picture.parent.mkdir(parents=True, exist_ok=True)
        seen.screenshot(picture, is_whole=True, clip=clip)


def main(words: Sequence[str] | None = None) -> None:
    """Run the demonstration, and write the picture."""
    parser = argparse.ArgumentParser("python -m docs_build.report_picture", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--page", type=Path, help="a report that is there, instead of the demonstration's")
    parser.add_argument("-o", "--output", type=Path, default=PICTURE, help=f"where to write it [{PICTURE.name}]")
    arguments = parser.parse_args(words)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        page = arguments.page
        if page is None:
            page = Path(folder) / "report.html"
            subprocess.run([*DEMO, str(page)], check=True, stdin=subprocess.DEVNULL)
        draw(page.resolve(), arguments.output, Path(folder))
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
