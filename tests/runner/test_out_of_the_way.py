"""What an electron does to files, descriptors, users and modules costs it neither its value nor its exception."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_parallel_plugin.electron.call import Map
from covalent_parallel_plugin.protocol.envelope import EXCEPTION, KILLED, VALUE

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def clean_temporary_folder() -> None:
    import shutil
    import tempfile

    for path in Path(tempfile.gettempdir()).iterdir():
        shutil.rmtree(path, ignore_errors=True)


def delete_temporary_folder() -> None:
    import shutil
    import tempfile

    shutil.rmtree(tempfile.gettempdir())


def delete_home() -> None:
    import shutil

    shutil.rmtree(os.environ["HOME"], ignore_errors=True)


def close_descriptors() -> None:
    os.closerange(3, 256)


def open_others_in_their_places() -> None:
    os.closerange(3, 256)
    sys.kept = [os.open(os.devnull, os.O_RDWR) for _ in range(40)]  # type: ignore[attr-defined]


def use_up_descriptors() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    sys.kept = []  # type: ignore[attr-defined]
    try:
        while True:
            sys.kept.append(os.open(os.devnull, os.O_RDONLY))  # type: ignore[attr-defined]
    except OSError:
        return


def become_nobody() -> None:
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)


def close_stderr() -> None:
    sys.stderr.close()


def have_no_streams() -> None:
    sys.stdout = sys.stderr = None


def have_streams_that_exit() -> None:
    class Leaves:
        def __getattribute__(self, name: str) -> Any:
            raise SystemExit(7)

    sys.stdout = sys.stderr = Leaves()  # type: ignore[assignment]


def close_all_descriptors() -> None:
    os.closerange(0, 256)


def limit_file_size() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def allow_no_recursion() -> None:
    frame, depth = sys._getframe(), 0
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    sys.setrecursionlimit(depth + 4)


def raises_in_the_runner(frame: Any, *event: Any) -> Any:
    file = frame.f_code.co_filename
    if "covalent_parallel" in file and not file.endswith("user_call.py"):
        raise SystemExit("not of the user's")


def trace_with_a_function_that_raises() -> None:
    sys.settrace(raises_in_the_runner)
    sys.setprofile(raises_in_the_runner)


def have_alarms_that_raise() -> None:
    import atexit
    import signal

    def late(number: int, frame: Any) -> None:
        raises_in_the_runner(frame)

    signal.signal(signal.SIGPROF, late)
    atexit.register(signal.setitimer, signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_PROF, 0.0005, 0.0005)


def patch_builtins() -> None:
    import builtins

    def refuses(*arguments: Any, **named: Any) -> Any:
        raise RuntimeError("patched")

    kept = ("open", "range", "object", "classmethod", "staticmethod", "property")
    names = [name for name in vars(builtins) if name.islower() and name[0] != "_" and name not in kept]
    vars(builtins).update(dict.fromkeys(names, refuses))


def empty_modules() -> None:
    sys.modules.clear()


def delete_what_modules_have() -> None:
    import json
    import json.encoder
    import traceback

    for module in (json, json.encoder, traceback):
        for name in [name for name in vars(module) if not name.startswith("__")]:
            delattr(module, name)


def patch_modules() -> None:
    import json
    import socket
    import time

    def refuses(*arguments: Any, **named: Any) -> Any:
        raise RuntimeError("patched")

    for name in ("dump", "dumps", "load", "loads", "JSONEncoder"):
        setattr(json, name, refuses)
    for name in ("write", "fstat", "getpid", "replace", "open", "remove", "mkdir"):
        setattr(os, name, refuses)
    for name in ("join", "getsize", "exists"):
        setattr(os.path, name, refuses)
    socket.socket = refuses  # type: ignore[misc, assignment]
    time.monotonic = time.time = refuses


DEEDS = [
    clean_temporary_folder,
    delete_temporary_folder,
    delete_home,
    close_descriptors,
    open_others_in_their_places,
    use_up_descriptors,
    become_nobody,
    close_stderr,
    have_no_streams,
    have_streams_that_exit,
    close_all_descriptors,
    limit_file_size,
    allow_no_recursion,
    trace_with_a_function_that_raises,
    have_alarms_that_raise,
    patch_builtins,
    delete_what_modules_have,
    empty_modules,
    patch_modules,
]
each_deed = pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__)


@each_deed
def test_the_value_arrives(make_task: Any, deed: Any) -> None:
    def electron() -> bytes:
        deed()
        return b"x" * 100_000

    task = make_task(electron)
    ended = task.run()
    outcome = task.outcome()
    assert outcome is not None, ended.stderr
    assert outcome.kind == VALUE, outcome
    assert cloudpickle.loads(outcome.pickle) == b"x" * 100_000
    if deed is not patch_builtins:
        # Python's own end misses them, as a program's does.
        assert outcome.stderr == ""


@each_deed
def test_the_exception_arrives(make_task: Any, deed: Any) -> None:
    def electron() -> None:
        print("printed before", flush=True)
        deed()
        raise ValueError("my own error")

    task = make_task(electron)
    ended = task.run()
    outcome = task.outcome()
    assert outcome is not None, ended.stderr
    assert outcome.kind == EXCEPTION, outcome
    assert (outcome.raised.full_name, outcome.raised.arguments) == ("ValueError", ("my own error",))
    assert "in electron" in outcome.raised.traceback
    assert outcome.stdout == "printed before\n"


@each_deed
def test_what_cannot_be_sent_back_is_told(make_task: Any, deed: Any) -> None:
    def electron() -> object:
        deed()
        return (number for number in range(3))

    task = make_task(electron)
    task.run()
    assert "electron() returned a builtins.generator, which cannot be sent back" in task.outcome().raised.message


@each_deed
def test_the_items_of_a_map_arrive(make_task: Any, deed: Any, tmp_path: Any) -> None:
    from covalent_parallel_plugin.electron.map.item_table import ValueStore
    from covalent_parallel_plugin.electron.map.report import read_task
    from covalent_parallel_plugin.protocol.object_names import outcome_name

    def item(number: int) -> int:
        if number == 0:
            deed()
        if number == 1:
            raise ValueError("my own error")
        return number

    task = make_task(item, [0, 1, 2], call={"map": Map()})
    ended = task.run()
    data = task.object(outcome_name(task.identity.folder))
    assert data is not None, ended.stderr
    import io

    store = ValueStore(str(tmp_path))
    try:
        report = read_task(io.BytesIO(data), task.identity.task(), store)
        assert [(found.index, found.raised and found.raised.message) for found in report.items] == [
            (0, None),
            (1, "my own error"),
            (2, None),
        ]
        assert report.ended is None
    finally:
        store.close()


def test_descriptors_closed_by_another_user_are_named(make_task: Any) -> None:
    if os.getuid() != 0:
        pytest.skip("only root becomes another user")

    def electron() -> int:
        close_descriptors()
        become_nobody()
        return 1

    task = make_task(electron)
    task.run()
    assert "the runner's own files were closed" in task.outcome().raised.message


@pytest.mark.parametrize("deed", DEEDS[:-1], ids=lambda deed: deed.__name__)
def test_a_hook_after_the_electron_runs(make_task: Any, deed: Any) -> None:
    def hook() -> None:
        os.system("echo the hook ran")

    task = make_task(deed, after=[cloudpickle.dumps(hook)])
    ended = task.run()
    outcome = task.outcome()
    printed = "" if deed is close_all_descriptors else "the hook ran\n"
    assert (outcome.kind, outcome.stdout) == (VALUE, printed), (outcome, ended.stderr)


@each_deed
def test_files_that_it_opens_afterwards_are_written_out_at_its_end(make_task: Any, deed: Any, tmp_path: Path) -> None:
    if deed in (use_up_descriptors, limit_file_size, allow_no_recursion):
        pytest.skip("it can open none, or write nothing")
    (tmp_path / "rows").mkdir()
    paths = [str(tmp_path / "rows" / f"{number}.txt") for number in range(40)]

    def electron() -> None:
        files = [open(path, "w") for path in paths] if deed is become_nobody else []  # noqa: SIM115
        deed()
        sys.left_open = files or [open(path, "w") for path in paths]  # type: ignore[attr-defined]  # noqa: SIM115
        for file in sys.left_open:  # type: ignore[attr-defined]
            file.write("a row")

    task = make_task(electron)
    ended = task.run()
    assert task.outcome().kind == VALUE, ended.stderr
    assert {Path(path).read_text() for path in paths} == {"a row"}


@pytest.mark.parametrize("ending", ["killed", "limit", "left"])
def test_how_it_ended_is_told_though_it_deleted_the_runner(make_task: Any, ending: str) -> None:
    def electron() -> str:
        import signal
        import subprocess
        import time

        delete_home()
        if ending == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if ending == "limit":
            time.sleep(60)
        subprocess.Popen(["sleep", "45"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=2)
        return "returned"

    task = make_task(electron, settings={"time_limit": 5 if ending == "limit" else 60})
    ended = task.run()
    outcome = task.outcome()
    assert outcome is not None, ended.stderr
    if ending == "left":
        assert (outcome.kind, cloudpickle.loads(outcome.pickle)) == (VALUE, "returned")
        assert "(sleep 45)" in outcome.stderr
    else:
        assert outcome.kind == KILLED


@pytest.mark.parametrize("deed", [delete_home, close_descriptors, patch_modules], ids=lambda deed: deed.__name__)
def test_sigterm_reaches_it_and_its_value_is_kept(make_task: Any, deed: Any) -> None:
    def electron() -> str:
        import signal
        from time import sleep

        asked: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
        deed()
        print("begun", flush=True)
        while not asked:
            sleep(0.05)
        return "whole"

    task = make_task(electron)
    process = task.start()
    process.stdout.readline()
    process.terminate()
    told = process.communicate(timeout=60)
    assert task.outcome() is not None, told
    assert cloudpickle.loads(task.outcome().pickle) == "whole"


def test_a_process_pool_works_though_the_runner_was_deleted(make_task: Any) -> None:
    def electron() -> list[int]:
        delete_home()
        import multiprocessing

        with multiprocessing.get_context("fork").Pool(1) as pool:
            return pool.map(abs, [-1, 2])

    task = make_task(electron)
    task.run()
    assert task.outcome().raised is None, task.outcome().raised
    assert cloudpickle.loads(task.outcome().pickle) == [1, 2]


@pytest.mark.parametrize("raises", [False, True])
def test_a_class_with_a_text_of_its_own_is_shown_though_the_runner_was_deleted(make_task: Any, raises: bool) -> None:
    def electron() -> object:
        class Odd(Exception):
            def __str__(self) -> str:
                return "odd"

        delete_home()
        sys.modules.clear()
        if raises:
            raise Odd
        return Odd()

    task = make_task(electron)
    ended = task.run()
    outcome = task.outcome()
    assert outcome is not None, ended.stderr
    if raises:
        assert outcome.raised.message == "odd"
    else:
        assert (outcome.kind, outcome.shown) == (VALUE, "odd")


def test_nothing_is_below_the_temporary_folder(make_task: Any) -> None:
    def electron() -> list[str]:
        import tempfile

        return [path.name for path in Path(tempfile.gettempdir()).iterdir()]

    task = make_task(electron)
    task.run()
    assert cloudpickle.loads(task.outcome().pickle) == []
