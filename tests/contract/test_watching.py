"""`covalent-parallel watch` on the emulator: what is shown of a dispatch's jobs, and when it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import warm_python
from google.cloud import batch_v1
from rich.console import Console

from covalent_parallel_plugin.batch.job_names import (
    LABEL_DISPATCH,
    LABEL_LATTICE,
    LABEL_NODE,
    LABEL_OWNER,
    OWNER,
    job_id_for,
    label_value,
)
from covalent_parallel_plugin.cli.demo.batch_looks import BatchLooks
from covalent_parallel_plugin.cli.watch.command import exit_status
from covalent_parallel_plugin.cli.watch.display import table
from covalent_parallel_plugin.cloud.batch import BatchApi, Event, JobStatus, connect
from covalent_parallel_plugin.cloud.errors import to_package_error
from covalent_parallel_plugin.covalent_api.server_client import ElectronRecord, ServerClient
from covalent_parallel_plugin.emulator import Emulator, Fault, Faults
from covalent_parallel_plugin.errors import MissingResourceError, UnavailableError
from covalent_parallel_plugin.protocol.ending_event import ending_line, reports_success
from covalent_parallel_plugin.results.status.dispatch_status import DispatchStatus, follow
from covalent_parallel_plugin.results.status.item_counts import ItemCounts
from covalent_parallel_plugin.results.status.job_locations import find_locations
from covalent_parallel_plugin.results.status.snapshot import JobView, Snapshot, job_view
from covalent_parallel_plugin.results.status.words import item_counts, task_counts

PARENT = "projects/local/locations/us-east1"
OTHER_PARENT = "projects/another/locations/europe-west4"
CONFIGURED = {"project_id": "local"}
MADE = {"project_id": "another", "region": "europe-west4", "vcpus": 2.0}
NOBODY = "http://127.0.0.1:9"
COMMAND = [sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main()", "watch"]
COMMAND_SECONDS = 60
QUOTA = "VM in Managed Instance Group meets error: Batch Error: code - CODE_GCE_QUOTA_EXCEEDED, description - no"


# --- what a job is shown as


def job(state: str = "RUNNING", counts: Any = None, labels: Any = None, events: Sequence[Event] = ()) -> JobStatus:
    return JobStatus("projects/1/locations/r/jobs/j", "uid", state, counts or {}, events, labels or {}, 1000.0)


@pytest.mark.parametrize(
    ("label", "counts", "items"),
    [
        ("1000", {"PENDING": 16}, ItemCounts(1000, 0, waiting=1000, is_exact=False)),
        ("1000", {"PENDING": 0, "RUNNING": 16}, ItemCounts(1000, 0, running=16, waiting=984, is_exact=False)),
        (
            "160",
            {"SUCCEEDED": 4, "RUNNING": 8, "PENDING": 3, "FAILED": 1},
            ItemCounts(160, 40, running=8, waiting=102, lost=10, is_exact=False),
        ),
        ("7", {}, ItemCounts(7, 0, waiting=7, is_exact=False)),
        ("", {"RUNNING": 1}, None),
        ("many", {"RUNNING": 1}, None),
    ],
)
def test_without_anything_else_items_are_reckoned_from_the_tasks(
    label: str, counts: dict[str, int], items: ItemCounts | None
) -> None:
    assert job_view(job(counts=counts, labels={"covalent-items": label}), 1000.0, {}).items == items


@pytest.mark.parametrize(
    ("label", "counts", "items"),
    [
        ("1000", {"PENDING": 0, "SUCCEEDED": 16}, ItemCounts(1000, 1000)),
        ("100", {"SUCCEEDED": 1, "UNEXECUTED": 2}, ItemCounts(100, 33, lost=67, is_exact=False)),
        ("7", {"SUCCEEDED": 7}, ItemCounts(7, 7)),
    ],
)
def test_items_of_a_job_that_has_ended_are_exact_where_its_tasks_have_as_many_each(
    label: str, counts: dict[str, int], items: ItemCounts
) -> None:
    assert job_view(job("SUCCEEDED", counts, labels={"covalent-items": label}), 1000.0, {}).items == items


def test_a_job_takes_as_long_as_from_its_making_to_its_last_event() -> None:
    ended = job("SUCCEEDED", events=[Event("ended", 1030.0)])
    assert job_view(ended, 5000.0, {}).seconds == 30
    assert job_view(job(), 1012.0, {}).seconds == 12
    assert job_view(job(), 990.0, {}).seconds == 0, "clocks may differ"


@pytest.mark.parametrize(
    ("state", "is_shown"), [("QUEUED", True), ("SCHEDULED", True), ("FAILED", True), ("RUNNING", False)]
)
def test_a_job_that_waits_or_failed_shows_its_trouble(state: str, is_shown: bool) -> None:
    view = job_view(job(state, events=[Event(QUOTA, 1001.0), Event("Job state is set", 1002.0)]), 1010.0, {})
    assert ("QUOTA_EXCEEDED" in view.event, "quota" in view.meaning) == (is_shown, is_shown)


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (50001, "its Spot machine was preempted: raise `retries`, set spot_fallback=True, or use spot=False"),
        (126, "the container's command could not be executed: use an image whose `python3` is a program"),
        (77777, ""),
    ],
)
def test_a_job_that_failed_shows_what_the_exit_code_of_its_task_means(code: int, meaning: str) -> None:
    text = f'Job failed: "Task state is updated from RUNNING to FAILED on zones/z/instances/i with exit code {code}."'
    assert job_view(job("FAILED", events=[Event(text, 10.0, code)]), 100.0, {}).meaning == meaning


def test_a_waiting_job_without_known_trouble_shows_its_last_event() -> None:
    view = job_view(job("QUEUED", events=[Event("first", 1001.0), Event("last", 1002.0)]), 1010.0, {})
    assert (view.event, view.meaning) == ("last", "")


@pytest.mark.parametrize(
    ("state", "ended", "is_over"),
    [
        ("RUNNING", [True], False),
        ("COMPLETED", [True, True], True),
        ("COMPLETED", [True, False], False),
        ("FAILED", [], True),
        ("CANCELLED", [True], True),
        ("NEW_OBJECT", [], False),
        ("", [True], True),
        ("", [False], False),
    ],
)
def test_a_dispatch_is_over_with_its_jobs_and_itself(state: str, ended: list[bool], is_over: bool) -> None:
    view = job_view(job(), 1000.0, {})
    assert Snapshot("d", state, [replace(view, has_ended=one) for one in ended]).is_over is is_over


# --- where jobs are looked for


@pytest.mark.parametrize(
    ("nodes", "given", "configured", "told"),
    [
        ([ElectronRecord("f", "gcpbatch", MADE)], {}, CONFIGURED, f"{OTHER_PARENT} (from its executors)"),
        (
            [ElectronRecord("f", "gcpbatch"), ElectronRecord("g", "local")],
            {},
            CONFIGURED,
            f"{PARENT} (from covalent.conf)",
        ),
        ([ElectronRecord("f", "derived", MADE)], {}, {}, f"{OTHER_PARENT} (from its executors)"),
        (
            [
                ElectronRecord("f", "gcpbatch", MADE),
                ElectronRecord("g", "gcpbatch"),
                ElectronRecord("h", "gcpbatch", MADE),
            ],
            {},
            CONFIGURED,
            f"{OTHER_PARENT}, {PARENT} (from its executors and covalent.conf)",
        ),
        (
            [ElectronRecord("f", "gcpbatch", MADE)],
            {"region": "us-west1"},
            {},
            "projects/another/locations/us-west1 (as given, else from its executors)",
        ),
        (
            [ElectronRecord("f", "gcpbatch", {"project_id": "another"})],
            {},
            {"project_id": "local", "region": "us-west1"},
            "projects/another/locations/us-east1 (from its executors)",
        ),
        (
            [ElectronRecord("f", "gcpbatch", MADE)],
            {"project_id": "p", "region": "r"},
            CONFIGURED,
            "projects/p/locations/r (as given)",
        ),
        ([ElectronRecord("g", "local", {"log_stdout": ""})], {}, CONFIGURED, f"{PARENT} (from covalent.conf)"),
        ([ElectronRecord("f", "gcpbatch", {"project_id": ""})], {}, CONFIGURED, f"{PARENT} (from covalent.conf)"),
        (None, {"project_id": None}, CONFIGURED, f"{PARENT} (from covalent.conf)"),
        (None, {"region": "us-west1"}, {}, "None"),
    ],
)
def test_jobs_are_looked_for_where_the_executors_say_and_else_the_file(
    nodes: list[ElectronRecord] | None, given: Any, configured: Any, told: str
) -> None:
    assert str(find_locations(nodes, given, configured)) == told


# --- looks


class Covalent(BaseHTTPRequestHandler):
    """Answers as Covalent's server does, with what `states` has for a dispatch; `options` are its executor's."""

    states: dict[str, list[str]]
    options: dict[str, object]
    statuses: dict[str, str]
    sublattices: list[str]

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        if path.path == "/api/v2/dispatches":
            (wanted,) = parse_qs(path.query)["dispatch_id"]
            told = self.states.get(wanted)
            # The last one stays.
            state = told.pop(0) if told and len(told) > 1 else told[0] if told else None
            found = [{"dispatch_id": wanted, "status": state}] if state else []
            answer: Any = {"dispatches": found, "metadata": {"count": len(found)}}
        else:
            made = {"attributes": self.options} if self.options else {}
            is_parent = path.path.rpartition("/")[2] not in self.sublattices
            names = ["train", "score", *(":sublattice:inner" for _ in self.sublattices if is_parent)]
            known = enumerate((name, self.statuses.get(name, "COMPLETED")) for name in names)
            inner = ["", "", *self.sublattices]
            nodes = [
                {"id": at, "metadata": {"name": name, "status": status, "executor": "gcpbatch", "executor_data": made}}
                for at, (name, status) in known
            ]
            for at, told_node in enumerate(nodes):
                told_node["metadata"]["sub_dispatch_id"] = inner[at] or None
            lattice = {"metadata": {"name": "flow"}, "transport_graph": {"nodes": nodes}}
            answer = {"metadata": {"status": "RUNNING"}, "lattice": lattice}
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def executor_options() -> dict[str, object]:
    """What the executor of the dispatch's electrons was made with; empty where it has a name only."""
    return {}


@pytest.fixture
def statuses() -> dict[str, str]:
    """Those of the electrons that have not completed."""
    return {}


@pytest.fixture
def sublattices() -> list[str]:
    """The dispatches of the dispatch's sublattices."""
    return []


@pytest.fixture
def covalent(
    executor_options: dict[str, object], statuses: dict[str, str], sublattices: list[str]
) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """A server's address, and the states it tells of each dispatch, one after the other."""
    states: dict[str, list[str]] = {}
    own = {"states": states, "options": executor_options, "statuses": statuses, "sublattices": sublattices}
    told = type("Told", (Covalent,), own)
    server = ThreadingHTTPServer(("127.0.0.1", 0), told)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", states
    server.shutdown()
    server.server_close()
    thread.join()


class Place:
    """One dispatch on the emulator's Batch."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.dispatch_id = str(uuid.uuid4())

    def ask(self, question: Callable[[BatchApi], Any]) -> Any:
        async def asked() -> Any:
            batch = BatchApi(connect(self.emulator.environment["BATCH_EMULATOR_HOST"]), patience_seconds=3)
            try:
                return await question(batch)
            finally:
                await batch.close()

        return asyncio.run(asked())

    def job(self, node: int, script: str = "true", tasks: int = 1, parent: str = PARENT, **labels: str) -> str:
        """Make a job of a node; returns its name."""
        own = {
            LABEL_OWNER: OWNER,
            LABEL_DISPATCH: label_value(self.dispatch_id),
            LABEL_NODE: str(node),
            LABEL_LATTICE: "my-search",
        }
        runnable = batch_v1.Runnable(script=batch_v1.Runnable.Script(text=script))
        group = batch_v1.TaskGroup(
            task_count=tasks, parallelism=tasks, task_spec=batch_v1.TaskSpec(runnables=[runnable])
        )
        made = batch_v1.Job(
            task_groups=[group],
            labels={**own, **{f"covalent-{key}": text for key, text in labels.items()}},
            logs_policy=batch_v1.LogsPolicy(destination="CLOUD_LOGGING"),
        )
        job_id = job_id_for(self.dispatch_id, node)
        return str(self.ask(lambda batch: batch.create(parent, made, job_id, str(uuid.uuid4()))).name)

    def until(self, name: str, is_so: Callable[[JobStatus], bool]) -> None:
        for _ in range(200):
            if is_so(self.ask(lambda batch: batch.get(name))):
                return
            time.sleep(0.1)
        pytest.fail("the job did not come to that")

    def look(self, address: str = NOBODY, dispatch_id: str = "") -> Snapshot:
        server = ServerClient(address)
        wanted = dispatch_id or self.dispatch_id
        found: Snapshot = self.ask(lambda batch: DispatchStatus(batch, server, wanted, {}, CONFIGURED).fetch())
        return found

    def follow(self, address: str, outage_seconds: float = 30.0) -> list[Snapshot]:
        """All that was shown until the end."""
        shown: list[Snapshot] = []
        server = ServerClient(address)
        self.ask(
            lambda batch: follow(
                DispatchStatus(batch, server, self.dispatch_id, {}, CONFIGURED), shown.append, 0.2, outage_seconds
            )
        )
        return shown


@pytest.fixture
def place(on_emulator: Emulator) -> Iterator[Place]:
    yield Place(on_emulator)
    on_emulator.faults.set(Faults())


def test_a_look_shows_every_job_of_the_dispatch_and_no_other(place: Place) -> None:
    other = Place(place.emulator)
    other.job(0)
    names = [place.job(node) for node in (1, 0)]
    snapshot = place.look()
    assert [view.node for view in snapshot.jobs] == ["0", "1"]
    assert {f"{PARENT}/jobs/{view.name}" for view in snapshot.jobs} == set(names)
    assert snapshot.jobs[0].lattice == "my-search"


def test_a_look_is_one_request_to_batch(place: Place) -> None:
    names = [place.job(node, "sleep 60") for node in range(5)]
    before = place.emulator.rpc_counts
    place.look()
    after = place.emulator.rpc_counts
    assert {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)} == {
        "ListJobs": 1
    }
    for name in names:
        place.ask(lambda batch, name=name: batch.cancel(name))


RAISED = "electron 'train' (node 0) raised ValueError: no data"


def reporting(text: str = RAISED, has_failed: bool = True) -> str:
    """The script of a task that reports this ending of its electron, and ends with exit code 0."""
    return f"cat >&2 <<'END'\n{ending_line(text, has_failed)}END\n"


@pytest.mark.parametrize("status", ["FAILED", "RUNNING"])
def test_an_electron_that_failed_is_not_called_succeeded_and_how_it_failed_is_shown(
    place: Place, covalent: tuple[str, dict[str, list[str]]], statuses: dict[str, str], status: str
) -> None:
    address, states = covalent
    states[place.dispatch_id], statuses["train"] = ["RUNNING"], status
    place.until(place.job(0, reporting()), lambda status: status.is_terminal)
    (view,) = place.look(address).jobs
    assert (view.electron, view.state, view.ending) == ("train", "FAILED", "raised ValueError: no data")


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        ("FAILED", ("FAILED", "failed, its job was cancelled: the electron's stderr says why")),
        ("CANCELLED", ("CANCELLED", "was cancelled")),
    ],
)
def test_an_electron_that_failed_is_not_called_cancelled_where_its_job_was_ended_for_that(
    place: Place,
    covalent: tuple[str, dict[str, list[str]]],
    statuses: dict[str, str],
    status: str,
    shown: tuple[str, str],
) -> None:
    address, states = covalent
    states[place.dispatch_id], statuses["train"] = ["RUNNING"], status
    name = place.job(0, "sleep 60")
    place.until(name, lambda status: status.state == "RUNNING")
    place.ask(lambda batch: batch.cancel(name))
    place.until(name, lambda status: status.is_terminal)
    (view,) = place.look(address).jobs
    assert (view.state, view.ending) == shown


@pytest.mark.parametrize(
    "text",
    [
        RAISED,
        "electron 'train' (node 0) raised ValueError: it returned a value",
        "electron 'train' (node 0) raised ValueError: electron 'f' (node 1) returned a value",
        "electron 'train' (node 0) was not run: electron 'f' (node 1) ran its items",
        "electron \"it's\" (node 0) raised KeyError: 'x' (node 1) ran its items",
    ],
)
def test_without_covalents_server_an_electron_that_failed_is_not_called_succeeded(place: Place, text: str) -> None:
    place.until(place.job(0, reporting(text)), lambda status: status.is_terminal)
    (view,) = place.look().jobs
    assert (view.state, text.endswith(f"(node 0) {view.ending}")) == ("FAILED", True)


@pytest.mark.parametrize("name", ["train", "it's", 'say "it\'s"', "a (node 1) b", "back\\slash", "two\nlines"])
@pytest.mark.parametrize("end", ["returned a value", "ran its items"])
def test_an_electron_that_did_not_fail_is_called_succeeded_whatever_its_name(name: str, end: str) -> None:
    assert reports_success(f"electron {name!r} (node 12) {end}")


RAN = "electron 'train' (node 0) ran its items"
SOME = f"{RAN}, of which 1 raised, the first KeyError: 1"
KEPT = "electron 'train' (node 0) has errors in place of 1 values, the first KeyError: 1, and ran its items"


@pytest.mark.parametrize(("text", "state"), [(SOME, "FAILED"), (KEPT, "SUCCEEDED")])
def test_a_map_is_not_called_succeeded_if_an_item_of_any_task_raised(place: Place, text: str, state: str) -> None:
    script = f'if [ "$BATCH_TASK_INDEX" = 2 ]; then {reporting(text)}else {reporting(RAN, False)}fi'
    place.until(place.job(0, script, tasks=4, items="8"), lambda status: status.is_terminal)
    (view,) = place.look().jobs
    assert (view.state, text.endswith(f"(node 0) {view.ending}")) == (state, True)
    assert view.items == ItemCounts(8, 8, failed=1)


def test_all_tasks_of_a_map_are_asked_how_they_ended(place: Place) -> None:
    script = f'if [ "$((BATCH_TASK_INDEX % 20))" = 1 ]; then {reporting(SOME)}else {reporting(RAN, False)}fi'
    place.until(place.job(0, script, tasks=22, items="44"), lambda status: status.is_terminal)
    (view,) = place.look().jobs
    assert (view.state, view.ending) == ("FAILED", "ran its items, of which 2 raised, the first KeyError: 1")
    assert view.items == ItemCounts(44, 44, failed=2)


def test_a_failed_map_whose_task_is_not_asked_shows_no_other_tasks_success(
    place: Place, covalent: tuple[str, dict[str, list[str]]], statuses: dict[str, str]
) -> None:
    address, states = covalent
    states[place.dispatch_id], statuses["train"] = ["FAILED"], "FAILED"
    place.until(place.job(0, reporting(RAN, False), tasks=2, items="8"), lambda status: status.is_terminal)
    snapshot = place.look(address)
    assert [(view.state, view.ending) for view in snapshot.jobs] == [("FAILED", "")]
    assert "items that raised are named" in snapshot.note


def test_a_job_whose_electron_may_still_fail_is_not_called_succeeded(
    place: Place, covalent: tuple[str, dict[str, list[str]]], statuses: dict[str, str]
) -> None:
    address, states = covalent
    states[place.dispatch_id], statuses["train"] = ["RUNNING"], "RUNNING"
    place.until(place.job(0), lambda status: status.is_terminal)
    (view,) = place.look(address).jobs
    assert (view.state, view.ending) == ("ENDED", "")


@pytest.mark.parametrize(
    ("state", "jobs", "status"),
    [
        ("COMPLETED", ["SUCCEEDED"], 0),
        ("COMPLETED", ["FAILED", "SUCCEEDED"], 0),
        ("FAILED", ["SUCCEEDED"], 1),
        ("CANCELLED", [], 3),
        ("RUNNING", ["RUNNING"], 0),
        ("", ["SUCCEEDED"], 0),
        ("", ["SUCCEEDED", "FAILED"], 1),
    ],
)
def test_the_exit_status_is_the_dispatchs(state: str, jobs: list[str], status: int) -> None:
    assert exit_status(Snapshot("d", state, [viewed(one, {}) for one in jobs])) == status


@pytest.mark.parametrize(("state", "status"), [("FAILED", 1), ("CANCELLED", 3)])
def test_the_command_ends_with_the_exit_status_of_the_dispatch(
    place: Place,
    environment: dict[str, str],
    covalent: tuple[str, dict[str, list[str]]],
    statuses: dict[str, str],
    state: str,
    status: int,
) -> None:
    address, states = covalent
    states[place.dispatch_id], statuses["train"] = [state], state
    configured(environment, address)
    place.until(place.job(0, reporting()), lambda status: status.is_terminal)
    ended = command(environment, place.dispatch_id, "--every", "0.2")
    assert (ended.returncode, ended.stderr) == (status, "")
    assert "SUCCEEDED" not in ended.stdout and "raised ValueError  raised ValueError: no data" in ended.stdout


def test_a_map_shows_its_tasks_and_items(place: Place) -> None:
    script = 'if [ "$BATCH_TASK_INDEX" = 0 ]; then sleep 30; fi'
    name = place.job(0, script, tasks=2, items="10")
    place.until(name, lambda status: status.counts.get("SUCCEEDED") == 1 and status.counts.get("RUNNING") == 1)
    (view,) = place.look().jobs
    assert view.tasks == {"SUCCEEDED": 1, "RUNNING": 1}
    assert view.items == ItemCounts(10, 5, running=1, waiting=4, is_exact=False)
    place.ask(lambda batch: batch.cancel(name))


def test_electrons_have_the_names_that_covalents_server_tells(
    place: Place, covalent: tuple[str, dict[str, list[str]]]
) -> None:
    address, states = covalent
    states[place.dispatch_id] = ["RUNNING"]
    place.job(1)
    snapshot = place.look(address)
    assert (snapshot.state, snapshot.note) == ("RUNNING", "")
    assert [view.electron for view in snapshot.jobs] == ["score"]


def test_jobs_are_found_in_the_project_and_region_of_their_executor(
    place: Place, covalent: tuple[str, dict[str, list[str]]], executor_options: dict[str, object]
) -> None:
    executor_options.update(MADE)
    address, states = covalent
    states[place.dispatch_id] = ["RUNNING"]
    place.job(0, parent=OTHER_PARENT)
    assert [(view.node, view.parent) for view in place.look(address).jobs] == [("0", OTHER_PARENT)]


def test_a_dispatch_without_jobs_says_where_they_were_looked_for(
    place: Place, covalent: tuple[str, dict[str, list[str]]], executor_options: dict[str, object]
) -> None:
    address, states = covalent
    states[place.dispatch_id] = ["RUNNING"]
    assert place.look(address).note == (
        f"no jobs of it are under {PARENT} (from covalent.conf) yet. If its executor names another project or region,"
        " give --project-id and --region."
    )
    states[place.dispatch_id] = ["COMPLETED"]
    executor_options.update(MADE)
    assert place.look(address).note == f"no jobs of it are under {OTHER_PARENT} (from its executors)"


def test_a_map_that_failed_while_its_job_did_not_says_where_its_exceptions_are(
    place: Place, covalent: tuple[str, dict[str, list[str]]], statuses: dict[str, str]
) -> None:
    statuses["train"] = "FAILED"
    address, states = covalent
    states[place.dispatch_id] = ["RUNNING", "FAILED"]
    jobs = [place.job(node, items="6") for node in (0, 1)]
    for name in jobs:
        place.until(name, lambda status: status.is_terminal)
    notes = [snapshot.note for snapshot in place.follow(address)]
    assert notes == ["", "train (node 0) failed: items that raised are named in the electron's stderr"]


def test_without_covalents_server_jobs_are_shown_and_why_no_state_is(place: Place) -> None:
    place.job(0)
    snapshot = place.look()
    assert snapshot.state == ""
    assert "Covalent's server at http://127.0.0.1:9 cannot be asked" in snapshot.note


def test_a_job_that_waits_shows_googles_words_and_their_meaning(place: Place) -> None:
    place.emulator.faults.set(Faults((Fault("job.quota"),)))
    name = place.job(0)
    place.until(name, lambda status: any("QUOTA" in event.description for event in status.events))
    (view,) = place.look().jobs
    assert "CODE_GCE_QUOTA_EXCEEDED" in view.event
    assert view.meaning.startswith("the project's quota for such machines is used up: wait")
    place.ask(lambda batch: batch.cancel(name))


def test_a_dispatch_that_nobody_knows_is_told(place: Place, covalent: tuple[str, dict[str, list[str]]]) -> None:
    with pytest.raises(
        MissingResourceError, match=rf"no jobs of a dispatch {place.dispatch_id}.*does not know it: check"
    ):
        place.look(covalent[0])
    with pytest.raises(MissingResourceError, match="cannot be asked"):
        place.look()


def test_what_is_no_dispatch_id_is_refused(place: Place) -> None:
    with pytest.raises(ValueError, match="is not a valid dispatch id"):
        place.look(dispatch_id='x" OR labels."a"="b')


def test_following_ends_with_the_dispatch(place: Place, covalent: tuple[str, dict[str, list[str]]]) -> None:
    address, states = covalent
    states[place.dispatch_id] = ["NEW_OBJECT", "RUNNING", "RUNNING", "RUNNING", "COMPLETED"]
    place.until(place.job(0), lambda status: status.is_terminal)
    shown = place.follow(address)
    assert [snapshot.state for snapshot in shown] == ["NEW_OBJECT", "RUNNING", "RUNNING", "RUNNING", "COMPLETED"]
    assert shown[-1].jobs[0].state == "SUCCEEDED"


def test_following_goes_on_until_the_jobs_of_an_ended_dispatch_have_ended(
    place: Place, covalent: tuple[str, dict[str, list[str]]]
) -> None:
    address, states = covalent
    states[place.dispatch_id] = ["CANCELLED"]
    place.job(0, "sleep 1")
    shown = place.follow(address)
    assert not shown[0].jobs[0].has_ended
    assert shown[-1].jobs[0].has_ended


def test_without_covalents_server_following_ends_with_the_jobs(place: Place) -> None:
    place.job(0, "sleep 0.5")
    assert place.follow(NOBODY)[-1].jobs[0].state == "SUCCEEDED"


def test_jobs_of_sublattices_are_shown_with_their_parents(
    place: Place, covalent: tuple[str, dict[str, list[str]]], sublattices: list[str]
) -> None:
    inner, early = Place(place.emulator), Place(place.emulator)
    sublattices += [inner.dispatch_id, early.dispatch_id]
    address, states = covalent
    states.update({place.dispatch_id: ["RUNNING"], inner.dispatch_id: ["RUNNING"], early.dispatch_id: ["NEW_OBJECT"]})
    place.job(0)
    inner.job(1)
    snapshot = place.look(address)
    assert [(job.electron, job.dispatch_id) for job in snapshot.jobs] == [("train", ""), ("score", inner.dispatch_id)]
    assert "my-search: score" in printed(snapshot)


def test_an_outage_of_batch_is_shown_and_waited_for(place: Place) -> None:
    place.job(0, "sleep 1.5")
    fault = Fault("rpc.error", method="ListJobs", code="UNAVAILABLE", skip=1, first=1)
    place.emulator.faults.set(Faults((fault,)))
    assert place.follow(NOBODY)[-1].jobs[0].state == "SUCCEEDED"


def test_a_batch_that_never_answers_is_told(place: Place) -> None:
    place.emulator.faults.set(Faults((Fault("rpc.error", method="ListJobs", code="PERMISSION_DENIED"),)))
    with pytest.raises(Exception, match="list the jobs") as caught:
        place.follow(NOBODY)
    assert not isinstance(caught.value, UnavailableError)


# --- what the command shows


def viewed(state: str, counts: dict[str, int], items: str = "", name: str = "j", parent: str = PARENT) -> JobView:
    labels = {"covalent-items": items} if items else {}
    return replace(job_view(job(state, counts, labels), 1000.0, {}, parent), name=name)


@pytest.mark.parametrize(
    ("view", "told"),
    [
        (viewed("RUNNING", {"RUNNING": 4}, "24"), "about 0 of 24 items done, 4 running, 20 waiting"),
        (
            viewed("RUNNING", {"RUNNING": 3, "SUCCEEDED": 1}, "24"),
            "about 6 of 24 items done, 3 running, 15 waiting",
        ),
        (viewed("SUCCEEDED", {"SUCCEEDED": 4}, "24"), "24 of 24 items done"),
        (viewed("FAILED", {"SUCCEEDED": 3, "FAILED": 1}, "24"), "18 of 24 items done, 6 lost"),
        (viewed("CANCELLED", {"SUCCEEDED": 3, "FAILED": 1}, "24"), "18 of 24 items done"),
        (viewed("RUNNING", {"RUNNING": 4}), "items: not known yet"),
        (viewed("SUCCEEDED", {"SUCCEEDED": 4}), "items: not known"),
        (viewed("RUNNING", {"RUNNING": 1}), ""),
    ],
)
def test_a_maps_items_are_told_as_far_as_they_are_known(view: JobView, told: str) -> None:
    assert item_counts(view) == told


@pytest.mark.parametrize(
    ("state", "told"),
    [("FAILED", "4 tasks: 2 failed, 1 succeeded, 1 unexecuted"), ("CANCELLED", "4 tasks: 3 cancelled, 1 succeeded")],
)
def test_tasks_of_a_cancelled_job_did_not_fail(state: str, told: str) -> None:
    assert task_counts(viewed(state, {"FAILED": 2, "UNEXECUTED": 1, "SUCCEEDED": 1})) == told


def printed(snapshot: Snapshot, width: int = 80) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table(snapshot, width))
    return capture.get()


def test_the_table_tells_jobs_apart_by_the_ends_of_their_names() -> None:
    dispatch = str(uuid.uuid4())
    jobs = [viewed("RUNNING", {}, name=job_id_for(dispatch, node)) for node in (0, 17)]
    shown = printed(Snapshot(dispatch, "RUNNING", jobs), width=100)
    assert [re.search(r"…\S*", line)[0] for line in shown.splitlines() if "…" in line] == ["…-0", "…-17"]  # type: ignore[index]
    assert "us-east1" not in shown


def test_the_table_tells_where_jobs_are_that_are_in_several_places() -> None:
    jobs = [viewed("RUNNING", {}, name=parent[-2:], parent=parent) for parent in (PARENT, OTHER_PARENT)]
    shown = printed(Snapshot("d", "RUNNING", jobs), width=200)
    assert "local us-east1" in shown
    assert "another europe-west4" in shown


def test_without_jobs_there_is_no_table() -> None:
    assert printed(Snapshot("d", "RUNNING", [], "none yet")) == "dispatch d: RUNNING, 0 jobs; none yet\n\n"


def test_a_terminal_writes_its_interruption_below_the_table() -> None:
    assert printed(Snapshot("d", "RUNNING", [viewed("RUNNING", {})])).endswith("\n\n")


def test_a_stopped_stand_in_is_not_called_google(place: Place) -> None:
    assert str(to_package_error(ConnectionError("gone"), "list the jobs")).startswith(
        "the emulator could not list the jobs: gone\nThat was the emulator (STORAGE_EMULATOR_HOST="
    )


# --- the command


@pytest.fixture
def environment(place: Place, tmp_path: Path) -> dict[str, str]:
    """Variables of the command: the emulator, and a configuration of its own."""
    folder = tmp_path / "covalent"
    folder.mkdir()
    (folder / "covalent.conf").write_text('[executors.gcpbatch]\nproject_id = "local"\n')
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "COVALENT_CONFIG_DIR": str(folder),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "NO_GCE_CHECK": "true",
        "COLUMNS": "200",
        **place.emulator.environment,
    }


def command(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return warm_python.run(*COMMAND[2:], *words, environment=environment)


def configured(environment: dict[str, str], address: str) -> None:
    """Have Covalent's configuration name the server at this address."""
    place = urlsplit(address)
    path = Path(environment["COVALENT_CONFIG_DIR"]) / "covalent.conf"
    path.write_text(
        f'[dispatcher]\naddress = "{place.hostname}"\nport = {place.port}\n[executors.gcpbatch]\nproject_id = "local"\n'
    )


def test_the_command_prints_a_line_for_each_job_and_ends_with_them(
    place: Place, environment: dict[str, str], covalent: tuple[str, dict[str, list[str]]]
) -> None:
    address, states = covalent
    states[place.dispatch_id] = ["RUNNING", "COMPLETED"]
    configured(environment, address)
    place.until(place.job(0, tasks=2, items="6"), lambda status: status.is_terminal)
    ended = command(environment, place.dispatch_id, "--every", "0.2")
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert lines[0].startswith(f"train (node 0)  {job_id_for(place.dispatch_id, 0)}  ")
    assert re.search(r"  ran its items  6 of 6 items done;( \S+ machine-hours;)? 2 tasks: 2 succeeded$", lines[0])
    assert [re.sub(r", \S+ machine-hours", "", line) for line in lines[1:]] == [
        f"dispatch {place.dispatch_id} (my-search): RUNNING, 1 job",
        f"dispatch {place.dispatch_id} (my-search): COMPLETED, 1 job",
    ]


def test_the_command_can_look_once_and_give_json(place: Place, environment: dict[str, str]) -> None:
    name = place.job(3, "sleep 60")
    ended = command(environment, place.dispatch_id, "--once", "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    told = json.loads(ended.stdout)
    assert told["dispatch_id"] == place.dispatch_id
    assert [(view["node"], view["has_ended"]) for view in told["jobs"]] == [("3", False)]
    place.ask(lambda batch: batch.cancel(name))


def test_the_demo_knows_endings_and_maps_from_the_same_command(
    place: Place, environment: dict[str, str], covalent: tuple[str, dict[str, list[str]]], statuses: dict[str, str]
) -> None:
    address, states = covalent
    states[place.dispatch_id], statuses["train"], statuses["score"] = ["RUNNING"], "FAILED", "RUNNING"
    configured(environment, address)
    place.until(place.job(0, reporting()), lambda status: status.is_terminal)
    name = place.job(1, "sleep 60", tasks=2, items="10")
    place.until(name, lambda status: "RUNNING" in status.counts)
    with BatchLooks(environment) as looks:
        looks.finish(place.dispatch_id)
    assert looks.endings == {0: "raised ValueError"}
    assert looks.lines[1].startswith("about 0 of 10 items done, ")
    place.ask(lambda batch: batch.cancel(name))


def test_a_look_of_the_demo_that_is_on_its_way_ends_with_it(place: Place, environment: dict[str, str]) -> None:
    with BatchLooks(environment) as looks:
        looks.look(place.dispatch_id)
        process = looks._process
    assert process is not None and process.poll() is not None


def test_an_interruption_ends_the_command_with_one_line_and_cancels_nothing(
    place: Place, environment: dict[str, str]
) -> None:
    name = place.job(0, "sleep 60")
    process = subprocess.Popen(
        [*COMMAND, place.dispatch_id, "--every", "0.2"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("node 0")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=COMMAND_SECONDS)
    assert (process.returncode, stderr) == (130, "stopped watching; the dispatch goes on (ct.cancel ends it)\n")
    assert not place.ask(lambda batch: batch.get(name)).is_terminal
    place.ask(lambda batch: batch.cancel(name))


def error_line(ended: subprocess.CompletedProcess[str]) -> str:
    """The one line that a command printed which failed."""
    assert (ended.returncode, ended.stdout) == (1, "")
    (line,) = ended.stderr.splitlines()
    return line


def test_the_command_says_in_one_line_that_there_is_no_such_dispatch(place: Place, environment: dict[str, str]) -> None:
    assert f"Error: no jobs of a dispatch {place.dispatch_id}" in error_line(command(environment, place.dispatch_id))


def test_the_command_says_in_one_line_that_there_is_no_project(place: Place, environment: dict[str, str]) -> None:
    (Path(environment["COVALENT_CONFIG_DIR"]) / "covalent.conf").write_text("")
    assert "give --project-id" in error_line(command(environment, place.dispatch_id))


def test_the_command_says_in_one_line_that_there_are_no_credentials(place: Place, environment: dict[str, str]) -> None:
    del environment["BATCH_EMULATOR_HOST"]
    assert "credentials" in error_line(command(environment, place.dispatch_id))


def test_the_project_can_be_given_on_the_command_line(place: Place, environment: dict[str, str]) -> None:
    ended = command(environment, place.dispatch_id, "--project-id", "another", "--region", "europe-west4")
    assert "projects/another/locations/europe-west4" in error_line(ended)


def test_what_is_not_a_dispatch_id_is_a_usage_error(
    environment: dict[str, str], covalent: tuple[str, dict[str, list[str]]]
) -> None:
    configured(environment, covalent[0])
    ended = command(environment, "../x", "--once")
    assert ended.returncode == 2
    assert "is not a valid dispatch id" in ended.stderr
