"""Run the demonstration workflow on a private Covalent server and the emulator, and report how it went."""

from __future__ import annotations

import contextlib
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from covalent_parallel_plugin.cli.demo.batch_looks import EVERY_SECONDS, BatchLooks
from covalent_parallel_plugin.cli.dev.electron_states import ElectronState, fetch_electrons
from covalent_parallel_plugin.cli.dev.local_session import LocalSession, session_folder
from covalent_parallel_plugin.cli.emulator.option_list import EmulatorOptions
from covalent_parallel_plugin.covalent_api.held_signals import signals_held
from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer
from covalent_parallel_plugin.covalent_api.server_client import ServerClient

WORKFLOW = ("-m", "covalent_parallel_plugin.cli.demo.workflow")
REPORT = ("-c", "from covalent_parallel_plugin.cli import main; main()", "report")
WORKFLOW_SECONDS = 300.0
REPORT_SECONDS = 60.0
POLL_SECONDS = 0.25
# What the emulator, the servers and the workflow import, and the distribution that brings it.
NEEDED = {"grpc": "grpcio", "sklearn": "scikit-learn", "starlette": "starlette", "uvicorn": "uvicorn"}


@dataclass(frozen=True)
class WorkflowState:
    """What is known of the dispatch: empty id until the server has accepted it."""

    dispatch_id: str
    electrons: tuple[ElectronState, ...]


@dataclass(frozen=True)
class WorkflowOutcome:
    """How the workflow ended; `score` is None unless it completed and its value came back."""

    state: WorkflowState
    status: str
    score: float | None
    client_output: str

    @property
    def succeeded(self) -> bool:
        return self.status == "COMPLETED" and self.score is not None


def missing_packages(needed: Mapping[str, str] = NEEDED) -> str | None:
    """One message that names what is not installed and the command that installs it, or None."""
    missing = [needed[name] for name in needed if importlib.util.find_spec(name) is None]
    if not missing:
        return None
    return f"the demo needs {', '.join(missing)}: pip install 'covalent-parallel-plugin[demo]'"


@contextlib.contextmanager
def demo_session() -> Iterator[LocalSession]:
    """A session whose tasks are processes, which have scikit-learn; at the end it stops and its files go."""
    options = EmulatorOptions(runtime_asked="process", site_packages=True)
    with session_folder() as folder, LocalSession(folder, options) as session:
        yield session


def run_workflow(
    server: PrivateCovalentServer,
    report: Callable[[WorkflowState], None],
    workflow: Sequence[str] = WORKFLOW,
    timeout_seconds: float = WORKFLOW_SECONDS,
) -> WorkflowOutcome:
    """Dispatch a workflow from a client process and call `report` with its state until it has ended.

    `workflow` is what Python is started with. The module or script runs as `__main__`, as a user's script
    does: its functions then travel by value, and the container needs no copy of it to unpickle them. It
    prints the dispatch id, and at the end `<status> <value>`.
    """
    state = WorkflowState("", ())
    output = server.home / "client.out"
    errors = server.home / "client.err"
    client = None
    deadline = time.monotonic() + timeout_seconds
    try:
        with output.open("wb") as stdout, errors.open("wb") as stderr, signals_held():
            client = subprocess.Popen(
                [sys.executable, "-W", "ignore", *workflow],
                env=server.environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        with BatchLooks(server.environment) as looks:
            while client.poll() is None and time.monotonic() < deadline:
                state = _read_state(server, output.read_text(), state)
                if _is_worth_a_look(state):
                    looks.look(state.dispatch_id)
                report(_with_looks(state, looks))
                time.sleep(POLL_SECONDS)
            state = _read_state(server, output.read_text(), state)
            if any(electron.status == "FAILED" for electron in state.electrons):
                looks.finish(state.dispatch_id)
            state = _with_looks(state, looks)
    finally:
        if client is not None:
            client.kill()
            client.wait()
    report(state)
    status, score = read_verdict(output.read_text())
    return WorkflowOutcome(state, status, score, errors.read_text(errors="replace"))


def write_report(server: PrivateCovalentServer, dispatch_id: str, page: Path) -> None:
    """Write a dispatch's report with the command itself, which finds the server and the trace in its environment.

    Raises:
        click.ClickException: it could not be written.
    """
    command = [sys.executable, "-W", "ignore", *REPORT, dispatch_id, "-o", str(page)]
    ended = subprocess.run(
        command,
        env=server.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=REPORT_SECONDS,
        check=False,
    )
    if ended.returncode:
        raise click.ClickException(ended.stderr.strip().removeprefix("Error: "))


def _is_worth_a_look(state: WorkflowState) -> bool:
    """Whether an electron has failed, or runs for so long that it may be a map."""
    return any(
        electron.status == "FAILED" or (electron.status == "RUNNING" and (electron.seconds or 0.0) > EVERY_SECONDS)
        for electron in state.electrons
    )


def _with_looks(state: WorkflowState, looks: BatchLooks) -> WorkflowState:
    electrons = []
    for electron in state.electrons:
        is_over = electron.status not in ("RUNNING", "NEW_OBJECT")
        ending = looks.endings.get(electron.node, electron.ending) if is_over else ""
        progress = looks.lines.get(electron.node, "") if electron.status == "RUNNING" else ""
        electrons.append(replace(electron, ending=ending, progress=progress))
    return replace(state, electrons=tuple(electrons))


def read_verdict(client_output: str) -> tuple[str, float | None]:
    """Status and score from what the workflow's script printed: the dispatch id, then `<status> <value>`."""
    lines = client_output.splitlines()
    if len(lines) < 2:
        return ("NOT DISPATCHED" if not lines else "NOT FINISHED"), None
    status, _, value = lines[1].partition(" ")
    try:
        return status, float(value)
    except ValueError:
        return status, None


def _read_state(server: PrivateCovalentServer, client_output: str, last: WorkflowState) -> WorkflowState:
    dispatch_id, newline, _ = client_output.partition("\n")
    if not newline:
        return last
    try:
        electrons = fetch_electrons(ServerClient(server.address), dispatch_id)
    except OSError:
        # A busy server may be late once; whether it is gone is for the client to tell, by ending.
        return WorkflowState(dispatch_id, last.electrons)
    return WorkflowState(dispatch_id, electrons)
