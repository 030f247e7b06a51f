"""What an electron does to files, descriptors, users and modules costs it neither its value nor its exception."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_parallel_plugin.electron.call import Map
from covalent_parallel_plugin.protocol.envelope import EXCEPTION, VALUE

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
    assert (outcome.kind, outcome.stdout) == (VALUE, "the hook ran\n"), (outcome, ended.stderr)


def test_nothing_is_below_the_temporary_folder(make_task: Any) -> None:
    def electron() -> list[str]:
        import tempfile

        return [path.name for path in Path(tempfile.gettempdir()).iterdir()]

    task = make_task(electron)
    task.run()
    assert cloudpickle.loads(task.outcome().pickle) == []
