"""Plain commands run on this machine: their ends, their output, their limits and what they leave."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from local_runs import SWEEP_ID, Brought, Sweep, located, python

from covalent_parallel_plugin.containers.local_process import LocalProcess
from covalent_parallel_plugin.containers.ownership import started_ticks
from covalent_parallel_plugin.programs.kept_output import KeptOutput
from covalent_parallel_plugin.programs.program_watch import AttemptLimits, ProgramWatch, WatchedEnd
from covalent_parallel_plugin.programs.result_values import ResultSource
from covalent_parallel_plugin.sweep.local.plain_command import end_groups
from covalent_parallel_plugin.sweep.local.run import RunEnd
from covalent_parallel_plugin.sweep.sweep_file import StopAfter

DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("on", flush=True)
time.sleep(60)
"""


def wait_until(is_so: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def is_alive(pid: int) -> bool:
    return started_ticks(pid) > 0


def test_tasks_run_in_folders_of_their_own_and_their_output_is_kept(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, *python("print({x}); open('made', 'w').write('{folder}')"), tasks=3)
    assert sweep.run() == RunEnd(cancelled=False, stopped="")
    assert {name: end.status for name, end in sweep.memory.ends.items()} == dict.fromkeys(("x=0", "x=1", "x=2"), "done")
    for number in range(3):
        task = f"x={number}"
        assert sweep.text("stdout.txt", task) == f"{number}\n" and sweep.text("stderr.txt", task) == ""
        assert sweep.text("files/made", task) == str(tmp_path / task / "files")
        assert sweep.memory.output[task, "stdout"] == f"{number}\n".encode()
        assert names(tmp_path / task) == ["files", "stderr.txt", "stdout.txt", "task.json"]
    assert sweep.memory.most <= 2


def test_the_journal_has_a_start_and_an_end_of_each_task(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, "true", tasks=2, max_parallel=1)
    sweep.run(parts=lambda task: {"command": task.name})
    assert [(event["event"], event["task"], event["index"]) for event in sweep.journal] == [
        ("start", "x=0", 0),
        ("end", "x=0", 0),
        ("start", "x=1", 1),
        ("end", "x=1", 1),
    ]
    start, end = sweep.journal[:2]
    assert start["pid"] > 0 and start["started_ticks"] != 0 and start["attempt"] == 1
    assert start["key"] == end["key"] == sweep.tasks[0].key and end["parts"] == {"command": "x=0"}
    assert end["status"] == "done" and end["exit"] == 0 and end["machine"] == socket.gethostname()
    assert json.loads(sweep.text("task.json"))["status"] == "done"


@pytest.mark.parametrize(
    ("code", "status", "exit_status", "number", "reason"),
    [
        ("pass", "done", 0, None, ""),
        ("import sys; sys.exit(3)", "failed", 3, None, "exit status 3"),
        ("import sys; sys.exit(255)", "failed", 255, None, "exit status 255"),
        ("import os; os.kill(os.getpid(), 9)", "killed", 137, 9, "killed by signal 9 (SIGKILL)"),
        ("import os; os.abort()", "killed", 134, 6, "killed by signal 6 (SIGABRT)"),
    ],
)
def test_how_a_program_ends(
    tmp_path: Path, code: str, status: str, exit_status: int, number: int | None, reason: str
) -> None:
    sweep = Sweep(tmp_path, *python(code))
    sweep.run()
    end = sweep.end
    assert (end.status, end.exit, end.signal, end.reason) == (status, exit_status, number, reason)
    assert end.attempts == 1 and 0 <= end.seconds < 60 and end.ended >= end.started


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("no-such-program",), "no-such-program: not found on the PATH"),
        (("./no-such-program",), "./no-such-program: not found"),
        (("/etc/passwd",), "/etc/passwd: permission denied"),
        (("true", "a\0b"), "'a\\x00b' has a zero byte, which no program accepts: leave it out"),
        ((), "the command is empty"),
    ],
)
def test_what_cannot_be_started_is_refused(tmp_path: Path, words: tuple[str, ...], reason: str) -> None:
    sweep = Sweep(tmp_path, *words)
    sweep.run()
    assert (sweep.end.status, sweep.end.exit, sweep.end.reason) == ("refused", None, reason)


def test_no_shell_sees_a_value(tmp_path: Path) -> None:
    odd = "a b; touch /tmp/x; $(id) `id` \" ' * \n \\ é"
    sweep = Sweep(tmp_path, *python("import sys, json; print(json.dumps(sys.argv[1:]))"), odd, "")
    sweep.run()
    assert json.loads(sweep.text("stdout.txt")) == [odd, ""]


def test_a_command_has_the_callers_environment_the_files_and_the_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTER", "outer")
    code = "import os, json; print(json.dumps([os.environ[n] for n in ('OUTER', 'MODE', 'TOKEN', 'PWD')]))"
    sweep = Sweep(tmp_path, *python(code), environment=located({"MODE": "m{x}"}), secrets={"TOKEN": "its-name"})
    sweep.secrets = {"TOKEN": "s3cret"}
    sweep.run()
    assert json.loads(sweep.text("stdout.txt")) == ["outer", "m0", "s3cret", str(tmp_path / "x=0" / "files")]
    assert "s3cret" not in sweep.text("task.json") and "s3cret" not in json.dumps(sweep.journal)


def test_a_program_past_its_time_is_asked_to_end(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, *python("import time; time.sleep(60)"), options={"time_limit": 0.3})
    sweep.run()
    assert (sweep.end.status, sweep.end.signal) == ("timeout", signal.SIGTERM)
    assert sweep.end.reason == "ran longer than time_limit, 0.3 s"


def test_one_that_does_not_listen_is_killed_with_its_whole_group(tmp_path: Path) -> None:
    code = f"import subprocess, sys\nprint(subprocess.Popen([sys.executable, '-c', {DEAF!r}]).pid)\n{DEAF}"
    child = subprocess.Popen(python(code), stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    with (
        contextlib.closing(LocalProcess(child, tells_group=True)) as process,
        KeptOutput(tmp_path / "out", 1000) as out,
        KeptOutput(tmp_path / "err", 1000) as err,
    ):
        reader, writer = os.pipe()
        limits = AttemptLimits(time=1.5, idle=None, grace=0.3)
        watch = ProgramWatch(process, {"stdout": out, "stderr": err}, lambda *_: None, limits, reader)
        assert watch.run(lambda: None) == WatchedEnd(137, "timeout")
    os.close(reader)
    os.close(writer)
    pid = re.search(rb"\d+", (tmp_path / "out").read_bytes())
    assert pid is not None
    wait_until(lambda: not is_alive(int(pid[0])))


def test_a_silent_program_is_idle_and_one_that_prints_is_not(tmp_path: Path) -> None:
    code = "import time\nfor _ in range(8): print('.', flush=True); time.sleep(0.5)\ntime.sleep(0 if {x} else 60)"
    sweep = Sweep(tmp_path, *python(code), tasks=2, idle_limit_seconds=3)
    sweep.run()
    assert {name: end.status for name, end in sweep.memory.ends.items()} == {"x=0": "idle", "x=1": "done"}
    assert sweep.memory.ends["x=0"].reason == "printed nothing for idle_limit, 3 s"


def test_cancelling_ends_what_runs_and_starts_nothing_more(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, *python("import time; print(1, flush=True); time.sleep(60)"), tasks=5)
    run = sweep.make()
    ended: list[RunEnd] = []
    thread = threading.Thread(target=lambda: ended.append(run.run()))
    thread.start()
    wait_until(lambda: len(sweep.memory.output) == 2)
    run.cancel()
    run.cancel()
    thread.join(120)
    assert ended == [RunEnd(cancelled=True, stopped="")]
    assert {name: end.status for name, end in sweep.memory.ends.items()} == {"x=0": "cancelled", "x=1": "cancelled"}
    assert sweep.memory.ticks > 0 and not (tmp_path / "x=2").exists()
    run.cancel()  # after its end: nothing


def test_of_much_output_the_first_and_last_half_are_kept(tmp_path: Path) -> None:
    code = "for i in range(20000): print(i)"
    sweep = Sweep(tmp_path, *python(code), log_limit_bytes=1000)
    sweep.run()
    lines = sweep.text("stdout.txt").splitlines()
    total = sum(len(f"{i}\n") for i in range(20000))
    (number,) = [i for i, line in enumerate(lines) if line.startswith("[")]
    assert lines[number] == f"[{total - 1000} bytes are left out here: log_limit is 1000 bytes]"
    assert lines[:3] == ["0", "1", "2"] and lines[-2:] == ["19998", "19999"]
    kept = sum(len(line) for line in lines) - len(lines[number])
    assert 1000 - len(lines) - 2 <= kept <= 1000
    assert len(sweep.memory.output["x=0", "stdout"]) == total


def test_earlier_attempts_are_set_aside(tmp_path: Path) -> None:
    for word in ("one", "two", "three"):
        Sweep(tmp_path, *python(f"print('{word}'); open('made', 'w').write('{word}')")).run()
    assert Sweep(tmp_path, "true").text("stdout.txt") == "three\n"
    assert names(tmp_path / "x=0") == [
        "attempt-0", "attempt-1", "files", "stderr.txt", "stdout.txt", "task.json",
    ]  # fmt: skip
    for number, word in enumerate(("one", "two")):
        folder = tmp_path / "x=0" / f"attempt-{number}"
        assert (folder / "stdout.txt").read_text() == f"{word}\n" and (folder / "files/made").read_text() == word
        assert json.loads((folder / "task.json").read_text())["status"] == "done"


def test_exit_statuses_of_retry_on_are_tried_again(tmp_path: Path) -> None:
    sweep = Sweep(
        tmp_path, *python("import sys; sys.exit(75 if {attempt} < 3 else 0)"), retry_on={75}, options={"retries": 4}
    )
    sweep.run()
    assert (sweep.end.status, sweep.end.attempts) == ("done", 3)
    assert [event["attempt"] for event in sweep.journal.of("start")] == [1, 2, 3] and len(sweep.journal.of("end")) == 1
    assert json.loads(sweep.text("attempt-1/task.json"))["exit"] == 75


def test_retries_end_and_other_failures_are_final(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, *python("import sys; sys.exit(74 + {x})"), tasks=2, retry_on={75}, options={"retries": 2})
    sweep.run(earlier_attempts=lambda task: 10)
    assert {name: (end.status, end.attempts) for name, end in sweep.memory.ends.items()} == {
        "x=0": ("failed", 11),
        "x=1": ("failed", 13),
    }


@pytest.mark.parametrize(("stop_after", "ended"), [(StopAfter(failures=2), 2), (StopAfter(share=0.3), 3), (None, 10)])
def test_nothing_more_is_started_after_so_many_failures(
    tmp_path: Path, stop_after: StopAfter | None, ended: int
) -> None:
    sweep = Sweep(tmp_path, "false", tasks=10, max_parallel=1, stop_after=stop_after)
    end = sweep.run()
    assert len(sweep.memory.ends) == ended
    assert end == RunEnd(False, f"stop_after: {ended} tasks have failed" if stop_after else "")


def test_where_all_tasks_were_started_nothing_is_stopped(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, "false", tasks=2, max_parallel=2, stop_after=StopAfter(failures=2))
    assert sweep.run() == RunEnd(False, "")


def test_used_up_machine_hours_stop_the_run(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, *python("import time; time.sleep(60)"), tasks=3, max_machine_hours=1)
    assert sweep.run(used_machine_hours=0.9999) == RunEnd(False, "max_machine_hours: 1 are used up")
    assert {end.status for end in sweep.memory.ends.values()} == {"cancelled"}


def test_machine_hours_that_earlier_runs_have_used_up_start_nothing(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, "true", tasks=3, options={"max_machine_hours": 1}, max_machine_hours=2)
    end = sweep.run(used_machine_hours=1.5)
    assert end == RunEnd(False, "max_machine_hours: 1 are used up") and sweep.memory.ends == {}
    assert end.message.startswith("max_machine_hours: 1 are used up: 1.5 machine-hours were used; what was delivered")


def test_a_task_whose_folder_cannot_be_made_is_lost_and_the_others_run(tmp_path: Path) -> None:
    class Refusing(Sweep):
        def launch(self, task: Any, paths: Any, attempt: int) -> Any:
            if task.index == 0:
                raise PermissionError(13, "Permission denied", "there")
            return super().launch(task, paths, attempt)

    sweep = Refusing(tmp_path, "true", tasks=2)
    sweep.run()
    assert {name: end.status for name, end in sweep.memory.ends.items()} == {"x=0": "lost", "x=1": "done"}
    assert "Permission denied" in sweep.memory.ends["x=0"].reason


def test_a_full_disk_stops_the_run_and_the_task_does_not_count(tmp_path: Path) -> None:
    class FullDisk(Sweep):
        def lay_out(self, task: Any, launch: Any, files: Path) -> Iterable[Brought]:
            if task.index == 1:
                with open("/dev/full", "w") as file:
                    file.write("x")
            return ()

    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    sweep = FullDisk(tmp_path, "true", tasks=4, max_parallel=1)
    assert sweep.run() == RunEnd(False, f"{tmp_path}: No space left on device: make room, then run again")
    assert [event["task"] for event in sweep.journal.of("end")] == ["x=0"]


def test_output_that_fills_the_disk_stops_the_run(tmp_path: Path) -> None:
    out = tmp_path / "small"
    out.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(out)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        sweep = Sweep(out, *python("print('x' * 5_000_000)"), tasks=3, max_parallel=1, log_limit_bytes=1 << 30)
        end = sweep.run()
        assert not end.cancelled and "No space left on device" in end.stopped
        assert sweep.journal.of("end") == [] and not (out / "x=1").exists()
    finally:
        subprocess.run(["umount", str(out)], check=True)


def test_a_table_that_cannot_be_written_stops_the_run_too(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, *python("import time; time.sleep(60)"))

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "results.csv")

    sweep.memory.tick = full  # type: ignore[method-assign]
    assert sweep.run() == RunEnd(False, "results.csv: No space left on device: make room, then run again")


def test_an_observer_that_fails_ends_all_tasks_and_is_heard_of(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, *python("import time; print(1, flush=True); time.sleep(60)"), tasks=3)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    sweep.memory.printed = fail  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        sweep.run()
    wait_until(lambda: all(not is_alive(event["pid"]) for event in sweep.journal.of("start")))


def test_a_result_is_read_once_the_program_ended_well(tmp_path: Path) -> None:
    code = "import json; json.dump(dict(x={x}, deep=[1, dict(a=None)]), open('result.json', 'w'))"
    sweep = Sweep(tmp_path, *python(code), result=ResultSource("result.json"))
    sweep.run()
    assert sweep.end.result == {"x": 0, "deep": [1, {"a": None}]}
    assert sweep.journal.of("end")[0]["result"] == sweep.end.result


def test_a_missing_result_says_why(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, "true", result=ResultSource("result.json"))
    sweep.run()
    assert (sweep.end.status, sweep.end.exit, sweep.end.reason) == ("no-result", 0, "result.json was not written")


def test_groups_of_a_killed_run_are_ended_and_no_others(tmp_path: Path) -> None:
    def start(**variables: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-c", "import time; time.sleep(60)"]
        return subprocess.Popen(words, start_new_session=True, env={**os.environ, **variables})

    by_time, by_mark, other, unnamed = start(), start(SWEEP_ID=SWEEP_ID), start(), start(SWEEP_ID=SWEEP_ID)
    try:
        # a new program shows its variables only once it runs
        wait_until(lambda: all(b"SWEEP" in Path(f"/proc/{p.pid}/environ").read_bytes() for p in (by_mark, unnamed)))
        groups = {by_time.pid: started_ticks(by_time.pid), by_mark.pid: 1, other.pid: started_ticks(other.pid) + 1}
        end_groups(groups, SWEEP_ID)
        assert by_time.wait(60) == by_mark.wait(60) == -9
        assert other.poll() is None and unnamed.poll() is None
    finally:
        for process in (by_time, by_mark, other, unnamed):
            process.kill()
            process.wait()


def test_memory_that_may_be_our_own_is_not_reported(tmp_path: Path) -> None:
    sweep = Sweep(tmp_path, "true")
    sweep.run()
    assert sweep.end.peak_mb is None
