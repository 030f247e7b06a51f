"""`make docs`: what makes it fail, each on a copy of the pages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from docs_build.__main__ import main
from docs_build.commands import undescribed_options
from docs_build.pages import PARTS, parts_in, stale_pages
from docs_build.site import problems

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "docs", tmp_path / "docs"))


def built(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a copy, without the page that takes most of the time."""
    (folder / "docs" / "reference" / "api.md").write_text("# Python\n\n### Sweep\n")
    shutil.copy(ROOT / "mkdocs.yml", folder)
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(folder / "mkdocs.yml")],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_site_is_built_without_a_warning_and_fetches_nothing(pages: Path, tmp_path: Path) -> None:
    ended = built(tmp_path)
    assert (ended.returncode, "WARNING" in ended.stderr) == (0, False), ended.stderr
    assert problems(tmp_path / "site") == []


def test_a_broken_link_a_broken_anchor_and_a_page_without_a_place_fail_the_build(pages: Path, tmp_path: Path) -> None:
    with (pages / "reference" / "plan.md").open("a") as page:
        page.write("\n[one](nowhere.md), [two](watch.md#nothing), [three](/reference/watch.md), [four](#missing)\n")
    (pages / "lost.md").write_text("# Lost\n")
    ended = built(tmp_path)
    assert ended.returncode == 1
    for named in ("nowhere.md", "watch.md#nothing", "/reference/watch.md", "#missing", "lost.md"):
        assert named in ended.stderr


def test_every_generated_part_has_a_page_which_is_as_the_code_says() -> None:
    assert parts_in(ROOT / "docs") == sorted(PARTS)
    assert stale_pages(ROOT / "docs") == []


@pytest.mark.parametrize(
    ("page", "named"),
    [
        ("options.md", "`retries`"),
        ("commands.md", "`--older-than AGE`"),
        ("commands.md", "## watch"),
        ("checks.md", "`bucket.exists`"),
        ("endings.md", "| 65 |"),
        ("api.md", "::: covalent_parallel_plugin.sweep.python_sweep.Sweep"),
    ],
)
def test_a_page_without_an_option_a_command_or_a_name_fails_the_check(
    pages: Path, page: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = pages / "reference" / page
    text = path.read_text()
    assert named in text
    path.write_text("".join(line for line in text.splitlines(keepends=True) if named not in line))
    assert main(["--check", "--docs", str(pages)]) == 1
    assert capsys.readouterr().err == f"{path} is behind the code: python -m docs_build\n"


def test_a_part_that_no_page_has_fails_the_check(pages: Path) -> None:
    (pages / "reference" / "options.md").write_text("# Options\n")
    assert stale_pages(pages) == ["a page with the part 'options'"]


def test_an_option_and_a_command_without_a_help_text_are_named() -> None:
    assert undescribed_options() == []
    bare = click.Command("bare", params=[click.Option(["--fast"])])
    group = click.Group("tool", help="A tool.", commands=[bare])
    assert undescribed_options("tool", group) == ["tool bare", "tool bare --fast"]


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://example.com/x.js"></script>',
        '<link rel="stylesheet" href="//example.com/x.css">',
        '<img src="http://example.com/x.png">',
        "<style>@import 'https://example.com/x.css'</style>",
        '<a data-md-component="source" href="https://example.com/owner/name">x</a>',
        '<pre class="mermaid">graph</pre>',
    ],
)
def test_a_page_that_fetches_something_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(text)
    assert [line.split(" fetches ")[0] for line in problems(tmp_path)] == ["index.html"]


def test_a_style_that_fetches_something_and_a_site_without_pages_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.css").write_text("a { background: url(https://example.com/x.png) }")
    assert problems(tmp_path) == [f"{tmp_path} has no page"]
    (tmp_path / "index.html").write_text(
        '<a href="https://example.com">x</a> <link rel="canonical" href="https://x.org">'
    )
    assert problems(tmp_path) == ["x.css fetches https://example.com/x.png"]


def test_the_settings_are_those_that_the_theme_s_successor_reads() -> None:
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    assert [plugin if isinstance(plugin, str) else next(iter(plugin)) for plugin in settings["plugins"]] == [
        "search",
        "mkdocstrings",
    ]
    assert (settings["theme"]["name"], settings["theme"]["font"]) == ("material", False)
    assert not {"hooks", "extra_css", "extra_javascript", "repo_url"} & set(settings)
