"""The journal: what its lines come to, torn and full, and who holds it."""

from __future__ import annotations

import errno
import fcntl
import json
import resource
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from covalent_parallel_plugin.programs.verdict import TaskEnd
from covalent_parallel_plugin.sweep.combinations import Combination
from covalent_parallel_plugin.sweep.records.journal import (
    Journal,
    JournalError,
    JournalHeldError,
    State,
    end_event,
    is_held,
    pinned_event,
    reading_ends,
    start_event,
    task_end,
)
from covalent_parallel_plugin.sweep.tasks import Pinned, PinnedImage, SweepTask

OPEN = {"event": "open", "id": "0123456789ab", "name": "art", "pid": 7}
DONE = TaskEnd("done", 0, None, 1.5, 1, 12.25, "here", 100.0, 101.5, result={"pi": 3.14, "on": True}, left=("a link",))


def task(index: int, key: str = "k") -> SweepTask:
    return SweepTask(Combination(index, 0, {}, None), f"i={index}", key)


def run_event(count: int, stale: tuple[str, ...] = (), pinned: Pinned | None = None) -> dict[str, object]:
    pinned = pinned if pinned is not None else Pinned()
    return {"event": "run", "count": count, "pinned": pinned_event(pinned), "stale": list(stale)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_the_state_is_what_the_events_come_to(path: Path) -> None:
    pinned = Pinned(PinnedImage("sha256:1", "abc", ("run", "it"), ("-v",), "nobody", "/w"), {"faces": "d1"})
    with Journal.open(path) as journal:
        for event in (OPEN, run_event(3, pinned=pinned), start_event(task(0), 1), start_event(task(1), 1)):
            journal.append(event)
        journal.append(end_event(task(0), DONE, {"command": "11223344"}))
    for state in (journal.state, State.read(path)):
        assert (state.sweep_id, state.name, state.pid, state.pinned) == ("0123456789ab", "art", 7, pinned)
        assert list(state.ends) == ["i=0"] and list(state.running) == ["i=1"]
        assert {name: count for name, count in state.counts().items() if count} == {
            "done": 1,
            "running": 1,
            "waiting": 1,
        }
        with reading_ends(path) as reader:
            event = reader.event(state.ends["i=0"])
        assert task_end(event) == DONE
        assert event["parts"] == {"command": "11223344"}


def test_attempts_are_counted_for_each_key(path: Path) -> None:
    with Journal.open(path) as journal:
        for key, attempts in (("a", 3), ("b", 2)):
            journal.append(start_event(task(0, key), 1))
            journal.append(end_event(task(0, key), replace(DONE, attempts=attempts), {}))
        # As before a kill
        journal.append(start_event(task(0, "b"), 3))
        assert (journal.state.attempts("i=0", "b"), journal.state.attempts("i=0", "a")) == (2, 0)


def test_ends_that_the_file_has_no_more_are_not_counted_until_they_come_again(path: Path) -> None:
    with Journal.open(path) as journal:
        journal.append(run_event(2))
        for index in range(2):
            journal.append(end_event(task(index), DONE, {}))
        journal.append(run_event(1, stale=("i=1",)))
        assert journal.state.counts()["done"] == 1
        journal.append(run_event(2))
        assert journal.state.counts()["done"] == 2


def test_tasks_that_have_another_name_keep_their_ends(path: Path) -> None:
    with Journal.open(path) as journal:
        for index in range(2):
            journal.append(end_event(task(index, f"k{index}"), DONE, {}))
        journal.append({"event": "moved", "names": {"i=1": "i=0", "i=0": "i=1"}})
        assert {name: end.key for name, end in State.read(path).ends.items()} == {"i=0": "k1", "i=1": "k0"}
        journal.append({"event": "moved", "names": {"new": "i=0"}})
        assert {name: end.key for name, end in State.read(path).ends.items()} == {"new": "k1", "i=1": "k0"}


@pytest.mark.parametrize("torn", [b"{", b'{"event":"end","task":"i=0"', b"x" * 200_000])
def test_a_torn_last_line_is_ignored_and_cut_off(path: Path, torn: bytes) -> None:
    with Journal.open(path) as journal:
        journal.append(OPEN)
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    assert State.read(path).name == "art"
    with Journal.open(path) as journal:
        journal.append(end_event(task(0), DONE, {}))
    assert path.read_bytes().startswith(whole)
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["open", "end"]


def test_a_torn_only_line_leaves_an_empty_journal(path: Path) -> None:
    path.write_bytes(b'{"event"')
    with Journal.open(path) as journal:
        assert journal.state.name == ""
    assert path.read_bytes() == b""


@pytest.mark.parametrize("line", ["nonsense", "[]", "1", '{"event":"end","task":"x"}', '{"task":"x"}', "[" * 9999])
def test_a_whole_line_that_is_not_an_event_is_named(path: Path, line: str) -> None:
    path.write_text(f"{json.dumps(OPEN)}\n{line}\n")
    with pytest.raises(JournalError) as raised:
        State.read(path)
    assert str(raised.value) == f"{path}:2 is not an event of a sweep: remove the line"


def test_one_process_holds_it(path: Path) -> None:
    with Journal.open(path), pytest.raises(JournalHeldError):
        Journal.open(path)
    Journal.open(path).close()


def test_a_look_at_the_lock_keeps_nobody_from_holding_it(path: Path) -> None:
    Journal.open(path).close()
    looked = threading.Event()

    def look() -> None:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            looked.set()
            time.sleep(0.02)

    looker = threading.Thread(target=look)
    looker.start()
    looked.wait()
    with Journal.open(path):
        assert is_held(path)
    looker.join()
    assert not is_held(path)


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from covalent_parallel_plugin.sweep.records.journal import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
journal = Journal.open(Path(sys.argv[1]))
try:
    for number in range(100):
        journal.append({"event": "noted", "number": number})
except OSError as error:
    print(error.errno)
"""


def test_on_a_full_disk_an_event_is_written_whole_or_not_at_all(path: Path) -> None:
    assert resource.RLIMIT_FSIZE  # a limit of a file's size ends a write in the middle as a full disk does
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.stdout.strip() in (str(errno.ENOSPC), str(errno.EFBIG)), ended.stderr
    lines = path.read_bytes().splitlines(keepends=True)
    assert [json.loads(line)["number"] for line in lines] == list(range(len(lines)))
    assert lines and lines[-1].endswith(b"\n")
