"""A sweep in a notebook, executed in a kernel: the example, and what an interrupt leaves."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from executed_notebook import displays, executed, write_notebook

EXAMPLE = Path(__file__).parents[2] / "examples" / "notebook"

TABLE = """
from pathlib import Path
from covalent_parallel_plugin.programs.verdict import TaskEnd
from covalent_parallel_plugin.sweep.combinations import Combination
from covalent_parallel_plugin.sweep.display.interruption import Interruption
from covalent_parallel_plugin.sweep.display.notebook_table import NotebookTable, in_notebook
from covalent_parallel_plugin.sweep.display.run_progress import RunProgress
from covalent_parallel_plugin.sweep.tasks import SweepTask

end = TaskEnd("done", 0, None, 1, 1, None, "here", 1, 2)
tasks = [SweepTask(Combination(index, 0, {}, None), f"i={index}", "k") for index in range(3)]
"""
RUN = """
print(in_notebook())
with NotebookTable(RunProgress("art", 3, 0, Path), Interruption(can_ask=False)) as table:
    for task in tasks:
        table.started(task)
        table.ended(task, end)
        table.tick()
"""
SWEEP = """
from covalent_parallel_plugin import Sweep
sweep = Sweep(
    name="art", command=["sh", "-c", "test $0 = 0 || sleep 300", "{i}"],
    parameters={"i": [0, 1, 2, 3, 4, 5]}, max_parallel=3,
)
"""


def texts(cell: Any) -> str:
    """What a cell has printed, and the values that it shows."""
    return "".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in cell.outputs)


def errors(notebook: Any) -> list[str]:
    found = [output for cell in notebook.cells for output in cell.get("outputs", ()) if output.output_type == "error"]
    return [error.ename for error in found]


def test_a_table_is_updated_in_place_also_from_another_thread(tmp_path: Path) -> None:
    threaded = "import threading\nthread = threading.Thread(target=lambda: exec(run))\nthread.start()\nthread.join()\n"
    path = write_notebook(tmp_path / "x.ipynb", TABLE, RUN, f"run = {RUN!r}\n{threaded}")
    notebook = executed(path)
    assert errors(notebook) == []
    for cell in notebook.cells[1:]:
        (shown,) = displays(cell)
        assert texts(cell).startswith("True\n")
        for kind in ("text/html", "text/plain"):
            assert "3 of 3" in shown.data[kind]


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The example, executed in a copy of its folder."""
    folder = tmp_path_factory.mktemp("example") / "notebook"
    shutil.copytree(EXAMPLE, folder, ignore=lambda _, names: [n for n in names if n in ("pi", "closer")])
    return executed(folder / "sweep.ipynb")


def test_the_example_keeps_the_last_state_of_its_table(example: Any) -> None:
    assert errors(example) == []
    shown = [display for cell in example.cells if cell.cell_type == "code" for display in displays(cell)]
    (table,) = [display for display in shown if " of 12" in display.data.get("text/plain", "")]
    assert "12 of 12" in table.data["text/plain"] and "12 of 12" in table.data["text/html"]
    assert "12 done" in table.data["text/plain"]


def test_the_example_is_committed_as_it_ends(example: Any) -> None:
    committed = nbformat.read(EXAMPLE / "sweep.ipynb", nbformat.NO_CONVERT)  # type: ignore[no-untyped-call]
    assert [cell.source for cell in committed.cells] == [cell.source for cell in example.cells]
    assert errors(committed) == []
    for before, after in zip(committed.cells, example.cells, strict=True):
        if before.cell_type == "code":
            assert before.execution_count and len(before.outputs) == len(after.outputs)
            # The estimates are those of the seeds, wherever it runs, in whatever order tasks end
            estimates = [sorted(re.findall(r"3\.1\d{3,}", texts(cell))) for cell in (before, after)]
            assert estimates[0] == estimates[1]


def test_an_interrupt_leaves_nothing_running(tmp_path: Path) -> None:
    path = write_notebook(
        tmp_path / "x.ipynb",
        SWEEP,
        "sweep.run(local=True)",
        "print({record.name: record.status for record in sweep.records})",
    )
    # One that is done, and three that run
    notebook = executed(path, tmp_path / "art" / "journal.jsonl", 4)
    assert errors(notebook) == ["KeyboardInterrupt"]
    events = [json.loads(line) for line in (tmp_path / "art" / "journal.jsonl").read_text().splitlines()]
    started = [event["pid"] for event in events if event["event"] == "start"]
    assert len(started) == 4 and not any(map(psutil.pid_exists, started))
    assert events[-1]["event"] == "finish"
    waiting = {f"i={index}": "waiting" for index in (4, 5)}
    cancelled = {f"i={index}": "cancelled" for index in (1, 2, 3)}
    assert texts(notebook.cells[2]) == f"{ {'i=0': 'done'} | cancelled | waiting }\n"
    (shown,) = displays(notebook.cells[1])
    assert "3 cancelled" in shown.data["text/plain"]
