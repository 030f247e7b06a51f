"""Docstrings and messages keep to plain English: phrases that readers stumble over do not come back."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import covalent_parallel_plugin

HERE = Path(covalent_parallel_plugin.__file__).parent
# What a value fails to be; "there is no X" is English, as is "no longer"
_KINDS = (
    "key|image|number|parameter|option|file|name|path|machine|region|project|program|object|multiple|folder|column"
    "|absolute|whole|regular|lattice|entry|count|container|section|platform|minor|mapping|JSON|text|TOML|zone"
)
EVERYWHERE = {
    rf"(?<!here )(?<!which )\bis no ({_KINDS})\b(?!')": "is not a(n) ...",
    r"\b[Mm]end(s|ed)?\b": "fix, remedy",
    r"\bput right\b": "fix",
    r"\ba word of\b": "a message",
    r"\bdoes not tell\b": "does not report, does not say",
    r"\btells no\b": "reports no",
    r"\b(is|are|be) told\b": "is reported, is shown",
    r"\b[Ss]tands? in for\b": "emulates, replaces",
    r"\b[Tt]ells? (whether|what|how|why|which)\b": "returns, reports, says",
    r"\bnothing tells\b|\bas far as [^.:;]* tells?\b": "reports, says, shows",
    r"\bcomes? to its end\b": "ends",
}


def texts(path: Path) -> list[str]:
    """The text constants of a module: docstrings, messages and help, without what f-strings fill in."""
    return [
        node.value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


@pytest.mark.parametrize("room", sorted({path.relative_to(HERE).parts[0] for path in HERE.rglob("*.py")}))
def test_a_phrase_that_has_a_plain_one_does_not_come_back(room: str) -> None:
    here = HERE / room
    found = [
        f"{path.relative_to(HERE)}: {match[0]!r}: write {plain}"
        for path in ([here] if here.is_file() else sorted(here.rglob("*.py")))
        for text in texts(path)
        for pattern, plain in EVERYWHERE.items()
        for match in re.finditer(pattern, text)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("region = 'x' is no region", True),
        ("there is no region 'x'", False),
        ("where there is no file", False),
        ("amend", False),
        ("mend it", True),
        ("the server does not tell", True),
        ("Tell whether it runs", True),
        ("as far as the file tells", True),
        ("which tells them apart", False),
    ],
)
def test_the_patterns_find_the_phrases_and_nothing_else(text: str, is_found: bool) -> None:
    assert any(re.search(pattern, text) for pattern in EVERYWHERE) == is_found
