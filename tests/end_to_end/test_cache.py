"""The option `cache`: values that come from the bucket, jobs that are shared, and objects that do not count."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import re
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from click.testing import CliRunner
from covalent._shared_files.exceptions import TaskCancelledError, TaskRuntimeError

from covalent_parallel_plugin.batch.trace import read_trace
from covalent_parallel_plugin.cli import main
from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.covalent_api.secret_file import secret_path, server_secret
from covalent_parallel_plugin.electron.cache.entry import KIND, CacheEntry
from covalent_parallel_plugin.electron.cache.stored_value import read_record
from covalent_parallel_plugin.emulator import Emulator, ProcessRuntime
from covalent_parallel_plugin.gcpbatch import GCPBatchExecutor
from covalent_parallel_plugin.pmap.decorator import _electron_function
from covalent_parallel_plugin.protocol.envelope import OUTCOME, VALUE, seal_envelope
from covalent_parallel_plugin.protocol.identity import TaskAddress
from covalent_parallel_plugin.protocol.object_names import CACHE_PREFIX, cache_key_of, parse_name

pytestmark = pytest.mark.usefixtures("services")

WAIT_SECONDS = 180.0

# This module is not there where they run
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def double(number: int, marks: str, version: str) -> int:
    Path(marks, uuid.uuid4().hex).touch()
    print(f"doubles {number}")
    return 2 * number


def double_once_told(number: int, marks: str, version: str) -> int:
    Path(marks, uuid.uuid4().hex).touch()
    until = time.monotonic() + 180.0
    while not Path(marks, "go").exists() and time.monotonic() < until:
        time.sleep(0.02)
    return 2 * number


def fail(number: int, marks: str, version: str) -> int:
    Path(marks, uuid.uuid4().hex).touch()
    raise ValueError(f"no double of {number}")


def raise_once(number: int, marks: str) -> int:
    """Wait until the second map waits, then let item 1 of the first map alone raise."""
    Path(marks, uuid.uuid4().hex).touch()
    until = time.monotonic() + 180
    while not Path(marks, "go").exists() and time.monotonic() < until:
        time.sleep(0.02)
    if number == 1 and not Path(marks, "raised").exists():
        Path(marks, "raised").touch()
        raise ValueError("in the first map only")
    return number


def is_there(path: Path) -> bool:
    until = time.monotonic() + WAIT_SECONDS
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.02)
    return path.exists()


class Runs:
    """Runs electrons with `cache`, each one in a dispatch of its own; those of a test are equal to no other test's."""

    def __init__(self, emulator: Emulator, folder: Path, traces: Path):
        self.version = uuid.uuid4().hex
        self.store = ObjectStore.shared("local", "covalent")
        self.marks = folder / "marks"
        self.marks.mkdir()
        self._emulator, self._folder, self._traces = emulator, folder, traces
        self.stdout = self.stderr = self.dispatch_id = ""

    def executor(self, **options: Any) -> GCPBatchExecutor:
        common = {"project_id": "local", "bucket_name": "covalent", "poll_freq": 0.1, "retries": 0, "cache": True}
        executor = GCPBatchExecutor(**{**common, "cache_dir": str(self._folder / "cache"), **options})
        executor._task_stdout, executor._task_stderr = io.StringIO(), io.StringIO()
        return executor

    async def begin(self, function: Callable[..., Any], number: int, dispatch_id: str = "", **options: Any) -> int:
        executor = self.executor(**options)
        self.dispatch_id = dispatch_id or str(uuid.uuid4())
        task = {"dispatch_id": self.dispatch_id, "node_id": 1, "results_dir": "/nowhere"}
        try:
            result = await executor.run(function, [number, str(self.marks), self.version], {}, task)
        finally:
            self.stdout, self.stderr = executor.task_stdout.getvalue(), executor.task_stderr.getvalue()
        value: int = result.get_deserialized()
        return value

    def run(self, function: Callable[..., Any] = double, number: int = 21, **options: Any) -> int:
        return asyncio.run(self.begin(function, number, **options))

    def requests(self, function: Callable[..., Any] = double, number: int = 21, **options: Any) -> Counter[str]:
        before = self._counts()
        # On a busy machine an electron may run for so long that some of its output comes before its end.
        self.run(function, number, live_output=False, **options)
        return self._counts() - before

    def _counts(self) -> Counter[str]:
        return Counter({**self._emulator.request_counts, **self._emulator.rpc_counts})

    @property
    def count(self) -> int:
        """How often an electron ran."""
        return sum(len(path.name) == 32 for path in self.marks.iterdir())

    def await_count(self, count: int) -> None:
        until = time.monotonic() + WAIT_SECONDS
        while self.count < count:
            assert time.monotonic() < until
            time.sleep(0.02)

    def records(self, kind: str) -> list[dict[str, Any]]:
        found = read_trace(self._traces / f"{self.dispatch_id}.jsonl").records
        return [record for record in found if record["kind"] == kind]

    def names(self, before: Iterable[str] = ()) -> list[str]:
        """All in the cache but calls, which are deleted some seconds after their end."""
        there = {name for name in self.store.names(f"{CACHE_PREFIX}/") if not name.endswith("/call")}
        return sorted(there - set(before))

    def replace(self, name: str, data: bytes) -> None:
        self.store.delete(name)
        assert self.store.put(name, data)

    def bytes_of(self, name: str) -> bytes:
        target = io.BytesIO()
        assert self.store.get(name, target)
        return target.getvalue()


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    """One that nothing else sends requests to, since these are counted."""
    with Emulator(runtime=ProcessRuntime(site_packages=True)) as running:
        yield running


@pytest.fixture
def runs(services: Emulator, tmp_path: Path, traces_of_tests: Path) -> Runs:
    return Runs(services, tmp_path, traces_of_tests)


class Cached(Runs):
    """With one value of 42 in the cache, and the names of its record and outcome."""

    def fill(self) -> Cached:
        before = self.names()
        assert self.run() == 42
        self.record, self.outcome = sorted(self.names(before), key=lambda name: not name.endswith("/record"))
        return self

    @property
    def address(self) -> TaskAddress:
        name = parse_name(self.outcome)
        assert name is not None
        assert name.kind == "outcome"
        secret = server_secret(secret_path())
        return secret.identity_in_cache(cache_key_of(self.outcome), name.call_id).task()

    def forged(self, value: object) -> bytes:
        """An outcome as somebody makes it who has seen the job, and so has its key."""
        parts = {"value": cloudpickle.dumps(value)}
        header = {"kind": OUTCOME, "outcome": VALUE, "attempt": 0, "python": "3.11.7", "name": ""}
        prefix = seal_envelope(header, parts, self.address.key, self.address.binding(OUTCOME))
        return prefix + parts["value"]

    def entry(self) -> CacheEntry:
        """The entry, as only the server can make it."""
        data = self.bytes_of(self.record)
        structure = re.search(rb'"structure":"([0-9a-f]{64})"', data)
        assert structure is not None
        return CacheEntry(server_secret(secret_path()), structure[1].decode())


@pytest.fixture
def cached(services: Emulator, tmp_path: Path, traces_of_tests: Path) -> Cached:
    return Cached(services, tmp_path, traces_of_tests).fill()


def test_a_second_dispatch_has_the_value_and_the_output_of_the_first_without_a_job(runs: Runs) -> None:
    runs.requests(cache=False)
    plain = runs.requests(cache=False)
    missed = runs.requests()
    first = runs.dispatch_id
    assert (runs.count, runs.stderr) == (3, "")
    more = Counter(missed)
    more.subtract(plain)
    # The record is looked for (what is not found is looked for in a list, too) and written; the outcome stays.
    watching = {"GetJob", "ListJobs", "objects.list", "objects.delete"}
    assert {kind: count for kind, count in more.items() if count and kind not in watching} == {
        "objects.insert": 1,
        "objects.download": 1,
    }
    hit = runs.requests()
    # What the one before has left to be deleted later
    del hit["objects.delete"]
    assert hit == {"objects.download": 2}
    assert runs.count == 3
    assert runs.stdout == "doubles 21\n"
    assert re.fullmatch(
        rf"from the cache: made at 20\S+Z by node 1 of dispatch {first}, whose output this is\."
        r" To run it anyway: cache=False, or another cache_version\.\n",
        runs.stderr,
    )
    assert [(event["from_dispatch"], event["from_node"]) for event in runs.records("cached")] == [(first, 1)]
    assert [event["verdict"] for event in runs.records("ended")] == ["value"]


def test_what_decides_the_value_has_a_value_of_its_own_and_a_machine_does_not(cached: Cached) -> None:
    differing: list[dict[str, Any]] = [
        {"cache_version": "2"},
        {"environment": {"LEVEL": "2"}},
        {"container_image_uri": "python:3.11"},
        {"number": 22},
    ]
    for options in differing:
        count = cached.count
        cached.run(**options)
        assert cached.count == count + 1, options
        cached.run(**options)
        assert cached.count == count + 1, options
    count = cached.count
    assert cached.run(memory=1024, retries=3, time_limit=60, labels={"team": "a"}, live_output=False) == 42
    assert cached.count == count


def test_a_value_that_is_too_old_is_made_again_and_replaced(cached: Cached) -> None:
    made = read_record(cached.entry(), cached.store, "/tmp")
    assert made is not None
    before = cached.names()
    assert cached.run(cache=3600) == 42
    assert cached.count == 1
    assert cached.run(cache=0.001) == 42
    assert cached.count == 2
    now = read_record(cached.entry(), cached.store, "/tmp")
    assert now is not None
    assert (now.number, now.made_seconds > made.made_seconds) == (made.number + 1, True)
    assert cached.outcome not in cached.names()
    assert len(cached.names()) == len(before)
    assert cached.run() == 42
    assert cached.count == 2


def clean(runs: Runs, *arguments: str) -> Any:
    where = ("--project-id", "local", "--bucket-name", "covalent", "--json")
    done = CliRunner().invoke(main, ["clean", *arguments, *where])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_clean_lists_and_removes_what_is_in_the_cache_and_leaves_it_alone_otherwise(cached: Cached) -> None:
    folder = f"gs://covalent/{cached.record.removesuffix('record')}"
    plain = clean(cached)
    assert plain["cache"]["entries"] >= 1
    assert not any(CACHE_PREFIX in stored["name"] for stored in plain["objects"])
    entries = {entry["folder"]: entry for entry in clean(cached, "--cache")["entries"]}
    assert entries[folder]["removed"] is False
    assert entries[folder]["objects"] >= 2
    assert folder not in [
        entry["folder"] for entry in clean(cached, "--cache", "--older-than", "1h", "--yes")["entries"]
    ]
    assert cached.record in cached.names()
    call = f"{cached.record.removesuffix('record')}{'0' * 16}/call"
    cached.store.put(call, b"as of a job that runs")
    entries = {entry["folder"]: entry for entry in clean(cached, "--cache", "--yes")["entries"]}
    assert (entries[folder]["in_use"], entries[folder]["removed"]) == (True, False)
    clean(cached, "--cache", "--older-than", "0s", "--yes")
    assert {cached.record, cached.outcome, call}.isdisjoint(cached.store.names(f"{CACHE_PREFIX}/"))
    # The job's id is taken for 60 days, and its outcome is gone.
    assert cached.run() == 42
    assert cached.count == 2
    assert cached.run() == 42
    assert cached.count == 2


def test_failures_are_not_kept(runs: Runs) -> None:
    before = runs.names()
    for count in (1, 2, 3):
        with pytest.raises(TaskRuntimeError, match="no double of 21"):
            runs.run(fail)
        assert runs.count == count
        assert runs.names(before) == []


def replaced_outcome(cached: Cached) -> None:
    cached.replace(cached.outcome, cached.forged(666))


def truncated_outcome(cached: Cached) -> None:
    cached.replace(cached.outcome, cached.bytes_of(cached.outcome)[:-3])


def no_outcome(cached: Cached) -> None:
    cached.store.delete(cached.outcome)


def record_of_another_key(cached: Cached) -> None:
    before = cached.names()
    cached.run(number=333)
    (other,) = (name for name in cached.names(before) if name.endswith("/record"))
    cached.replace(cached.record, cached.bytes_of(other))


def record_sealed_with_the_jobs_key(cached: Cached) -> None:
    entry, forged = cached.entry(), cached.forged(666)
    record = read_record(entry, cached.store, "/tmp")
    assert record is not None
    fields = {**vars(record), "sha256": hashlib.sha256(forged).hexdigest(), "size": len(forged)}
    cached.replace(cached.outcome, forged)
    data = seal_envelope({"kind": KIND, **fields}, {}, cached.address.key, entry.record_binding)
    cached.replace(cached.record, data)


def truncated_record(cached: Cached) -> None:
    cached.replace(cached.record, cached.bytes_of(cached.record)[:-3])


def empty_record(cached: Cached) -> None:
    cached.replace(cached.record, b"")


def replaced_outcome_without_a_record(cached: Cached) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while time.time() < cached_at(cached) + 3.0:  # later than any clock of Batch's may say that the job ended
        assert time.monotonic() < until
        time.sleep(0.1)
    cached.store.delete(cached.record)
    cached.replace(cached.outcome, cached.forged(666))


def cached_at(cached: Cached) -> float:
    return next(stored.created_seconds for stored in cached.store.list(cached.record))


@pytest.mark.parametrize(
    "attack",
    [
        replaced_outcome,
        truncated_outcome,
        no_outcome,
        record_of_another_key,
        record_sealed_with_the_jobs_key,
        truncated_record,
        empty_record,
        replaced_outcome_without_a_record,
    ],
)
def test_what_the_server_did_not_record_is_never_taken_and_the_cache_is_right_again(
    cached: Cached, attack: Callable[[Cached], None]
) -> None:
    attack(cached)
    count = cached.count
    assert cached.run() == 42
    assert cached.count == count + 1
    assert cached.run() == 42
    assert cached.count == count + 1
    assert cached.stderr.startswith("from the cache: ")


def test_a_value_that_a_killed_server_did_not_come_to_record_is_taken_from_its_job(cached: Cached) -> None:
    cached.store.delete(cached.record)
    first = cached.dispatch_id
    assert cached.run() == 42
    assert cached.count == 1
    assert f"of dispatch {first}, whose output this is" in cached.stderr
    assert cached.record in cached.names()


def test_equal_electrons_of_one_server_share_a_job_and_the_cancelled_one_leaves_it_to_the_others(runs: Runs) -> None:
    ids = [str(uuid.uuid4()) for _ in range(3)]

    async def share() -> list[Any]:
        tasks = [asyncio.ensure_future(runs.begin(double_once_told, 4, dispatch_id)) for dispatch_id in ids]
        await asyncio.to_thread(runs.await_count, 1)
        await runs.executor().cancel({"dispatch_id": ids[0], "node_id": 1}, None)
        with pytest.raises(TaskCancelledError):
            await tasks[0]
        (runs.marks / "go").touch()
        return list(await asyncio.gather(*tasks[1:]))

    assert asyncio.run(share()) == [8, 8]
    assert runs.count == 1


def test_once_all_that_share_a_job_are_cancelled_it_is_cancelled(runs: Runs) -> None:
    ids, before = [str(uuid.uuid4()) for _ in range(2)], runs.names()

    async def share() -> list[Any]:
        tasks = [asyncio.ensure_future(runs.begin(double_once_told, 4, dispatch_id)) for dispatch_id in ids]
        await asyncio.to_thread(runs.await_count, 1)
        for dispatch_id in ids:
            await runs.executor().cancel({"dispatch_id": dispatch_id, "node_id": 1}, None)
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    assert [type(ended) for ended in asyncio.run(share())] == [TaskCancelledError] * 2
    assert runs.names(before) == []
    (runs.marks / "go").touch()
    assert runs.run(double_once_told, 4) == 8
    assert runs.count == 2


def test_equal_electrons_that_share_a_job_which_fails_have_each_their_own_failure(runs: Runs) -> None:
    async def share() -> list[Any]:
        runs_at_once = (runs.begin(fail, 4, str(uuid.uuid4())) for _ in range(3))
        return list(await asyncio.gather(*runs_at_once, return_exceptions=True))

    assert [type(ended) for ended in asyncio.run(share())] == [TaskRuntimeError] * 3
    assert runs.count == 3


def test_a_list_with_errors_is_not_what_an_equal_map_gets_that_waits(runs: Runs) -> None:
    mapped = _electron_function(raise_once, True)

    async def run(memory: int) -> list[Any]:
        task = {"dispatch_id": str(uuid.uuid4()), "node_id": 1, "results_dir": "/nowhere"}
        arguments = [[0, 1, 2]], {"marks": str(runs.marks)}
        values: list[Any] = (await runs.executor(memory=memory).run(mapped, *arguments, task)).get_deserialized()
        return values

    async def share() -> list[list[Any]]:
        first = asyncio.ensure_future(run(512))
        await asyncio.to_thread(runs.await_count, 1)
        second = asyncio.ensure_future(run(1024))
        # A second is enough for what is in memory; without it the second one finds no map to wait for.
        await asyncio.sleep(1)
        (runs.marks / "go").touch()
        return list(await asyncio.gather(first, second))

    with_error, whole = asyncio.run(share())
    assert (with_error[0], with_error[2], "in the first map only" in str(with_error[1])) == (0, 2, True)
    assert whole == [0, 1, 2]


@pytest.mark.parametrize("cancelled", ["the one that made it", "the one that joined it", "neither"])
def test_two_servers_share_a_job_that_only_the_one_that_made_it_cancels(runs: Runs, cancelled: str) -> None:
    """Each has an event loop of its own, and what runs in one is not known in the other."""
    ids = {"the one that made it": str(uuid.uuid4()), "the one that joined it": str(uuid.uuid4())}
    ended: dict[str, Any] = {}

    def serve(which: str) -> None:
        async def run() -> Any:
            running = asyncio.ensure_future(runs.begin(double_once_told, 4, ids[which]))
            if which == cancelled:
                assert await asyncio.to_thread(is_there, runs.marks / "cancel")
                await runs.executor().cancel({"dispatch_id": ids[which], "node_id": 1}, None)
            return await running

        try:
            ended[which] = asyncio.run(run())
        except Exception as error:
            ended[which] = type(error)

    def is_joined() -> bool:
        path = runs._traces / f"{ids['the one that joined it']}.jsonl"
        return any(record["kind"] == "submitted" for record in read_trace(path).records)

    servers = []
    for which in ids:
        servers.append(threading.Thread(target=serve, args=[which]))
        servers[-1].start()
        runs.await_count(1)
    until = time.monotonic() + WAIT_SECONDS
    while not is_joined() and time.monotonic() < until:
        time.sleep(0.02)
    expected: dict[str, Any] = dict.fromkeys(ids, 8)
    ran = 1
    if cancelled in ids:
        expected[cancelled] = TaskCancelledError
        (runs.marks / "cancel").touch()
        servers[list(ids).index(cancelled)].join(WAIT_SECONDS)
    if cancelled == "the one that made it":
        # The other one, whose job is gone, makes one of its own.
        runs.await_count(2)
        ran = 2
    (runs.marks / "go").touch()
    for server in servers:
        server.join(WAIT_SECONDS)
    assert ended == expected
    assert runs.count == ran
