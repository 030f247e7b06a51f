"""`covalent-parallel clean` on the emulator: shows first, and touches nothing that is not this package's own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from click.testing import CliRunner, Result
from google.cloud import batch_v1

from covalent_parallel_plugin.batch.job_names import (
    LABEL_CALL,
    LABEL_DISPATCH,
    LABEL_NODE,
    LABEL_OWNER,
    OWNER,
    job_id_for,
    label_value,
    retry_suffix,
)
from covalent_parallel_plugin.batch.leftovers import Leftovers, delete_leftovers, find_leftovers
from covalent_parallel_plugin.cli import main
from covalent_parallel_plugin.cloud import Services
from covalent_parallel_plugin.cloud.batch import BatchApi, connect
from covalent_parallel_plugin.cloud.logging import LogReader
from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.emulator import Emulator, ProcessRuntime

T = TypeVar("T")
PARENT = "projects/local/locations/us-east1"
BUCKET = "cleaning"
HOUR = 3600.0


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    """One of its own: what other tests leave would be found here."""
    with Emulator(runtime=ProcessRuntime(site_packages=True), buckets=(BUCKET,)) as running:
        yield running


@dataclass
class Place:
    """A project's jobs and a bucket's objects."""

    emulator: Emulator
    store: ObjectStore
    jobs: list[str] = field(default_factory=list)

    def ask(self, question: Callable[[Services], Awaitable[T]]) -> T:
        async def asked() -> T:
            batch = BatchApi(connect(self.emulator.environment["BATCH_EMULATOR_HOST"]))
            try:
                return await question(Services(batch, self.store, LogReader("local")))
            finally:
                await batch.close()

        return asyncio.run(asked())

    def job(
        self,
        dispatch_id: str,
        node: int = 0,
        call_id: str = "0123456789abcdef",
        name: str = "",
        script: str = "sleep 60",
        **labels: str,
    ) -> str:
        """Make a job like this package's own; returns its name."""
        own = {
            LABEL_OWNER: OWNER,
            LABEL_DISPATCH: label_value(dispatch_id),
            LABEL_NODE: str(node),
            LABEL_CALL: call_id,
        }
        runnable = batch_v1.Runnable(script=batch_v1.Runnable.Script(text=script))
        group = batch_v1.TaskGroup(task_spec=batch_v1.TaskSpec(runnables=[runnable]))
        job = batch_v1.Job(task_groups=[group], labels={key: text for key, text in (own | labels).items() if text})
        job_id = name or job_id_for(dispatch_id, node)
        made = self.ask(lambda services: services.batch.create(PARENT, job, job_id, str(uuid.uuid4())))
        self.jobs.append(made.name)
        return made.name

    def object(self, name: str) -> str:
        self.store.put(name, b"seven b")
        return name

    def state(self, job_name: str) -> str | None:
        job = self.ask(lambda services: services.batch.get(job_name))
        return job.state if job is not None else None

    def found(self, dispatch_id: str | None = None, older_than: float = -HOUR, now: float | None = None) -> Leftovers:
        moment = time.time() if now is None else now
        return self.ask(lambda services: find_leftovers(services, PARENT, older_than, moment, dispatch_id))

    @property
    def objects(self) -> set[str]:
        return set(self.store.names(""))


@pytest.fixture
def place(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    for name, address in emulator.environment.items():
        monkeypatch.setenv(name, address)
    here = Place(emulator, ObjectStore.shared("local", BUCKET))
    yield here
    for name in here.objects:
        here.store.delete(name)
    for job in here.jobs:
        here.ask(lambda services, job=job: services.batch.delete(job))  # type: ignore[misc]
    # The next test uses the same names.
    for job in here.jobs:
        for _ in range(600):
            if here.state(job) is None:
                break
            time.sleep(0.1)


def command(*arguments: str) -> Result:
    place = ["--project-id", "local", "--region", "us-east1", "--bucket-name", BUCKET]
    return CliRunner().invoke(main, ["clean", *place, *arguments])


def names(found: Leftovers) -> tuple[set[str], set[str]]:
    return {job.name for job in found.jobs}, {stored.name for stored in found.objects}


CALL = "covalent-parallel/d1/0/0123456789abcdef"


def test_nothing_is_touched_without_yes(place: Place) -> None:
    job, stored = place.job("d1"), place.object(f"{CALL}/call")
    result = command("--older-than", "0s")
    assert result.exit_code == 0
    for part in (job, f"gs://{BUCKET}/{stored}", "1 unfinished jobs, 1 objects of 7 bytes", "Nothing was touched"):
        assert part in result.output
    assert place.state(job) in ("QUEUED", "SCHEDULED", "RUNNING")
    assert place.objects == {stored}


def test_with_yes_it_is_shown_and_then_removed(place: Place) -> None:
    job = place.job("d1")
    for name in ("call", "outcome-0", "attempt-0/partial-0", "attempt-12/partial-3", "stdout-0.txt", "stderr-0.txt"):
        place.object(f"{CALL}/{name}")
    # a map's
    for name in ("items-0-0", "items-12-3", "round-1/outcome-0", "round-11/items-4-7", "round-1/attempt-0/partial-2",
        "live/0-0-0-0", "live/12-1-7-300.4", "round-1/live/2-0-0-5", "follow",
    ):  # fmt: skip
        place.object(f"{CALL}/{name}")
    for name in ("round-2/stdout-0.txt", "round-2/stderr-11.txt"):
        place.object(f"{CALL}/{name}")
    result = command("--older-than", "0s", "--yes")
    assert result.exit_code == 0, result.output
    assert result.output.index(job) < result.output.index("The jobs are cancelled and the objects deleted")
    assert place.state(job) == "CANCELLED"
    assert place.objects == set()


def test_without_an_age_everything_is_listed_with_its_own(place: Place) -> None:
    job = place.job("d1")
    stored = [place.object(f"{CALL}/outcome-{number}") for number in range(30)]
    result = command()
    lines = {line.split()[-1]: line for line in result.output.splitlines()}
    assert result.exit_code == 0
    for name in (job, *(f"gs://{BUCKET}/{name}" for name in stored)):
        assert re.search(r" ([0-9]+ [mh] )?[0-9]+ [sm]  ", lines[name]), lines[name]
    assert "1 unfinished jobs, 30 objects of 210 bytes" in result.output
    assert "With --yes and --older-than" in result.output


def test_json_is_one_document_of_what_is_there_and_of_what_was_removed(place: Place) -> None:
    job, stored = place.job("d1"), place.object(f"{CALL}/call")
    place.object("covalent-sweeps/pi/0123456789ab/content/x")
    common = {"version": 1, "project": "local", "region": "us-east1", "bucket": BUCKET, "problems": []}
    for words, dispatch, age, is_removed in (
        ((), None, None, False),
        (("--older-than", "0s", "--dispatch", "d1", "--yes"), "d1", 0.0, True),
    ):
        result = command("--json", *words)
        assert result.exit_code == 0, result.output
        found = json.loads(result.stdout)
        assert found.items() >= common.items()
        assert (found["dispatch"], found["older_than_seconds"], found["removed"]) == (dispatch, age, is_removed)
        assert [found_job["name"] for found_job in found["jobs"]] == [job]
        assert [(each["name"], each["size_bytes"]) for each in found["objects"]] == [(f"gs://{BUCKET}/{stored}", 7)]
        (sweep,) = found["sweeps"]
        assert (sweep["name"], sweep["objects"], sweep["size_bytes"]) == ("pi", 1, 7)
        assert all(0 <= each["age_seconds"] < HOUR for each in (*found["jobs"], *found["objects"], sweep))
    assert stored not in place.objects
    nothing = json.loads(command("--json", "--dispatch", "d1").stdout)
    assert (nothing["jobs"], nothing["objects"], nothing["removed"]) == ([], [], False)


def test_removal_asks_for_an_age_or_a_dispatch(place: Place) -> None:
    job, stored = place.job("d1"), place.object(f"{CALL}/call")
    result = command("--yes")
    assert result.exit_code == 2
    assert "with --yes give --older-than, such as --older-than 24h, or --dispatch" in result.output
    assert (place.state(job) == "CANCELLED", place.objects) == (False, {stored})


def test_one_dispatch_is_removed_whatever_its_age(place: Place) -> None:
    job, other = place.job("d1"), place.object("covalent-parallel/d2/0/1111111111111111/call")
    place.object(f"{CALL}/call")
    result = command("--yes", "--dispatch", "d1")
    assert result.exit_code == 0, result.output
    assert (place.state(job), place.objects) == ("CANCELLED", {other})


def test_where_nothing_is_left_that_is_said(place: Place) -> None:
    for arguments in ([], ["--older-than", "24h", "--yes"], ["--dispatch", "d1", "--yes"]):
        result = command(*arguments)
        assert (result.exit_code, result.output) == (0, "0 unfinished jobs, 0 objects of 0 bytes\n")


def test_what_is_younger_than_asked_stays(place: Place) -> None:
    job, stored = place.job("d1"), place.object(f"{CALL}/call")
    result = command("--older-than", "24h", "--yes")
    assert result.output == "0 unfinished jobs, 0 objects of 0 bytes\n"
    assert place.state(job) != "CANCELLED"
    assert place.objects == {stored}


def test_age_is_counted_for_each_job_and_object(place: Place) -> None:
    old = place.job("d1"), place.object(f"{CALL}/call")
    time.sleep(0.3)
    moment = time.time()
    time.sleep(0.3)
    place.job("d2", call_id="1" * 16)
    place.object("covalent-parallel/d2/0/1111111111111111/call")
    assert names(place.found(older_than=HOUR, now=moment + HOUR)) == ({old[0]}, {old[1]})


OTHER_JOBS: list[dict[str, str]] = [
    {LABEL_OWNER: ""},
    {LABEL_OWNER: "covalent"},
    {LABEL_OWNER: "covalent-parallel-2"},
    {
        LABEL_OWNER: "",
        LABEL_DISPATCH: "",
        LABEL_NODE: "",
        LABEL_CALL: "",
    },
    {LABEL_OWNER: "", "plugin": OWNER},
]


@pytest.mark.parametrize("labels", OTHER_JOBS)
@pytest.mark.parametrize("dispatch_id", [None, "d1"])
def test_jobs_of_other_programs_are_not_touched(place: Place, labels: dict[str, str], dispatch_id: str | None) -> None:
    place.job("d1", **labels)
    assert place.found(dispatch_id).jobs == []


def test_a_job_that_has_ended_is_not_touched(place: Place) -> None:
    job = place.job("d1", script="exit 0")
    for _ in range(600):
        if place.state(job) == "SUCCEEDED":
            break
        time.sleep(0.1)
    assert place.state(job) == "SUCCEEDED"
    assert place.found().jobs == []


OTHER_OBJECTS = [
    "data.csv",
    "covalent-parallel",
    "covalent-parallel/call",
    "covalent-parallel/README.md",
    "covalent-parallel-runner/0.1.0-0123456789abcdef.zip",
    "covalent-parallel/runner/0/0123456789abcdef/0.1.0.zip",
    "covalent-parallel-2/d1/0/0123456789abcdef/call",
    "covalent/d1/0/0123456789abcdef/call",
    "backup/covalent-parallel/d1/0/0123456789abcdef/call",
    "covalent-parallel/d1/0/0123456789abcdef",
    "covalent-parallel/d1/0/0123456789abcdef/",
    "covalent-parallel/d1/0/0123456789abcdef/call/more",
    "covalent-parallel/d1/0/0123456789abcdef/call.bak",
    "covalent-parallel/d1/0/0123456789abcdef/notes.txt",
    "covalent-parallel/d1/0/0123456789abcdef/outcome-",
    "covalent-parallel/d1/0/0123456789abcdef/attempt-0/x",
    "covalent-parallel/d1/0/0123456789ABCDEF/call",
    "covalent-parallel/d1/0/0123/call",
    "covalent-parallel/d1/x/0123456789abcdef/call",
    "covalent-parallel/d1/--0/0123456789abcdef/call",
    "covalent-parallel/d1/\u00b2/0123456789abcdef/call",
    "covalent-parallel/../0/0123456789abcdef/call",
    "covalent-parallel/d 1/0/0123456789abcdef/call",
    "covalent-parallel//0/0123456789abcdef/call",
]


@pytest.mark.parametrize("dispatch_id", [None, "d1", "runner"])
def test_other_objects_are_not_touched_however_much_they_look_alike(place: Place, dispatch_id: str | None) -> None:
    for name in OTHER_OBJECTS:
        place.object(name)
    assert names(place.found(dispatch_id)) == (set(), set())


def test_the_removal_of_a_call_leaves_what_others_put_beside_it(place: Place) -> None:
    place.job("d1")
    place.object(f"{CALL}/call")
    others = {place.object(name) for name in OTHER_OBJECTS}
    assert command("--older-than", "0s", "--yes").exit_code == 0
    assert place.objects == others


def test_one_dispatch_is_cleaned_and_the_others_stay(place: Place) -> None:
    mine = place.job("d1"), place.object(f"{CALL}/call")
    others = [
        (place.job(other, call_id=f"{number:016x}"), place.object(f"covalent-parallel/{other}/0/{number:016x}/call"))
        for number, other in enumerate(["d2", "d12", "d", "D1", "d1-0"], start=1)
    ]
    assert names(place.found("d1")) == ({mine[0]}, {mine[1]})
    result = command("--older-than", "0s", "--yes", "--dispatch", "d1")
    assert result.exit_code == 0, result.output
    assert place.state(mine[0]) == "CANCELLED"
    assert all(place.state(job) != "CANCELLED" for job, _ in others)
    assert place.objects == {stored for _, stored in others}
    assert len(place.found().jobs) == len(others)


def test_jobs_under_a_name_of_the_calls_own_belong_to_the_dispatch_too(place: Place) -> None:
    call_id = "0123456789abcdef"
    made = {
        place.job("d1", name=job_id_for("d1", 0, retry_suffix(call_id, jobs)), call_id=call_id) for jobs in (1, 2, 12)
    }
    assert {job.name for job in place.found("d1").jobs} == made


def test_a_call_whose_second_job_is_younger_is_left_alone(place: Place) -> None:
    """As with `spot_fallback`: the call was staged days ago, and is still needed."""
    place.object(f"{CALL}/call")
    time.sleep(0.3)
    moment = time.time()
    time.sleep(0.3)
    place.job("d1")
    assert names(place.found(older_than=0, now=moment)) == (set(), set())


def test_what_a_cancelled_task_writes_at_its_end_is_removed_too(place: Place) -> None:
    stored = place.object(f"{CALL}/call")
    added = f"{CALL}/attempt-0/partial-0"
    address = place.emulator.environment["STORAGE_EMULATOR_HOST"]
    upload = f"{address}/upload/storage/v1/b/{BUCKET}/o?uploadType=media&name={added.replace('/', '%2F')}"
    script = (
        'exec python3 -c "import signal, sys, time, urllib.request as r\n'
        f"def end(*_): time.sleep(0.5); r.urlopen(r.Request('{upload}', b'so far', method='POST')); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, end); print('ready', flush=True); time.sleep(60)\""
    )
    job = place.job("d1", script=script)
    for _ in range(600):
        if place.state(job) == "RUNNING":
            break
        time.sleep(0.1)
    time.sleep(1)
    left = place.found()
    assert names(left) == ({job}, {stored})
    assert place.ask(lambda services: delete_leftovers(services, left)) == []
    assert place.objects == set()
    time.sleep(1)
    assert place.objects == set()


HOSTILE = [
    "../x",
    "a/b",
    "",
    " ",
    "a b",
    "*",
    "d1/",
    "/",
    "..",
    "-a",
    "a\n",
    'a" OR labels."x"="y',
    "\u00e4",
    "a" * 101,
]


@pytest.mark.parametrize("dispatch_id", HOSTILE)
def test_an_id_that_no_dispatch_has_is_refused(place: Place, dispatch_id: str) -> None:
    job, stored = place.job("d1"), place.object(f"{CALL}/call")
    result = command("--older-than", "0s", "--yes", f"--dispatch={dispatch_id}")
    assert result.exit_code == 2
    assert "is not a valid dispatch id" in result.output
    assert place.state(job) != "CANCELLED"
    assert place.objects == {stored}


@pytest.mark.parametrize("age", ["24", "h", "-1h", "1w", "", "1e3s", "nan", "inf", "1 h", "infs"])
def test_an_age_that_cannot_be_read_is_a_usage_error(age: str) -> None:
    result = command(f"--older-than={age}")
    assert result.exit_code == 2
    assert "use a form such as 90s, 15m, 24h or 7d" in result.output


def test_options_that_are_wrong_are_told_together(on_no_service: None) -> None:
    result = CliRunner().invoke(main, ["clean", "--project-id", "My Project", "--bucket-name", "gs://x"])
    assert result.exit_code == 2
    assert "2 options need attention" in result.output


@pytest.fixture
def on_no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORAGE_EMULATOR_HOST", "BATCH_EMULATOR_HOST", "LOGGING_EMULATOR_HOST"):
        monkeypatch.setenv(name, "127.0.0.1:1" if "STORAGE" not in name else "http://127.0.0.1:1")


def test_a_bucket_that_is_not_there_is_told(place: Place) -> None:
    arguments = ["clean", "--project-id", "local", "--bucket-name", "no-such-bucket"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "the bucket 'no-such-bucket' does not exist" in result.output


def test_what_could_not_be_removed_is_told_and_the_rest_is_removed(place: Place) -> None:
    from covalent_parallel_plugin.emulator import Fault, Faults

    stubborn, other = place.object(f"{CALL}/call"), place.object(f"{CALL}/outcome-0")
    place.emulator.faults.set(Faults((Fault("storage.error", request="writes", object="*/call", code=403),)))
    try:
        result = command("--older-than", "0s", "--yes")
    finally:
        place.emulator.faults.set(Faults())
    assert result.exit_code == 1
    assert f"gs://{BUCKET}/{stubborn} is still there" in result.output
    assert f"{other} is still there" not in result.output
    assert "The jobs are cancelled and the objects deleted" not in result.output
    assert place.objects == {stubborn}, other


def test_a_bucket_that_is_not_given_is_asked_for_by_this_commands_own_option(tmp_path: Path) -> None:
    code = "from covalent_parallel_plugin.cli import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", code, "clean", "--project-id", "local"],
        env=os.environ | {"COVALENT_CONFIG_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    assert "give --bucket-name or set it under [executors.gcpbatch]" in ended.stderr


SWEEP = "covalent-sweeps/pi/0123456789ab"


def test_sweeps_are_listed_apart_and_never_removed(place: Place) -> None:
    call = place.object(f"{CALL}/call")
    names = ("round-0/setup", "round-0/output/0000000-ff/a/b", "content/x")
    sweep = [place.object(f"{SWEEP}/{name}") for name in names]
    shown = command()
    line = f"gs://{BUCKET}/{SWEEP}  3 objects of 21 bytes; `covalent-parallel sweep clean pi` removes it"
    assert line in shown.output and "0 unfinished jobs, 1 objects of 7 bytes" in shown.output
    cleaned = command("--older-than", "0s", "--yes")
    assert cleaned.exit_code == 0 and line in cleaned.output
    assert place.objects == {*sweep} and call not in place.objects


def test_a_bucket_with_nothing_but_sweeps_has_nothing_to_clean(place: Place) -> None:
    stored = place.object(f"{SWEEP}/round-0/setup")
    result = command("--older-than", "0s", "--yes")
    assert (result.exit_code, result.output.splitlines()[0]) == (0, "0 unfinished jobs, 0 objects of 0 bytes")
    assert place.objects == {stored}


def test_the_job_of_a_sweep_is_left_alone(place: Place) -> None:
    job = place.job("d1", name="covalent-sweep-pi-0123456789ab-0", **{"covalent-sweep": "pi"})
    result = command("--older-than", "0s", "--yes")
    assert result.exit_code == 0 and job not in result.output
    assert place.state(job) in ("QUEUED", "SCHEDULED", "RUNNING")
