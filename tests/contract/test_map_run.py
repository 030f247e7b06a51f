"""One map's way through services that misbehave: the emulator with its faults."""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import platform
import re
import signal
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest

from covalent_parallel_plugin.batch.cancellation import Cancellation, CancelledCall
from covalent_parallel_plugin.batch.job_names import LABEL_OWNER, OWNER
from covalent_parallel_plugin.cloud import Services
from covalent_parallel_plugin.cloud.batch import BatchApi, connect
from covalent_parallel_plugin.cloud.logging import LogReader
from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.electron.call import Call, Map, new_identity
from covalent_parallel_plugin.electron.map.map_run import MapRun
from covalent_parallel_plugin.electron.server_secret import ServerSecret
from covalent_parallel_plugin.electron.traceback_source import SourceText
from covalent_parallel_plugin.electron.verdict import Failure, Value
from covalent_parallel_plugin.emulator import Fault, Faults
from covalent_parallel_plugin.errors import (
    CacheDirError,
    ElectronError,
    ImageError,
    JobCancelledError,
    MachineLostError,
    MapError,
    MissingResourceError,
    NoCapacityError,
    OutcomeError,
    ParallelError,
    PermissionDeniedError,
    TaskKilledError,
    TimeLimitError,
)
from covalent_parallel_plugin.protocol.environment import ENV_LIVE
from covalent_parallel_plugin.protocol.live_part import ItemSpan, LivePart, LiveStream, seal_live_part
from covalent_parallel_plugin.protocol.object_names import is_result, parse_name
from covalent_parallel_plugin.settings import Settings

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

# The tasks cannot import the tests
cloudpickle.register_pickle_by_value(sys.modules[__name__])

PARENT = "projects/local/locations/us-east1"


class MapWay:
    """A map of a function, with what is needed to bring it to its end; each item adds a line to the file `ran`."""

    def __init__(self, emulator: Emulator, store: ObjectStore, folder: Path) -> None:
        self.emulator = emulator
        self.store = store
        self.cache_dir = folder / "cache"
        self.ran = folder / "ran"
        self.ran.touch()
        self.settings = Settings(
            bucket_name="covalent", project_id="local", poll_freq=0.1, retries=1, max_parallel=3,
            cache_dir=str(self.cache_dir),
        )  # fmt: skip
        self.call = Call(str(uuid.uuid4()), 0, "mapped", platform.python_version(), "0.240.0", args=1)
        self.identity = new_identity(self.call, (), ServerSecret.random())
        self.cancelled: Cancellation
        # How long Batch, and what is in the bucket, may be out of reach or refused
        self.borne_seconds = 20.0

    def go(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Any],
        *faults: Fault,
        known: bool = True,
        return_exceptions: bool = False,
        aside: Callable[[MapWay, BatchApi], Any] | None = None,
        before: Callable[[], Any] | None = None,
        after: Callable[[], Any] | None = None,
        offers_values: bool = False,
        **constants: Any,
    ) -> Any:
        """Run it under these faults; `aside` runs beside it, `before` and `after` are hooks."""
        call = replace(self.call, map=Map(len(items) if known else None, return_exceptions), kwargs=tuple(constants))
        pickles = {"function": cloudpickle.dumps(function), "arg0": cloudpickle.dumps(items)}
        pickles.update({f"kwarg:{name}": cloudpickle.dumps(value) for name, value in constants.items()})
        for when, hook in (("before", before), ("after", after)):
            if hook is not None:
                hooks = (("hook", ""),)
                call = replace(call, before=hooks) if when == "before" else replace(call, after=hooks)
                pickles[f"{when}0.function"] = cloudpickle.dumps(hook)
                pickles[f"{when}0.args"], pickles[f"{when}0.kwargs"] = cloudpickle.dumps([]), cloudpickle.dumps({})

        async def source() -> SourceText:
            return SourceText()

        async def run() -> Any:
            self.cancelled = Cancellation()
            batch = BatchApi(connect(self.emulator.environment["BATCH_EMULATOR_HOST"]), patience_seconds=5)
            batch.outage_seconds = batch.refusal_seconds = self.borne_seconds
            services = Services(batch, self.store, LogReader.shared("local"))
            try:
                beside = asyncio.ensure_future(aside(self, batch)) if aside else None
                run = MapRun(
                    call, self.identity, self.settings, services, self.cancelled, source, offers_values=offers_values
                )
                ended = await run.run(dict(pickles))
                if beside:
                    await beside
                return ended
            finally:
                await batch.close()
                # Another run is another submission.
                self.identity = new_identity(self.call, (), ServerSecret.random())

        self.emulator.faults.set(Faults(faults, seed=1))
        ended = None
        try:
            ended = asyncio.run(run())
            return ended
        finally:
            self.emulator.faults.set(Faults())
            self.check_left(ended)
            assert not self.cache_dir.is_dir() or list(self.cache_dir.iterdir()) == []

    def check_left(self, ended: Any) -> None:
        """Nothing is left but the values of a map that failed, and its message says where, once."""
        if self.cancelled.keeps_results:
            assert self.left and all(map(is_kept, self.left)), self.left
            return
        shown = ended.stdout if isinstance(ended, Failure) else ended.outcome.stdout if ended is not None else ""
        totals = shown.splitlines()[-1] if shown else ""
        is_whole = isinstance(ended, Value) and not re.search(" raised| did not end", totals)
        if is_whole or not re.search(r"\b[1-9]\d* returned| were not read", totals):
            assert self.left == []
            return
        stderr = ended.stderr if isinstance(ended, Failure) else ended.outcome.stderr
        folder = self.left[0].rsplit("/", 1)[0].removesuffix("/round-1")
        assert all(is_kept(name) and name.startswith(f"{folder}/") for name in self.left), self.left
        assert f"{folder}/call" in self.left
        where = f" in gs://covalent/{folder}/ for 7 days, by the bucket's lifecycle rule:"
        assert stderr.count(where) == 1, stderr
        if isinstance(ended, Failure):
            assert str(ended.error).count(where) == isinstance(ended.error, ParallelError), str(ended.error)

    def has_live_parts(self, task: int, round: int, *parts: LivePart) -> None:
        """Have in the bucket what a task delivered before it was lost."""
        address = self.identity.task(task, round)
        for part in parts:
            self.store.put(address.live_name(part.attempt, part.number), seal_live_part(address, part))

    def value(self, *args: Any, **kwargs: Any) -> Any:
        ended = self.go(*args, **kwargs)
        assert isinstance(ended, Value), ended
        return cloudpickle.loads(ended.outcome.pickle)

    def error(self, *args: Any, **kwargs: Any) -> Any:
        ended = self.go(*args, **kwargs)
        assert isinstance(ended, Failure), ended
        return ended.error

    @property
    def left(self) -> list[str]:
        """The objects that are left of it."""
        return list(self.store.names(f"covalent-parallel/{self.call.dispatch_id}/"))

    def times_run(self) -> dict[int, int]:
        """How often each item began."""
        begun = [int(line) for line in self.ran.read_text().split()]
        return {index: begun.count(index) for index in sorted(set(begun))}

    def jobs(self) -> list[Any]:
        async def listed() -> list[Any]:
            batch = BatchApi(connect(self.emulator.environment["BATCH_EMULATOR_HOST"]))
            found = [job for job in await batch.list(PARENT) if self.call.dispatch_id in job.name]
            await batch.close()
            return sorted(found, key=lambda job: job.created_seconds)

        return asyncio.run(listed())

    async def until(self, batch: BatchApi, is_so: Callable[[], bool]) -> None:
        for _ in range(1200):
            if is_so():
                return
            await asyncio.sleep(0.1)
        pytest.fail("it did not come to that")


def is_kept(name: str) -> bool:
    """Whether an object is of use to `rerun`: the call, or what tasks delivered."""
    return is_result(name) or name.endswith("/call")


@pytest.fixture
def way(on_emulator: Emulator, store: ObjectStore, tmp_path: Path) -> MapWay:
    return MapWay(on_emulator, store, tmp_path)


def item_of(path: Path) -> Callable[..., Any]:
    """A function that notes each item it begins."""
    ran = str(path)

    def item(index: int, seconds: float = 0.0, deadly: Sequence[int] = (), bad: Sequence[int] = ()) -> int:
        with open(ran, "a") as file:
            file.write(f"{index}\n")
        print("item", index, flush=True)
        time.sleep(seconds)
        if index in deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        if index in bad:
            raise ValueError(f"bad {index}")
        return index * index

    return item


SQUARES = [index * index for index in range(12)]


def test_a_map_comes_back_in_order_and_leaves_nothing(way: MapWay) -> None:
    assert way.value(item_of(way.ran), range(12)) == SQUARES
    (job,) = way.jobs()
    assert job.counts == {"SUCCEEDED": 3}


def test_items_whose_number_only_the_task_knows_come_back(way: MapWay) -> None:
    assert way.value(item_of(way.ran), range(2), known=False) == [0, 1]


def test_no_items_need_no_job(way: MapWay) -> None:
    assert way.value(item_of(way.ran), []) == []
    assert way.jobs() == []


def test_results_past_the_memory_limit_leave_nothing_in_cache_dir(way: MapWay) -> None:
    values = way.value(lambda index: bytes([index]) * 1_500_000, range(12))
    assert [(value[0], len(value)) for value in values] == [(index, 1_500_000) for index in range(12)]


def test_the_output_of_each_item_stands_under_its_index_and_totals_come_last(way: MapWay) -> None:
    ended = way.go(item_of(way.ran), range(4))
    assert ended.outcome.stdout == "".join(f"--- item {index} ---\nitem {index}\n" for index in range(4)) + (
        "4 items: 4 returned; 3 tasks\n"
    )


# --- items that raise


def test_items_that_raise_are_named_and_the_others_run(way: MapWay) -> None:
    ended = way.go(item_of(way.ran), range(12), bad=[3, 7])
    assert isinstance(ended.error, MapError)
    assert str(ended.error).splitlines()[0].startswith("2 of 12 items of electron 'mapped'")
    assert "item 3 (3): ValueError: bad 3" in str(ended.error)
    assert {index: str(error) for index, error in ended.error.errors.items()} == {3: "bad 3", 7: "bad 7"}
    assert way.times_run() == dict.fromkeys(range(12), 1)
    assert 'raise ValueError(f"bad {index}")' in ended.stderr
    assert ended.stdout.endswith("12 items: 10 returned, 2 raised; 3 tasks\n")


def test_who_asks_for_them_has_the_values_of_a_map_that_failed(way: MapWay) -> None:
    error = way.error(item_of(way.ran), range(6), bad=[2], offers_values=True)
    assert error.values == {index: index * index for index in (0, 1, 3, 4, 5)}
    assert "rerun" not in str(error)
    copy = cloudpickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.returned, copy.values) == (MapError, str(error), 5, error.values)
    with pytest.raises(KeyError):
        error.values[2]
    for name in way.left:
        way.store.delete(name)
    error = way.error(item_of(way.ran), range(6), bad=[2])
    assert (error.values, error.returned) == ({}, 5)
    assert f'`mapped.rerun("{way.call.dispatch_id}")`' in str(error)


def test_what_a_task_delivered_of_a_map_that_ran_out_of_time_is_there(way: MapWay) -> None:
    way.settings = replace(way.settings, time_limit=5, max_parallel=1)
    function = item_of(way.ran)
    error = way.error(lambda index: function(index, 600 * (index == 2)), range(4), offers_values=True)
    assert isinstance(error, TimeLimitError)
    assert error.values == {0: 0, 1: 1}


def test_items_that_raise_can_have_errors_in_their_places(way: MapWay) -> None:
    values = way.value(item_of(way.ran), range(4), bad=[2], return_exceptions=True)
    assert type(values[2]) is ElectronError
    assert (values[2].message, values[:2], values[3]) == ("bad 2", [0, 1], 9)


def test_with_retry_exceptions_only_what_raised_runs_again(way: MapWay) -> None:
    way.settings = replace(way.settings, retry_exceptions=True, retries=2)
    ran = str(way.ran)

    def fails_once(index: int) -> int:
        with open(ran) as file:
            before = file.read().split().count(str(index))
        with open(ran, "a") as file:
            file.write(f"{index}\n")
        if index % 5 == 0 and not before:
            raise ValueError("the first time")
        return index * index

    assert way.value(fails_once, range(12)) == SQUARES
    assert way.times_run() == {index: 2 if index % 5 == 0 else 1 for index in range(12)}
    assert len(way.jobs()) == 2


def test_with_retry_exceptions_what_always_raises_is_told_after_all_retries(way: MapWay) -> None:
    way.settings = replace(way.settings, retry_exceptions=True, retries=2)
    error = way.error(item_of(way.ran), range(6), bad=[4])
    assert isinstance(error, MapError)
    assert list(error.errors) == [4]
    assert way.times_run() == {index: 3 if index == 4 else 1 for index in range(6)}


# --- items that kill their process


def test_an_item_that_kills_its_process_runs_twice_and_all_others_are_delivered(way: MapWay) -> None:
    ended = way.go(item_of(way.ran), range(12), deadly=[4])
    assert isinstance(ended.error, MapError)
    assert {index: type(error) for index, error in ended.error.errors.items()} == {4: TaskKilledError}
    assert "item 4 (4): killed its process (signal 9)" in str(ended.error)
    assert way.times_run()[4] == 2
    assert way.times_run()[0] == 1, "what was delivered is not run again"
    assert "11 returned, 1 did not end" in ended.stdout
    assert "--- item 4 ---\nitem 4\n" in ended.stdout, "its last words are shown"


def test_without_retries_a_kill_is_told_with_what_did_not_end(way: MapWay) -> None:
    way.settings = replace(way.settings, retries=0)
    error = way.error(item_of(way.ran), range(12), deadly=[4])
    assert isinstance(error, TaskKilledError)
    assert "3 of its 12 items did not end (4, 7, 10)." in str(error)
    assert "its memory peaked at " in str(error)
    assert "peaked at 0 MB" not in str(error)


def test_at_the_time_limit_nothing_runs_again_and_the_item_is_named(way: MapWay) -> None:
    way.settings = replace(way.settings, time_limit=5)

    def hangs(index: int) -> int:
        if index == 4:
            time.sleep(600)
        return index

    error = way.error(hangs, range(6))
    assert isinstance(error, TimeLimitError)
    assert "1 of its 6 items did not end (4). It stood in item 4 (4)." in str(error)
    assert len(way.jobs()) == 1


def test_items_that_shared_a_task_with_several_killers_are_all_delivered(way: MapWay) -> None:
    """One task: the first job ends in item 1, the second in item 3, and each killer is run twice."""
    way.settings = replace(way.settings, retries=4, max_parallel=1)
    error = way.error(item_of(way.ran), range(6), deadly=[1, 3])
    assert isinstance(error, MapError)
    assert {index: type(error) for index, error in error.errors.items()} == {1: TaskKilledError, 3: TaskKilledError}
    assert way.times_run() == {0: 1, 1: 2, 2: 1, 3: 2, 4: 1, 5: 1}


def test_an_item_that_killed_its_process_once_is_no_failure_afterwards(way: MapWay) -> None:
    """Nor is it named as the cause when the second job is lost for another reason."""
    ran = str(way.ran)

    def killed_once(index: int) -> int:
        with open(ran) as file:
            before = file.read().split().count(str(index))
        with open(ran, "a") as file:
            file.write(f"{index}\n")
        if index == 1 and not before:
            os.kill(os.getpid(), signal.SIGKILL)
        return index * index

    assert way.value(killed_once, range(6)) == SQUARES[:6]
    assert way.times_run() == {index: 2 if index == 1 else 1 for index in range(6)}


def test_items_that_keep_killing_their_process_can_have_errors_in_their_places(way: MapWay) -> None:
    values = way.value(item_of(way.ran), range(6), deadly=[4], bad=[2], return_exceptions=True)
    assert [values[index] for index in (0, 1, 3, 5)] == [0, 1, 9, 25]
    assert [type(values[index]) for index in (2, 4)] == [ElectronError, ElectronError]
    assert values[4].type_name == "covalent_parallel_plugin.errors.TaskKilledError"
    assert values[4].message == "killed its process (signal 9)"


def test_without_retries_errors_stand_in_the_places_of_killers_if_nothing_else_was_lost(way: MapWay) -> None:
    way.settings = replace(way.settings, retries=0)
    values = way.value(item_of(way.ran), range(3), deadly=[1], return_exceptions=True)
    assert (values[0], values[2], type(values[1])) == (0, 4, ElectronError)
    for name in way.left:
        way.store.delete(name)
    error = way.error(item_of(way.ran), range(6), deadly=[1], return_exceptions=True)
    assert isinstance(error, TaskKilledError)
    assert "2 of its 6 items did not end (1, 4)." in str(error)


# --- hooks, and what happens before the first item


def task_index() -> int:
    return int(os.environ["BATCH_TASK_INDEX"])


def test_what_hooks_print_alike_in_all_tasks_is_shown_once(way: MapWay) -> None:
    ended = way.go(item_of(way.ran), range(3), before=lambda: print("made ready"), after=lambda: print("tidied up"))
    assert ended.outcome.stdout == (
        "--- tasks 0-2, outside the items ---\nmade ready\ntidied up\n"
        "--- item 0 ---\nitem 0\n--- item 1 ---\nitem 1\n--- item 2 ---\nitem 2\n"
        "3 items: 3 returned; 3 tasks\n"
    )


def test_a_hook_that_raises_in_one_task_is_told_with_its_output_and_what_the_other_items_printed(way: MapWay) -> None:
    def hook() -> None:
        print("connecting", flush=True)
        if task_index() == 1:
            print("no route", file=sys.stderr)
            raise RuntimeError("no data")

    ended = way.go(item_of(way.ran), range(6), before=hook)
    assert (type(ended.error), str(ended.error)) == (RuntimeError, "no data")
    assert ended.stdout.startswith("--- tasks 0-2, outside the items ---\nconnecting\n--- item 0 ---\nitem 0\n")
    assert ended.stdout.endswith("6 items: 4 returned, 2 did not end; 3 tasks\n")
    assert ended.stderr.startswith("--- task 1, outside the items ---\nno route\nTraceback")
    assert 'raise RuntimeError("no data")' in ended.stderr
    assert len(way.jobs()) == 1


def test_a_hook_that_raises_after_the_items_is_told_with_what_they_printed(way: MapWay) -> None:
    def hook() -> None:
        print("uploading", flush=True)
        raise RuntimeError("no room")

    ended = way.go(item_of(way.ran), range(6), after=hook)
    assert (type(ended.error), str(ended.error)) == (RuntimeError, "no room")
    assert ended.stdout.startswith("--- tasks 0-2, outside the items ---\nuploading\n--- item 0 ---\nitem 0\n")
    assert ended.stderr.count("no room") == 2, "in the source line and in the exception's"


def killed(index: int) -> None:
    """A hook that kills the process in one task."""
    print("getting ready", flush=True)
    if task_index() == index:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_kill_before_the_first_item_of_every_task_is_told_at_once(way: MapWay) -> None:
    way.settings = replace(way.settings, retries=3)

    ended = way.go(item_of(way.ran), range(6), before=lambda: killed(task_index()), known=False)
    assert type(ended.error) is TaskKilledError
    assert "was killed before its first item" in str(ended.error)
    assert "None of its items ended." in str(ended.error)
    assert ended.stdout.startswith("--- tasks 0-2, outside the items ---\ngetting ready\n")
    assert len(way.jobs()) == 1


def test_a_kill_before_the_first_item_of_one_task_has_its_items_run_again_once(way: MapWay) -> None:
    way.settings = replace(way.settings, retries=3)
    ended = way.go(item_of(way.ran), range(6), before=lambda: killed(1))
    assert type(ended.error) is TaskKilledError
    assert "1 of its 6 items did not end (4)." in str(ended.error)
    assert "was killed before its first item" in str(ended.error)
    assert "--- item 0 ---\nitem 0\n" in ended.stdout, "the others' items are kept"
    assert way.times_run() == dict.fromkeys([0, 1, 2, 3, 5], 1)
    assert len(way.jobs()) == 2


def test_a_kill_before_the_first_item_that_does_not_come_again_costs_nothing(way: MapWay) -> None:
    mark = way.ran.with_name("was killed")

    def hook() -> None:
        if task_index() == 1 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    assert way.value(item_of(way.ran), range(3), before=hook) == [0, 1, 4]
    assert way.times_run() == {0: 1, 1: 1, 2: 1}
    assert len(way.jobs()) == 2


# --- machines that are lost


def test_a_lost_task_shows_its_own_output(way: MapWay) -> None:
    way.settings = replace(way.settings, retries=0)

    def item(index: int) -> int:
        print("item", index, flush=True)
        if index == 5:
            print("stands still", file=sys.stderr, flush=True)
            time.sleep(600)
        return index

    fault = Fault("attempt.preempt", task=2, after_output="stands still")
    ended = way.go(item, range(6), fault)
    assert type(ended.error) is MachineLostError
    assert "  item 5\n" in str(ended.error), "the last lines of what was lost"
    assert "item 0\n" not in str(ended.error)
    assert ended.stdout.startswith("--- task 2, which was lost ---\nitem 5\n--- item 0 ---\nitem 0\n")


def test_a_task_that_is_lost_in_a_later_job_shows_that_jobs_output(way: MapWay) -> None:
    """Item 0 is taken away in both attempts of both jobs."""
    way.settings = replace(way.settings, retries=1)
    ran = str(way.ran)

    def item(index: int) -> int:
        with open(ran, "a+") as file:
            file.write(f"{index}\n")
            file.seek(0)
            print("item", index, "run", file.read().split().count(str(index)), flush=True)
        time.sleep(0 if index else 600)
        return index

    fault = Fault("attempt.preempt", task=0, after_output="run")
    ended = way.go(item, range(3), fault)
    assert type(ended.error) is MachineLostError
    assert len(way.jobs()) == 2
    assert ended.stdout.startswith("--- task 0, which was lost ---\nitem 0 run 4\n")


def test_of_several_tasks_without_an_outcome_the_one_that_failed_is_told(way: MapWay) -> None:
    way.settings = replace(way.settings, retries=0, max_parallel=4)
    faults = (Fault("attempt.lost", task=2, before_run=True), Fault("job.stop_siblings"))
    ended = way.go(item_of(way.ran), range(12), *faults, seconds=5)
    assert type(ended.error) is MachineLostError
    assert "exit code 50002" in str(ended.error)


def test_a_preempted_task_goes_on_where_it_was_within_the_same_job(way: MapWay) -> None:
    fault = Fault("attempt.preempt", task=1, attempt=0, after_output="item 4")
    assert way.value(item_of(way.ran), range(12), fault, seconds=0.8) == SQUARES
    assert len(way.jobs()) == 1
    begun = way.times_run()
    assert sum(begun.values()) <= 13, "at most the item that was interrupted ran twice"


def test_a_task_that_is_lost_without_notice_runs_again_within_the_same_job(way: MapWay) -> None:
    fault = Fault("attempt.lost", task=1, attempt=0, after_output="item 4")
    assert way.value(item_of(way.ran), range(12), fault, seconds=0.8) == SQUARES
    assert len(way.jobs()) == 1


def test_what_a_machine_lost_for_good_had_not_delivered_runs_in_a_new_job(way: MapWay) -> None:
    """The second job's tasks are lost no more."""
    way.settings = replace(way.settings, retries=1)
    fault = Fault("attempt.lost", task=1, before_run=True, first=2)
    assert way.value(item_of(way.ran), range(12), fault) == SQUARES
    assert len(way.jobs()) == 2
    assert way.times_run() == dict.fromkeys(range(12), 1)


def test_a_machine_that_is_lost_as_often_as_allowed_is_told_with_the_items(way: MapWay) -> None:
    way.settings = replace(way.settings, retries=0)
    ended = way.go(item_of(way.ran), range(6), Fault("attempt.lost", task=1, before_run=True))
    assert type(ended.error) is MachineLostError
    assert "2 of its 6 items did not end (1, 4)." in str(ended.error)
    assert "exit code 50002" in str(ended.error)
    assert ended.stdout.endswith("6 items: 4 returned, 2 did not end; 3 tasks\n")


def test_what_lost_tasks_printed_is_shown_by_item(way: MapWay) -> None:
    """Task 1 has delivered it while it ran: a hook's output, item 1's, and some of item 4's."""
    way.settings = replace(way.settings, retries=0)
    first = LivePart(0, 0, LiveStream(0, b"hook\none\nfour"), items=(ItemSpan(1, 5, 9, 0, 0), ItemSpan(4, 9, 13, 0, 0)))
    second = LivePart(0, 1, LiveStream(13, b" goes on\n"), LiveStream(0, b"oh\n"), (ItemSpan(4, 13, 22, 0, 3),))
    way.has_live_parts(1, 0, first, second)
    way.store.put(way.identity.task(1).live_name(0, 2), b"forged")
    ended = way.go(item_of(way.ran), range(6), Fault("attempt.lost", task=1, before_run=True))
    assert type(ended.error) is MachineLostError
    assert ended.stdout.startswith("--- task 1, outside the items ---\nhook\n")
    assert "--- item 1 ---\none\n--- item 2 ---\nitem 2\n" in ended.stdout
    assert "--- item 4 ---\nfour goes on\n--- item 5 ---" in ended.stdout
    assert ended.stderr.startswith("--- item 4 (3 characters) ---\noh\n")


def test_what_the_items_of_a_killed_task_printed_is_shown(way: MapWay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENV_LIVE, "0.01")
    way.settings = replace(way.settings, retries=0)
    supervisor = way.ran.with_name("supervisor")

    def item(index: int, path: str) -> int:
        print("item", index, flush=True)
        if index == 4:
            Path(f"{path}.new").write_text(str(os.getppid()))
            Path(f"{path}.new").rename(path)
            time.sleep(600)
        return index

    async def kill(way: MapWay, batch: BatchApi) -> None:
        def has_delivered(name: str) -> bool:
            found = parse_name(name)
            if found is None or found.kind != "live" or (found.task, found.done) != (1, 1):
                return False
            with io.BytesIO() as part:
                way.store.get(name, part)
                return b"item 4\n" in part.getvalue()

        await way.until(batch, lambda: supervisor.exists() and any(map(has_delivered, way.left)))
        os.killpg(os.getpgid(int(supervisor.read_text())), signal.SIGKILL)

    ended = way.go(item, range(6), aside=kill, path=str(supervisor))
    assert isinstance(ended, Failure)
    assert type(ended.error) is TaskKilledError
    assert "2 of its 6 items did not end (1, 4)." in str(ended.error)
    printed = ended.stdout.split("--- item 0 ---\n")[1]
    assert printed.startswith("item 0\n" + "".join(f"--- item {index} ---\nitem {index}\n" for index in range(1, 6)))


def test_what_lost_items_printed_gives_way_to_what_they_print_when_they_run_again(way: MapWay) -> None:
    way.settings = replace(way.settings, retries=1)
    part = LivePart(0, 0, LiveStream(0, b"lost\n"), items=(ItemSpan(1, 0, 5, 0, 0),))
    way.has_live_parts(1, 0, part, part._replace(attempt=1))
    fault = Fault("attempt.lost", task=1, before_run=True, first=2)
    ended = way.go(item_of(way.ran), range(6), fault)
    assert isinstance(ended, Value)
    assert "lost" not in ended.outcome.stdout and "--- item 1 ---\nitem 1\n" in ended.outcome.stdout
    assert len(way.jobs()) == 2


def test_a_cancelled_map_shows_what_its_tasks_delivered_while_they_ran(way: MapWay) -> None:
    way.settings = replace(way.settings, max_parallel=2)
    way.has_live_parts(1, 0, LivePart(0, 0, LiveStream(0, b"so far\n"), items=(ItemSpan(3, 0, 7, 0, 0),)))

    async def cancel(way: MapWay, batch: BatchApi) -> None:
        for _ in range(1200):
            if any(way.call.dispatch_id in job.name for job in await batch.list(PARENT)):
                break
            await asyncio.sleep(0.1)
        way.cancelled.set()

    with pytest.raises(CancelledCall) as caught:
        way.go(item_of(way.ran), range(6), Fault("job.quota"), aside=cancel)
    assert caught.value.stdout.startswith("--- item 3 ---\nso far\n")


def test_siblings_that_batch_stops_run_again_in_a_new_job(way: MapWay) -> None:
    way.settings = replace(way.settings, retries=1, max_parallel=4)
    faults = (
        Fault("attempt.lost", task=2, before_run=True, first=2),
        Fault("job.stop_siblings", first=1),
    )
    assert way.value(item_of(way.ran), range(12), *faults, seconds=0.3) == SQUARES
    assert len(way.jobs()) == 2


def test_the_same_attempt_twice_gives_each_item_once(way: MapWay) -> None:
    fault = Fault("attempt.twice", task=0, after_output="item 3")
    assert way.value(item_of(way.ran), range(12), fault, seconds=0.2) == SQUARES


def test_lost_spot_machines_are_followed_by_standard_ones(way: MapWay) -> None:
    way.settings = replace(way.settings, spot=True, spot_fallback=True, retries=0)
    fault = Fault("attempt.preempt", provisioning="SPOT", task=2, before_run=True)
    assert way.value(item_of(way.ran), range(12), fault) == SQUARES
    assert len(way.jobs()) == 2
    assert way.times_run() == dict.fromkeys(range(12), 1)


def test_a_retry_with_other_tasks_than_the_first_job_has_only_as_many_as_items(way: MapWay) -> None:
    fault = Fault("attempt.lost", task=1, before_run=True, first=2)
    assert way.value(item_of(way.ran), range(4), fault) == [0, 1, 4, 9]
    assert [sum(job.counts.values()) for job in way.jobs()] == [3, 1]


# --- what is final at once


def test_an_image_that_is_missing_is_told_at_once(way: MapWay) -> None:
    error = way.error(item_of(way.ran), range(12), Fault("attempt.no_image"))
    assert type(error) is ImageError
    assert len(way.jobs()) == 1


def test_a_function_that_needs_a_missing_module_is_told_at_once(way: MapWay) -> None:
    def needs(index: int) -> int:
        return index

    loads = cloudpickle.dumps(needs)

    class NeedsAModule:
        def __reduce__(self) -> Any:
            return __import__, ("a_module_that_nobody_has",)

    assert loads
    error = way.error(NeedsAModule(), range(12))
    assert "a_module_that_nobody_has" in str(error)
    assert len(way.jobs()) == 1


def test_no_machine_within_queue_limit_is_told(way: MapWay) -> None:
    way.settings = replace(way.settings, queue_limit=0.5)
    error = way.error(item_of(way.ran), range(12), Fault("job.quota"))
    assert type(error) is NoCapacityError
    (job,) = way.jobs()
    assert job.state == "CANCELLED"


def test_a_job_that_somebody_cancels_is_told(way: MapWay) -> None:
    error = way.error(item_of(way.ran), range(6), Fault("job.cancelled", after_output="item"), seconds=60)
    assert type(error) is JobCancelledError
    assert len(way.jobs()) == 1


def test_a_forged_outcome_is_refused(way: MapWay) -> None:
    async def forge(way: MapWay, batch: BatchApi) -> None:
        await way.until(batch, lambda: bool(way.times_run()))
        folder = next(name for name in way.left if name.endswith("/call")).removesuffix("/call")
        way.store.put(f"{folder}/outcome-1", b"forged")

    error = way.error(item_of(way.ran), range(6), aside=forge, seconds=1)
    assert type(error) is OutcomeError
    assert "2 of its 6 items did not end (1, 4)." in str(error)


def test_forged_chunks_and_stray_objects_are_passed_over(way: MapWay) -> None:
    async def forge(way: MapWay, batch: BatchApi) -> None:
        await way.until(batch, lambda: bool(way.times_run()))
        folder = next(name for name in way.left if name.endswith("/call")).removesuffix("/call")
        for name in ("items-0-0", "items-99-0", "outcome-99", "round-1/outcome-0", "items-x", "outcome-1.txt"):
            way.store.put(f"{folder}/{name}", b"forged")

    assert way.value(item_of(way.ran), range(6), aside=forge, seconds=0.7) == SQUARES[:6]


# --- services in trouble, and cancellation


def test_a_storage_in_trouble_loses_nothing(way: MapWay) -> None:
    fault = Fault("storage.error", request="*", code=503, rate=0.2)
    assert way.value(item_of(way.ran), range(12), fault) == SQUARES


def test_outcomes_that_break_off_on_their_way_are_fetched_again(way: MapWay) -> None:
    fault = Fault("storage.truncate", object="*/outcome-*", first=2)
    assert way.value(item_of(way.ran), range(12), fault) == SQUARES


def test_a_batch_in_trouble_loses_nothing(way: MapWay) -> None:
    fault = Fault("rpc.error", method="*", code="UNAVAILABLE", rate=0.2)
    assert way.value(item_of(way.ran), range(12), fault) == SQUARES


ODD_CODES = (
    "CANCELLED",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "FAILED_PRECONDITION",
    "DATA_LOSS",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
)


@pytest.mark.parametrize("code", ODD_CODES)
def test_an_odd_answer_about_its_job_costs_nothing(way: MapWay, code: str) -> None:
    fault = Fault("rpc.error", method="GetJob", code=code, first=1)
    assert way.value(item_of(way.ran), range(6), fault, seconds=0.3) == SQUARES[:6]
    assert [job.state for job in way.jobs()] == ["SUCCEEDED"]


@pytest.mark.parametrize("code", [403, 404, 412])
@pytest.mark.parametrize("request_", ["objects.list", "objects.download"])
def test_an_odd_answer_to_a_request_for_its_items_costs_nothing(way: MapWay, request_: str, code: int) -> None:
    fault = Fault("storage.error", request=request_, object="*outcome-*", code=code, first=1)
    if request_ == "objects.list":
        fault = Fault("storage.error", request=request_, code=code, first=1)
    assert way.value(item_of(way.ran), range(3), fault) == SQUARES[:3]
    assert way.times_run() == dict.fromkeys(range(3), 1)


def test_a_map_whose_job_was_lost_sight_of_has_the_values_of_all_items_that_are_there(way: MapWay) -> None:
    way.borne_seconds = 4
    fault = Fault("rpc.error", method="GetJob", code="PERMISSION_DENIED")
    assert way.value(item_of(way.ran), range(6), fault) == SQUARES[:6]


def test_a_map_whose_job_was_lost_sight_of_keeps_the_items_that_ended(way: MapWay) -> None:
    way.borne_seconds = 4
    fault = Fault("rpc.error", method="GetJob", code="PERMISSION_DENIED")

    def item(index: int) -> int:
        time.sleep(600 if index == 5 else 0)
        return index

    ended = way.go(item, range(6), fault)
    assert type(ended.error) is PermissionDeniedError
    assert "was lost sight of" in str(ended.error)
    assert ended.stdout.endswith("6 items: 5 returned, 1 did not end; 3 tasks\n")
    assert "5 values stay" in ended.stderr


def test_items_that_cannot_be_fetched_stay(way: MapWay) -> None:
    way.borne_seconds = 1
    fault = Fault("storage.error", request="objects.download", object="*/outcome-1", code=403)
    ended = way.go(item_of(way.ran), range(6), fault)
    assert type(ended.error) is PermissionDeniedError
    assert ended.stdout.endswith("6 items: 4 returned, 2 were not read; 3 tasks\n")
    assert len(way.left) == 4


def test_items_that_cannot_be_listed_stay_and_so_does_the_call(way: MapWay) -> None:
    way.borne_seconds = 1
    ended = way.go(item_of(way.ran), range(6), Fault("storage.error", request="objects.list", code=403))
    assert type(ended.error) is PermissionDeniedError
    assert ended.stdout == "6 items: 0 returned, 6 were not read; 3 tasks\n"
    assert len(way.left) == 4


def test_items_that_are_listed_and_not_found_for_a_while_are_fetched(way: MapWay) -> None:
    fault = Fault("storage.error", request="objects.download", object="*/outcome-*", code=404, first=9)
    assert way.value(item_of(way.ran), range(6), fault) == SQUARES[:6]
    assert way.times_run() == dict.fromkeys(range(6), 1)


def test_items_that_are_listed_and_never_found_stay(way: MapWay) -> None:
    way.borne_seconds = 1
    fault = Fault("storage.error", request="objects.download", object="*/outcome-*", code=404)
    ended = way.go(item_of(way.ran), range(6), fault)
    assert type(ended.error) is MissingResourceError
    assert ended.stdout.endswith("6 items: 0 returned, 6 were not read; 3 tasks\n")
    assert len(way.left) == 4


def test_items_that_do_not_fit_here_stay(way: MapWay) -> None:
    async def replace_folder(way: MapWay, batch: BatchApi) -> None:
        await way.until(batch, lambda: bool(way.times_run()))
        way.cache_dir.rmdir()
        way.cache_dir.touch()

    ran = str(way.ran)

    def large(index: int) -> bytes:
        with open(ran, "a") as file:
            file.write(f"{index}\n")
        time.sleep(2)
        return bytes([index]) * 6_000_000

    ended = way.go(large, range(3), aside=replace_folder)
    assert type(ended.error) is CacheDirError
    assert "cache_dir" in str(ended.error)
    assert ended.stdout.endswith("3 items: 0 returned, 3 were not read; 3 tasks\n")
    assert len(way.left) == 4


def test_a_map_that_cannot_be_submitted_has_its_totals_too(way: MapWay) -> None:
    ended = way.go(item_of(way.ran), range(6), Fault("rpc.error", method="CreateJob", code="PERMISSION_DENIED"))
    assert type(ended.error) is PermissionDeniedError
    assert ended.stdout == "6 items: 0 returned, 6 did not end; 0 tasks\n"


def test_a_cancellation_in_the_middle_cancels_the_job_and_leaves_nothing(way: MapWay) -> None:
    async def cancel(way: MapWay, batch: BatchApi) -> None:
        await way.until(batch, lambda: len(way.times_run()) >= 4)
        way.cancelled.set()

    with pytest.raises(CancelledCall) as caught:
        way.go(item_of(way.ran), range(100), aside=cancel, seconds=0.3)
    assert re.fullmatch(r"100 items: \d+ returned, \d+ did not end; 3 tasks", caught.value.stdout.splitlines()[-1])
    (job,) = way.jobs()
    assert job.state == "CANCELLED"


def test_a_server_that_ends_leaves_what_items_returned(way: MapWay) -> None:
    async def end(way: MapWay, batch: BatchApi) -> None:
        await way.until(batch, lambda: len(way.times_run()) > 8)
        way.cancelled.set(keeps_results=True)

    with pytest.raises(CancelledCall) as caught:
        way.go(item_of(way.ran), range(100), aside=end, seconds=0.3)
    assert " stay in gs://" in caught.value.stderr


def test_a_cancellation_between_two_jobs_makes_no_other(way: MapWay) -> None:
    async def cancel(way: MapWay, batch: BatchApi) -> None:
        await way.until(batch, lambda: way.times_run().get(1, 0) == 2)
        way.cancelled.set()

    with pytest.raises(CancelledCall):
        way.go(item_of(way.ran), range(3), aside=cancel, deadly=[1], seconds=1)
    assert len(way.jobs()) == 2


def test_jobs_of_a_map_have_names_that_a_clean_up_knows(way: MapWay) -> None:
    from covalent_parallel_plugin.batch.leftovers import _is_of_dispatch

    way.settings = replace(way.settings, retries=2)
    fault = Fault("attempt.lost", task=1, before_run=True, first=5)
    way.go(item_of(way.ran), range(6), fault)
    jobs = way.jobs()
    assert len(jobs) >= 2
    assert all(_is_of_dispatch(job, way.call.dispatch_id) for job in jobs)
    assert {job.labels[LABEL_OWNER] for job in jobs} == {OWNER}
