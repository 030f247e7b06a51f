"""A sweep from Python on this machine: its plan, its run, its records, and how it ends."""

from __future__ import annotations

import itertools
import json
import math
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from python_sweeps import DOUBLE, RESULT, SECONDS, enter, events, start_python
from sweep_command import SweepCommand

from covalent_parallel_plugin import ParallelError, Sweep, grid
from covalent_parallel_plugin.errors import SweepStoppedError
from covalent_parallel_plugin.sweep.mistakes import SweepFileError


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    enter(tmp_path, monkeypatch.setenv, monkeypatch.chdir)
    return tmp_path


def doubled(count: int = 4, **more: Any) -> Sweep:
    return Sweep(command=DOUBLE, parameters=grid(x=range(count)), result=RESULT, name="double", **more)


def test_a_sweep_runs_and_its_records_are_in_the_files_order(folder: Path) -> None:
    sweep = doubled(max_parallel=2)
    records = sweep.run(local=True, show=False)
    assert [record.parameters for record in records] == [{"x": x} for x in range(4)]
    assert [record.status for record in records] == ["done"] * 4
    assert [record["value"] for record in records] == [0, 2, 4, 6]
    assert records == sweep.records
    assert sweep.results == [{"value": 2 * x} for x in range(4)]
    first = records[0]
    assert (first.index, first.name, first.exit, first.signal, first.attempts, first.reason) == (
        0,
        "x=0",
        0,
        None,
        1,
        "",
    )
    assert first.seconds is not None and first.machine
    assert sweep.folder(first) == sweep.folder("x=0") == sweep.folder(0) == folder / "double" / "x=0"
    assert (first.folder / "stdout.txt").read_text() == "value=0\n"
    assert [dict(record.row) for record in records] == json.loads((folder / "double" / "results.json").read_text())
    assert len(sweep.id) == 12


def test_the_same_sweep_made_again_runs_nothing_and_has_the_records(folder: Path) -> None:
    first = doubled().run(local=True, show=False)
    again = doubled()
    assert again.records == first
    assert again.run(local=True, show=False) == first
    assert len(events(folder / "double", "start")) == 4
    # another command, and nothing of it has ended
    other = Sweep(command=["true", "{x}"], parameters=grid(x=range(4)), name="double")
    assert [record.status for record in other.records] == ["waiting"] * 4


def test_records_stay_where_a_file_has_changed_since_which_the_plan_says(folder: Path) -> None:
    (folder / "code.sh").write_text("echo value=1\n")

    def make() -> Sweep:
        return Sweep(command="sh code.sh", files=["code.sh"], result=RESULT, name="code", inputs={"here": "code.sh"})

    make().run(local=True, show=False)
    (folder / "code.sh").write_text("echo value=22\n")
    assert make().results == [{"value": 1}]
    assert make().plan(local=True).plan.reasons == {"the files and the inputs changed": ["code"]}
    make().run(local=True, show=False)
    assert make().results == [{"value": 22}]


def test_before_its_first_run_there_is_no_folder_and_all_wait(folder: Path) -> None:
    sweep = doubled()
    assert [record.status for record in sweep.records] == ["waiting"] * 4
    assert sweep.results == [None] * 4
    assert sweep.id == ""
    sweep.cancel()
    assert list(folder.iterdir()) == []


def test_a_plan_prints_as_the_command_does_and_starts_nothing(folder: Path) -> None:
    plan = doubled().plan(local=True)
    assert str(plan).splitlines()[0] == "double: 4 tasks"
    assert "4 are new" in str(plan)
    assert repr(plan) == str(plan)
    assert plan.plan.to_run == 4
    assert not (folder / "double").exists()
    doubled().run(local=True, show=False, first=1)
    assert "1 is done" in str(doubled().plan(local=True))


def test_the_commands_understand_a_folder_that_python_has_run(folder: Path) -> None:
    doubled().run(local=True, show=False)
    command = SweepCommand(folder)
    assert "4 done" in command("status", "double").stdout
    assert command("logs", "double", "x=3").stdout == "value=6\n"
    assert "value=$(($0 * 2))" in command("show", "double", "x=1").stdout
    (folder / "double" / "results.csv").unlink()
    command("gather", "double")
    assert (folder / "double" / "results.csv").read_text().count("\n") == 5


def test_what_fails_is_a_record_and_raises_nothing() -> None:
    sweep = Sweep(command=["sh", "-c", "exit $0", "{x}"], parameters=grid(x=[0, 3]), name="some", retries=0)
    records = sweep.run(local=True, show=False)
    assert [(record.status, record.exit) for record in records] == [("done", 0), ("failed", 3)]
    assert sweep.results == [None, None]
    assert "exit status 3" in records[1].reason


def test_a_run_that_stops_raises_with_what_there_is() -> None:
    sweep = Sweep(
        command=["false", "{x}"], parameters=grid(x=range(5)), stop_after=1, max_parallel=1, retries=0, name="few"
    )
    with pytest.raises(SweepStoppedError, match=r"few: stopped: stop_after: 1 tasks have failed") as raised:
        sweep.run(local=True, show=False)
    assert [record.status for record in raised.value.records] == ["failed", *["waiting"] * 4]


def test_only_and_first_run_some_and_return_these(folder: Path) -> None:
    sweep = doubled()
    assert [record.name for record in sweep.run(local=True, only="x=2", show=False)] == ["x=2"]
    assert [record.name for record in sweep.run(local=True, first=1, show=False)] == ["x=0"]
    assert [record.status for record in sweep.records] == ["done", "waiting", "done", "waiting"]
    assert len(sweep.run(local=True, only="x=2", again=True, show=False)) == 1
    assert [event["task"] for event in events(folder / "double", "start")] == ["x=2", "x=0", "x=2"]
    with pytest.raises(ParallelError, match=r"^only= 'y' names no task"):
        sweep.run(local=True, only="y", show=False)
    with pytest.raises(ParallelError, match="first = 0 is not a number of tasks"):
        sweep.run(local=True, first=0, show=False)
    for only in (3, None, ["x=1", None]):
        with pytest.raises(ParallelError, match=r"^only = .*: give a task's name"):
            sweep.run(local=True, only=only, show=False)  # type: ignore[arg-type]


def test_records_come_as_tasks_end_and_those_that_are_done_first(folder: Path) -> None:
    def sweep() -> Sweep:
        # The last one ends first
        words = [
            "sh",
            "-c",
            f"while [ $0 -lt 3 ] && ! [ -e {folder}/double/x=$(($0 + 1))/task.json ]; do sleep 0.05; done",
            "{x}",
        ]
        return Sweep(command=words, parameters=grid(x=range(4)), name="double", max_parallel=4)

    assert [record.index for record in sweep().run_iter(local=True)] == [3, 2, 1, 0]
    assert [record.index for record in sweep().run_iter(local=True)] == [3, 2, 1, 0]


def test_a_break_cancels_what_runs(folder: Path) -> None:
    sweep = Sweep(
        command=["sh", "-c", "[ $0 = 0 ] || sleep 600", "{x}"], parameters=grid(x=range(6)), name="long", max_parallel=3
    )
    for record in sweep.run_iter(local=True):
        assert record.name == "x=0"
        break
    statuses = [record.status for record in sweep.records]
    assert statuses[0] == "done"
    assert set(statuses[1:]) <= {"cancelled", "waiting"}
    # and the folder is free again
    assert "done" in SweepCommand(folder)("status", "long").stdout
    assert not sleepers(folder)


def test_a_run_is_cancelled_from_another_thread() -> None:
    sweep = Sweep(command=["sleep", "{x}"], parameters=grid(x=[600, 601, 602]), name="long", max_parallel=2)
    found: list[BaseException] = []

    def run() -> None:
        try:
            sweep.run(local=True, show=False)
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    wait_for(lambda: events(Path("long"), "start"))
    sweep.cancel()
    thread.join(SECONDS)
    assert not thread.is_alive()
    (error,) = found
    assert isinstance(error, SweepStoppedError)
    assert "long: interrupted" in str(error)
    assert {record.status for record in error.records} <= {"cancelled", "waiting"}


def test_another_object_of_the_same_folder_cancels_it_too() -> None:
    def make() -> Sweep:
        return Sweep(
            command=["sh", "-c", "[ $0 = 1 ] || sleep 600", "{x}"],
            parameters=grid(x=[1, 2]),
            name="long",
            max_parallel=2,
        )

    with pytest.raises(SweepStoppedError):
        for _ in make().run_iter(local=True):
            make().cancel()
    assert [record.status for record in make().records] == ["done", "cancelled"]


def test_a_second_run_of_a_folder_that_runs_is_refused(folder: Path) -> None:
    iterator = doubled(max_parallel=1).run_iter(local=True)
    next(iterator)
    with pytest.raises(ParallelError, match="another run holds"):
        doubled().run(local=True, show=False)
    iterator.close()  # type: ignore[attr-defined]  # a generator's


LONG = """
from covalent_parallel_plugin import Sweep, grid
sweep = Sweep(command=["sh", "-c", "[ $0 -lt 3 ] || exec sleep 600", "{x}"], parameters=grid(x=range(6)),
              name="long", max_parallel=2)
"""
PRINTS = """
for record in sweep.run_iter(local=True):
    print(record.index, flush=True)
"""


def test_each_record_comes_once_after_a_kill_and_a_second_run(folder: Path) -> None:
    killed = start_python(folder, LONG + PRINTS)
    assert killed.stdout is not None
    seen = [int(line) for line in itertools.islice(killed.stdout, 3)]
    wait_for(lambda: len(events(folder / "long", "start")) >= 5)
    killed.kill()
    killed.communicate(timeout=SECONDS)
    assert sorted(seen) == [0, 1, 2]
    second = LONG.replace("exec sleep 600", "exit 0") + PRINTS
    # Its key is another one: what waits for nothing
    third = start_python(folder, second)
    printed, errors = third.communicate(timeout=SECONDS)
    assert third.returncode == 0, errors
    assert sorted(map(int, printed.split())) == list(range(6))


def test_records_of_a_killed_run_come_first_in_the_order_in_which_they_ended(folder: Path) -> None:
    waits = LONG.replace("[ $0 -lt 3 ] || exec sleep 600", "while [ $0 -ge 3 ] && ! [ -e go ]; do sleep 0.05; done")
    waits = waits.replace("-e go", f"-e {folder}/go")
    killed = start_python(folder, waits + PRINTS)
    assert killed.stdout is not None
    seen = [int(line) for line in itertools.islice(killed.stdout, 3)]
    killed.kill()
    killed.communicate(timeout=SECONDS)
    (folder / "go").touch()
    second = start_python(folder, waits + PRINTS)
    printed, errors = second.communicate(timeout=SECONDS)
    assert second.returncode == 0, errors
    found = [int(line) for line in printed.split()]
    assert found[:3] == seen
    assert sorted(found) == list(range(6))
    ended = [event["index"] for event in events(folder / "long", "end")]
    assert found == ended


def test_ctrl_c_cancels_waits_and_is_raised(folder: Path) -> None:
    code = """
try:
    sweep.run(local=True)
except KeyboardInterrupt:
    print("interrupted", [record.status for record in sweep.records], flush=True)
    raise
"""
    run = start_python(folder, LONG + code)
    wait_for(lambda: len(events(folder / "long", "start")) >= 5)
    run.send_signal(signal.SIGINT)
    printed, errors = run.communicate(timeout=SECONDS)
    assert run.returncode == -signal.SIGINT, errors
    assert "interrupted ['done', 'done', 'done', 'cancelled', 'cancelled', 'waiting']" in printed
    assert not sleepers(folder)


def test_ctrl_c_in_the_users_own_code_is_raised_there_and_the_run_ends(folder: Path) -> None:
    code = """
import time
try:
    for record in sweep.run_iter(local=True):
        try:
            print("mine", flush=True)
            time.sleep(600)
        except KeyboardInterrupt:
            print("raised in here", flush=True)
            raise
except KeyboardInterrupt:
    print(sorted({record.status for record in sweep.records}), flush=True)
"""
    run = start_python(folder, LONG + code)
    assert run.stdout is not None
    assert run.stdout.readline() == "mine\n"
    wait_for(lambda: len(events(folder / "long", "start")) >= 5)
    run.send_signal(signal.SIGINT)
    printed, errors = run.communicate(timeout=SECONDS)
    assert (run.returncode, printed) == (0, "raised in here\n['cancelled', 'done', 'waiting']\n"), errors
    assert not sleepers(folder)


def test_the_command_cancels_a_run_of_python(folder: Path) -> None:
    code = """
from covalent_parallel_plugin.errors import SweepStoppedError
try:
    sweep.run(local=True, show=False)
except SweepStoppedError as error:
    print("stopped", len(error.records), flush=True)
"""
    run = start_python(folder, LONG + code)
    wait_for(lambda: len(events(folder / "long", "start")) >= 5)
    assert "is cancelled" in SweepCommand(folder)("cancel", "long").stdout
    printed, errors = run.communicate(timeout=SECONDS)
    assert (run.returncode, printed) == (0, "stopped 6\n"), errors
    assert not sleepers(folder)


def test_the_command_cancels_a_run_in_a_thread_of_a_program_that_goes_on(folder: Path) -> None:
    code = """
import threading
from covalent_parallel_plugin.errors import SweepStoppedError
def run():
    try:
        sweep.run(local=True, show=False)
    except SweepStoppedError as error:
        print("stopped", len(error.records), flush=True)
thread = threading.Thread(target=run)
thread.start()
thread.join()
print("goes on", flush=True)
"""
    run = start_python(folder, LONG + code)
    wait_for(lambda: len(events(folder / "long", "start")) >= 5)
    assert "is cancelled" in SweepCommand(folder)("cancel", "long").stdout
    printed, errors = run.communicate(timeout=SECONDS)
    assert (run.returncode, printed) == (0, "stopped 6\ngoes on\n"), errors
    assert not sleepers(folder)
    assert not (folder / "long" / ".cancel").exists()


def test_python_cancels_a_run_of_another_process(folder: Path) -> None:
    run = start_python(folder, LONG + "sweep.run(local=True)")
    wait_for(lambda: len(events(folder / "long", "start")) >= 5)
    sweep = Sweep(command=["sleep", "{x}"], parameters=grid(x=range(6)), name="long")
    sweep.cancel()
    _, errors = run.communicate(timeout=SECONDS)
    assert run.returncode == 1
    assert "SweepStoppedError: long: interrupted" in errors
    assert not sleepers(folder)


def test_an_iterator_that_a_program_leaves_behind_does_not_outlive_it(folder: Path) -> None:
    run = start_python(folder, LONG + "kept = sweep.run_iter(local=True)\nnext(kept)\nraise ValueError('mine')")
    _, errors = run.communicate(timeout=SECONDS)
    assert run.returncode == 1
    assert "ValueError: mine" in errors
    assert not sleepers(folder)


def sleepers(folder: Path) -> list[str]:
    """Processes of a sweep in this folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"SWEEP_FOLDER={folder}".encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:  # gone, or another user's
            continue
    return found


def test_a_local_run_loads_neither_covalent_nor_googles_clients(folder: Path) -> None:
    code = """
import sys
from covalent_parallel_plugin import Sweep, grid
def loaded():
    return sorted({m.split(".")[0] for m in sys.modules} & {"covalent", "google", "grpc", "proto", "pandas", "IPython"})
print(loaded())
sweep = Sweep(command=["true", "{x}"], parameters=grid(x=[1, 2]), name="small")
sweep.plan(local=True)
for record in sweep.run_iter(local=True):
    assert loaded() == [], loaded()
sweep.run(local=True)
print(loaded(), len(sweep.results))
"""
    run = start_python(folder, code)
    printed, errors = run.communicate(timeout=SECONDS)
    assert run.returncode == 0, errors
    lines = printed.splitlines()
    assert (lines[0], lines[-1]) == ("[]", "[] 2")


def test_grid_still_refuses_an_electrons_result_where_covalent_is_loaded() -> None:
    code = """
import covalent as ct
from covalent_parallel_plugin import grid
@ct.electron
def numbers(): return [1]
@ct.lattice
def flow():
    try:
        grid(x=numbers())
    except TypeError as error:
        print(error)
    return 1
flow.build_graph()
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SECONDS)
    assert "have an electron return grid(...)" in ended.stdout, ended.stderr


def test_what_a_run_shows_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    doubled(2).run(local=True)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "2 are new"
    assert "double: 100%: 2 done" in shown[-2]
    assert shown[-1].startswith("double: 2 done; ")
    doubled(2).run(local=True, again=True, follow=True)
    assert "x=1: value=2" in capsys.readouterr().out.splitlines()


def test_a_file_is_run_too_with_values_in_place_of_its(folder: Path) -> None:
    (folder / "some.yaml").write_text(
        "command: [echo, '{x}']\nparameters: {x: [1, 2]}\nresult: {stdout: '(?P<y>.+)'}\n"
    )
    sweep = Sweep.from_file("some.yaml", out="there", overrides={"parameters.x": [5, 6, 7], "max_parallel": 1})
    assert [record["y"] for record in sweep.run(local=True, show=False)] == [5, 6, 7]
    assert sweep.folder(2) == folder / "there" / "x=7"
    assert Sweep.from_file("some.yaml").results == [None, None]
    with pytest.raises(SweepFileError, match=r"some\.yaml: --set nothing=1: 'nothing' is not a key of a sweep"):
        Sweep.from_file("some.yaml", overrides={"nothing": 1}).plan(local=True)


@pytest.mark.parametrize("count", [0, -1, True, "2", 1.5])
def test_a_count_that_is_none_is_named(count: Any) -> None:
    sweep = doubled()
    for ask in (lambda: sweep.best("x", n=count), lambda: sweep.plan(local=True, first=count)):
        with pytest.raises(ParallelError, match=f"= {count!r} is not a number of (records|tasks): give 1 or more"):
            ask()


def test_a_task_that_is_not_there_is_named_with_the_nearest() -> None:
    sweep = doubled()
    with pytest.raises(ParallelError, match=r"there is no task 'x=22': did you mean 'x=2'\?"):
        sweep.folder("x=22")
    with pytest.raises(ParallelError, match="there is no task 9: there are 4"):
        sweep.folder(9)
    record = sweep.records[0]
    with pytest.raises(KeyError, match=r"x=0 has no 'value': its columns are task.index, task.name, x"):
        record["value"]


def wait_for(is_so: Any) -> None:
    until = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < until, "it does not become so"
        time.sleep(0.02)


def test_numbers_that_json_does_not_have_stay_numbers(folder: Path) -> None:
    rows = [{"x": 1.5}, {"x": float("nan")}, {"x": float("-inf")}]
    sweep = Sweep(command=["echo", "value={x}"], parameters=rows, config="yaml", result=RESULT, name="odd")
    records = sweep.run(local=True, show=False)
    assert [(record.folder / "stdout.txt").read_text() for record in records] == [
        "value=1.5\n", "value=NaN\n", "value=-Infinity\n",
    ]  # fmt: skip
    assert math.isnan(records[1].parameters["x"]) and records[2].parameters["x"] == float("-inf")
    assert [row["x"] for row in json.loads((folder / "odd" / "results.json").read_text())] == [1.5, "nan", "-inf"]
    assert sweep.to_pandas()["x"].dtype == "float64"
    assert sweep.best("x", n=9) == records[:1]


def test_a_result_with_what_is_no_text_is_in_the_data_frame() -> None:
    words = ["sh", "-c", """printf '%s' '{"s": "\\ud800", "loss": NaN}' >r.json""", "{x}"]
    sweep = Sweep(command=words, parameters=grid(x=[1]), result="r.json", name="odd")
    sweep.run(local=True, show=False)
    frame = sweep.to_pandas()
    assert frame["s"].tolist() == ["\\ud800"]
    assert frame["loss"].dtype == "float64"


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "2"])
def test_how_many_of_the_best_is_a_number(count: Any) -> None:
    with pytest.raises(ParallelError, match=r"^n = .* is not a number of records"):
        doubled().best("value", n=count)


def in_a_thread(call: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(SECONDS)


def test_an_iterator_may_go_on_in_another_thread() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    iterator = doubled(max_parallel=1).run_iter(local=True)
    found = [next(iterator), in_a_thread(lambda: next(iterator)), *iterator]
    assert [record.index for record in found] == list(range(4))
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_an_iterator_that_another_thread_closes_leaves_signals_to_the_program(folder: Path) -> None:
    code = """
import threading
kept = sweep.run_iter(local=True)
next(kept)
thread = threading.Thread(target=kept.close)
thread.start()
thread.join()
print("closed", flush=True)
threading.Event().wait()
"""
    run = start_python(folder, LONG + code)
    assert run.stdout is not None
    assert run.stdout.readline() == "closed\n"
    run.terminate()
    _, errors = run.communicate(timeout=SECONDS)
    assert (run.returncode, errors) == (-signal.SIGTERM, "")
    assert not sleepers(folder)
