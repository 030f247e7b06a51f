"""The table of a run in a notebook: what is shown, how often, and that nobody is taken for a notebook who is none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from reported_tasks import DONE, FAILED, Clock, task

from covalent_parallel_plugin.sweep.display.interruption import Interruption
from covalent_parallel_plugin.sweep.display.notebook_table import Bundle, NotebookTable, in_notebook
from covalent_parallel_plugin.sweep.display.run_progress import RunProgress


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shown() -> list[Bundle]:
    return []


@pytest.fixture
def table(clock: Clock, shown: list[Bundle], tmp_path: Path) -> NotebookTable:
    progress = RunProgress("art", 2, 0, tmp_path.joinpath, clock)
    return NotebookTable(progress, Interruption(can_ask=False), shown.append, clock)


def test_it_is_shown_at_the_start_on_change_and_at_the_end(
    table: NotebookTable, clock: Clock, shown: list[Bundle]
) -> None:
    with table:
        assert "0 of 2" in shown[-1]["text/plain"] and "2 waiting" in shown[-1]["text/plain"]
        table.started(task("a"))
        table.printed(task("a"), "stdout", b"x")
        clock.seconds += 0.2
        table.tick()
        # Not that often
        assert len(shown) == 1
        clock.seconds += 0.1
        table.tick()
        assert len(shown) == 2 and "running: a 0s" in shown[-1]["text/plain"]
        clock.seconds += 0.3
        table.tick()
        # Nothing has changed that would be seen
        assert len(shown) == 2
        table.ended(task("a"), DONE)
        table.started(task("b"))
        table.ended(task("b"), DONE)
    assert len(shown) == 3
    for text in shown[-1].values():
        assert "2 of 2" in text and "running:" not in text


def test_what_programs_print_is_no_html(table: NotebookTable, shown: list[Bundle], tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "stderr.txt").write_text("<script>alert('[red]1')</script> & \x1b[31mred")
    with table:
        table.ended(task("a"), FAILED)
    html = shown[-1]["text/html"]
    assert html.startswith("<pre ") and html.endswith("</pre>")
    assert "<script" not in html and "&lt;script&gt;" in html and "[red]" in html and "\x1b" not in html
    assert "failed, exit 2" in html and 'style="color' in html


def test_what_an_interruption_says_is_shown(clock: Clock, shown: list[Bundle], tmp_path: Path) -> None:
    interruption = Interruption(can_ask=False)
    with NotebookTable(RunProgress("art", 2, 0, tmp_path.joinpath, clock), interruption, shown.append, clock) as table:
        interruption.note = "Cancelling"
        clock.seconds += 1
        table.tick()
        assert "Cancelling" in shown[-1]["text/plain"]


TERMINAL = """
import sys
from IPython.core.interactiveshell import InteractiveShell
from covalent_parallel_plugin.sweep.display.notebook_table import in_notebook
before = in_notebook()
InteractiveShell.instance()
print(before, in_notebook())
"""


def test_neither_python_nor_a_terminals_ipython_is_a_notebook(tmp_path: Path) -> None:
    assert not in_notebook()
    ended = subprocess.run(
        [sys.executable, "-c", TERMINAL], capture_output=True, text=True, timeout=60, env={"HOME": str(tmp_path)}
    )
    assert ended.stdout.split() == ["False", "False"], ended.stderr
