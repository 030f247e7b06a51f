"""What the runner will not run, and what it says then; run in a bare environment, without this project."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from covalent_parallel_plugin.electron.call import Map
from covalent_parallel_plugin.protocol.envelope import REFUSED, VALUE
from covalent_parallel_plugin.protocol.environment import ENV_BUCKET, ENV_RUNNER
from covalent_parallel_plugin.protocol.exit_codes import (
    EXIT_BAD_DIGEST,
    EXIT_BAD_RUNNER,
    EXIT_DELIVERED,
    EXIT_NO_CALL,
    EXIT_NO_RUNNER,
)
from covalent_parallel_plugin.protocol.object_names import call_name

cloudpickle.register_pickle_by_value(sys.modules[__name__])

# What a pickle that names a function of a module looks like, without that module at hand
HOOK_OF_COVALENT = b"ccovalent._file_transfer.file_transfer\nFileTransfer\n."
FUNCTION_OF_A_MISSING_MODULE = b"cno_such_module.inner\nfunction\n."


def test_a_call_of_another_minor_version_is_refused_with_both_versions(make_task: Any) -> None:
    task = make_task(len, [], call={"python": "3.9.18"})
    assert task.run().status == EXIT_DELIVERED
    outcome = task.outcome()
    assert (outcome.kind, outcome.reason) == (REFUSED, "wrong_python")
    assert "Python 3.9.18" in outcome.message
    assert sys.version.split()[0] in outcome.message
    assert "Leave container_image_uri out, use an image with Python 3.9, or" in outcome.message


def test_another_patch_version_is_accepted(make_task: Any) -> None:
    task = make_task(len, [], call={"python": f"3.{sys.version_info.minor}.99"})
    task.run()
    assert task.outcome().kind == VALUE


def test_a_missing_module_is_refused_with_the_remedies(make_task: Any) -> None:
    task = make_task(FUNCTION_OF_A_MISSING_MODULE)
    task.run()
    outcome = task.outcome()
    assert (outcome.kind, outcome.reason) == (REFUSED, "missing_module")
    assert "'no_such_module'" in outcome.message
    assert "DepsPip" in outcome.message
    assert "own_modules" in outcome.message


def test_a_module_that_the_electron_itself_imports_in_vain_comes_with_the_remedies(make_task: Any) -> None:
    def electron() -> None:
        import no_such_module  # noqa: F401

    task = make_task(electron)
    task.run()
    raised = task.outcome().raised
    assert raised.type_name == "ModuleNotFoundError"
    assert "DepsPip" in raised.traceback


def test_a_hook_in_an_image_without_covalent_is_refused_with_covalents_version(make_task: Any) -> None:
    task = make_task(len, [], before=[(HOOK_OF_COVALENT, "")])
    task.run()
    outcome = task.outcome()
    assert (outcome.kind, outcome.reason) == (REFUSED, "no_covalent")
    assert "pip install covalent==0.240.0" in outcome.message


def test_a_hook_that_needs_no_covalent_runs_without_it(make_task: Any) -> None:
    def electron(number: int) -> int:
        return number + 1

    task = make_task(electron, before=[(cloudpickle.dumps(lambda: 41), "number")])
    task.run()
    assert cloudpickle.loads(task.outcome().pickle) == 42


def test_a_call_sealed_with_another_key_is_not_unpickled(make_task: Any) -> None:
    task = make_task(lambda: None)
    task.store.delete(call_name(task.identity.folder))
    marker = task.machine / "unpickled"
    task.stage({"function": cloudpickle.dumps(Unpickled(str(marker)))}, key=os.urandom(32))
    ended = task.run()
    assert ended.status == EXIT_BAD_DIGEST
    assert "seal" in ended.stderr
    assert task.outcome() is None
    assert not marker.exists()


class Unpickled:
    """Leaves a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.path,)


def test_a_part_changed_after_the_sealing_is_refused_and_not_the_electrons_fault(make_task: Any) -> None:
    task = make_task(len, [])
    name = call_name(task.identity.folder)
    data = bytearray(task.object(name))
    data[-1] ^= 1
    task.store.delete(name)
    task.store.put(name, bytes(data))
    task.run()
    outcome = task.outcome()
    assert (outcome.kind, outcome.reason) == (REFUSED, "changed_call")
    assert "'arg0'" in outcome.message


def test_a_missing_call_is_told_by_the_exit_status(make_task: Any) -> None:
    task = make_task(len, [])
    task.store.delete(call_name(task.identity.folder))
    ended = task.run()
    assert ended.status == EXIT_NO_CALL
    assert call_name(task.identity.folder) in ended.stderr


def test_a_missing_bucket_is_told_by_the_exit_status(make_task: Any) -> None:
    ended = make_task(len, []).run(**{ENV_BUCKET: "not-there"})
    assert ended.status == EXIT_NO_RUNNER
    assert "gs://not-there/" in ended.stderr


def test_a_runner_that_the_job_does_not_pin_is_not_started(make_task: Any) -> None:
    task = make_task(len, [])
    name = f"covalent-parallel/{task.call.dispatch_id}/forged.zip"
    task.store.put(name, b"not the runner")
    ended = task.run(**{ENV_RUNNER: name})
    assert ended.status == EXIT_BAD_RUNNER
    assert task.outcome() is None


@pytest.mark.parametrize("refused", [True, False])
def test_no_work_folder_is_left_on_the_machine(make_task: Any, refused: bool) -> None:
    task = make_task(len, [])
    if refused:
        task.store.delete(call_name(task.identity.folder))
    task.run()
    assert task.left_on_the_machine == [task.runner_on_the_machine.name]


@pytest.mark.parametrize("name", ["json", "http", "random", "tempfile", "types"])
@pytest.mark.parametrize("text", ["raise RuntimeError('on purpose')", "import sys; sys.exit(3)", ""])
def test_a_module_on_pythonpath_that_hides_a_standard_one_is_named(
    make_task: Any, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / f"{name}.py").write_text(text)
    task = make_task(len, [])
    ended = task.run(PYTHONPATH=str(tmp_path / "mine"))
    outcome = task.outcome()
    assert outcome is not None, ended.stderr
    assert (outcome.kind, outcome.reason) == (REFUSED, "hidden_modules")
    assert f"{tmp_path}/mine/{name}.py (hides {name})" in outcome.message


def test_modules_on_pythonpath_that_hide_nothing_that_is_used_come_first(make_task: Any, tmp_path: Path) -> None:
    for name in ("turtle.py", "mine.py", "cloudpickle.py"):
        (tmp_path / name).write_text("text = 'mine'")

    def electron() -> tuple[str, str]:
        import turtle

        import mine  # type: ignore[import-not-found]

        return mine.text, turtle.text  # type: ignore[attr-defined]

    task = make_task(electron)
    ended = task.run(PYTHONPATH=f"{tmp_path}:{Path(os.__file__).parent}")
    outcome = task.outcome()
    assert outcome.kind == VALUE, (outcome, ended.stderr)
    assert cloudpickle.loads(outcome.pickle) == ("mine", "mine")


def asks_a_module() -> None:
    import statistics

    statistics.mean([1])


def imports_from_a_module() -> None:
    from statistics import mean

    mean([1])


def imports_a_part_of_a_module() -> None:
    import xml.dom  # noqa: F401


@pytest.mark.parametrize("electron", [asks_a_module, imports_from_a_module, imports_a_part_of_a_module])
def test_a_module_that_hides_a_standard_one_which_the_electron_needs_is_named_beside_its_error(
    make_task: Any, tmp_path: Path, electron: Any
) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("statistics", "xml"):
        (tmp_path / "mine" / f"{name}.py").write_text("")
    task = make_task(electron)
    task.run(PYTHONPATH=str(tmp_path / "mine"))
    traceback = task.outcome().raised.traceback
    assert f"Note: {tmp_path}/mine/" in traceback
    assert "of Python's standard library: rename it" in traceback
    assert "Bring it with" not in traceback


async def coroutine_function() -> int:
    return 1


async def async_generator() -> Any:
    yield 1


class AsyncCallable:
    async def __call__(self) -> int:
        return 1


ASYNC = [coroutine_function, async_generator, AsyncCallable(), partial(coroutine_function)]


@pytest.mark.parametrize("function", ASYNC)
@pytest.mark.parametrize("call", [{}, {"map": Map()}])
def test_an_async_electron_is_refused_in_one_line(make_task: Any, function: Any, call: dict[str, Any]) -> None:
    task = make_task(function, *([[1]] if call else []), call=call)
    ended = task.run()
    outcome = task.outcome()
    assert (outcome.kind, outcome.reason, outcome.stderr) == (REFUSED, "async", ""), ended.stderr
    assert "asyncio.run" in outcome.message
    assert "\n" not in outcome.message
