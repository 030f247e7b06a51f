"""The code blocks of a page: which are run, which are files that others read, and which are marked as not run.

- `python`: run, all of a page's in one namespace, one after the other.
- `sh`: commands to paste; run by a shell, which has to end with 0.
- `console`: commands behind `$ `, with what they print: `...` stands for any lines.
- With a title (```python title="first.py"): a file, which the page's commands find in their folder.
- A line `<!-- not run: REASON -->` before a block says that it is not run, and why not.
- A line `<!-- run by tests/... -->` anywhere says that this test runs the page's blocks.

In commands and in Python, DISPATCH_ID is a dispatch that has ended.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sybil import Document, Region
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

RUN = {"python", "sh", "console"}
SHOWN = {"text", "toml", "yaml", "json", "dockerfile", "ini", "markdown"}
_LEXER = RawFencedCodeBlockLexer(re.compile(r'(?P<language>[\w-]*)(?:[ ]+title="(?P<title>[^"\n]+)")?[^\n]*\n?'))
_MARK = re.compile(r"<!-- not run: ([^\n]*) -->\s*\Z")
_RUN_BY = re.compile(r"^<!-- run by (tests/\S+) -->$", re.MULTILINE)
_INDENTED = re.compile(r"(?:\A|\n)(?![ \t]*(?:[-*]|\d+\.) )(?! )[^\n]*\n\n(?P<code> {4}[^ \n][^\n]*)")


@dataclass(frozen=True)
class Block:
    """A block of code.

    Attributes:
        title: the name of the file that it is, else "".
        reason: why it is not run, else "".
        line: where it begins in the page.
    """

    language: str
    title: str
    source: str
    reason: str
    line: int

    @property
    def is_run(self) -> bool:
        """Whether it is run."""
        return self.language in RUN and not self.title and not self.reason


def blocks_of(text: str) -> list[Block]:
    """Return the code blocks of a page."""
    document = Document(text, "page")
    return [_block(document, region) for region in _LEXER(document)]


def _block(document: Document, region: Region) -> Block:
    before = document.text[: region.start]
    mark = _MARK.search(before)
    lexemes = region.lexemes
    source = str(lexemes["source"])
    return Block(lexemes["language"], lexemes["title"] or "", source, mark[1] if mark else "", before.count("\n") + 1)


def run_elsewhere(text: str) -> str:
    """Return the test that says to run a page's blocks, or ""."""
    found = _RUN_BY.search(text)
    return found[1] if found else ""


def mistakes(text: str) -> list[str]:
    """Say which blocks of a page are neither run nor shown nor marked as they should be."""
    found = [f"indented, without a language: {code.strip()}" for code in _INDENTED.findall(without_blocks(text))]
    for block in blocks_of(text):
        if block.language not in RUN | SHOWN:
            found.append(f"line {block.line}: {block.language!r} is none of {', '.join(sorted(RUN | SHOWN))}")
        if block.language == "text" and block.source.startswith("$ "):
            found.append(f"line {block.line}: commands are `console` or `sh`")
    return found


def without_blocks(text: str) -> str:
    """Return a page's text without its blocks of code."""
    return re.sub(r"^( *)```.*?^\1```$", "", text, flags=re.MULTILINE | re.DOTALL)


def all_pages(root: Path) -> list[Path]:
    """Return README and the pages of the documentation."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]
