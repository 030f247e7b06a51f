"""A newcomer's questions, each answered on a page that is two clicks from the front page at most."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from page_blocks import blocks_of, without_blocks

DOCS = Path(__file__).parents[2] / "docs"
# One a line: question | page#anchor | a word that has to be there
QUESTIONS = [
    tuple(part.strip() for part in line.split("|"))
    for line in Path(__file__).with_name("questions.txt").read_text(encoding="utf-8").splitlines()
]


def page_text(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def pages_linked_from(name: str) -> set[str]:
    links = re.findall(r"\]\(([^)\s#]+)(?:#[^)\s]*)?\)", without_blocks(page_text(name)))
    below = Path(name).parent
    return {os.path.normpath(below / link) for link in links if link.endswith(".md") and "://" not in link}


def section(name: str, anchor: str) -> str:
    """The text below a page's heading, up to the next of its level; all of the page without an anchor."""
    if not anchor:
        return page_text(name)
    text, headings = page_text(name), []
    for found in re.finditer(r"^(#+) (.*)$", text, re.MULTILINE):
        headings.append((found.start(), len(found[1]), re.sub(r"[^\w -]", "", found[2].lower()).replace(" ", "-")))
    (start, level), *_ = [(start, level) for start, level, slug in headings if slug == anchor]
    end = next((begin for begin, above, _ in headings if begin > start and above <= level), len(text))
    return text[start:end]


def test_the_program_and_the_commands_of_the_front_page_are_readme_s() -> None:
    """There they are run."""
    readme = blocks_of((DOCS.parent / "README.md").read_text(encoding="utf-8"))
    is_run = {block.source for block in readme if block.is_run}
    program, command = [block for block in blocks_of(page_text("index.md")) if "first.py" in block.title + block.source]
    assert program.source in {block.source for block in readme if block.title == program.title}
    assert command.source in is_run


def test_there_are_twenty_questions_at_least() -> None:
    assert len(QUESTIONS) >= 20
    assert [question for question, *_ in QUESTIONS if not question.endswith("?")] == []


@pytest.mark.parametrize(("question", "target", "word"), QUESTIONS, ids=[question for question, *_ in QUESTIONS])
def test_a_question_is_answered_two_clicks_from_the_front_page(question: str, target: str, word: str) -> None:
    name, _, anchor = target.partition("#")
    assert word in section(name, anchor)
    near = pages_linked_from("index.md") | {"index.md"}
    assert name in near or any(name in pages_linked_from(page) for page in near)


def test_every_page_is_two_clicks_from_the_front_page() -> None:
    near = pages_linked_from("index.md") | {"index.md"}
    reached = near.union(*(pages_linked_from(page) for page in near))
    assert sorted({str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} - reached) == []
