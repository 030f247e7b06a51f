"""One task of a map in a bare environment: what its items leave, however its process ends."""

from __future__ import annotations

import io
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_parallel_plugin.electron.call import Map
from covalent_parallel_plugin.electron.map.item_table import ValueStore
from covalent_parallel_plugin.electron.map.progress import pickle_of_error
from covalent_parallel_plugin.electron.map.report import TaskReport, read_chunk, read_task
from covalent_parallel_plugin.electron.outcome import read_streams
from covalent_parallel_plugin.errors import ElectronError
from covalent_parallel_plugin.protocol.envelope import PARTIAL, REFUSED, VALUE
from covalent_parallel_plugin.protocol.environment import ENV_ITEMS, ENV_ROUND
from covalent_parallel_plugin.protocol.exit_codes import EXIT_DELIVERED, EXIT_TERMINATED
from covalent_parallel_plugin.protocol.identity import task_binding
from covalent_parallel_plugin.protocol.item_call import format_indices
from covalent_parallel_plugin.protocol.object_names import chunk_name, outcome_name, partial_name
from covalent_parallel_plugin.runner import bucket_http as runner_bucket
from covalent_parallel_plugin.runner.electron_files import ElectronFiles
from covalent_parallel_plugin.runner.map_delivery import MapDelivery
from covalent_parallel_plugin.runner.map_items import ItemShare, run_items
from covalent_parallel_plugin.runner.output_capture import Stream
from covalent_parallel_plugin.runner.user_call import give_back

cloudpickle.register_pickle_by_value(sys.modules[__name__])

WAIT_SECONDS = 120


class Results:
    """What the tasks of one map delivered."""

    def __init__(self, task: Any, folder: Path) -> None:
        self.task = task
        self.store = ValueStore(str(folder))

    def outcome(self, index: int = 0, round: int = 0) -> TaskReport:
        identity = self.task.identity
        data = self.task.object(outcome_name(identity.folder, index, round))
        assert data is not None, "no outcome was delivered"
        return read_task(io.BytesIO(data), identity.task(index, round), self.store)

    def chunk(self, number: int, index: int = 0, round: int = 0) -> TaskReport | None:
        identity = self.task.identity
        data = self.task.object(chunk_name(identity.folder, index, round, number))
        if data is None:
            return None
        return read_chunk(io.BytesIO(data), identity.task(index, round), number, self.store)

    def values(self, report: TaskReport | None) -> dict[int, Any]:
        """The values of the items that returned."""
        assert report is not None
        return {
            item.index: cloudpickle.loads(b"".join(self.store.read(item.offset, item.size)))
            for item in report.items
            if item.raised is None
        }

    def printed(self, report: TaskReport | None) -> list[tuple[str, str]]:
        """What each item printed on stdout and stderr."""
        assert report is not None
        return [(self.store.text(item.stdout), self.store.text(item.stderr)) for item in report.items]

    def names(self) -> list[str]:
        prefix = f"{self.task.identity.folder}/"
        return sorted(name.removeprefix(prefix) for name in self.task.store.names(prefix))


@pytest.fixture
def make_map(make_task: Any, tmp_path: Path) -> Iterator[Any]:
    """Stage a map of a function over items."""
    made: list[Results] = []

    def make(function: Any, items: Any, settings: Any = None, **constants: Any) -> Results:
        task = make_task(function, items, call={"map": Map()}, settings=settings, **constants)
        made.append(Results(task, tmp_path))
        return made[-1]

    yield make
    for results in made:
        results.store.close()


def square(item: int) -> int:
    return item * item


# --- shares


def test_the_tasks_of_a_map_share_its_items(make_map: Any) -> None:
    results = make_map(square, range(7))
    found: dict[int, Any] = {}
    for index in range(3):
        assert results.task.run(BATCH_TASK_INDEX=str(index), BATCH_TASK_COUNT="3").status == EXIT_DELIVERED
        report = results.outcome(index)
        assert (report.total, [item.index for item in report.items]) == (7, list(range(7))[index::3])
        found.update(results.values(report))
    assert found == {item: item * item for item in range(7)}


def test_a_task_without_items_delivers_that_it_has_none(make_map: Any) -> None:
    results = make_map(square, [1])
    results.task.run(BATCH_TASK_INDEX="5", BATCH_TASK_COUNT="6")
    report = results.outcome(5)
    assert (report.total, list(report.items), report.ended) == (1, [], None)


def test_a_later_job_runs_the_chosen_items_in_their_order_and_delivers_apart(make_map: Any) -> None:
    results = make_map(square, range(20))
    results.task.run(**{ENV_ROUND: "2", ENV_ITEMS: format_indices([9, 3, 12, 15, 18])})
    report = results.outcome(round=2)
    assert [item.index for item in report.items] == [9, 3, 12, 15, 18]
    assert "round-2/outcome-0" in results.names()


def test_items_of_every_kind_and_constants_come_as_they_do_locally(make_map: Any) -> None:
    def f(a: int, b: int = 0, c: int = 0) -> tuple[int, int, int]:
        return a, b, c

    results = make_map(f, [1, (2, 3), {"a": 4, "c": 5}], c=9)
    results.task.run()
    assert results.values(results.outcome()) == {0: (1, 0, 9), 1: (2, 3, 9), 2: (4, 0, 5)}


def test_items_may_be_whatever_can_be_iterated(make_map: Any) -> None:
    results = make_map(square, range(3, 5))
    results.task.run()
    assert results.values(results.outcome()) == {0: 9, 1: 16}


# --- exceptions


def test_an_item_that_raises_keeps_no_other_from_running(make_map: Any) -> None:
    def f(item: int) -> int:
        if item == 1:
            raise ValueError("not one")
        if item == 2:
            sys.exit(3)
        return item

    results = make_map(f, range(4))
    assert results.task.run().status == EXIT_DELIVERED
    report = results.outcome()
    assert results.values(report) == {0: 0, 3: 3}
    first, second = (item.raised for item in report.items if item.raised)
    assert (first.full_name, first.message, second.full_name) == ("ValueError", "not one", "SystemExit")
    assert 'raise ValueError("not one")' in first.traceback
    assert "runner/map_items.py" not in first.traceback
    assert report.ended is None


def test_arguments_of_an_item_that_raised_are_told_shortened(make_map: Any) -> None:
    class Odd:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    def f(item: Any) -> None:
        raise ValueError

    results = make_map(f, ["x" * 100_000, Odd()])
    results.task.run()
    first, second = results.outcome().items
    assert len(first.arguments) < 200
    assert second.arguments == "<Odd, whose repr() raised RuntimeError>"


def test_a_value_that_cannot_be_pickled_is_an_exception_of_its_item(make_map: Any) -> None:
    def f(item: int) -> Any:
        import threading

        return {"lock": threading.Lock()} if item else "fine"

    results = make_map(f, [0, 1])
    results.task.run()
    report = results.outcome()
    assert results.values(report) == {0: "fine"}
    raised = report.items[1].raised
    assert raised is not None and "lock" in raised.message


def test_a_set_is_refused_because_each_task_would_have_its_own_order(make_map: Any) -> None:
    results = make_map(square, {"a", "b"})
    results.task.run()
    ended = results.outcome().ended
    assert ended is not None and ended.raised is not None
    assert (ended.raised.full_name, "return sorted(...)" in ended.raised.message) == ("TypeError", True)


def test_a_dict_is_refused_because_it_is_one_item(make_map: Any) -> None:
    results = make_map(square, {"item": 3})
    results.task.run()
    ended = results.outcome().ended
    assert ended is not None and ended.raised is not None
    assert ended.raised.message == "a dict is one item: write [{...}], or grid(**{...}) for all combinations"


def test_items_that_cannot_be_iterated_are_told_as_the_electrons_own_exception(make_map: Any) -> None:
    results = make_map(square, 3)
    results.task.run()
    ended = results.outcome().ended
    assert ended is not None and ended.raised is not None
    assert ended.raised.full_name == "TypeError"


# --- output


def test_each_items_output_is_found_under_it(make_map: Any) -> None:
    def f(item: int) -> None:
        print(f"out {item}")
        print(f"err {item}", file=sys.stderr)
        if item == 1:
            print("no newline", end="", flush=True)
            subprocess.run(["sh", "-c", "echo of a child; echo child err >&2"], check=True)

    results = make_map(f, range(3))
    ended = results.task.run()
    assert results.printed(results.outcome()) == [
        ("out 0\n", "err 0\n"),
        ("out 1\nno newlineof a child\n", "err 1\nchild err\n"),
        ("out 2\n", "err 2\n"),
    ]
    assert ended.stdout == b"out 0\nout 1\nno newlineof a child\nout 2\n", "no mark is shown"


def test_output_that_looks_like_a_mark_is_output(make_map: Any) -> None:
    def f(item: int) -> None:
        sys.stdout.write("\0covalent-parallel-\0\0covalent-parallel-0123456789abcdef 1\n\0")

    results = make_map(f, range(2))
    results.task.run()
    text = "\0covalent-parallel-\0\0covalent-parallel-0123456789abcdef 1\n\0"
    assert [stdout for stdout, _ in results.printed(results.outcome())] == [text, text]


@pytest.mark.parametrize("how", ["close", "none", "other"])
def test_an_item_that_spoils_its_stdout_keeps_no_other_from_running(make_map: Any, how: str) -> None:
    def f(item: int) -> int:
        if item == 0 and how == "close":
            sys.stdout.close()
        elif item == 0:
            sys.stdout = None if how == "none" else object()  # type: ignore[assignment]
        return item

    results = make_map(f, range(3))
    assert results.task.run().status == EXIT_DELIVERED
    assert results.values(results.outcome()) == {0: 0, 1: 1, 2: 2}


def test_a_copy_of_the_process_that_an_item_forked_delivers_nothing(make_map: Any) -> None:
    def f(item: int) -> int:
        if os.fork() == 0:
            return 100
        os.wait()
        return item

    results = make_map(f, range(3))
    results.task.run()
    assert results.values(results.outcome()) == {0: 0, 1: 1, 2: 2}


class Spool:
    """A stream on a pipe of this process, with what it kept."""

    def __init__(self, folder: Path, marker: bytes) -> None:
        self.read, self.write = os.pipe()
        os.set_blocking(self.read, False)
        self.path = folder / "spool"
        self.file = self.path.open("wb", 0)
        self.shown = os.open(os.devnull, os.O_WRONLY)
        self.stream = Stream(self.read, self.file, self.shown, marker)

    def feed(self, data: bytes) -> None:
        os.write(self.write, data)
        self.stream.pump()

    def close(self) -> None:
        os.close(self.write)
        self.stream.pump()
        for descriptor in (self.read, self.shown):
            os.close(descriptor)
        self.file.close()


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 10, 1000])
def test_marks_are_found_wherever_a_read_ends(tmp_path: Path, piece: int) -> None:
    marker = b"\0mark-"
    spool = Spool(tmp_path, marker)
    data = (
        b"before" + marker + b" 7\nof seven\0\0ma" + marker + b" -1\nbetween" + marker + b" 12\n" + marker + b" -1\n\0"
    )
    for start in range(0, len(data), piece):
        spool.feed(data[start : start + piece])
    spool.close()
    kept = spool.path.read_bytes()
    assert kept == b"beforeof seven\0\0mabetween\0"
    assert {index: kept[start:end] for index, (start, end) in spool.stream.spans().items()} == {
        7: b"of seven\0\0ma",
        12: b"",
    }


# --- deaths


def test_values_of_the_items_before_a_kill_are_delivered_with_the_item_it_happened_in(make_map: Any) -> None:
    def f(item: int) -> int:
        print("item", item, flush=True)
        if item == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return item

    results = make_map(f, range(5))
    assert results.task.run().status == EXIT_DELIVERED
    report = results.outcome()
    assert results.values(report) == {0: 0, 1: 1}
    assert report.ended is not None and report.running is not None
    assert (report.ended.signal, report.running.index, report.running.arguments) == (9, 2, "2")
    assert report.running.stdout == "item 2\n"
    assert report.total == 5


def test_a_process_killed_while_the_items_load_leaves_an_ending_without_an_item(make_map: Any) -> None:
    def dies() -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    class Killer:
        def __reduce__(self) -> Any:
            return dies, ()

    results = make_map(square, [Killer()])
    results.task.run()
    report = results.outcome()
    assert report.ended is not None
    assert (report.ended.signal, report.running, report.total) == (9, None, None)


def test_at_the_time_limit_the_ended_items_are_delivered_and_stderr_shows_where_it_stood(make_map: Any) -> None:
    def f(item: int) -> int:
        if item == 1:
            time.sleep(60)
        return item

    results = make_map(f, range(3), settings={"time_limit": 5})
    results.task.run()
    report = results.outcome()
    assert results.values(report) == {0: 0}
    assert report.ended is not None and report.running is not None
    assert (report.ended.reason, report.running.index) == ("time_limit", 1)
    assert "in f" in report.running.stderr


# --- attempts


def waits_in_item_two(item: int) -> tuple[int, str]:
    print("item", item, flush=True)
    if item == 2 and os.environ["BATCH_TASK_RETRY_ATTEMPT"] == "0":
        time.sleep(60)
    return item, os.environ["BATCH_TASK_RETRY_ATTEMPT"]


def until_it_printed(process: subprocess.Popen[bytes], text: bytes) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    pytest.fail("the task ended without printing that")


def terminated(results: Results) -> None:
    """Run an attempt up to item 2, and have the machine taken away."""
    process = results.task.start(BATCH_TASK_RETRY_ATTEMPT="0")
    until_it_printed(process, b"item 2")
    process.send_signal(signal.SIGTERM)
    assert process.wait(WAIT_SECONDS) == EXIT_TERMINATED
    process.communicate()


def test_a_notice_to_stop_sends_what_ended_and_the_next_attempt_goes_on_after_it(make_map: Any) -> None:
    results = make_map(waits_in_item_two, range(5))
    terminated(results)
    assert results.values(results.chunk(0)) == {0: (0, "0"), 1: (1, "0")}
    assert [stdout for stdout, _ in results.printed(results.chunk(0))] == ["item 0\n", "item 1\n"]

    results.task.run(BATCH_TASK_RETRY_ATTEMPT="1")
    report = results.outcome()
    assert results.values(report) == {2: (2, "1"), 3: (3, "1"), 4: (4, "1")}
    assert (report.chunks, report.total) == (1, 5)


def test_an_item_that_a_handler_of_sigterm_ends_has_not_failed_and_runs_again(make_map: Any) -> None:
    def f(item: int) -> tuple[int, str]:
        if item == 2 and os.environ["BATCH_TASK_RETRY_ATTEMPT"] == "0":
            signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
            print("item 2", flush=True)
            time.sleep(60)
        return item, os.environ["BATCH_TASK_RETRY_ATTEMPT"]

    results = make_map(f, range(4))
    terminated(results)
    results.task.run(BATCH_TASK_RETRY_ATTEMPT="1")
    assert results.values(results.outcome()) == {2: (2, "1"), 3: (3, "1")}


def test_what_a_handler_of_sigterm_raises_in_an_item_is_shown(make_map: Any) -> None:
    def f(item: int) -> int:
        def fails(number: int, frame: object) -> None:
            raise RuntimeError("no room for the checkpoint")

        if item == 2:
            signal.signal(signal.SIGTERM, fails)
            print("item 2", flush=True)
            time.sleep(60)
        return item

    results = make_map(f, range(4))
    terminated(results)
    identity = results.task.identity
    data = results.task.object(partial_name(identity.folder, 0, 0, 0))
    stdout, stderr = read_streams(io.BytesIO(data), identity.key, task_binding(PARTIAL, identity.call_id, 0, None))
    assert stdout == "item 2\n" and "RuntimeError: no room for the checkpoint" in stderr


def test_what_was_printed_since_the_last_delivery_is_left_as_the_output_so_far(make_map: Any) -> None:
    """Also by a task of a later job, under a name and a seal of its own."""
    results = make_map(waits_in_item_two, range(5))
    for round in (0, 1):
        results.task.variables[ENV_ROUND] = str(round)
        terminated(results)
    identity = results.task.identity
    for round, item in ((0, None), (1, 1)):
        data = results.task.object(partial_name(identity.folder, 0, 0, round))
        bound_to = task_binding(PARTIAL, identity.call_id, 0, item)
        assert read_streams(io.BytesIO(data), identity.key, bound_to) == ("item 2\n", "")


def test_a_forged_chunk_costs_the_next_attempt_nothing_but_its_name(make_map: Any) -> None:
    results = make_map(square, range(3))
    identity = results.task.identity
    results.task.store.put(chunk_name(identity.folder, 0, 0, 0), b"forged")
    assert results.task.run(BATCH_TASK_RETRY_ATTEMPT="1").status == EXIT_DELIVERED
    assert results.values(results.outcome()) == {0: 0, 1: 1, 2: 4}


def test_an_attempt_that_was_taken_away_before_any_item_ended_leaves_no_chunk(make_map: Any) -> None:
    def f(item: int) -> None:
        print("item 2", flush=True)
        time.sleep(60)

    results = make_map(f, range(3))
    terminated(results)
    assert [name for name in results.names() if name.startswith("items")] == []


# --- chunks


@pytest.fixture
def delivery(make_map: Any, tmp_path: Path, emulator: Any) -> Iterator[Any]:
    """A task's delivery, in this process, whose items were run here as well."""
    files = ElectronFiles(str(tmp_path))
    opened: list[MapDelivery] = []
    results = make_map(square, range(10))

    def make(**limits: Any) -> tuple[MapDelivery, Results, Any]:
        address = emulator.environment["STORAGE_EMULATOR_HOST"]
        made = MapDelivery(
            results.task.identity.task(), files, lambda: runner_bucket.BucketClient("covalent", address), **limits
        )
        opened.append(made)

        def run(position: int, end: int, total: int = 10) -> None:
            """Run the items from one position up to another."""
            share = ItemShare(0, 1, 0, list(range(position, end)), "mark")
            try:
                run_items(lambda item: b"x" * item, range(total), {}, share, files, cloudpickle.dumps)
            finally:
                # Processes that are started here would inherit the signals that are held.
                give_back()

        return made, results, run

    yield make
    files.close()


def ticked(delivery: MapDelivery) -> None:
    """One tick, and the end of what it began."""
    delivery.send_due_chunk([])
    delivery.unsent(delivery.notes())


def test_a_chunk_is_sent_after_its_time(delivery: Any, capfd: Any) -> None:
    made, results, run = delivery(chunk_seconds=0)
    run(0, 4)
    ticked(made)
    assert results.values(results.chunk(0)) == {index: b"x" * index for index in range(4)}
    run(4, 6)
    ticked(made)
    assert results.values(results.chunk(1)) == {4: b"xxxx", 5: b"xxxxx"}
    ticked(made)
    assert results.chunk(2) is None, "nothing ended since"


def test_a_chunk_is_sent_past_its_size(delivery: Any, capfd: Any) -> None:
    made, results, run = delivery(chunk_seconds=1000, chunk_bytes=100)
    run(0, 1)
    ticked(made)
    assert results.chunk(0) is None
    run(1, 9)
    ticked(made)
    assert list(results.values(results.chunk(0))) == list(range(9))


def test_what_is_in_a_chunk_is_not_in_the_rest(delivery: Any, capfd: Any) -> None:
    made, _, run = delivery(chunk_seconds=0)
    run(0, 4)
    ticked(made)
    run(4, 6)
    rest = made.unsent(made.notes())
    assert [note.item for note in rest] == [4, 5]
    part = made.values(rest)
    data = Path(part.path).read_bytes()[part.offset : part.offset + part.size]
    assert data == cloudpickle.dumps(b"xxxx") + cloudpickle.dumps(b"xxxxx")


def test_a_chunk_that_is_there_already_counts_for_as_many_items_as_it_has(delivery: Any, capfd: Any) -> None:
    """As when the same attempt runs twice: the machine was recreated."""
    first, results, run = delivery(chunk_seconds=0)
    run(0, 2)
    ticked(first)
    second, _, _ = delivery(chunk_seconds=0)
    run(2, 5)
    second.send_unsent([])
    assert results.values(results.chunk(0)) == {0: b"", 1: b"x"}
    assert results.values(results.chunk(1)) == {2: b"xx", 3: b"xxx", 4: b"xxxx"}


def test_a_chunk_under_a_forged_ones_name_goes_under_the_next(delivery: Any, capfd: Any) -> None:
    made, results, run = delivery(chunk_seconds=0)
    identity = results.task.identity
    results.task.store.put(chunk_name(identity.folder, 0, 0, 0), b"forged")
    run(0, 2)
    made.send_unsent([])
    assert results.values(results.chunk(1)) == {0: b"", 1: b"x"}


def test_a_later_attempt_counts_the_items_of_all_chunks_before(delivery: Any, capfd: Any) -> None:
    made, results, run = delivery(chunk_seconds=0)
    for start in (0, 3, 4):
        run(start, start + 3 if start == 0 else start + 1)
        ticked(made)
    later, _, _ = delivery()
    bucket = runner_bucket.BucketClient("covalent", results.task.services["STORAGE_EMULATOR_HOST"])
    position = later.skip_delivered(bucket)
    bucket.close()
    assert (position, later.chunks) == (5, 3)


def test_the_output_of_a_chunks_items_travels_with_it_also_if_it_is_long(delivery: Any, tmp_path: Path) -> None:
    """A chunk has the output of its own items only, counted from where the last one ended."""
    made, results, run = delivery(chunk_seconds=0)
    marker = b"mark"
    spools = []
    for name in ("stdout", "stderr"):
        (tmp_path / name).mkdir()
        spool = Spool(tmp_path / name, marker)
        getattr(made._files, name).path = str(spool.path)
        spools.append(spool)
    streams = [spool.stream for spool in spools]

    def prints(index: int, text: bytes) -> None:
        for spool in spools:
            spool.feed(b"%s %d\n" % (marker, index))
            for start in range(0, len(text), 60_000):
                spool.feed(text[start : start + 60_000])
            spool.feed(b"%s -1\n" % marker)

    for index in (0, 1):
        prints(index, b"%d" % index * 3_000_000)
        run(index, index + 1)
        made.send_due_chunk(streams)
        made.unsent(made.notes())
    prints(2, b"short\n")
    run(2, 3)
    made.send_unsent(streams)
    texts = [results.printed(results.chunk(number))[0][0] for number in range(3)]
    assert [(text[0], text[-1], "bytes left out" in text) for text in texts[:2]] == [("0", "0", True), ("1", "1", True)]
    assert texts[2] == "short\n"
    for spool in spools:
        spool.close()


def test_exceptions_that_fill_more_than_a_header_go_into_several_objects(make_map: Any) -> None:
    """A header may have 64 MiB, and each of these exceptions has 90 kB of message and as much of arguments."""

    def f(item: int) -> None:
        raise ValueError("x" * 90_000, item)

    results = make_map(f, range(300))
    assert results.task.run().status == EXIT_DELIVERED
    chunks = [name for name in results.names() if name.startswith("items-")]
    reports = [results.outcome(), *(results.chunk(number) for number in range(len(chunks)))]
    assert sorted(item.index for report in reports if report for item in report.items) == list(range(300))
    assert len(chunks) > 5


# --- hooks


def test_a_hook_that_raises_is_told_as_the_tasks_ending(make_task: Any, tmp_path: Path) -> None:
    def fails() -> None:
        raise RuntimeError("no data")

    task = make_task(square, [1], call={"map": Map()}, before=[(cloudpickle.dumps(fails), "")])
    task.call = task.call.__class__(**{**task.call.__dict__, "map": Map(), "before": (("hook", ""),)})
    results = Results(task, tmp_path)
    task.run()
    report = results.outcome()
    results.store.close()
    assert report.ended is not None and report.ended.raised is not None
    assert (report.ended.raised.message, list(report.items)) == ("no data", [])


def test_what_a_hook_prints_is_told_apart_from_the_items(make_task: Any, tmp_path: Path) -> None:
    def hook() -> None:
        print("made ready")

    def item(number: int) -> None:
        print("item", number)

    task = make_task(item, [1], call={"map": Map(), "before": (("hook", ""),)}, before=[(cloudpickle.dumps(hook), "")])
    results = Results(task, tmp_path)
    task.run()
    report = results.outcome()
    assert (report.stdout, results.printed(report)) == ("made ready\n", [("item 1\n", "")])
    results.store.close()


def test_what_stands_for_an_item_that_raised_can_be_used_by_an_electron_on_a_stock_image(make_task: Any) -> None:
    """The image has nothing of this package, and the error that comes back is this package's own again."""

    def electron(values: list[Any]) -> tuple[str, Any]:
        (error,) = (value for value in values if isinstance(value, Exception))
        return f"{type(error).__name__}: {error} ({error.type_name})", error  # type: ignore[attr-defined]

    data = pickle_of_error(ElectronError("ValueError", "no 3", "Traceback ..."))

    class AsItCame:
        def __reduce__(self) -> Any:
            return pickle.loads, (data,)

    task = make_task(electron, [1, AsItCame()])
    assert task.run().status == EXIT_DELIVERED
    outcome = task.outcome()
    assert outcome.kind == VALUE, outcome
    text, error = cloudpickle.loads(outcome.pickle)
    assert text == "ElectronError: ValueError: no 3 (ValueError)"
    assert type(error) is ElectronError
    assert error.remote_traceback == "Traceback ..."


def test_another_module_of_this_package_is_missing_on_a_stock_image_as_any_other(make_task: Any) -> None:
    from covalent_parallel_plugin.pmap.grid import grid

    task = make_task(len, [grid])
    task.run()
    outcome = task.outcome()
    assert (outcome.kind, outcome.reason) == (REFUSED, "missing_module")
    assert "covalent_parallel_plugin" in outcome.message


def test_nothing_is_left_on_the_machine(make_map: Any) -> None:
    results = make_map(square, range(3))
    results.task.run()
    # The runner itself stays, for the next task on the machine.
    assert results.task.left_on_the_machine == [results.task.runner_on_the_machine.name]
