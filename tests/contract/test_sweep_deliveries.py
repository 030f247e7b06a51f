"""What tasks of a sweep delivered, brought into its folder; refused and named where it is not what was delivered."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import signal
import stat
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from delivered_tasks import DeliveredTask, counted_requests, fill, put

from covalent_parallel_plugin.cloud.storage import ObjectStore
from covalent_parallel_plugin.errors import OutcomeError
from covalent_parallel_plugin.programs.verdict import TaskEnd
from covalent_parallel_plugin.protocol.live_part import LiveStream
from covalent_parallel_plugin.protocol.sweep_identity import ATTEMPT, SweepIdentity
from covalent_parallel_plugin.protocol.sweep_objects import sweep_folder
from covalent_parallel_plugin.sweep.batch.deliveries import Downloads
from covalent_parallel_plugin.sweep.batch.rows import Delivery, RowReader
from covalent_parallel_plugin.sweep.records.out_folder import OutFolder

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

KEY = bytes(range(32))
DESCRIPTION = {"index": 0, "name": "x=0", "parameters": {"x": 0}}
LOST = TaskEnd("lost", None, None, 3.0, 1, None, "", 1.0, 4.0, reason="its machine was taken away")


@pytest.fixture
def identity() -> SweepIdentity:
    sweep_id = uuid.uuid4().hex[:12]
    return SweepIdentity(sweep_id, KEY, sweep_folder("faces", sweep_id))


@pytest.fixture
def out(tmp_path: Path) -> OutFolder:
    folder = OutFolder(tmp_path / "out")
    folder.path.mkdir()
    return folder


@pytest.fixture
def downloads(store: ObjectStore, identity: SweepIdentity, out: OutFolder) -> Downloads:
    return Downloads(store, identity, out)


def delivered(store: ObjectStore, task: DeliveredTask) -> Delivery:
    """A task's row as it is read."""
    task.deliver(store)
    (found,) = [one for one in RowReader(store, task.identity, task.round).read() if one.index == task.index]
    return found


@contextmanager
def limited_file_size(most_bytes: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder, but for task.json."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "task.json"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def task_json(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "task.json").read_text())
    return found


def test_a_task_whose_row_has_everything_takes_no_request(
    store: ObjectStore, identity: SweepIdentity, out: OutFolder, downloads: Downloads
) -> None:
    task = DeliveredTask(identity, 0, result={"loss": 0.5}, stdout=b"out\xff\n", stderr=b"err")
    delivery = delivered(store, task)
    with counted_requests(store) as asked:
        end = downloads.fetch(delivery, DESCRIPTION)
    assert asked == []
    assert end == delivery.end and end.result == {"loss": 0.5}
    folder = out.task_folder("x=0")
    assert tree(folder) == {"stdout.txt": b"out\xff\n", "stderr.txt": b"err"}
    assert (folder / "files").is_dir()
    mark = {"key": task.key, "round": 0, "token": task.token}
    assert task_json(folder) == json.loads(json.dumps({**DESCRIPTION, **asdict(end), **mark}))
    assert [path.name for path in out.path.iterdir()] == ["x=0"]
    assert stat.S_IMODE(folder.stat().st_mode) & 0o055 == out.path.stat().st_mode & 0o055


@pytest.mark.parametrize("size", [3000, 6 * 2**20], ids=["small", "large"])
def test_files_and_long_output_are_as_the_program_left_them(
    store: ObjectStore, identity: SweepIdentity, out: OutFolder, downloads: Downloads, size: int
) -> None:
    files = {
        "a.txt": b"1",
        "deep/er/b": os.urandom(size),
        "empty": b"",
        "é ü#?%": b"x",
        **{f"n{i}": b"n" for i in range(20)},
    }
    task = DeliveredTask(
        identity,
        0,
        stdout=os.urandom(size),
        stderr=b"e" * size,
        files=files,
        left=["out-link"],
        result={"x": "y" * 5000},
    )
    end = downloads.fetch(delivered(store, task), DESCRIPTION)
    folder = out.task_folder("x=0")
    expected = {f"files/{path}": data for path, data in files.items()}
    assert tree(folder) == {**expected, "stdout.txt": task.stdout, "stderr.txt": task.stderr}
    status = (folder / "files" / "a.txt").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (0o640, 1_700_000_000_123_456_789)
    assert (end.left, end.result) == (("out-link",), {"x": "y" * 5000})
    assert (task_json(folder)["left"], task_json(folder)["result"]) == (["out-link"], {"x": "y" * 5000})


def test_what_was_fetched_is_not_fetched_again(
    store: ObjectStore, identity: SweepIdentity, out: OutFolder, downloads: Downloads
) -> None:
    delivery = delivered(store, DeliveredTask(identity, 0, files={"a": b"1"}, left=["link"], attempt=1))
    end = downloads.fetch(delivery, DESCRIPTION)
    before = tree(out.path)
    with counted_requests(store) as asked:
        assert Downloads(store, identity, out).fetch(delivery, DESCRIPTION) == end
    assert asked == [] and tree(out.path) == before


def test_what_an_earlier_run_left_is_an_earlier_attempt(
    store: ObjectStore, identity: SweepIdentity, out: OutFolder, downloads: Downloads
) -> None:
    folder = out.task_folder("x=0")
    downloads.fetch(delivered(store, DeliveredTask(identity, 0, stdout=b"old", files={"f": b"old"})), DESCRIPTION)
    again = DeliveredTask(identity, 0, round=1, stdout=b"new", files={"f": b"new"})
    downloads.fetch(delivered(store, again), DESCRIPTION)
    assert tree(folder) == {
        "stdout.txt": b"new",
        "stderr.txt": b"",
        "files/f": b"new",
        "attempt-0/stdout.txt": b"old",
        "attempt-0/stderr.txt": b"",
        "attempt-0/files/f": b"old",
    }


def test_earlier_attempts_of_all_rounds_have_folders_of_their_own(
    store: ObjectStore, identity: SweepIdentity, out: OutFolder, downloads: Downloads
) -> None:
    failed = {"status": "failed", "exit": 3, "reason": "exit status 3"}
    for round, attempt in ((0, 0), (0, 1), (1, 0)):
        text = f"{round}-{attempt}".encode()
        DeliveredTask(identity, 0, round, attempt=attempt, stdout=text, files={"f": text}, fields=failed).leave(store)
    # Of another task, and of this one under another key
    DeliveredTask(identity, 1, 0, stdout=b"other").leave(store)
    DeliveredTask(identity, 0, 0, key="f" * 64, attempt=2, stdout=b"before").leave(store)
    downloads.fetch(delivered(store, DeliveredTask(identity, 0, 1, attempt=1, stdout=b"last")), DESCRIPTION)
    folder = out.task_folder("x=0")
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == [
        "attempt-0", "attempt-1", "attempt-2", "files",
    ]  # fmt: skip
    for number, text in enumerate((b"0-0", b"0-1", b"1-0")):
        earlier = folder / f"attempt-{number}"
        assert tree(earlier) == {"stdout.txt": text, "stderr.txt": b"", "files/f": text}
        assert (task_json(earlier)["status"], task_json(earlier)["exit"]) == ("failed", 3)
    assert (folder / "stdout.txt").read_bytes() == b"last" and task_json(folder)["attempts"] == 2
    assert downloads.refused == []


def test_a_wrong_earlier_attempt_is_named_and_left_out(
    store: ObjectStore, identity: SweepIdentity, out: OutFolder, downloads: Downloads
) -> None:
    task = DeliveredTask(identity, 0, files={"f": b"1"})
    put(store, task.address.attempt_name(0, task.token), task.body())
    downloads.fetch(delivered(store, DeliveredTask(identity, 0, attempt=1, stdout=b"right")), DESCRIPTION)
    assert tree(out.task_folder("x=0")) == {"stdout.txt": b"right", "stderr.txt": b""}
    (text,) = downloads.refused
    assert text.startswith(f"the attempt 0 of x=0, {task.address.attempt_name(0, task.token)},") and "refused" in text


def test_a_lost_task_has_what_its_last_attempt_left(
    store: ObjectStore, identity: SweepIdentity, out: OutFolder, downloads: Downloads
) -> None:
    tasks = [DeliveredTask(identity, 0, attempt=n, stdout=b"%d" % n, files={"f": b"%d" % n}) for n in range(3)]
    for task in tasks:
        task.leave(store)
    for _ in range(2):
        downloads.fetch_lost(0, 0, "x=0", tasks[0].key, LOST, DESCRIPTION)
        folder = out.task_folder("x=0")
        assert tree(folder) == {
            f"{place}{name}": data
            for place, text in (("", b"2"), ("attempt-0/", b"0"), ("attempt-1/", b"1"))
            for name, data in (("stdout.txt", text), ("stderr.txt", b""), ("files/f", text))
        }
        assert (task_json(folder)["status"], task_json(folder)["reason"]) == ("lost", LOST.reason)


def test_a_lost_task_that_left_nothing_has_empty_files(out: OutFolder, downloads: Downloads) -> None:
    for _ in range(2):
        downloads.fetch_lost(0, 0, "x=0", "k", LOST, DESCRIPTION)
        assert tree(out.path) == {"x=0/stdout.txt": b"", "x=0/stderr.txt": b""}
        assert task_json(out.task_folder("x=0"))["status"] == "lost"


def test_a_lost_task_has_what_it_had_delivered_while_it_ran(
    store: ObjectStore, identity: SweepIdentity, out: OutFolder, downloads: Downloads
) -> None:
    first = DeliveredTask(identity, 0, stdout=b"reported", fields={"live": "delivered"})
    known = first.print(store, 0, LiveStream(0, b"rep"))
    first.leave(store)
    killed = DeliveredTask(identity, 0, attempt=1)
    killed.print(store, 0, LiveStream(0, b"a\n", ((0, 5.0),)), LiveStream(0, b"e1"))
    # What lies between was more than could be delivered, and a part was written twice
    killed.print(store, 1, LiveStream(9, b"b\n", ((9, 7.0),)), LiveStream(0, b"e1e2"))
    DeliveredTask(identity, 0, attempt=2, key="f" * 64).print(store, 0, LiveStream(0, b"of another task"))
    for _ in range(2):
        assert downloads.fetch_lost(0, 0, "x=0", first.key, LOST, DESCRIPTION) == LOST
        assert tree(out.task_folder("x=0"))["attempt-0/stdout.txt"] == b"reported"
    folder = out.task_folder("x=0")
    gap = b"\n[7 bytes are left out here: they came faster than they could be delivered]\n"
    assert tree(folder / "attempt-1") == {"stdout.txt": b"a\n" + gap + b"b\n", "stderr.txt": b"e1e2"}
    assert (task_json(folder / "attempt-1")["status"], task_json(folder / "attempt-1")["ended"]) == ("lost", 7.0)
    assert known not in store.names(identity.folder) and len(store.names(first.address.live_prefix)) == 3


def test_what_was_printed_by_an_execution_that_was_killed_comes_before_what_the_next_one_delivered(
    store: ObjectStore, identity: SweepIdentity, out: OutFolder, downloads: Downloads
) -> None:
    for round, attempt in ((0, 0), (1, 0)):
        DeliveredTask(identity, 0, round, attempt=attempt).print(store, 0, LiveStream(0, b"%d" % round))
    last = DeliveredTask(identity, 0, 1, attempt=1, stdout=b"last", fields={"live": "delivered"})
    own = last.print(store, 0, LiveStream(0, b"la"))
    delivery = delivered(store, last)
    downloads.fetch(delivery, DESCRIPTION)
    downloads.forget_running(1, 0, delivery.row.fields)
    found = tree(out.task_folder("x=0"))
    assert [found[f"{place}stdout.txt"] for place in ("attempt-0/", "attempt-1/", "")] == [b"0", b"1", b"last"]
    assert own not in store.names(own) and not (out.task_folder("x=0") / "attempt-2").exists()


def test_output_that_somebody_else_wrote_is_named_and_left_out(
    store: ObjectStore, identity: SweepIdentity, out: OutFolder, downloads: Downloads
) -> None:
    killed = DeliveredTask(identity, 0)
    killed.print(store, 0, LiveStream(0, b"mine"))
    for number, data in enumerate((b"", b"theirs", os.urandom(3000)), 1):
        put(store, killed.address.execution(killed.token).live_name(0, number), data)
    put(store, f"{killed.address.live_prefix}x", b"no name of a part")
    downloads.fetch_lost(0, 0, "x=0", killed.key, LOST, DESCRIPTION)
    assert tree(out.task_folder("x=0")) == {"stdout.txt": b"mine", "stderr.txt": b""}
    assert len(downloads.refused) == 3 and all("is refused" in text for text in downloads.refused)


def test_a_result_is_read_without_the_rest(
    store: ObjectStore, identity: SweepIdentity, out: OutFolder, downloads: Downloads
) -> None:
    task = DeliveredTask(identity, 0, result={"x": "y" * 9000}, stdout=os.urandom(12 * 2**20), left=["link"])
    end = downloads.result(delivered(store, task))
    assert (end.result, end.left) == ({"x": "y" * 9000}, ("link",))
    assert list(out.path.iterdir()) == []


# -- what is wrong


def refusal(downloads: Downloads, delivery: Delivery) -> str:
    with pytest.raises(OutcomeError) as caught:
        downloads.fetch(delivery, DESCRIPTION)
    return str(caught.value)


def test_an_outcome_that_is_gone_is_named(
    store: ObjectStore, identity: SweepIdentity, out: OutFolder, downloads: Downloads
) -> None:
    task = DeliveredTask(identity, 0, files={"a": b"1"})
    delivery = delivered(store, task)
    store.delete(task.address.outcome_name)
    assert f"the outcome of x=0, {task.address.outcome_name}, is gone from gs://covalent" in refusal(
        downloads, delivery
    )
    assert list(out.path.iterdir()) == []


@pytest.mark.parametrize(
    "data", [None, b"", b"2", b"11", b"1" * 50_000], ids=["none", "empty", "other", "more", "much"]
)
def test_a_file_that_is_not_the_one_that_was_delivered_is_named(
    store: ObjectStore, identity: SweepIdentity, out: OutFolder, downloads: Downloads, data: bytes | None
) -> None:
    task = DeliveredTask(identity, 0, files={"a/b": b"1", "c": b"2"})
    delivery = delivered(store, task)
    name = task.address.output_name(task.token, "a/b")
    store.delete(name)
    if data is not None:
        put(store, name, data)
    assert "its file 'a/b'" in refusal(downloads, delivery)
    assert list(out.path.iterdir()) == []


@pytest.mark.parametrize("path", ["../a", "/etc/passwd", "a/../../b", "a//b", "./a", "", "a/", "a\0"])
def test_no_file_leaves_its_folder(
    store: ObjectStore, identity: SweepIdentity, out: OutFolder, downloads: Downloads, path: str
) -> None:
    task = DeliveredTask(identity, 0, fields={"files": 1})
    delivery = delivered(store, task)
    task.files = {path: b"1"}
    put(store, task.address.outcome_name, task.body(), task.metadata())
    assert "is not a path of a file" in refusal(downloads, delivery)
    assert [path.name for path in out.path.parent.rglob("*")] == ["out"]


def test_a_file_and_a_folder_of_one_name_are_refused(
    store: ObjectStore, identity: SweepIdentity, downloads: Downloads
) -> None:
    delivery = delivered(store, DeliveredTask(identity, 0, files={"a": b"1", "a-b": b"2", "b": b""}))
    task = DeliveredTask(identity, 0, files={"a": b"1", "a/b": b"2", "b": b""})
    put(store, task.address.outcome_name, task.body(), task.metadata())
    assert "'a/b' is not a path of a file" in refusal(downloads, delivery)


def test_an_outcome_of_another_execution_than_the_rows_is_refused(
    store: ObjectStore, identity: SweepIdentity, downloads: Downloads
) -> None:
    delivery = delivered(store, DeliveredTask(identity, 0, result={"x": "y" * 5000}))
    other = DeliveredTask(identity, 0, attempt=1, result={"x": "z" * 5000})
    put(store, other.address.outcome_name, other.body(), other.metadata())
    assert "another row" in refusal(downloads, delivery)
    with pytest.raises(OutcomeError, match="another row"):
        downloads.result(delivery)


def test_a_full_disk_is_told_and_what_was_there_stays(
    store: ObjectStore, identity: SweepIdentity, out: OutFolder, downloads: Downloads
) -> None:
    downloads.fetch(delivered(store, DeliveredTask(identity, 0, stdout=b"old")), DESCRIPTION)
    before = tree(out.path)
    delivery = delivered(store, DeliveredTask(identity, 0, round=1, files={"a": b"x" * 3_000_000}))
    with limited_file_size(1_000_000), pytest.raises(OSError) as caught:
        downloads.fetch(delivery, DESCRIPTION)
    assert caught.value.errno == errno.EFBIG
    assert tree(out.path) == before and [path.name for path in out.path.iterdir()] == ["x=0"]
    downloads.fetch(delivery, DESCRIPTION)
    assert (out.task_folder("x=0") / "files" / "a").stat().st_size == 3_000_000


def test_many_tasks_are_fetched_at_once(
    on_emulator: Emulator, store: ObjectStore, identity: SweepIdentity, out: OutFolder, downloads: Downloads
) -> None:
    made = [
        DeliveredTask(identity, index, files={f"f{n}": b"%d-%d" % (index, n) for n in range(4)}) for index in range(40)
    ]
    for task in made:
        task.deliver(store)
    found = RowReader(store, identity, 0).read()
    with ThreadPoolExecutor(8) as threads:
        ends = list(threads.map(lambda one: downloads.fetch(one, {"name": one.name}), found))
    assert [end.status for end in ends] == ["done"] * 40
    for task in made:
        folder = out.task_folder(task.name) / "files"
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == task.files


# -- a thousand wrong outcomes, whose rows are right


def forged(task: DeliveredTask, draw: random.Random) -> bytes:
    """Sealed with another key."""
    other = SweepIdentity(task.identity.sweep_id, draw.randbytes(32), task.identity.folder)
    return replace(task, identity=other).body()


def changed(task: DeliveredTask, draw: random.Random) -> bytes:
    """A bit is another one."""
    data = bytearray(task.body())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(data)


def cut(task: DeliveredTask, draw: random.Random) -> bytes:
    """It ends early, or goes on."""
    data = task.body()
    return data[: draw.randrange(len(data))] if draw.random() < 0.8 else data + draw.randbytes(3)


def swapped(task: DeliveredTask, draw: random.Random) -> bytes:
    """Another task's, or an attempt of the same one."""
    if draw.random() < 0.5:
        return task.body(ATTEMPT)
    return DeliveredTask(task.identity, task.index + draw.randrange(1, 50), result=task.result).body()


def replayed(task: DeliveredTask, draw: random.Random) -> bytes:
    """Of another round, another sweep, or another execution, as far as its seal may be known."""
    kind = draw.randrange(3)
    if kind == 0:
        return replace(task, round=1 + draw.randrange(3), token="").body()
    if kind == 1:
        return replace(task, token=f"{draw.getrandbits(64):016x}", result={"text": "forged" * 1000}).body()
    other = SweepIdentity(uuid.UUID(int=draw.getrandbits(128)).hex[:12], KEY, task.identity.folder)
    return replace(task, identity=other).body()


KINDS: Sequence[Callable[[DeliveredTask, random.Random], bytes]] = (forged, changed, cut, swapped, replayed)


def test_of_a_thousand_wrong_outcomes_none_is_taken(
    on_emulator: Emulator, store: ObjectStore, identity: SweepIdentity, out: OutFolder, downloads: Downloads
) -> None:
    draw = random.Random(14)
    objects: dict[str, tuple[bytes, Mapping[str, str]]] = {}
    for index in range(1100):
        task = DeliveredTask(
            identity, index, result={"text": f"{index:06} " * 1000}, stdout=b"epoch 1\n" * 9, stderr=b"!"
        )
        # Every eleventh is right
        data = task.body() if index % 11 == 10 else KINDS[index % len(KINDS)](task, draw)
        objects[task.address.outcome_name] = (data, task.metadata())
    fill(on_emulator, objects)
    taken, told = [], []
    for delivery in RowReader(store, identity, 0).read():
        try:
            end = downloads.fetch(delivery, {"index": delivery.index})
        except OutcomeError as error:
            told.append(delivery.index)
            assert str(error).startswith(f"the outcome of {delivery.name}, ") and "refused" in str(error)
        else:
            taken.append(delivery.index)
            assert end.result == {"text": f"{delivery.index:06} " * 1000}
    assert taken == list(range(10, 1100, 11))
    assert len(told) == 1000
    assert {path.name for path in out.path.iterdir()} == {f"x={index}" for index in taken}
