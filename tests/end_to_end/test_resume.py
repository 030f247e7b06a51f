"""A dispatch whose Covalent server was killed is resumed: its jobs on Batch are taken up, nothing runs twice."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.resume_after_kill import COMMAND, Site, begun, random_kills, run_resumed, running_site, until

COMMAND_SECONDS = 300.0

SUBLATTICES = """
import sys
import covalent as ct

@ct.electron(executor="gcpbatch")
def step(name, waits, before, folder):
    import os, time
    print(f"{name} has begun", flush=True)
    with open(os.path.join(folder, "marks"), "a") as file:
        file.write(f"{name}\\n")
    while waits and not os.path.exists(os.path.join(folder, "go")):
        time.sleep(0.1)
    return before + 1

@ct.electron
@ct.lattice
def done(folder):
    return step("first of done", False, 10, folder)

@ct.electron
@ct.lattice
def waiting(folder):
    return step("second of waiting", True, step("first of waiting", False, 100, folder), folder)

@ct.electron(executor="gcpbatch")
def total(*values):
    return sum(values)

@ct.lattice
def flow(folder):
    return total(done(folder), waiting(folder), step("plain", True, 1000, folder))

print(ct.dispatch(flow)(sys.argv[1]))
"""
VALUE = 11 + 102 + 1001
MARKS = ("first of done", "first of waiting", "second of waiting", "plain")

ONE = """
import sys
import covalent as ct

@ct.electron(executor="gcpbatch")
def one(folder):
    import os, time
    with open(os.path.join(folder, "marks"), "a") as file:
        file.write("one\\n")
    while not os.path.exists(os.path.join(folder, "go")):
        time.sleep(0.1)
    return 1

print(ct.dispatch(ct.lattice(lambda folder: one(folder)))(sys.argv[1]))
"""

FAILS = """
import sys
import covalent as ct

@ct.electron(executor="gcpbatch")
def fine(folder):
    with open(folder + "/marks", "a") as file:
        file.write("fine\\n")
    return 1

@ct.electron(executor="gcpbatch")
def fails(before, folder):
    with open(folder + "/data") as file:
        return before + int(file.read())

@ct.lattice
def flow(folder):
    return fails(fine(folder), folder)

print(ct.dispatch(flow)(sys.argv[1]))
"""

SAVES = """
import sys
import covalent as ct
from covalent_parallel_plugin import GCPBatchExecutor

@ct.electron(executor=GCPBatchExecutor(checkpoint=True, cache=len(sys.argv) > 1, time_limit=8, retries=0))
def saves():
    import os, time
    from pathlib import Path
    path = Path(os.environ["COVALENT_PARALLEL_CHECKPOINT"], "state")
    if path.exists():
        return path.read_text()
    path.write_text("half")
    time.sleep(60)

print(ct.dispatch(ct.lattice(lambda: saves()))())
"""

STATES = """
import covalent as ct, json, sys
from covalent_parallel_plugin import wait
result = ct.get_result(sys.argv[1])
try:
    wait(sys.argv[1])
except Exception as error:
    print(json.dumps([str(result.status), result.result, str(error), result.error]))
else:
    print(json.dumps([str(result.status), result.result, "", result.error]))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site")) as running:
        yield running


def command(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env=site.server.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )


def client(site: Site, source: str, *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source, *arguments],
        env=site.server.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=True,
    )
    return ended.stdout.splitlines()[-1]


@pytest.mark.parametrize(("seed", "kills"), [(3, 1), (11, 2)])
def test_a_workflow_whose_server_is_killed_ends_with_its_value_and_no_electron_runs_twice(
    site: Site, tmp_path: Path, seed: int, kills: int
) -> None:
    ended = run_resumed(site, tmp_path / "marks", random_kills(seed, kills))
    assert ended.wrong == []
    assert all("New dispatch" in said for said in ended.said)


def test_a_dispatch_with_sublattices_is_resumed_whole_and_only_once(site: Site, tmp_path: Path) -> None:
    dispatch_id = client(site, SUBLATTICES, str(tmp_path))
    until(lambda: sorted(begun(tmp_path)) == sorted(MARKS), "not all have begun")

    def completed() -> list[str]:
        return [each.name for each in site.client.electrons(dispatch_id).values() if each.status == "COMPLETED"]

    until(lambda: ":sublattice:done" in completed(), "the first sublattice has not ended")

    refused = command(site, "resume", dispatch_id, "--yes")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "the server's own process runs it" in refused.stderr

    jobs = site.jobs()
    site.kill()
    # What would be done, is not done without a terminal
    counts = f"dispatch {dispatch_id}: 2 electrons completed, 2 in flight (2 RUNNING), 1 to run."
    asked = command(site, "resume", dispatch_id)
    assert asked.returncode == 0 and counts in asked.stdout and "Nothing was done. With --yes" in asked.stdout
    listed = json.loads(command(site, "resume", "--all", "--json").stdout)["dispatches"]
    assert [(each["dispatch"], each["in_flight"], each["resumed"]) for each in listed] == [
        (dispatch_id, {"RUNNING": 2}, False)
    ]
    electrons = site.client.electrons(dispatch_id).values()
    inner = next(each.sub_dispatch_id for each in electrons if each.name == ":sublattice:waiting")
    assert f"resume the whole, dispatch {dispatch_id}" in command(site, "resume", inner, "--yes").stderr

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: command(site, "resume", dispatch_id, "--yes"), range(2)))
    assert [each.returncode for each in both] == [0, 0], [each.stderr for each in both]
    record = site.client.dispatch(dispatch_id)
    assert record is not None and record.state == "FAILED"
    new_id = record.resumed_as
    said = sorted(each.stdout.strip() for each in both)
    assert said[0].startswith(f"dispatch {dispatch_id}: 2 electrons") and said[0].endswith(f"New dispatch {new_id}.")
    assert f"was already resumed as dispatch {new_id}" in said[1] or said[1] == said[0]

    watched = command(site, "watch", new_id, "--once").stdout
    assert watched.count("RUNNING") >= 2, watched
    until(lambda: "plain has begun" in command(site, "logs", new_id, "step").stdout, "logs do not have what it printed")

    assert f"what dispatch {new_id} has taken up" in command(site, "clean", "--dispatch", dispatch_id, "--yes").stdout

    (tmp_path / "go").touch()
    assert site.value_of(new_id) == str(VALUE)
    assert Counter(begun(tmp_path)) == Counter(MARKS)
    # That of the sum is the only new one
    assert len(site.jobs() - jobs) == 1
    state, _, error, _ = json.loads(client(site, STATES, dispatch_id))
    assert state == "FAILED" and new_id in error
    state, value, error, noted = json.loads(client(site, STATES, new_id))
    assert (state, value, error, noted or "") == ("COMPLETED", VALUE, "", "")
    assert [each.status for each in site.client.electrons(new_id).values()] == ["COMPLETED"] * len(record.electrons)

    again = command(site, "resume", dispatch_id, "--yes")
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == f"dispatch {dispatch_id} was already resumed as dispatch {new_id} (COMPLETED).\n"
    assert "completed: there is nothing to resume" in command(site, "resume", new_id, "--yes").stdout
    assert command(site, "resume", "--all", "--yes").stdout == "No dispatch is RUNNING whose server died.\n"
    until(lambda: "0 unfinished jobs, 0 objects" in command(site, "clean", "--dispatch", dispatch_id).stdout, "left")


def test_a_dispatch_that_failed_is_resumed_from_what_completed_and_keeps_its_own_error(
    site: Site, tmp_path: Path
) -> None:
    dispatch_id = client(site, FAILS, str(tmp_path))
    assert site.value_of(dispatch_id) == "FAILED"
    (tmp_path / "data").write_text("41")
    resumed = command(site, "resume", dispatch_id, "--yes", "--json")
    (found,) = json.loads(resumed.stdout)["dispatches"]
    assert (found["state"], found["completed"], found["resumed"]) == ("FAILED", 1, True)
    assert site.value_of(found["new_dispatch"]) == "42"
    assert begun(tmp_path) == ["fine"]
    _, _, error, _ = json.loads(client(site, STATES, dispatch_id))
    assert "No such file or directory" in error
    state, _, error, noted = json.loads(client(site, STATES, found["new_dispatch"]))
    assert (state, error, noted or "") == ("COMPLETED", "", "")


@pytest.mark.parametrize("arguments", [(), ("cache",)])
def test_an_electron_that_runs_again_continues_from_the_checkpoint_of_the_dispatch_before(
    site: Site, arguments: tuple[str, ...]
) -> None:
    dispatch_id = client(site, SAVES, *arguments)
    assert site.value_of(dispatch_id) == "FAILED"
    error = json.loads(client(site, STATES, dispatch_id))[2]
    assert f"`covalent-parallel resume {dispatch_id}` runs the electron again from there" in error
    assert "Its checkpoint of 20" in error and "/checkpoint-0-0-" in error
    resumed = command(site, "resume", dispatch_id, "--yes")
    assert resumed.returncode == 0, resumed.stderr
    new_id = resumed.stdout.split("New dispatch ")[1].split(".")[0]
    assert site.value_of(new_id) == "half"
    for each in (dispatch_id, new_id):
        until(lambda: "0 unfinished jobs, 0 objects" in command(site, "clean", "--dispatch", each).stdout, "left")  # noqa: B023


def test_a_resumed_dispatch_that_is_cancelled_at_once_leaves_no_job_of_the_first(site: Site, tmp_path: Path) -> None:
    dispatch_id = client(site, SUBLATTICES, str(tmp_path))
    until(lambda: sorted(begun(tmp_path)) == sorted(MARKS), "not all have begun")
    site.kill()
    assert command(site, "resume", dispatch_id, "--yes").returncode == 0
    record = site.client.dispatch(dispatch_id)
    assert record is not None
    client(site, "import covalent as ct, sys; ct.cancel(sys.argv[1]); print()", record.resumed_as)
    for each in (dispatch_id, record.resumed_as):
        until(lambda each=each: "0 unfinished jobs" in command(site, "clean", "--dispatch", each).stdout, "jobs run on")
    assert Counter(begun(tmp_path)) == Counter(MARKS)


def test_the_old_dispatch_can_neither_take_the_jobs_back_nor_stay_running(site: Site, tmp_path: Path) -> None:
    dispatch_id = client(site, ONE, str(tmp_path))
    until(lambda: begun(tmp_path) == ["one"], "it has not begun")
    site.kill()
    assert command(site, "resume", dispatch_id, "--yes").returncode == 0
    record = site.client.dispatch(dispatch_id)
    assert record is not None and record.state == "FAILED"
    new_id = record.resumed_as

    client(site, "import covalent as ct, sys; ct.cancel(sys.argv[1]); print()", dispatch_id)
    refusal = f"dispatch {dispatch_id} was resumed as dispatch {new_id}"
    until(lambda: refusal in site.server.log_path.read_text(), "the old dispatch was cancelled, and its jobs with it")
    (tmp_path / "go").touch()
    assert site.value_of(new_id) == "1"
    assert begun(tmp_path) == ["one"]

    # As where the server died after it had begun the new one, and before it had ended the old one
    (database,) = site.folder.rglob("*.sqlite")
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE lattices SET status = 'RUNNING' WHERE dispatch_id = ?", [dispatch_id])
    connection.close()
    site.kill()
    said = command(site, "resume", "--all")
    assert f"dispatch {dispatch_id} was already resumed as dispatch {new_id} (COMPLETED)." in said.stdout, said.stderr
    assert site.client.dispatch_state(dispatch_id) == "FAILED"
    assert site.client.dispatch_state(new_id) == "COMPLETED"


def test_what_is_not_there_or_does_not_answer_is_said(site: Site) -> None:
    near = command(site, "resume", "3fcbc347-b19c-4411-97e7-8d04ecf661a3", "--yes")
    assert near.returncode == 1 and "knows no dispatch 3fcbc347" in near.stderr
    assert command(site, "resume").returncode == command(site, "resume", "x/y").returncode == 2
    elsewhere = dict(site.server.environment, COVALENT_CONFIG_DIR=str(site.folder / "none"))
    ended = subprocess.run(
        [*COMMAND, "resume", "3fcbc347-b19c-4411-97e7-8d04ecf661a3"],
        env=elsewhere | {"COVALENT_DISPATCHER_PORT": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert ended.returncode == 1 and "cannot be asked" in ended.stderr
