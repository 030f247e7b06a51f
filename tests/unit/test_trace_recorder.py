"""What is noted of a call on its way, and the thread that writes it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from covalent_parallel_plugin.batch.cancellation import CancelledCall
from covalent_parallel_plugin.batch.trace import OneWarning, TraceFile, read_trace
from covalent_parallel_plugin.batch.trace_recorder import TraceRecorder
from covalent_parallel_plugin.batch.trace_writer import TraceRecord, TraceWriter
from covalent_parallel_plugin.cloud.job_status import Event, JobStatus
from covalent_parallel_plugin.errors import CloudError, MachineLostError, MapError, TaskKilledError


def ended(tmp_path: Path, error: BaseException | None, is_raised: bool) -> dict[str, Any]:
    """The record of a call that ended so."""
    file = TraceFile(tmp_path, "d")
    recorder = TraceRecorder(file, 4)
    asyncio.run(recorder.end_raised(error) if is_raised and error is not None else recorder.end(error))
    assert file.path is not None
    (record,) = read_trace(file.path).records
    return record


@pytest.mark.parametrize(
    ("error", "is_raised", "verdict", "kind"),
    [
        (None, False, "value", None),
        (KeyError("x"), False, "exception", "KeyError"),
        (MapError.of("m", 2, {0: ("(0): x", ValueError())}), False, "exception", "MapError"),
        (TaskKilledError("k"), False, "killed", "TaskKilledError"),
        (MachineLostError("l"), True, "lost", "MachineLostError"),
        (CloudError("c"), True, "failed", "CloudError"),
        (CancelledCall("c"), True, "cancelled", None),
        (KeyError("a defect"), True, "failed", "KeyError"),
    ],
)
def test_the_end_has_a_verdict_and_the_errors_class(
    tmp_path: Path, error: BaseException | None, is_raised: bool, verdict: str, kind: str | None
) -> None:
    record = ended(tmp_path, error, is_raised)
    assert (record["node"], record["verdict"], record["error"]) == (4, verdict, kind)
    assert record["t"]["entered"] <= record["t"]["ended"]


@pytest.mark.parametrize("text", ["x" * 5000, "ü" * 5000, "\ud800" * 5000, ""])
def test_a_message_is_cut_after_two_kilobytes(tmp_path: Path, text: str) -> None:
    message = ended(tmp_path, CloudError(text), False)["message"]
    assert len(message.encode()) <= 2048
    assert message == "" or len(message.encode()) > 2040
    assert text.encode("utf-8", "backslashreplace").startswith(message.encode())


def test_without_a_trace_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    recorder = TraceRecorder.of("d", 0, {"trace": False})
    recorder.begin("f")
    recorder.note_staged()
    recorder.note_stopped()
    asyncio.run(recorder.end(None))
    assert not recorder.is_on and not recorder.has_open_job
    assert list(tmp_path.iterdir()) == []


QUOTA = Event("VM in Managed Instance Group meets error: CODE_GCE_QUOTA_EXCEEDED, Quota 'T4_GPUS' exceeded.", 5.0)
CAPACITY = Event("CODE_GCE_ZONE_RESOURCE_POOL_EXHAUSTED", 7.0)
NO_WAIT = Event("CODE_MACHINE_TYPE_NOT_FOUND", 8.0)


def test_what_batch_says_of_a_wait_is_recorded_once_for_each_cause(tmp_path: Path) -> None:
    writer, file = TraceWriter(), TraceFile(tmp_path, "d")
    recorder = TraceRecorder(file, 4, writer=writer)
    for events in ([], [QUOTA], [QUOTA], [QUOTA, CAPACITY, QUOTA], [QUOTA, CAPACITY, QUOTA, NO_WAIT]):
        recorder.note_look(JobStatus("j", "u", "QUEUED", events=events))
    assert writer.flush(60)
    assert file.path is not None
    first, second = read_trace(file.path).records
    assert (first["kind"], first["node"], first["cause"], first["t"]) == ("waited", 4, "quota", {"said": 5.0})
    assert first["message"] == QUOTA.description
    assert (second["cause"], second["t"]) == ("capacity", {"said": 7.0})


class HangingFile(TraceFile):
    """A trace on a disk that does not answer until it is let."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "hanging")
        self.answers = threading.Event()

    def append(self, lines: Sequence[bytes]) -> bool:
        return self.answers.wait(60) and super().append(lines)


def test_a_disk_that_hangs_holds_up_neither_the_loop_nor_a_calls_end(tmp_path: Path) -> None:
    writer, file = TraceWriter(seconds=0.3), HangingFile(tmp_path)
    recorder = TraceRecorder(file, 0, writer=writer)

    async def run() -> int:
        turns = 0
        ending = asyncio.ensure_future(recorder.end(None))
        while not ending.done():
            turns += 1
            await asyncio.sleep(0.01)
        return turns

    assert asyncio.run(asyncio.wait_for(run(), 30)) > 1
    assert not writer.flush()
    file.answers.set()
    assert writer.flush(60)
    assert file.path is not None
    assert len(read_trace(file.path).records) == 1


def test_records_come_in_order_from_many_threads(tmp_path: Path) -> None:
    writer, file = TraceWriter(), TraceFile(tmp_path, "d")

    def put(thread: int) -> None:
        for number in range(50):
            writer.put(file, [TraceRecord("ended", thread, {"number": number})])

    threads = [threading.Thread(target=put, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.flush(60)
    assert file.path is not None
    records = read_trace(file.path).records
    for node in range(4):
        assert [record["number"] for record in records if record["node"] == node] == list(range(50))


def test_a_record_that_cannot_be_encoded_costs_itself_alone(tmp_path: Path) -> None:
    warning = OneWarning()
    writer, file = TraceWriter(), TraceFile(tmp_path, "d", warning=warning)
    writer.put(file, [TraceRecord("ended", 0, {"odd": object()}), TraceRecord("ended", 1, {})])
    writer.put(file, [TraceRecord("ended", 2, {})])
    assert writer.flush(60)
    assert file.path is not None
    assert [record["node"] for record in read_trace(file.path).records] == [1, 2]


ENDS = """
import sys
from pathlib import Path
from covalent_parallel_plugin.batch.trace import TraceFile
from covalent_parallel_plugin.batch.trace_writer import WRITER, TraceRecord
for number in range(500):
    WRITER.put(TraceFile(Path(sys.argv[1]), "d"), [TraceRecord("ended", number, {})])
"""


def test_a_process_that_ends_has_written_what_it_noted(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDS, str(tmp_path)], check=True, timeout=120, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert len(read_trace(tmp_path / "d.jsonl").records) == 500


def test_a_copy_of_the_process_writes_nothing_twice(tmp_path: Path) -> None:
    program = ENDS + "import os\nif os.fork():\n    assert os.wait()[1] == 0\n"
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, timeout=120)
    assert time.monotonic() - begun < 100
    assert len(read_trace(tmp_path / "d.jsonl").records) == 500
