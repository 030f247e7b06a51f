"""`show` and what `wait` shows: in a script, on a terminal and in a notebook, while a dispatch goes on and after it."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from executed_notebook import displays, executed, write_notebook

if TYPE_CHECKING:
    from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer

SECONDS = 300
EXAMPLE = Path(__file__).parents[2] / "examples" / "notebook" / "first.ipynb"

WORKFLOWS = """
import json, os, sys, time
import covalent as ct
from covalent_parallel_plugin import GCPBatchExecutor, pmap, show, wait
from covalent_parallel_plugin.batch.trace import trace_path, traces_folder
from covalent_parallel_plugin.results.report.document import document
from covalent_parallel_plugin.results.report.read import dispatch_report

batch = GCPBatchExecutor(max_parallel=3)

@ct.electron(executor=batch)
def prepare(count):
    print("prepared", count)
    return list(range(count))

@pmap(executor=batch)
def square(x):
    print("squared", x)
    return x * x

@ct.electron(executor=batch)
def fails(values):
    print("<b>about to fail</b>")
    raise ValueError("<script>alert(1)</script>")

@ct.electron(executor="local")
def count(values):
    return len(values)

@ct.electron(executor="local")
@ct.lattice
def inner(values):
    return count(values)

@ct.lattice
def works(n):
    return inner(square(prepare(n)))

@ct.lattice
def breaks(n):
    return fails(square(prepare(n)))
"""

SCRIPT = f"""{WORKFLOWS}
ids = {{"works": ct.dispatch(works)(7), "breaks": ct.dispatch(breaks)(4)}}
early = show(ids["works"])
reports = {{"early": early.data, "early_text": repr(early), "early_report": document(dispatch_report(ids["works"]))}}
for name, dispatch_id in ids.items():
    run = show(dispatch_id, wait=True)
    report = run.report()
    reports[name] = {{
        "id": dispatch_id, "data": run.data, "text": repr(run), "html": run._repr_html_(), "logs": run.logs,
        "report": repr(report), "timeline": report._repr_html_(), "report_data": report.data,
        "document": document(dispatch_report(dispatch_id)),
        "items": [[one.name, one.total, one.done, one.failed] for one in run.items],
        "electrons": [[one.name, one.node, one.state, one.executor, one.ending] for one in run.electrons],
        "seconds": [one.seconds for one in run.electrons],
    }}
inner_id = next(one.sub_dispatch_id for one in run.electrons + show(ids["works"]).electrons if one.sub_dispatch_id)
reports["inner"] = show(inner_id).data
try:
    show("no-such-dispatch", wait=True)
except Exception as error:
    reports["unknown"] = str(error)
lines = trace_path(traces_folder(os.environ), ids["breaks"]).read_text().splitlines(True)
os.environ["XDG_DATA_HOME"] = sys.argv[1] + "-some"
cut = trace_path(traces_folder(os.environ), ids["breaks"])
cut.parent.mkdir(parents=True)
cut.write_text("".join(line for line in lines if '"node":3,' not in line) + lines[0][:70])
reports["cut"] = document(dispatch_report(ids["breaks"]))
os.environ["XDG_DATA_HOME"] = sys.argv[1] + "-none"
reports["traceless"] = document(dispatch_report(ids["breaks"]))
try:
    dispatch_report("no-such-dispatch")
except Exception as error:
    reports["unknown_report"] = f"{{type(error).__name__}}: {{error}}"
with open(sys.argv[1], "w") as file:
    json.dump(reports, file)
"""


@pytest.fixture(scope="module")
def reports(run_client: Callable[[str], Any]) -> Any:
    """What `show` gave, by the lattice's name."""
    return run_client(SCRIPT)


def command_output(server: PrivateCovalentServer, *words: str) -> str:
    code = "from covalent_parallel_plugin.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    ).stdout


def test_electrons_have_state_executor_and_how_they_ended(reports: Any) -> None:
    assert reports["breaks"]["electrons"] == [
        ["prepare", 0, "COMPLETED", "gcpbatch", "returned a value"],
        ["square", 2, "COMPLETED", "gcpbatch", "ran its items"],
        ["fails", 3, "FAILED", "gcpbatch", "raised ValueError: <script>alert(1)</script>"],
    ]
    assert all(seconds > 0 for seconds in reports["breaks"]["seconds"])
    (inner,) = [one for one in reports["works"]["electrons"] if one[0] == "inner"]
    assert inner[2:] == ["COMPLETED", "local", "returned a value"]


def test_the_items_of_maps_are_counted_as_watch_does(reports: Any) -> None:
    assert reports["works"]["items"] == [["square", 7, 7, 0]]
    assert reports["breaks"]["items"] == [["square", 4, 4, 0]]


def test_logs_have_what_each_electron_printed_by_node(reports: Any) -> None:
    logs = reports["breaks"]["logs"]
    assert logs["0"] == "prepared 4\n"
    lines = [line for line in logs["2"].splitlines() if line.startswith("item ")]
    assert sorted(lines) == [f"item {index} | squared {index}" for index in range(4)]
    assert "<b>about to fail</b>" in logs["3"] and "ValueError" in logs["3"]


def test_the_report_sums_up_the_trace(reports: Any) -> None:
    lines = reports["breaks"]["report"].splitlines()
    assert lines[0].startswith(f"dispatch {reports['breaks']['id']} (breaks): failed, ")
    electrons = [line.split(",")[0] for line in lines if line.startswith(("prepare", "square", "fails"))]
    assert electrons == ["prepare[0]: completed", "square[2]: completed", "fails[3]: failed"]
    timeline = reports["breaks"]["timeline"]
    assert "<svg" in timeline and "square" in timeline and "<script" not in timeline


def test_a_report_has_the_electrons_of_the_graph_with_their_attempts_and_failures(reports: Any) -> None:
    found = reports["breaks"]["document"]
    assert (found["name"], found["state"], found["chain"]) == ("breaks", "failed", [0, 2, 3])
    assert all("Batch was not asked" in sentence for sentence in found["missing"])
    prepare, square, fails = found["electrons"]
    assert [(each["name"], each["kind"], each["state"], each["parents"]) for each in found["electrons"]] == [
        ("prepare", "lone", "completed", []), ("square", "map", "completed", [0]), ("fails", "lone", "failed", [2]),
    ]  # fmt: skip
    assert square["items"]["total"] == square["items"]["ran"] == 4 and square["items"]["ends"] == {"value": 4}
    assert fails["failure"]["error"] == "ValueError" and "<script>" in fails["failure"]["message"]
    assert "<b>about to fail</b>" in fails["failure"]["last_lines"] or "ValueError" in fails["failure"]["last_lines"]
    for electron in found["electrons"]:
        assert found["began"] <= electron["entered"] <= electron["ended"] <= found["ended"]
        assert sum(electron["phases"].values()) > 0 and electron["machine_seconds"] > 0
    assert sum(each["machine_seconds"] for each in found["electrons"]) == pytest.approx(
        sum(row["seconds"] for row in found["machines"]), abs=0.01
    )
    assert prepare["asked"]["memory_bytes"] and prepare["attempts"][0]["machine"]["type"]
    works = reports["works"]["document"]
    (inner,) = [each for each in works["electrons"] if each["kind"] == "sublattice"]
    assert inner["name"] == "inner" and inner["sub_dispatch_id"] and works["chain"][-1] == inner["node"]
    assert reports["early_report"]["state"] == "running" and reports["early_report"]["ended"] is None


def test_without_a_trace_a_report_has_what_covalent_and_batch_say_and_names_what_is_missing(reports: Any) -> None:
    traced, found = reports["breaks"]["document"], reports["traceless"]
    assert [each["state"] for each in found["electrons"]] == [each["state"] for each in traced["electrons"]]
    assert [each["kind"] for each in found["electrons"]] == ["lone", "map", "lone"]
    for electron, known in zip(found["electrons"], traced["electrons"], strict=True):
        assert electron["machine_seconds"] == pytest.approx(known["machine_seconds"], abs=2)
        assert electron["attempts"][0]["on_machine"] and electron["job"] == known["job"]
    assert found["electrons"][2]["failure"]["error"] == "ValueError"
    assert "No trace of it is at" in found["missing"][0] and "-none" in found["missing"][0]
    cut = reports["cut"]
    assert cut["electrons"][:2] == traced["electrons"][:2]
    assert cut["electrons"][2]["attempts"] == found["electrons"][2]["attempts"] != []
    assert "has nothing of fails[3]" in cut["missing"][0] and "1 line of the trace is left out" in " ".join(
        cut["missing"]
    )
    assert reports["unknown_report"].startswith("MissingResourceError: ")
    assert "knows no dispatch no-such-dispatch" in reports["unknown_report"]


def test_the_command_reports_the_same(reports: Any, covalent_server: PrivateCovalentServer) -> None:
    ours, dispatch_id = reports["breaks"]["report_data"], reports["breaks"]["id"]
    theirs = json.loads(command_output(covalent_server, "report", dispatch_id, "--format", "json", "--items"))
    assert {row["electron"] for row in theirs.pop("rows")} == {"square"}
    assert {**theirs, "made": 0} == {**ours, "made": 0}
    assert (ours["name"], ours["state"]) == ("breaks", "failed") and "No trace" not in str(ours["missing"])
    by_name = {electron["name"]: electron for electron in ours["electrons"]}
    assert sorted(by_name["square"]["items"]["index"]) == [0, 1, 2, 3]
    assert by_name["fails"]["parents"] == [2] and "<b>about to fail</b>" not in by_name["fails"]["failure"]["message"]
    for electron in ours["electrons"]:
        assert electron["ended"] - electron["entered"] >= sum(electron["phases"].values()) - 0.01 or electron["items"]


def test_data_is_what_watch_gives_as_json(reports: Any, covalent_server: PrivateCovalentServer) -> None:
    found = reports["breaks"]
    theirs = json.loads(command_output(covalent_server, "watch", found["id"], "--once", "--json"))
    assert theirs.keys() <= found["data"].keys()
    assert [(job["electron"], job["state"]) for job in theirs["jobs"]] == [
        (job["electron"], job["state"]) for job in found["data"]["jobs"]
    ]
    assert found["data"]["electrons"][2]["name"] == "fails"


def test_a_table_has_every_electron_and_text_of_others_is_escaped(reports: Any) -> None:
    found = reports["breaks"]
    title, headings, *rows = found["text"].splitlines()
    assert title == f"dispatch {found['id']} (breaks): FAILED, 3 of 3 electrons done, 1 failed"
    assert headings.split() == ["node", "electron", "state", "time", "items", "executor", "ending"]
    assert [row.split()[1] for row in rows[:3]] == ["prepare", "square", "fails"]
    assert "4/4" in rows[1] and "raised ValueError" in rows[2]
    assert "<script" not in found["html"] and "&lt;script&gt;" in found["html"]
    assert "http" not in found["html"] and "4/4" in found["html"]


def test_a_sublattice_is_another_dispatch_to_show(reports: Any) -> None:
    assert reports["inner"]["state"] == "COMPLETED"
    assert [electron["name"] for electron in reports["inner"]["electrons"]] == ["count"]


def test_a_dispatch_may_be_shown_before_its_electrons_begin_and_has_to_be_known(reports: Any) -> None:
    assert reports["early"]["state"] not in ("FAILED", "CANCELLED") and len(reports["early"]["electrons"]) == 3
    assert "prepare" in reports["early_text"]
    assert "knows no dispatch no-such-dispatch" in reports["unknown"]


def on_a_terminal(script: Path, environment: Mapping[str, str]) -> tuple[str, str]:
    """What a script writes to stdout, and what to the terminal that its stderr is."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, str(script)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    ) as process:
        os.close(theirs)
        shown, until = b"", time.monotonic() + SECONDS
        while time.monotonic() < until:
            try:
                shown += os.read(ours, 65536)
            except OSError:  # all have closed it
                break
        os.close(ours)
        assert process.stdout is not None
        printed = process.stdout.read()
        assert process.wait(SECONDS) == 0, shown.decode()
    return printed, shown.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("is_off", [False, True], ids=["on", "off"])
def test_a_terminal_has_lines_of_progress_unless_they_are_off(
    is_off: bool, covalent_server: PrivateCovalentServer, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"{WORKFLOWS}\nprint(wait(ct.dispatch(works)(5)))\n")
    off = {"COVALENT_PARALLEL_PROGRESS": "off"} if is_off else {}
    printed, shown = on_a_terminal(script, covalent_server.environment | off)
    assert printed == "5\n"
    lines = [line for line in shown.splitlines() if line.startswith("dispatch ")]
    if is_off:
        assert lines == []
    else:
        assert len(lines) >= 2 and all(line != following for line, following in pairwise(lines))
        assert lines[-1].endswith("(works): COMPLETED, 3 of 3 electrons done")


def test_a_notebook_shows_a_table_in_place_and_keeps_the_last_one(
    covalent_server: PrivateCovalentServer, tmp_path: Path
) -> None:
    path = write_notebook(
        tmp_path / "x.ipynb",
        WORKFLOWS,
        "value = wait(ct.dispatch(works)(5))\nvalue",
        "dispatch_id = ct.dispatch(breaks)(3)\nshow(dispatch_id, wait=True)",
        "show(dispatch_id)",
        "wait(dispatch_id)",
        # A kernel runs an event loop, so this may stand in a cell
        "import asyncio\nawait asyncio.sleep(0)\nprint(wait(ct.dispatch(works)(2)))",
    )
    notebook = executed(path, environment=covalent_server.environment)
    _, waited, shown, again, raised, in_loop = notebook.cells
    (table,) = displays(waited)
    assert "COMPLETED, 3 of 3 electrons done" in table.data["text/plain"] and "5/5" in table.data["text/html"]
    assert [output.data["text/plain"] for output in waited.outputs if output.output_type == "execute_result"] == ["5"]
    # Once, though it is the cell's result as well
    (table,) = displays(shown)
    assert len(shown.outputs) == 1 and "raised ValueError" in table.data["text/html"]
    (table,) = displays(again)
    assert "FAILED" in table.data["text/plain"]
    (error,) = [output for output in raised.outputs if output.output_type == "error"]
    assert error.ename == "ValueError" and "electron fails (node 3) of dispatch" in "\n".join(error.traceback)
    assert [output.text for output in in_loop.outputs if output.output_type == "stream"] == ["2\n"]


def test_the_example_notebook_runs_from_its_first_cell_to_its_last(
    covalent_server: PrivateCovalentServer, tmp_path: Path
) -> None:
    notebook = executed(Path(shutil.copy(EXAMPLE, tmp_path)), environment=covalent_server.environment)
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output.evalue for output in outputs if output.output_type == "error"] == []
    results = [output.data for output in outputs if output.output_type == "execute_result"]
    values = [data["text/plain"] for data in results]
    assert values[0].startswith("GCPBatchExecutor(") and values[0].endswith("max_parallel=4)")
    assert 3 < float(values[1]) < 3.3
    assert "estimate[0]: completed" in values[2] and "<svg" in results[2]["text/html"]
    assert values[3].startswith("MapError(1 of 3 items of electron 'inverse'")
    printed = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert "8 of 8 items" in printed
    tables = [output.data["text/html"] for output in outputs if output.output_type == "display_data"]
    assert ["8/8" in table for table in tables] == [True, False]


def test_the_example_notebook_is_committed_without_outputs() -> None:
    committed = nbformat.read(EXAMPLE, nbformat.NO_CONVERT)  # type: ignore[no-untyped-call]
    cells = [cell for cell in committed.cells if cell.cell_type == "code"]
    assert cells and all(cell.outputs == [] and cell.execution_count is None for cell in cells)
