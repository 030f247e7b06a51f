"""The file of a trace: appended by several processes, its owner's alone, and never in the way of an electron."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from covalent_parallel_plugin.batch import trace
from covalent_parallel_plugin.batch.trace import OneWarning, TraceFile, read_trace, remove_old_traces, traces_folder

DAY = 86400.0


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"XDG_DATA_HOME": "/data"}, "/data/covalent-parallel/traces"),
        ({"XDG_DATA_HOME": "data", "HOME": "/home/me"}, "/home/me/.local/share/covalent-parallel/traces"),
        ({"XDG_DATA_HOME": "", "HOME": "/home/me"}, "/home/me/.local/share/covalent-parallel/traces"),
        ({"HOME": "/home/me"}, "/home/me/.local/share/covalent-parallel/traces"),
    ],
)
def test_traces_are_below_the_folder_of_the_users_data(environment: Mapping[str, str], expected: str) -> None:
    assert traces_folder(environment) == Path(expected)


def test_records_are_read_as_they_were_written_and_are_the_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "covalent-parallel" / "traces"
    file = TraceFile(folder, "dispatch")
    old = os.umask(0)
    try:
        assert file.write("submitted", 3, job="j", asked={"vcpus": 2.0})
    finally:
        os.umask(old)
    assert file.write("ended", 3, verdict="value", message="zwei\nZeilen \ud800")
    assert file.path is not None
    assert read_trace(file.path) == (
        [
            {"v": 1, "kind": "submitted", "node": 3, "job": "j", "asked": {"vcpus": 2.0}},
            {"v": 1, "kind": "ended", "node": 3, "verdict": "value", "message": "zwei\nZeilen \ud800"},
        ],
        0,
    )
    assert len(file.path.read_bytes().splitlines()) == 2
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


WRITER = """
import sys
from pathlib import Path
from covalent_parallel_plugin.batch.trace import TraceFile
for number in range(200):
    TraceFile(Path(sys.argv[1]), "dispatch").write("ended", number, message=sys.argv[2] * 5000)
"""


def test_two_processes_never_mix_their_lines(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path / "new"), letter]) for letter in "ab"]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0]
    records, skipped = read_trace(tmp_path / "new" / "dispatch.jsonl")
    assert skipped == 0
    for letter in "ab":
        assert [each["node"] for each in records if each["message"] == letter * 5000] == list(range(200))


@pytest.mark.parametrize(
    "dispatch_id",
    ["0b1c-2d", "../../outside", "", ".", "..", "a/b", ".hidden", "x" * 500, "nul\0", "\ud800", "a b", "ü\n"],
)
def test_each_dispatch_has_a_file_of_its_own_in_the_folder_whatever_its_id(tmp_path: Path, dispatch_id: str) -> None:
    file = TraceFile(tmp_path / "traces", dispatch_id)
    assert file.write("ended", 0)
    assert [path.parent for path in tmp_path.rglob("*.jsonl")] == [tmp_path / "traces"]
    assert file.path is not None
    assert read_trace(file.path).records == [{"v": 1, "kind": "ended", "node": 0}]
    assert file.path != TraceFile(tmp_path / "traces", dispatch_id + "x").path


@pytest.mark.parametrize(
    "line",
    [
        b'{"v":1,"kind":"attempt","node"',
        b"\xff\xfe",
        b"[]",
        b"3",
        b'{"v":2,"kind":"attempt","node":1}',
        b'{"v":1,"kind":"unknown","node":1}',
        b'{"v":1,"kind":["attempt"],"node":1}',
        b'{"v":1,"kind":"attempt","node":"1"}',
        b'{"kind":"attempt","node":1}',
        b"[" * 100_000,
    ],
)
def test_a_line_that_cannot_be_read_is_skipped_and_counted(tmp_path: Path, line: bytes) -> None:
    good = b'{"v":1,"kind":"ended","node":1}\n'
    path = tmp_path / "t.jsonl"
    path.write_bytes(good + line + b"\n" + b"\n" + good)
    records, skipped = read_trace(path)
    assert (len(records), skipped) == (2, 1)


def test_a_trace_that_is_not_there_has_no_records(tmp_path: Path) -> None:
    assert read_trace(tmp_path / "t.jsonl") == ([], 0)


def test_reading_waits_for_no_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "t.jsonl")
    with pytest.raises(OSError, match="is not a file"):
        read_trace(tmp_path / "t.jsonl")


def test_a_line_that_was_cut_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    file = TraceFile(tmp_path, "t")
    (tmp_path / "t.jsonl").write_bytes(b'{"v":1,"kind":"ended","no')
    assert file.write("ended", 2)
    records, skipped = read_trace(tmp_path / "t.jsonl")
    assert ([each["node"] for each in records], skipped) == ([2], 1)


def file_in_the_folders_place(place: Path) -> None:
    place.write_text("")


def file_in_the_place_of_the_folder_above(place: Path) -> None:
    place.parent.rmdir()
    place.parent.write_text("")


def folder_in_the_files_place(place: Path) -> None:
    (place / "t.jsonl").mkdir(parents=True)


def pipe_in_the_files_place(place: Path) -> None:
    place.mkdir()
    os.mkfifo(place / "t.jsonl")


def link_that_goes_round(place: Path) -> None:
    place.symlink_to(place)


def device_in_the_files_place(place: Path) -> None:
    place.mkdir()
    (place / "t.jsonl").symlink_to("/dev/full")


def link_to_a_file_of_something_else(place: Path) -> None:
    place.mkdir()
    (place.parent / "other").write_text("other\n")
    (place / "t.jsonl").symlink_to(place.parent / "other")


@pytest.mark.parametrize(
    "obstruct",
    [
        file_in_the_folders_place,
        file_in_the_place_of_the_folder_above,
        folder_in_the_files_place,
        pipe_in_the_files_place,
        link_that_goes_round,
        device_in_the_files_place,
        link_to_a_file_of_something_else,
    ],
)
def test_a_trace_that_cannot_be_written_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, obstruct: object
) -> None:
    (tmp_path / "above").mkdir()
    folder = tmp_path / "above" / "traces"
    assert callable(obstruct)
    obstruct(folder)
    warning = OneWarning()
    with caplog.at_level(logging.WARNING):
        for node in range(3):
            assert not TraceFile(folder, "t", warning=warning).write("ended", node)
    (record,) = caplog.records
    assert str(folder) in record.getMessage()
    assert "XDG_DATA_HOME" in record.getMessage()
    other = folder.parent / "other"
    assert not other.exists() or other.read_text() == "other\n"


OF_ANOTHER_USER = """
import os, sys
from pathlib import Path
from covalent_parallel_plugin.batch.trace import TraceFile
os.setuid(12345)
print(TraceFile(Path(sys.argv[1]), "t").write("ended", 1))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_nothing_is_added_to_a_file_of_another_user() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.jsonl"
        path.touch()
        for each, mode in ((path.parent, 0o777), (path, 0o666)):
            each.chmod(mode)
        words = [sys.executable, "-c", OF_ANOTHER_USER, folder]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout == "False\n"
        assert done.stderr.count("belongs to another user") == 1
        assert path.read_text() == ""


def test_a_user_without_a_home_folder_is_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    warning = OneWarning()
    with caplog.at_level(logging.WARNING):
        for node in range(3):
            assert not TraceFile(None, "t", warning=warning).write("ended", node)
    assert len(caplog.records) == 1


FULL = """
import resource, sys
from pathlib import Path
from covalent_parallel_plugin.batch.trace import TraceFile
resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))
file = TraceFile(Path(sys.argv[1]), "t")
print([file.write("ended", node, message="x" * 20) for node in range(4)])
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(file.write("ended", 4))
"""


def test_a_full_disk_costs_what_it_has_no_room_for(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[True, False, False, False]\nTrue\n"
    assert done.stderr.count("No trace") == 1
    records, skipped = read_trace(tmp_path / "t.jsonl")
    assert ([each["node"] for each in records], skipped) == ([0, 4], 1)


def written(folder: Path, name: str, days_ago: float, *kinds: tuple[str, int]) -> Path:
    """Write a trace whose last record is so old."""
    file = TraceFile(folder, name)
    for kind, node in kinds:
        assert file.write(kind, node)
    assert file.path is not None
    os.utime(file.path, (time.time() - days_ago * DAY,) * 2)
    return file.path


def test_old_traces_are_deleted_and_nothing_else(tmp_path: Path) -> None:
    ended = (("submitted", 0), ("attempt", 0), ("ended", 0))
    written(tmp_path, "old", 3.1, *ended)
    written(tmp_path, "new", 2.9, *ended)
    written(tmp_path, "running", 3.1, *ended, ("submitted", 1))
    written(tmp_path, "again", 3.1, *ended, ("submitted", 0))
    written(tmp_path, "crashed", trace.LONGEST_SILENCE_DAYS + 0.1, ("submitted", 0))
    (tmp_path / "old.txt").write_text("")
    (tmp_path / "folder.jsonl").mkdir()
    for path in (tmp_path / "old.txt", tmp_path / "folder.jsonl"):
        os.utime(path, (0, 0))
    remove_old_traces(tmp_path, 3, time.time())
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "again.jsonl",
        "folder.jsonl",
        "new.jsonl",
        "old.txt",
        "running.jsonl",
    ]


def test_old_traces_are_looked_for_once_an_hour_at_most(tmp_path: Path) -> None:
    removals = trace.Removals()
    first = written(tmp_path, "a", 5, ("ended", 0))
    removals.remove_now_and_then(tmp_path, 3)
    second = written(tmp_path, "b", 5, ("ended", 0))
    removals.remove_now_and_then(tmp_path, 3)
    assert (first.exists(), second.exists()) == (False, True)


def test_a_record_is_one_line_of_json(tmp_path: Path) -> None:
    assert json.loads(trace.record_line("ended", None, {"verdict": "value"})) == {
        "v": 1,
        "kind": "ended",
        "node": None,
        "verdict": "value",
    }
