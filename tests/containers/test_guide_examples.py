"""The guides' examples: their commands, run here and through the emulator's Batch, give the tables that they show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from guide_pages import PAGES, GuidePage, differences
from guide_shell import GuideShell

from covalent_parallel_plugin.emulator import Emulator

pytestmark = pytest.mark.containers

EVERY_PAGE = pytest.mark.parametrize("name", PAGES)


@pytest.fixture(scope="module")
def image_names(engine: str, image: str, names: Callable[[str], str]) -> Callable[[GuidePage], dict[str, str]]:
    """Give names of their own to a page's images, so that a user's of the same name stay as they are."""
    given: dict[str, str] = {}

    def name(page: GuidePage) -> dict[str, str]:
        for shown in page.images():
            given.setdefault(shown, names(shown.partition("/")[2].replace(":", "-")))
        return given

    return name


def as_typed(line: str, engine: str, is_local: bool) -> str:
    """A page's command with this machine's engine, and with its sweeps run here or on Batch."""
    if line.startswith("docker build "):
        return line.replace("docker build", f"{engine} build --network=host", 1)
    if line.startswith("covalent-parallel sweep run "):
        line = line.replace(" --local", "")
        return line.replace(" sweep run ", " sweep run --local ", 1) if is_local else line
    return line


@EVERY_PAGE
def test_the_commands_of_a_page_give_its_tables_on_this_machine(
    name: str, engine: str, image_names: Callable[[GuidePage], dict[str, str]], tmp_path: Path
) -> None:
    check_page(GuidePage.read(name), GuideShell(tmp_path), engine, image_names, is_local=True)


@EVERY_PAGE
def test_the_commands_of_a_page_give_its_tables_on_batch(
    name: str,
    engine: str,
    image_names: Callable[[GuidePage], dict[str, str]],
    services: Emulator,
    tmp_path: Path,
) -> None:
    check_page(GuidePage.read(name), GuideShell(tmp_path), engine, image_names, is_local=False)


def check_page(
    page: GuidePage,
    shell: GuideShell,
    engine: str,
    image_names: Callable[[GuidePage], dict[str, str]],
    is_local: bool,
) -> None:
    names = image_names(page)
    page.lay_out(shell.folder, names if is_local else {**names, "local=True": "local=False"})
    for command in page.commands():
        if command.is_run_here:
            typed = command.renamed(names)
            ended = shell.run(as_typed(typed.line, engine, is_local))
            assert ended.returncode == 0, f"{typed.line}\n{ended.stdout}"
            # A plan names other things on Batch
            is_compared = is_local or typed.line.startswith("python ")
            assert not is_compared or typed.fits(ended.stdout), f"{typed.line}\n{ended.stdout}"
    for out, shown in page.results().items():
        found = differences(shown, shell.table(out))
        assert not found, "\n".join(found)
