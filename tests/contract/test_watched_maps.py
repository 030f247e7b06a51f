"""`watch` and maps that run on the emulator: items counted from what their tasks deliver, and what it costs to look."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest
from google.cloud import batch_v1

from covalent_parallel_plugin.batch.cancellation import Cancellation
from covalent_parallel_plugin.cloud import Services
from covalent_parallel_plugin.cloud.batch import BatchApi, connect
from covalent_parallel_plugin.cloud.interfaces import Bucket
from covalent_parallel_plugin.cloud.logging import LogReader
from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.covalent_api.server_client import ServerClient
from covalent_parallel_plugin.electron.call import Call, Map, new_identity
from covalent_parallel_plugin.electron.map.map_run import MapRun
from covalent_parallel_plugin.electron.server_secret import ServerSecret
from covalent_parallel_plugin.electron.traceback_source import SourceText
from covalent_parallel_plugin.errors import MissingResourceError, PermissionDeniedError
from covalent_parallel_plugin.protocol.environment import ENV_LIVE
from covalent_parallel_plugin.protocol.object_names import parse_name
from covalent_parallel_plugin.results.status.dispatch_status import DispatchStatus
from covalent_parallel_plugin.results.status.item_counts import ItemCounts
from covalent_parallel_plugin.results.status.snapshot import JobView, Snapshot
from covalent_parallel_plugin.settings import Settings

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

# The tasks cannot import the tests
cloudpickle.register_pickle_by_value(sys.modules[__name__])

NOBODY = "http://127.0.0.1:9"
CONFIGURED = {"project_id": "local", "bucket_name": "covalent"}
PATIENCE_SECONDS = 180.0
# Pauses of the runner, compared to the usual ones
PACE = "0.02"


def wait_for(path: str) -> None:
    """Wait for a file, in a task."""
    deadline = time.monotonic() + 120.0
    while not Path(path).exists() and time.monotonic() < deadline:
        time.sleep(0.02)


class AskedBatch(BatchApi):
    """Batch, with a list of the jobs of which it was asked for the variables."""

    def __init__(self, client: batch_v1.BatchServiceAsyncClient) -> None:
        super().__init__(client, patience_seconds=5)
        self.jobs: list[str] = []

    async def variables(self, name: str, patience_seconds: float | None = None) -> Mapping[str, str] | None:
        self.jobs.append(name)
        return await super().variables(name, patience_seconds)


class WatchedMap:
    """A map that runs on the emulator, and looks at it meanwhile."""

    def __init__(self, emulator: Emulator, store: ObjectStore, folder: Path, pace: str = PACE) -> None:
        self.emulator = emulator
        self.store = store
        self.go = folder / "go"
        self.settings = Settings(
            bucket_name="covalent", project_id="local", poll_freq=0.1, retries=2, max_parallel=2,
            cache_dir=str(folder / "cache"), environment={ENV_LIVE: pace},
        )  # fmt: skip
        self.dispatch_id = str(uuid.uuid4())
        self.configured: dict[str, object] = dict(CONFIGURED)
        self.open_bucket: Callable[[str, str], Bucket] = ObjectStore.shared
        self.looks: list[Snapshot] = []
        # Jobs whose variables the looks asked for
        self.asked: list[str] = []
        self.left: list[str] = []

    def run(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        is_seen: Callable[[Snapshot], bool],
        known: bool = True,
        return_exceptions: bool = True,
    ) -> Snapshot:
        """Run the map; once a look shows what is waited for, let its items go on. Returns the look at its end."""
        call = Call(
            self.dispatch_id, 0, "mapped", platform.python_version(), "0.240.0", args=1,
            map=Map(len(items) if known else None, return_exceptions),
        )  # fmt: skip
        pickles = {"function": cloudpickle.dumps(function), "arg0": cloudpickle.dumps(items)}

        async def source() -> SourceText:
            return SourceText()

        async def run() -> Snapshot:
            address = self.emulator.environment["BATCH_EMULATOR_HOST"]
            batch, asked = BatchApi(connect(address), patience_seconds=5), AskedBatch(connect(address))
            self.asked = asked.jobs
            status = DispatchStatus(
                asked, ServerClient(NOBODY), self.dispatch_id, {}, self.configured, open_bucket=self.open_bucket
            )
            services = Services(batch, self.store, LogReader.shared("local"))
            identity = new_identity(call, (), ServerSecret.random())
            mapping = asyncio.ensure_future(
                MapRun(call, identity, self.settings, services, Cancellation(), source).run(pickles)
            )
            try:
                deadline = time.monotonic() + PATIENCE_SECONDS
                while not mapping.done():
                    assert time.monotonic() < deadline, self.looks[-1:]
                    await asyncio.sleep(0.1)
                    with contextlib.suppress(MissingResourceError):  # there is no job yet
                        self.looks.append(await status.fetch())
                        if is_seen(self.looks[-1]) and not self.go.exists():
                            self.left = self.store.names(f"covalent-parallel/{self.dispatch_id}/")
                            self.go.touch()
                await mapping
                return await status.fetch()
            finally:
                self.go.touch()
                await asyncio.wait([mapping])
                await batch.close()
                await asked.close()

        return asyncio.run(run())

    @property
    def items(self) -> list[ItemCounts]:
        """The items of each look's last job."""
        return [look.jobs[-1].items for look in self.looks if look.jobs and look.jobs[-1].items is not None]


@pytest.fixture
def watched(on_emulator: Emulator, store: ObjectStore, tmp_path: Path) -> Iterator[WatchedMap]:
    yield WatchedMap(on_emulator, store, tmp_path)


def halves(watched: WatchedMap) -> Callable[[int], int]:
    """Of 80 items on two tasks the first 40 run, and of these five raise; the others wait to be let go."""
    path = str(watched.go)

    def item(index: int) -> int:
        time.sleep(0.02)
        if index >= 40:
            wait_for(path)
        if index % 8 == 3:
            raise KeyError(index)
        return index

    return item


def newest(snapshot: Snapshot) -> JobView:
    return snapshot.jobs[-1]


def is_half(snapshot: Snapshot) -> bool:
    items = newest(snapshot).items if snapshot.jobs else None
    return items is not None and items.done == 40 and items.is_exact


def test_items_are_counted_while_their_tasks_run_with_those_that_raised(watched: WatchedMap) -> None:
    before = watched.emulator.request_counts
    end = watched.run(halves(watched), range(80), is_half)
    half = next(look for look in watched.looks if is_half(look))
    items = newest(half).items
    assert items is not None
    assert (items.total, items.done, items.failed, items.running, items.waiting) == (80, 40, 5, 2, 38)
    assert half.note.startswith("Covalent's server"), "and nothing else"
    done = [told.done for told in watched.items]
    assert done == sorted(done)
    assert newest(end).items == ItemCounts(80, 80, failed=10)
    assert newest(end).ending == "has errors in place of 10 values, the first KeyError: 3, and ran its items"
    objects = sum(parse_name(name) is not None for name in watched.left)
    assert objects > 2, "the call, and parts of two tasks"
    lists = watched.emulator.request_counts["objects.list"] - before.get("objects.list", 0)
    assert lists <= len(watched.looks) + 20, "one for each look, and the map's own"


def test_the_time_left_is_told_once_there_is_a_basis(watched: WatchedMap) -> None:
    watched.run(lambda index: time.sleep(0.05), range(120), lambda look: True)
    told = [items for items in watched.items if items.left_seconds is not None]
    assert told, "a task runs for 1.5 s, and delivers every second of that at the latest"
    assert all(items.per_second is not None and items.per_second > 0 for items in told)


def test_where_nobody_knows_how_many_there_are_items_are_counted_all_the_same(watched: WatchedMap) -> None:
    watched.run(halves(watched), range(80), is_half, known=False)
    half = next(look for look in watched.looks if is_half(look))
    items = newest(half).items
    assert items is not None
    assert (items.total, items.done, items.failed, items.running, items.left_seconds) == (None, 40, 5, 2, None)


def test_what_a_first_job_delivered_stays_counted_in_a_second_one(watched: WatchedMap) -> None:
    go, killed = str(watched.go), str(watched.go.with_name("killed"))

    def item(index: int) -> int:
        if index == 5 and not Path(killed).exists():
            Path(killed).touch()
            os._exit(7)
        if index > 9 and index % 2 and Path(killed).exists():
            wait_for(go)
        return index

    def is_second(look: Snapshot) -> bool:
        items = newest(look).items if len(look.jobs) == 2 else None
        return items is not None and items.done == 15

    # Task 1 loses the odd items from 5 on, eight of them: in the second job all but 7 and 9 wait
    end = watched.run(item, range(21), is_second)
    assert any(map(is_second, watched.looks)), watched.looks[-1]
    first, second = end.jobs
    assert [(job.items.total, job.items.done, job.items.lost) for job in (first, second) if job.items] == [
        (21, 13, 8),
        (21, 21, 0),
    ]
    assert (first.state, first.ending) == ("FAILED", "left Python with exit status 7")
    assert (second.state, second.ending) == ("SUCCEEDED", "ran its items")


def test_items_that_raised_and_run_again_are_not_counted_as_failed(watched: WatchedMap) -> None:
    watched.settings = replace(watched.settings, retry_exceptions=True)
    go, tried = str(watched.go), str(watched.go.with_name("tried"))

    def item(index: int) -> int:
        if index % 4 == 3:
            if not Path(f"{tried}-{index}").exists():
                Path(f"{tried}-{index}").touch()
                raise ValueError(index)
            if index > 3:
                wait_for(go)
        if index == 7:
            raise KeyError(index)
        return index

    def is_second(look: Snapshot) -> bool:
        items = newest(look).items if len(look.jobs) == 2 else None
        return items is not None and items.done == 16

    # Five of 20 items raise, and run again: one of them raises each time
    end = watched.run(item, range(20), is_second)
    second = newest(next(look for look in watched.looks if is_second(look))).items
    assert second is not None and second.failed == 0
    assert [(job.items.done, job.items.failed, job.items.lost) for job in end.jobs if job.items] == [
        (15, 0, 5),
        (19, 0, 1),
        (20, 1, 0),
    ]


@pytest.mark.parametrize("bucket", [None, "no-such-bucket"])
def test_the_job_names_the_bucket_where_this_machine_does_not(watched: WatchedMap, bucket: str | None) -> None:
    watched.configured["bucket_name"] = bucket
    watched.run(halves(watched), range(80), is_half)
    assert any(map(is_half, watched.looks))
    assert len(watched.asked) == 1


def test_without_the_bucket_items_count_with_their_tasks_and_a_note_says_so(watched: WatchedMap) -> None:
    asked = []

    def refused(project: str, bucket: str) -> Bucket:
        asked.append(bucket)
        raise PermissionDeniedError("403: not for you\nAsk somebody.")

    watched.open_bucket = refused
    end = watched.run(halves(watched), range(80), lambda look: bool(asked))
    notes = [look.note.split("; ", 1)[1] for look in watched.looks if "; " in look.note]
    assert notes
    assert notes[0].startswith("items are counted when their tasks end: gs://covalent/covalent-parallel/")
    assert "cannot be listed (403: not for you)" in notes[0]
    assert len(asked) <= 2, "a bucket that refuses is left alone for a while"
    assert all(not items.is_exact for items in watched.items[:1])
    assert newest(end).items == ItemCounts(80, 80, failed=10)
    assert "items are counted" not in end.note


def test_without_live_output_items_count_when_their_task_ends(
    on_emulator: Emulator, store: ObjectStore, tmp_path: Path
) -> None:
    watched = WatchedMap(on_emulator, store, tmp_path, pace="0")
    end = watched.run(
        halves(watched), range(80), lambda look: bool(look.jobs and newest(look).tasks.get("RUNNING") == 2)
    )
    assert newest(end).items == ItemCounts(80, 80, failed=10)
