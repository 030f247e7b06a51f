"""The guides for users of other tools: what they show is read, planned and looked up, without containers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from commands_of_pages import command_lines, unknown_keys, unknown_words
from guide_pages import GUIDES, PAGES, Command, GuidePage, differences, table_rows
from guide_shell import GuideShell

STOCK_IMAGE = "mirror.gcr.io/library/python:"
EVERY_PAGE = pytest.mark.parametrize("name", PAGES)


@pytest.fixture
def guide_shell(tmp_path: Path) -> GuideShell:
    return GuideShell(tmp_path)


@EVERY_PAGE
def test_every_file_of_a_sweep_is_planned_with_no_mistake(name: str, guide_shell: GuideShell) -> None:
    page = GuidePage.read(name)
    page.lay_out(guide_shell.folder, {})
    assert page.sweep_files()
    for file in page.sweep_files():
        planned = guide_shell.run(f"covalent-parallel sweep plan {file} --local")
        assert (planned.returncode, "warning" in planned.stdout) == (0, False), planned.stdout


@EVERY_PAGE
def test_every_link_leads_somewhere(name: str) -> None:
    text = GuidePage.read(name).text
    assert [link for link in links(text) if not leads_somewhere(name, link)] == []


def test_the_overview_leads_to_every_page() -> None:
    named = links((GUIDES / "index.md").read_text(encoding="utf-8"))
    assert [name for name in PAGES if name not in named] == []
    assert [link for link in named if not leads_somewhere("index.md", link)] == []


@EVERY_PAGE
def test_every_command_option_and_key_that_a_page_names_is_there(name: str) -> None:
    text = GuidePage.read(name).text
    assert [unknown for line in command_lines(text) for unknown in unknown_words(line)] == []
    assert unknown_keys(text) == []


@EVERY_PAGE
def test_every_feature_of_the_other_tool_has_an_answer(name: str) -> None:
    """Its words, a line for each feature, are in the folder of this test, in a file with the page's name."""
    rows = GuidePage.read(name).features()
    features = (Path(__file__).parent / name).with_suffix(".txt").read_text().splitlines()
    named = [row["there"] for row in rows]
    assert [words for words in features if not any(words in cell for cell in named)] == []
    assert len(rows) >= len(features)
    assert [row for row in rows if not row["here"]] == []


@EVERY_PAGE
def test_a_page_has_a_table_for_each_sweep_that_it_runs(name: str) -> None:
    page = GuidePage.read(name)
    assert page.results()
    assert page.images() or STOCK_IMAGE in page.text, "a guide builds the image that it runs, or it is the stock one"


def links(text: str) -> list[str]:
    """The relative links of a page."""
    found = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    return [link for link in found if not re.match(r"[a-z]+://", link)]


def leads_somewhere(name: str, link: str) -> bool:
    path, _, anchor = link.partition("#")
    target = GUIDES / path if path else GUIDES / name
    return target.exists() and (not anchor or anchor in anchors(target.read_text(encoding="utf-8")))


def anchors(text: str) -> set[str]:
    """What a page's headings are called in links on GitHub."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


PAGE = """\
# From there

```yaml
# study.yaml
image: localhost/study:1
```

The rows are in `rows/all.jsonl`:

```json
{"x": 1}
```

```console
$ docker build -t localhost/study:1 study
$ covalent-parallel sweep plan study.yaml --local
study: 1 task
...
$ gcloud auth login
```

`study/results.csv` has

| task.name | x | y |
|---|---|---|
| x=1 | 1 | `a\\|b` |
| … | … | … |
| x=9 | 9 | c |

| there | here |
|---|---|
| a loop | `parameters` |
"""


def test_a_page_gives_its_files_commands_and_tables() -> None:
    page = GuidePage(PAGE)
    assert page.files() == {
        "study.yaml": "# study.yaml\nimage: localhost/study:1\n",
        "rows/all.jsonl": '{"x": 1}\n',
    }
    assert [(command.line, command.shown, command.is_run_here) for command in page.commands()] == [
        ("docker build -t localhost/study:1 study", "", True),
        ("covalent-parallel sweep plan study.yaml --local", "study: 1 task\n...\n", True),
        ("gcloud auth login", "", False),
    ]
    assert (page.images(), page.sweep_files()) == (["localhost/study:1"], ["study.yaml"])
    assert page.results() == {
        "study": [
            {"task.name": "x=1", "x": "1", "y": "a|b"},
            {"task.name": "…", "x": "…", "y": "…"},
            {"task.name": "x=9", "x": "9", "y": "c"},
        ]
    }
    assert page.features() == [{"there": "a loop", "here": "parameters"}]


@pytest.mark.parametrize(
    ("shown", "printed", "fits"),
    [
        ("", "anything\n", True),
        ("a\n...\nz\n", "a\nb\nz\n", True),
        ("a\n...\nz\n", "a\nz\n", True),
        ("a\n...\nz\n", "b\nz\n", False),
        ("a\n", "a\nb\n", False),
    ],
)
def test_what_a_command_prints_is_compared_with_what_is_shown(shown: str, printed: str, fits: bool) -> None:
    assert Command("true", shown).fits(printed) is fits


def test_a_table_that_is_not_as_shown_is_told() -> None:
    shown = list(table_rows("| task.name | x |\n|---|---|\n| a | 1 |\n| … | … |\n"))
    rows = [{"task.name": "a", "x": "1", "y": "2"}, {"task.name": "b", "x": "3", "y": "4"}]
    assert differences(shown, rows) == []
    assert differences(shown, [{**rows[0], "x": "7"}]) != []
    assert differences(shown[:1], rows) != []
    assert differences([{"task.name": "a", "z": "1"}], rows) == ["the table has no column z"]


def test_a_command_an_option_and_a_key_that_are_not_there_are_told() -> None:
    assert unknown_words("sweep plan|rum FILE --locl") == ["plan --locl", "sweep rum"]
    assert list(command_lines("`sweep run FILE --local` and `sweep.yaml`")) == ["sweep run FILE --local"]
    assert unknown_keys("`image: x`, `imag: x` and `file:`") == ["imag"]
