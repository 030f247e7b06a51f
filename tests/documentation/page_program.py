"""Run the blocks of a page: `python page_program.py PAGE DISPATCH_ID`, in the folder that is to be theirs.

A program of its own, since Covalent keeps the configuration with which it was imported. `__main__` is the page's.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from guide_pages import Command
from page_blocks import Block, blocks_of

SECONDS = 300


class PageError(AssertionError):
    """A block did not do what the page says."""


class PageRunner:
    """Runs blocks in this folder, the Python ones in one namespace."""

    def __init__(self, dispatch_id: str) -> None:
        self._dispatch_id = dispatch_id
        # A block of Python may set variables of its own process
        self._environment = dict(os.environ)
        self._names: dict[str, Any] = {"__name__": "__main__"}

    def run(self, block: Block) -> None:
        """Run a block, or write the file that it is. Raises PageError."""
        source = block.source.replace("DISPATCH_ID", self._dispatch_id)
        if block.title:
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(source, encoding="utf-8")
        elif block.is_run and block.language == "python":
            self._python(source, f"line-{block.line}.py")
        elif block.is_run and block.language == "sh":
            self._shell(f"set -e\n{source}")
        elif block.is_run:
            for part in re.split(r"^\$ ", source, flags=re.MULTILINE)[1:]:
                command = Command(*part.split("\n", 1))
                printed = self._shell(command.line)
                if not command.fits(printed):
                    raise PageError(f"{command.line} printed\n{printed}\nand not\n{command.shown}")

    def _python(self, source: str, name: str) -> None:
        path = Path(name).absolute()
        path.write_text(source, encoding="utf-8")
        self._names["__file__"] = str(path)
        try:
            exec(compile(source, str(path), "exec"), self._names)  # noqa: S102  # the page's own
        except BaseException as error:
            raise PageError(traceback.format_exc()) from error

    def _shell(self, source: str) -> str:
        ended = subprocess.run(
            ["sh", "-c", source],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if ended.returncode:
            raise PageError(f"{source}\nended with {ended.returncode}:\n{ended.stdout}")
        return ended.stdout


def main() -> int:
    """Run the page; return how many blocks failed."""
    page, dispatch_id = Path(sys.argv[1]), sys.argv[2]
    # What pages say is in `__main__` as it is in a script
    sys.argv[1:] = []
    sys.path.insert(0, str(Path.cwd()))
    runner, failed = PageRunner(dispatch_id), 0
    for block in blocks_of(page.read_text(encoding="utf-8")):
        try:
            runner.run(block)
        except PageError as error:
            failed += 1
            print(f"{page}:{block.line}: {error}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
