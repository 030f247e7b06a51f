"""The demonstration: what it prints, how it ends, and that nothing is left when it is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from covalent_parallel_plugin.cli.demo.workflow_run import (
    WorkflowState,
    missing_packages,
    read_verdict,
    run_workflow,
)
from covalent_parallel_plugin.cli.dev.electron_states import ElectronState, failed_texts, read_electrons
from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer
from covalent_parallel_plugin.covalent_api.server_client import ServerClient

DEMO = [sys.executable, "-c", "from covalent_parallel_plugin.cli.demo.command import demo; demo()"]
DEMO_SECONDS = 180
END_SECONDS = 60.0

FAILING = """
import sys
import covalent as ct

@ct.electron(executor="gcpbatch")
def divide(by):
    print("about to divide", file=sys.stderr)
    return 1 / by

@ct.lattice
def workflow():
    return divide(0)

dispatch_id = ct.dispatch(workflow)()
print(dispatch_id, flush=True)
result = ct.get_result(dispatch_id, wait=True)
print(result.status, result.result)
"""


def node(name: str, node_id: int, started: str | None, completed: str | None, kind: str) -> dict[str, object]:
    return {
        "name": name,
        "node_id": node_id,
        "started_at": started,
        "completed_at": completed,
        "type": kind,
        "status": "RUNNING",
        "executor_label": "gcpbatch",
    }


def demo_folders(parent: Path) -> list[Path]:
    return list(parent.glob("cpe-*"))


def processes_with(variable: str) -> list[str]:
    """Ids of the processes whose environment holds `variable`, as NAME=value."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            variables = (path / "environ").read_bytes().split(b"\0")
        except OSError:  # it ended meanwhile, or is another user's
            continue
        if variable.encode() in variables:
            found.append(path.name)
    return found


def test_the_demo_prints_every_electron_and_the_score_and_ends_with_status_0(tmp_path: Path) -> None:
    page = tmp_path / "demo.html"
    run = subprocess.run(
        [*DEMO, "--report", str(page)],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=DEMO_SECONDS,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""
    for electron in ("load_data", "train_svm", "score_svm"):
        assert f"{electron}: RUNNING\n" in run.stdout
        assert f"{electron}: returned a value\n" in run.stdout
    assert "score 0.9" in run.stdout
    assert f"Where the time went: {page}" in run.stdout
    assert "train_svm" in page.read_text(encoding="utf-8")
    assert demo_folders(tmp_path) == []


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes through /proc")
@pytest.mark.parametrize("line", ["Starting the emulator", "Covalent's UI", "load_data: RUNNING"])
def test_an_interrupted_demo_leaves_no_process_and_no_file(line: str, tmp_path: Path) -> None:
    mark = f"DEMO_INTERRUPTED_IN={tmp_path}"
    name, _, value = mark.partition("=")
    with subprocess.Popen(
        DEMO,
        env=os.environ | {"TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1", name: value},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        assert run.stdout is not None
        for printed in run.stdout:
            if line in printed:
                os.killpg(run.pid, signal.SIGINT)  # as a terminal does, to the whole group
                break
        rest = run.stdout.read()
    assert run.returncode == 130, rest
    deadline = time.monotonic() + END_SECONDS
    while (left := processes_with(mark)) and time.monotonic() < deadline:  # a killed one may take a moment to end
        time.sleep(0.1)
    assert left == []
    assert demo_folders(tmp_path) == []


def test_ctrl_c_within_the_start_of_a_process_ends_that_process(
    covalent_server: PrivateCovalentServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    class InterruptedStart(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(subprocess, "Popen", InterruptedStart)
    with pytest.raises(KeyboardInterrupt):
        run_workflow(covalent_server, lambda state: None, ("-c", "import time; time.sleep(600)"))
    with pytest.raises(KeyboardInterrupt):
        PrivateCovalentServer(tmp_path).start()
    assert [process.returncode is None for process in started] == [False, False]


def test_a_failing_workflow_is_no_success_and_its_stderr_can_be_read(
    covalent_server: PrivateCovalentServer, tmp_path: Path
) -> None:
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    outcome = run_workflow(covalent_server, lambda state: None, (str(script),))
    assert not outcome.succeeded
    assert outcome.status == "FAILED"
    assert [(electron.status, electron.ending) for electron in outcome.state.electrons] == [
        ("FAILED", "raised ZeroDivisionError")
    ]
    ((name, text),) = failed_texts(ServerClient(covalent_server.address), outcome.state.dispatch_id).values()
    assert name == "divide"
    assert "about to divide" in text
    assert "ZeroDivisionError" in text


def test_a_client_that_cannot_dispatch_is_no_success_and_its_output_is_kept(
    covalent_server: PrivateCovalentServer, tmp_path: Path
) -> None:
    script = tmp_path / "broken.py"
    script.write_text("raise SystemExit('no workflow here')")
    states: list[WorkflowState] = []
    outcome = run_workflow(covalent_server, states.append, (str(script),))
    assert not outcome.succeeded
    assert outcome.status == "NOT DISPATCHED"
    assert "no workflow here" in outcome.client_output
    assert states[-1].electrons == ()


def test_a_missing_package_is_named_with_the_command_that_brings_it() -> None:
    message = missing_packages({"json": "json", "no_such_module": "no-such-distribution"})
    assert message is not None
    assert "no-such-distribution" in message
    assert "pip install 'covalent-parallel-plugin[demo]'" in message
    assert missing_packages({"json": "json"}) is None


@pytest.mark.parametrize(
    ("printed", "verdict"),
    [
        ("", ("NOT DISPATCHED", None)),
        ("id\n", ("NOT FINISHED", None)),
        ("id\nCOMPLETED 0.5\n", ("COMPLETED", 0.5)),
        ("id\nFAILED None\n", ("FAILED", None)),
    ],
)
def test_the_verdict_is_read_from_what_the_client_printed(printed: str, verdict: tuple[str, float | None]) -> None:
    assert read_verdict(printed) == verdict


def test_rows_are_the_users_electrons_in_the_order_they_started() -> None:
    nodes = [
        node("waiting", 0, None, None, "function"),
        node("second", 1, "2026-01-01 10:00:05.000000", None, "function"),
        node("first", 2, "2026-01-01 10:00:00.000000", "2026-01-01 10:00:02.500000", "function"),
        node(":postprocess:", 3, None, None, "function"),
        node(":parameter:1", 4, "2026-01-01 10:00:00.000000", None, "parameter"),
    ]
    now = datetime(2026, 1, 1, 10, 0, 9, tzinfo=timezone.utc)
    assert read_electrons({"graph": {"nodes": nodes}}, now) == (
        ElectronState("first", "gcpbatch", "RUNNING", 2.5, 2),
        ElectronState("second", "gcpbatch", "RUNNING", 4.0, 1),
        ElectronState("waiting", "gcpbatch", "RUNNING", None),
    )
