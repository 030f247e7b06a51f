"""What a task delivers while it runs: its output so far, and of a map how many items have ended."""

from __future__ import annotations

import io
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from answering_storage import Exchange, OddStorage, stall
from ended_process import ended

from covalent_parallel_plugin.electron.call import Map
from covalent_parallel_plugin.emulator import Emulator
from covalent_parallel_plugin.protocol.envelope import OUTCOME, read_header
from covalent_parallel_plugin.protocol.environment import ENV_LIVE, ENV_ROUND
from covalent_parallel_plugin.protocol.exit_codes import EXIT_DELIVERED
from covalent_parallel_plugin.protocol.live_part import (
    LIVE_BYTES,
    MOST_TIMES,
    FollowRequest,
    LivePart,
    read_live_part,
    seal_follow,
)
from covalent_parallel_plugin.protocol.object_names import ObjectName, outcome_name, parse_name
from covalent_parallel_plugin.runner import live_output
from covalent_parallel_plugin.runner.bucket_http import BucketClient, BucketError
from covalent_parallel_plugin.runner.electron_files import ElectronFiles
from covalent_parallel_plugin.runner.live_output import LiveOutput
from covalent_parallel_plugin.runner.output_capture import LateDelivery, Stream

cloudpickle.register_pickle_by_value(sys.modules[__name__])

WAIT_SECONDS = 120
# A tenth of a second in place of ten, and half a second at most
QUICK = {ENV_LIVE: "0.01"}


def until(condition: Callable[[], Any]) -> Any:
    """Return what a condition gives once that is true."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise TimeoutError


def live_names(task: Any) -> list[ObjectName]:
    """The names of the parts that a task left, in order."""
    names = filter(None, map(parse_name, task.store.names(f"{task.identity.folder}/")))
    return sorted(
        (name for name in names if name.kind == "live"), key=lambda name: (name.round, name.attempt, name.number)
    )


def live_part(task: Any, name: ObjectName) -> LivePart:
    address = task.identity.task(name.task, name.round)
    data = task.object(address.live_name(name.attempt, name.number, name.done, name.failed))
    return read_live_part(io.BytesIO(data), address, name.attempt, name.number)


def live_parts(task: Any) -> list[LivePart]:
    return [live_part(task, name) for name in live_names(task)]


def told(task: Any, index: int = 0, round: int = 0) -> Any:
    """What a task's outcome tells of live parts."""
    data = task.object(outcome_name(task.identity.folder, index, round))
    address = task.identity.task(index, round)
    return read_header(io.BytesIO(data), task.identity.key, address.binding(OUTCOME)).header.get("live")


@contextmanager
def running(task: Any, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A task's process, killed at the end."""
    process = task.start(**variables)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A file that tasks wait for."""
    return tmp_path / "gate"


# --- electrons


def test_what_an_electron_prints_is_delivered_while_it_runs(make_task: Any, gate: Path) -> None:
    def f() -> None:
        print("first")
        print("trouble", file=sys.stderr)
        until(gate.with_suffix(".1").exists)
        print("second")
        until(gate.with_suffix(".2").exists)

    task = make_task(f)
    before = time.time()
    with running(task, **QUICK) as process:
        until(lambda: sum(len(part.stdout.data) + len(part.stderr.data) for part in live_parts(task)) == 14)
        gate.with_suffix(".1").touch()
        until(lambda: live_parts(task)[-1].stdout.end == 13)
        gate.with_suffix(".2").touch()
        assert ended(process).status == EXIT_DELIVERED
    parts = live_parts(task)
    assert b"".join(part.stdout.data for part in parts) == b"first\nsecond\n"
    assert b"".join(part.stderr.data for part in parts) == b"trouble\n"
    for before_it, part in itertools.pairwise(parts):
        assert (part.stdout.start, part.stderr.start) == (before_it.stdout.end, before_it.stderr.end)
    for part in parts:
        assert all(stream.times[0][0] == stream.start for stream in part.streams if stream.data)
        assert all(before - 1 <= when <= time.time() for stream in part.streams for _, when in stream.times)
    assert [(name.done, name.failed) for name in live_names(task)] == [(0, 0)] * len(parts)
    assert len({part.run for part in parts}) == 1
    assert told(task) == "delivered"
    assert task.outcome().stdout == "first\nsecond\n"


@pytest.mark.parametrize("variables", [{}, {ENV_LIVE: "0"}])
def test_a_short_electron_makes_the_requests_for_its_call_and_its_outcome_alone(
    make_task: Any, emulator: Emulator, variables: dict[str, str]
) -> None:
    task = make_task(lambda: print("printed"))
    task.run()
    task.store.delete(outcome_name(task.identity.folder))
    before = emulator.request_counts
    task.run(**variables)
    counts = {kind: count - before.get(kind, 0) for kind, count in emulator.request_counts.items()}
    assert sum(counts.values()) == 2
    assert live_names(task) == [] and told(task) is None


def test_nothing_is_delivered_where_that_is_not_wanted(make_task: Any, emulator: Emulator) -> None:
    task = make_task(lambda: (print("printed"), time.sleep(0.5)), settings={"live_output": False})
    task.run()
    task.store.delete(outcome_name(task.identity.folder))
    before = sum(emulator.request_counts.values())
    task.run()
    assert sum(emulator.request_counts.values()) - before == 2
    assert live_names(task) == []


def test_only_the_first_ten_seconds_are_without_a_look(make_task: Any, gate: Path) -> None:
    def f() -> None:
        until(gate.exists)

    task = make_task(f)
    with (
        OddStorage(task.services["STORAGE_EMULATOR_HOST"], stall, part="follow", times=0) as storage,
        running(task, **QUICK, STORAGE_EMULATOR_HOST=storage.url) as process,
    ):
        until(lambda: storage.seen >= 3)
        gate.touch()
        assert ended(process).status == EXIT_DELIVERED
    assert live_names(task) == [] and told(task) is None, "nothing was printed"


def test_an_electron_that_is_killed_with_its_supervisor_leaves_what_it_printed(make_task: Any) -> None:
    task = make_task(lambda: (print("last words"), time.sleep(60)))
    with running(task, **QUICK) as process:
        until(lambda: live_parts(task))
        process.send_signal(signal.SIGKILL)
        process.wait(WAIT_SECONDS)
    assert [part.stdout.data for part in live_parts(task)] == [b"last words\n"]


def test_each_attempt_has_parts_of_its_own(make_task: Any) -> None:
    task = make_task(lambda: (print("attempt", os.environ["BATCH_TASK_RETRY_ATTEMPT"]), time.sleep(60)))
    for attempt in range(2):
        with running(task, **QUICK, BATCH_TASK_RETRY_ATTEMPT=str(attempt)):
            until(lambda attempt=attempt: [name for name in live_names(task) if name.attempt == attempt])
    found = [(name.attempt, name.number, live_part(task, name).stdout.data) for name in live_names(task)]
    assert found == [(0, 0, b"attempt 0\n"), (1, 0, b"attempt 1\n")]


def test_a_part_under_a_name_that_is_taken_goes_under_a_later_one(make_task: Any) -> None:
    task = make_task(lambda: (print("printed"), time.sleep(60)))
    address = task.identity.task()
    for number in (0, 1, 2, 3):
        task.store.put(address.live_name(0, number), b"somebody else's")
    with running(task, **QUICK):
        (found,) = until(lambda: [name for name in live_names(task) if name.number > 3])
    assert live_part(task, found).stdout.data == b"printed\n"


def test_the_outcome_does_not_wait_for_a_bucket_that_does_not_answer(make_task: Any, gate: Path) -> None:
    """And it says that a part may still come."""

    def f() -> None:
        print("printed")
        until(gate.exists)

    swallowed = threading.Event()

    def swallow(exchange: Exchange) -> None:
        """Read all of it, and answer nothing."""
        exchange.rfile.read(int(exchange.headers.get("Content-Length", 0)))
        exchange.close_connection = True
        swallowed.set()
        exchange.storage.ending.wait(60)

    task = make_task(f)
    with (
        OddStorage(task.services["STORAGE_EMULATOR_HOST"], swallow, "POST", times=1) as storage,
        running(task, **QUICK, STORAGE_EMULATOR_HOST=storage.url) as process,
    ):
        until(swallowed.is_set)
        gate.touch()
        assert ended(process).status == EXIT_DELIVERED
    assert told(task) == "late"


def test_a_look_that_gets_no_answer_does_not_hold_the_outcome(make_task: Any, gate: Path) -> None:
    def f() -> None:
        until(gate.exists)

    task = make_task(f)
    with (
        OddStorage(task.services["STORAGE_EMULATOR_HOST"], stall, part="follow", times=100) as storage,
        running(task, **QUICK, STORAGE_EMULATOR_HOST=storage.url) as process,
    ):
        until(lambda: storage.seen)
        gate.touch()
        assert ended(process).status == EXIT_DELIVERED
    assert told(task) is None


def test_a_runner_whose_files_the_electron_deleted_goes_on_without(capfd: pytest.CaptureFixture[str]) -> None:
    def load() -> LiveOutput:
        raise ModuleNotFoundError("it is not there any more")

    live = LateDelivery(1e-9, load)
    assert [live.tick([]) for _ in range(2)] == [float("inf")] * 2
    assert live.stop() == ""
    assert capfd.readouterr().err.count("not delivered while it runs: ModuleNotFoundError: it is not there") == 1


# --- followers


def test_a_follower_has_each_line_delivered_soon(make_task: Any, gate: Path) -> None:
    """The pauses without one are longer than this test."""

    def f() -> None:
        for number in range(3):
            print("line", number)
            until(gate.with_suffix(f".{number}").exists)

    task = make_task(f)
    with running(task, **{ENV_LIVE: "0.02"}):
        until(lambda: live_parts(task))
        task.store.put(task.identity.follow_name, seal_follow(task.identity, FollowRequest("n", 600, 0.01)))
        for number in range(3):
            until(lambda number=number: live_parts(task)[-1].stdout.end >= 7 * (number + 1))
            gate.with_suffix(f".{number}").touch()


# --- its clock, in this process


class Machine:
    """Live output of two streams of this process, in a time of its own."""

    def __init__(self, task: Any, folder: Path, opened: list[Any], **options: Any) -> None:
        self.task = task
        self.now = 1000.0
        self.files = ElectronFiles(str(folder))
        self.requests: list[str] = []
        self.refusals: list[int] = []
        self.unreadable = ""
        # What is written waits for it
        self.may_write = threading.Event()
        self.may_write.set()
        self.options = options
        self._pipes = [os.pipe() for _ in range(2)]
        self._shown = os.open(os.devnull, os.O_WRONLY)
        self._spools = [Path(kept.path).open("wb", 0) for kept in (self.files.stdout, self.files.stderr)]  # noqa: SIM115
        self.streams = []
        for (read, _), spool in zip(self._pipes, self._spools, strict=True):
            os.set_blocking(read, False)
            self.streams.append(Stream(read, spool, self._shown, b"\0mark", lambda: self.now))
        opened.append(self)
        self.output = self.make()

    def make(self, attempt: int = 0) -> LiveOutput:
        address = self.task.identity.task(self.options.get("index", 0), self.options.get("round", 0))
        return LiveOutput(
            address, attempt, self.bucket, self.options.get("counts"), clock=lambda: self.now,
            call_name=self.task.identity.object_name,
        )  # fmt: skip

    def bucket(self, sleep: Callable[[float], None]) -> BucketClient:
        return CountedBucket(self, sleep)

    def prints(self, text: bytes, stream: int = 0) -> None:
        for start in range(0, len(text), 60_000):
            os.write(self._pipes[stream][1], text[start : start + 60_000])
            self.streams[stream].pump()

    def item(self, index: int, text: bytes) -> None:
        for stream in range(2):
            self.prints(b"\0mark %d\n" % index, stream)
        self.prints(text)
        for stream in range(2):
            self.prints(b"\0mark -1\n", stream)

    def tick(self, seconds: float = 0.0) -> float:
        """One tick so much later, and the end of what it began; the pause until the next one."""
        self.now += seconds
        pause = self.output.tick(self.streams)
        while pause == live_output.BUSY_SECONDS:
            thread = self.output._thread
            assert thread is not None
            thread.join(WAIT_SECONDS)
            pause = self.output.tick(self.streams)
        return pause

    def close(self) -> None:
        self.output.stop()
        if self.output._bucket is not None:
            self.output._bucket.close()
        for pipe in self._pipes:
            for descriptor in pipe:
                os.close(descriptor)
        os.close(self._shown)
        for spool in self._spools:
            spool.close()
        self.files.close()


class CountedBucket(BucketClient):
    """A bucket's client that notes what it is asked for; it is refused as often as `refusals` has a status."""

    def __init__(self, machine: Machine, sleep: Callable[[float], None]) -> None:
        super().__init__("covalent", machine.task.services["STORAGE_EMULATOR_HOST"], sleep)
        self._machine = machine
        self._requests, self._refusals = machine.requests, machine.refusals

    def get(self, object_name: str, *args: Any, **kwargs: Any) -> bool:
        self._requests.append(object_name.rsplit("/", 1)[-1])
        if object_name.endswith(self._machine.unreadable or "/"):
            raise BucketError(403, "refused")
        return super().get(object_name, *args, **kwargs)

    def put(self, object_name: str, *args: Any, **kwargs: Any) -> bool:
        self._requests.append(object_name.rsplit("/", 1)[-1])
        self._machine.may_write.wait(WAIT_SECONDS)
        if self._refusals:
            raise BucketError(self._refusals.pop(), "refused", is_write=True)
        return super().put(object_name, *args, **kwargs)


@pytest.fixture
def machine(make_task: Any, tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    opened: list[Machine] = []

    def make(task: Any = None, **options: Any) -> Machine:
        return Machine(task or make_task(len, []), tmp_path, opened, **options)

    yield make
    for each in opened:
        each.close()


def test_a_silent_electron_costs_the_looks_alone(machine: Any) -> None:
    made = machine()
    times = [made.now]
    pause = made.tick()
    while made.now < 1000 + 420:
        pause = made.tick(pause)
        times.append(made.now)
    assert made.requests == ["follow"] * len(times)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert gaps[:20] == [15.0] * 20 and set(gaps[20:]) == {30.0}


def test_pauses_double_to_a_minute(machine: Any) -> None:
    made = machine()
    sent = []
    for second in range(300):
        made.prints(b"x\n")
        before = len(made.requests)
        made.tick(0 if not second else 1)
        sent += [second] * any(name != "follow" for name in made.requests[before:])
    gaps = [after - before for before, after in itertools.pairwise(sent)]
    assert sent[0] == 0
    assert gaps[:4] == [10, 20, 40, 50] and set(gaps[4:]) == {50}
    parts = live_parts(made.task)
    assert b"".join(part.stdout.data for part in parts) == b"x\n" * (sent[-1] + 1)
    assert [len(part.stdout.times) for part in parts] == [1, *gaps]


def test_the_times_of_what_is_not_delivered_take_no_more_and_more_room(machine: Any) -> None:
    made = machine()
    for _ in range(5000):
        made.prints(b"x\n")
        made.prints(b"y\n")
        made.now += 1
    assert len(made.streams[0].times) <= 2 * MOST_TIMES
    made.tick()
    (part,) = live_parts(made.task)
    assert part.stdout.end == 20_000
    assert 500 < len(part.stdout.times) <= MOST_TIMES
    assert all(when == 1000 + offset // 4 for offset, when in part.stdout.times[1:])


def test_what_is_printed_after_a_long_silence_is_delivered_at_once(machine: Any) -> None:
    made = machine()
    made.prints(b"first\n")
    made.tick()
    made.tick(100)
    made.prints(b"second\n")
    made.tick(1)
    assert live_parts(made.task)[-1].stdout.data == b"second\n"


def test_a_followed_electron_delivers_in_the_followers_pause_until_the_request_expires(machine: Any) -> None:
    made = machine()
    identity = made.task.identity
    made.prints(b"0\n")
    made.tick()
    made.task.store.put(identity.follow_name, seal_follow(identity, FollowRequest("n", 60, 3)))
    made.tick(15)
    sent = []
    for second in range(1, 150):
        made.prints(b"%d\n" % second)
        before = len(made.requests)
        made.tick(1)
        sent += [second] * any(name != "follow" for name in made.requests[before:])
    assert sent[:20] == list(range(1, 61, 3)), "the same nonce is not a new request"
    assert [after - before for before, after in itertools.pairwise(sent[20:])] == [20, 40]
    # A new nonce is.
    made.task.store.delete(identity.follow_name)
    made.task.store.put(identity.follow_name, seal_follow(identity, FollowRequest("m", 60, 3)))
    made.tick(30)
    for _ in range(2):
        before = len(live_names(made.task))
        made.prints(b"x\n")
        made.tick(3)
        assert len(live_names(made.task)) == before + 1


@pytest.mark.parametrize(
    "object_",
    [
        lambda identity: b"",
        lambda identity: b"x" * 3_000_000,
        lambda identity: seal_follow(identity, FollowRequest("n"))[:-1],
        lambda identity: seal_follow(identity._replace(key=b"l" * 32), FollowRequest("n")),
        lambda identity: seal_follow(identity, FollowRequest("n", tasks=(1, 2))),
    ],
)
def test_a_request_that_is_not_the_calls_or_not_for_this_task_is_ignored(machine: Any, object_: Any) -> None:
    made = machine()
    identity = made.task.identity
    made.task.store.put(identity.follow_name, object_(identity))
    made.prints(b"0\n")
    made.tick()
    made.prints(b"1\n")
    made.tick(3)
    assert [part.stdout.data for part in live_parts(made.task)] == [b"0\n"]
    made.tick(17)
    assert len(live_parts(made.task)) == 2, "what follows is delivered as ever"


def test_a_request_names_the_tasks_that_it_is_about(machine: Any) -> None:
    made = machine(index=2, round=1)
    identity = made.task.identity
    made.task.store.put(identity.follow_name, seal_follow(identity, FollowRequest("n", 60, 2, (1, 2))))
    made.prints(b"0\n")
    made.tick()
    made.prints(b"1\n")
    made.tick(2)
    assert [(name.round, name.task, name.number) for name in live_names(made.task)] == [(1, 2, 0), (1, 2, 1)]


def test_much_output_goes_into_several_parts(machine: Any) -> None:
    made = machine()
    text = bytes(range(256)) * (3 * LIVE_BYTES // 256) + b"end"
    made.prints(text)
    made.prints(b"error", 1)
    made.tick()
    parts = live_parts(made.task)
    assert [len(part.stdout.data) for part in parts] == [LIVE_BYTES] * 3 + [3]
    assert b"".join(part.stdout.data for part in parts) == text
    assert [part.stderr.data for part in parts] == [b"error", b"", b"", b""]


def test_of_far_too_much_output_the_newest_is_delivered(machine: Any) -> None:
    made = machine()
    made.prints(b"first\n")
    made.tick()
    made.prints(b"x" * 6_000_000 + b"last\n")
    made.tick(20)
    before, part = live_parts(made.task)
    assert (before.stdout.end, part.stdout.end) == (6, 6_000_011)
    assert part.stdout.start == 6_000_011 - LIVE_BYTES
    assert part.stdout.data.endswith(b"xlast\n")


def test_what_could_not_be_sent_is_sent_later(machine: Any) -> None:
    made = machine()
    made.refusals = [503]
    made.prints(b"first\n")
    made.tick()
    assert live_names(made.task) == []
    made.prints(b"second\n")
    made.tick(20)
    assert [part.stdout.data for part in live_parts(made.task)] == [b"first\nsecond\n"]


def test_a_bucket_that_refuses_to_be_read_for_requests_is_not_asked_again(machine: Any) -> None:
    made = machine()
    made.unreadable = "follow"
    made.prints(b"first\n")
    made.tick()
    made.prints(b"second\n")
    made.tick(300)
    assert made.requests.count("follow") == 1
    assert [part.stdout.data for part in live_parts(made.task)] == [b"first\n", b"second\n"]


def test_a_task_whose_call_is_gone_delivers_nothing_more(machine: Any) -> None:
    """The call ends first, and then all of its objects: a task that was held for lost would leave others for ever."""
    made = machine()
    made.prints(b"first\n")
    made.tick()
    made.task.store.delete(made.task.identity.object_name)
    made.prints(b"second\n")
    made.tick(20)
    before = list(made.requests)
    for _ in range(5):
        made.prints(b"third\n")
        made.tick(100)
    assert [part.stdout.data for part in live_parts(made.task)] == [b"first\n"]
    assert made.requests == before


def test_a_part_that_is_not_whole_on_its_way_when_the_electron_ends_is_never_sent(machine: Any) -> None:
    made = machine()
    made.prints(b"printed\n")
    made.may_write.clear()
    made.output.tick(made.streams)
    until(lambda: len(made.requests) == 2)
    assert made.output.stop() == ""
    made.may_write.set()
    made.output._thread.join(WAIT_SECONDS)
    assert live_names(made.task) == []


# --- maps


def test_a_part_says_which_items_printed_it_and_which_runs(machine: Any) -> None:
    done: list[Any] = [(0, 0, None)]
    made = machine(counts=lambda: done[0])
    made.prints(b"hook\n")
    made.item(7, b"seven\n")
    made.item(8, b"")
    made.prints(b"\0mark 9\n")
    made.prints(b"nine, and")
    done[0] = (2, 1, 9)
    made.tick()
    made.prints(b" more")
    made.prints(b"\0mark -1\n")
    made.prints(b"\0mark 10\n")
    made.prints(b"ten")
    done[0] = (3, 1, 10)
    made.tick(20)
    first, second = live_parts(made.task)
    assert first.stdout.data == b"hook\nseven\nnine, and" and second.stdout.data == b" moreten"
    assert [(span.item, span.stdout_start, span.stdout_end) for span in first.items] == [(7, 5, 11), (9, 11, 20)]
    assert [(span.item, span.stdout_start, span.stdout_end) for span in second.items] == [(9, 20, 25), (10, 25, 28)]
    assert (first.running, second.running) == (9, 10)
    assert [(name.done, name.failed) for name in live_names(made.task)] == [(2, 1), (3, 1)]


def test_items_that_end_in_silence_are_news(machine: Any) -> None:
    done = [0]
    made = machine(counts=lambda: (done[0], 0, None))
    made.tick()
    assert live_names(made.task) == []
    for count in (3, 3, 5):
        done[0] = count
        made.tick(60)
    assert [name.done for name in live_names(made.task)] == [3, 5]


def test_more_items_than_one_part_may_tell_of_go_into_several(machine: Any) -> None:
    made = machine(counts=lambda: (12_000, 0, None))
    for start in range(0, 12_000, 100):
        made.prints(b"".join(b"\0mark %d\nx\0mark -1\n" % index for index in range(start, start + 100)))
    made.tick()
    spans = [span for part in live_parts(made.task) for span in part.items]
    assert len(live_parts(made.task)) == 3
    assert [(span.item, span.stdout_start, span.stdout_end) for span in spans] == [
        (index, index, index + 1) for index in range(12_000)
    ]


def test_the_count_of_a_maps_items_is_exact_over_attempts(make_task: Any, gate: Path) -> None:
    def f(item: int) -> int:
        print("item", item)
        if item in (1, 4, 6):
            raise ValueError(item)
        if item == 5:
            until(gate.with_suffix("." + os.environ["BATCH_TASK_RETRY_ATTEMPT"]).exists)
        if item == 9:
            until(gate.with_suffix(".end").exists)
        return item

    task = make_task(f, range(10), call={"map": Map()})
    with running(task, **QUICK, **{ENV_ROUND: "1"}, BATCH_TASK_RETRY_ATTEMPT="0") as process:
        until(lambda: [name for name in live_names(task) if (name.done, name.failed) == (5, 2)])
        # Its items go into a chunk, and its output into a partial.
        process.terminate()
        process.wait(WAIT_SECONDS)
    gate.with_suffix(".1").touch()
    with running(task, **QUICK, **{ENV_ROUND: "1"}, BATCH_TASK_RETRY_ATTEMPT="1") as process:
        last = until(lambda: [name for name in live_names(task) if (name.attempt, name.done, name.failed) == (1, 9, 3)])
        gate.with_suffix(".end").touch()
        assert ended(process).status == EXIT_DELIVERED
    assert live_part(task, last[0]).running == 9
    assert all(name.round == 1 and name.failed <= name.done for name in live_names(task))
    second = [part for part in live_parts(task) if part.attempt == 1]
    assert b"".join(part.stdout.data for part in second) == b"".join(b"item %d\n" % n for n in range(5, 10))
    printed = {
        span.item: part.stdout.data[span.stdout_start - part.stdout.start : span.stdout_end - part.stdout.start]
        for part in second
        for span in part.items
    }
    assert printed == {item: b"item %d\n" % item for item in range(5, 10)}
    assert told(task, round=1) == "delivered"
