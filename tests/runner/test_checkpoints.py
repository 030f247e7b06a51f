"""The folder of an electron with `checkpoint` is there again in its next attempt, however the one before ended."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from ended_process import ended

from covalent_parallel_plugin.electron.outcome import read_streams
from covalent_parallel_plugin.protocol.envelope import (
    KILLED,
    PARTIAL,
    VALUE,
    Envelope,
    envelope_chunks,
    read_header,
    seal_envelope,
)
from covalent_parallel_plugin.protocol.environment import (
    ENV_CHECKPOINT_CALL,
    ENV_CHECKPOINT_KEY,
    ENV_CHECKPOINT_PACE,
    ENV_TIME_LIMIT,
)
from covalent_parallel_plugin.protocol.exit_codes import EXIT_DELIVERED, EXIT_RETRY_EXCEPTION, EXIT_TERMINATED
from covalent_parallel_plugin.protocol.identity import CallIdentity
from covalent_parallel_plugin.runner.bucket_http import BucketError
from covalent_parallel_plugin.runner.checkpoint import Checkpoints
from covalent_parallel_plugin.runner.electron_files import ElectronFiles
from covalent_parallel_plugin.runner.outcome_report import Ending

cloudpickle.register_pickle_by_value(sys.modules[__name__])

# A checkpoint each 0.6 seconds, of a folder that is as it is for a hundredth of a second
QUICK = {ENV_CHECKPOINT_PACE: "0.01"}
WAIT_SECONDS = 120
ON = {"settings": {"checkpoint": True, "retries": 5}}


def count(until: int, seconds: float, log: str) -> int:
    """Count, and have each number in the folder; `log` has a line for each step."""
    path = Path(os.environ["COVALENT_PARALLEL_CHECKPOINT"], "state")
    number = int(path.read_text()) if path.exists() else 0
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda signal_number, frame: asked.append(signal_number))
    print("begins at", number)
    while number < until:
        time.sleep(seconds)
        number += 1
        with open(log, "a") as file:
            file.write(f"{number}\n")
        new = path.with_suffix(".new")
        new.write_text(str(number))
        new.replace(path)
        if asked:
            sys.exit(3)
    return number


def write_once_and_wait(text: str, seconds: float = 600) -> str:
    folder = Path(os.environ["COVALENT_PARALLEL_CHECKPOINT"])
    found = {path.name: path.read_text() for path in sorted(folder.iterdir())}
    (folder / "state").write_text(text)
    print(json.dumps(found), flush=True)
    time.sleep(seconds)
    return text


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise TimeoutError


def checkpoints(task: Any, identity: CallIdentity | None = None) -> dict[int, str]:
    """The names of a call's checkpoints, by number."""
    address = (identity or task.identity).task()
    names = task.store.names(f"{address.call.folder}/checkpoint-")
    return {number: name for name in names if (number := address.checkpoint_number(name)) is not None}


def header(task: Any, number: int) -> Envelope:
    address = task.identity.task()
    data = task.object(address.checkpoint_name(number))
    return read_header(io.BytesIO(data), address.key, address.checkpoint_binding(number))


def lines(log: Path) -> list[int]:
    return [int(line) for line in log.read_text().splitlines()] if log.exists() else []


def outputs(task: Any, attempt: int) -> tuple[str, str]:
    address = task.identity.task()
    data = task.object(address.partial_name(attempt))
    return read_streams(io.BytesIO(data), task.identity.key, address.binding(PARTIAL))


def test_an_electron_that_is_preempted_or_loses_its_machine_continues_each_time(make_task: Any, tmp_path: Path) -> None:
    log = tmp_path / "log"
    task = make_task(count, 100, 0.05, str(log), **ON)
    starts = []
    for attempt in range(4):
        before, done = len(checkpoints(task)), len(lines(log))
        process = task.start(BATCH_TASK_RETRY_ATTEMPT=str(attempt), **QUICK)
        if attempt == 3:
            stdout, stderr = (data.decode() for data in process.communicate(timeout=WAIT_SECONDS))
            assert process.returncode == EXIT_DELIVERED, stderr
        elif attempt == 1:
            # A machine that is lost without notice: what came since its last checkpoint is done again.
            wait_for(lambda: len(checkpoints(task)) > before and len(lines(log)) > done + 15)  # noqa: B023
            process.kill()
            stdout = process.communicate(timeout=WAIT_SECONDS)[0].decode()
        else:
            wait_for(lambda: len(lines(log)) > done + 15)  # noqa: B023
            process.terminate()
            stdout = process.communicate(timeout=WAIT_SECONDS)[0].decode()
            assert process.returncode == EXIT_TERMINATED
        starts.append(int(stdout.split()[2]))
    # After a notice nothing is done again; after a loss what no checkpoint had.
    steps = lines(log)
    firsts = [index for index, step in enumerate(steps) if index == 0 or step != steps[index - 1] + 1]
    assert starts[0] == 0 and steps[: starts[1]] == list(range(1, starts[1] + 1))
    assert starts[1] < starts[2] and len(firsts) <= 2
    assert starts[3] == max(steps[: steps.index(starts[3]) + 1]) > starts[2]
    assert sorted(set(steps)) == list(range(1, 101)) and max(map(steps.count, steps)) <= 2
    assert cloudpickle.loads(task.outcome().pickle) == 100
    assert "it continues from checkpoint" in task.outcome().stderr
    numbers = sorted(checkpoints(task))
    assert [header(task, number).header["number"] for number in numbers] == numbers
    assert {header(task, number).header["attempt"] for number in numbers} >= {0, 1, 2}


def test_its_last_state_outlives_a_kill_at_its_time_limit_an_exception_and_its_own_exit(make_task: Any) -> None:
    """Also in a job that takes up what an earlier call left, whose key the electron does not see."""
    task = make_task(write_once_and_wait, "first", **ON)
    assert task.run(**{ENV_CHECKPOINT_PACE: "0.1", ENV_TIME_LIMIT: "3.0"}).status == EXIT_DELIVERED
    assert (task.outcome().kind, task.outcome().reason) == (KILLED, "time_limit")
    assert list(checkpoints(task)) == [0]

    def raises() -> None:
        folder = Path(os.environ["COVALENT_PARALLEL_CHECKPOINT"])
        names = [name for name in os.environ if name.startswith("COVALENT_PARALLEL_")]
        print((folder / "state").read_text(), names)
        (folder / "state").write_text("second")
        raise ValueError("again")

    earlier = {ENV_CHECKPOINT_CALL: task.identity.folder, ENV_CHECKPOINT_KEY: task.identity.key.hex()}
    other = make_task(raises, settings={"checkpoint": True, "retry_exceptions": True, "retries": 1})
    ending = other.run(**earlier)
    assert ending.status == EXIT_RETRY_EXCEPTION, ending.stderr
    assert ending.stdout == b"first ['COVALENT_PARALLEL_CHECKPOINT']\n"
    assert sorted(checkpoints(task)) == [0, 1] and not checkpoints(other)
    returns = make_task(write_once_and_wait, "third", 0, **ON)
    ending = returns.run(**earlier)
    assert json.loads(ending.stdout) == {"state": "second"}
    assert returns.outcome().kind == VALUE
    # What returned leaves none of its own, and nothing on the machine.
    assert sorted(checkpoints(task)) == [0, 1]
    assert returns.left_on_the_machine == [returns.runner_on_the_machine.name]


def test_what_was_being_written_when_the_electron_was_killed_is_no_checkpoint(make_task: Any) -> None:
    def writes_for_ever() -> None:
        path = Path(os.environ["COVALENT_PARALLEL_CHECKPOINT"], "state")
        path.write_text("whole")
        print("begun", flush=True)
        time.sleep(1)
        with path.open("a") as file:
            while True:
                file.write("x" * 100)
                file.flush()

    task = make_task(writes_for_ever, **ON)
    ending = task.run(**{ENV_TIME_LIMIT: "2.5"})
    assert ending.status == EXIT_DELIVERED
    assert not checkpoints(task)
    assert "was being changed when it was ended: the one before stays" in task.outcome().stderr


def test_a_forged_truncated_or_foreign_one_is_left_out_for_the_one_before(make_task: Any) -> None:
    task = make_task(write_once_and_wait, "true", **ON)
    process = task.start(**QUICK)
    process.stdout.readline()
    wait_for(lambda: checkpoints(task))
    process.kill()
    process.communicate(timeout=WAIT_SECONDS)
    address = task.identity.task()
    true = task.object(address.checkpoint_name(0))
    parts = {"files": b'["f","../escaped",384,0,0,[]]\n'}

    def sealed(number: int, key: bytes = address.key) -> bytes:
        prefix = seal_envelope({"number": number}, parts, key, address.checkpoint_binding(number))
        return b"".join(envelope_chunks(prefix, parts))

    forged = {
        1: true,
        2: b"",
        3: b"no envelope, but long enough to look like one",
        4: sealed(4, os.urandom(32)),
        5: sealed(5)[:-3],
        6: sealed(6) + b"more",
        7: sealed(7)[:-3] + b"]x\n",
        # What the electron's own code may do, which may find its key
        8: sealed(8),
    }
    for number, data in forged.items():
        task.store.put(address.checkpoint_name(number), data)
    task.store.put(f"{address.call.folder}/checkpoint-0-99-{'0' * 16}", true)
    process = task.start(BATCH_TASK_RETRY_ATTEMPT="1", **QUICK)
    assert json.loads(process.stdout.readline()) == {"state": "true"}
    process.terminate()
    _, shown = process.communicate(timeout=WAIT_SECONDS)
    stderr = outputs(task, 1)[1]
    assert [number for number in range(9) if f"checkpoint {number} is left out: " in stderr] == list(range(1, 9))
    assert "1 objects beside the checkpoints are not this call's" in stderr
    assert "it continues from checkpoint 0, which attempt 0 made at 20" in stderr
    assert b"it continues from checkpoint 0" in shown
    assert not list(task.machine.rglob("escaped"))
    # The next number is that after the last one that has the call's name.
    assert set(checkpoints(task)) <= {*range(9), 9}


class Bucket:
    """A bucket that refuses what it is to refuse."""

    def __init__(self, refused: Sequence[str]) -> None:
        self.refused = refused
        self.written: list[str] = []

    def names(self, prefix: str) -> list[str]:
        return self._answer("names", [])

    def put(self, name: str, size: int, body: Callable[[], Any]) -> bool:
        assert len(b"".join(body())) == size
        self.written.append(name)
        return self._answer("put", True)

    def _answer(self, what: str, answer: Any) -> Any:
        if what in self.refused:
            raise BucketError(403, f"could not {what}: 403", what == "put")
        return answer

    def close(self) -> None:
        return


@pytest.mark.parametrize(
    ("refused", "most_bytes", "note"),
    [
        (["names"], 10**9, "there are no checkpoints, as none could be found again: could not names: 403. Give"),
        (["put"], 10**9, "a checkpoint was not written, and the one before stays: could not put: 403"),
        ([], 1000, "is not packed, and the one before stays: it holds more than 9.31e-07 GB: keep less there"),
        ([], 10**9, ""),
    ],
)
def test_what_prevents_a_checkpoint_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Sequence[str], most_bytes: int, note: str
) -> None:
    monkeypatch.setenv("COVALENT_PARALLEL_CHECKPOINT", "")
    bucket = Bucket(refused)
    address = CallIdentity("0" * 16, bytes(32), "covalent-parallel/d/0/" + "0" * 16).task()
    saved = Checkpoints(address, 0, str(tmp_path), lambda sleep: bucket, 0.001, most_bytes=most_bytes)
    saved.restore()
    notes: list[str] = []

    class Stderr:
        add = notes.append

    tick = saved.beside(lambda streams: 0.01)
    for number in range(3):
        (Path(saved.folder) / "state").write_text(str(number) * 5000)
        if note:
            wait_for(lambda: (tick((Stderr, Stderr)) == 0.01 and notes) or None)
        else:
            wait_for(lambda: tick((Stderr, Stderr)) and len(bucket.written) > number)  # noqa: B023
    for _ in range(50):
        tick((Stderr, Stderr))
        time.sleep(0.01)
    assert [note in each for each in notes] == ([True] if note else [])
    saved.stop()
    assert bool(bucket.written) == ("names" not in refused and most_bytes > 1000)


def checkpoints_in(place: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Checkpoints:
    monkeypatch.setenv("COVALENT_PARALLEL_CHECKPOINT", "")
    address = CallIdentity("0" * 16, bytes(32), "covalent-parallel/d/0/" + "0" * 16).task()
    saved = Checkpoints(address, 0, str(place), lambda sleep: bucket, 0.001)
    saved.restore()
    return saved


class Notes(list[str]):
    """What is added to stderr."""

    add = list.append


def test_one_that_is_written_but_not_listed_is_not_reported_as_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket, notes = Bucket([]), Notes()
    saved = checkpoints_in(tmp_path, bucket, monkeypatch)
    bucket.refused = ["names"]
    tick = saved.beside(lambda streams: 0.01)
    for number in range(3):
        (Path(saved.folder) / "state").write_text(str(number))
        wait_for(lambda: tick((notes, notes)) and len(bucket.written) > number)  # noqa: B023
    wait_for(lambda: tick((notes, notes)) == 0.01)
    saved.stop()
    assert notes == []


def test_a_folder_that_changes_all_the_time_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes = Notes()
    saved = checkpoints_in(tmp_path, Bucket([]), monkeypatch)
    Path(saved.folder, "large").write_bytes(bytes(range(256)) * 100_000)
    code = "import sys\nwith open(sys.argv[1], 'ab', 0) as file:\n    while True: file.write(b'x'); file.truncate(0)"
    writer = subprocess.Popen([sys.executable, "-c", code, str(Path(saved.folder, "log"))])
    try:
        tick = saved.beside(lambda streams: 0.01)
        wait_for(lambda: (tick((notes, notes)) and notes) or None)
    finally:
        writer.kill()
        writer.wait()
        saved.stop()
    assert "is gone, or changes whenever it is packed, and the one before stays: have logs" in notes[0]


def test_a_folder_that_is_gone_at_the_end_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket, files = Bucket([]), ElectronFiles(str(tmp_path))
    saved = checkpoints_in(tmp_path, bucket, monkeypatch)
    Path(saved.folder).rmdir()
    Path(saved.folder).touch()
    saved.finish(Ending(exit_status=1, signal=None, reason=""), files)
    saved.stop()
    assert bucket.written == []
    note = b"the folder of its checkpoints is gone, or changed while it was packed: the one before stays"
    assert note in Path(files.stderr.path).read_bytes()
    files.close()


def test_without_the_option_there_is_no_folder_and_nothing_of_it_is_loaded(make_task: Any) -> None:
    def electron() -> tuple[Any, list[str]]:
        loaded = [name for name in sys.modules if "checkpoint" in name]
        return os.environ.get("COVALENT_PARALLEL_CHECKPOINT"), loaded

    task = make_task(electron)
    assert task.run().status == EXIT_DELIVERED
    assert cloudpickle.loads(task.outcome().pickle) == (None, [])


def test_a_folder_that_the_electron_deletes_costs_it_nothing_and_a_link_out_is_named(
    make_task: Any, tmp_path: Path
) -> None:
    def electron(folder: str) -> str:
        import shutil

        place = Path(os.environ["COVALENT_PARALLEL_CHECKPOINT"])
        (place / "out").symlink_to("/etc/passwd")
        (place / "state").write_text("1")
        Path(folder, "written").touch()
        while not Path(folder, "go").exists():
            time.sleep(0.05)
        shutil.rmtree(place)
        time.sleep(0.5)
        return "whole"

    task = make_task(electron, str(tmp_path), **ON)
    process = task.start(**QUICK)
    wait_for(lambda: checkpoints(task))
    (tmp_path / "go").touch()
    assert ended(process).status == EXIT_DELIVERED
    assert cloudpickle.loads(task.outcome().pickle) == "whole"
    assert "the link out leads out of the folder" in task.outcome().stderr
