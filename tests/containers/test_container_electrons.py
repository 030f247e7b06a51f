"""Electrons that run in containers, through the executor."""

from __future__ import annotations

import asyncio
import ctypes
import inspect
import io
import os
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest
from covalent._workflow.transportable_object import TransportableObject
from covalent.executor.utils.wrappers import wrapper_fn

from covalent_parallel_plugin import pmap
from covalent_parallel_plugin.errors import MapError, TaskKilledError, TimeLimitError
from covalent_parallel_plugin.gcpbatch import GCPBatchExecutor

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator

pytestmark = pytest.mark.containers

Make = Callable[..., GCPBatchExecutor]


def run(executor: GCPBatchExecutor, function: Callable[..., Any], *args: Any) -> Any:
    task = {"dispatch_id": str(uuid.uuid4()), "node_id": 0, "results_dir": "/nowhere"}
    return asyncio.run(executor.run(function, list(args), {}, task)).get_deserialized()


def test_a_value_comes_back_from_another_root_file_system(make_executor: Make) -> None:
    def where() -> tuple[bool, str]:
        return any(map(os.path.exists, ("/run/.containerenv", "/.dockerenv"))), os.uname().nodename

    assert run(make_executor(), where) == (True, os.uname().nodename)


def test_the_stock_image_is_the_official_one_that_is_here_under_another_name(make_executor: Make) -> None:
    assert run(make_executor(container_image_uri=""), lambda: Path("/etc/debian_version").exists())


def test_an_exception_comes_back_with_its_class_and_traceback(make_executor: Make) -> None:
    def fails() -> None:
        raise LookupError("in the container")

    with pytest.raises(LookupError, match="in the container") as caught:
        run(make_executor(), fails)
    assert 'raise LookupError("in the container")' in str(caught.value.__cause__)


def missing(item: int) -> int:
    return {"present": 1}["missing"] + item


def waits() -> None:
    while True:
        time.sleep(0.1)


def crashes() -> None:
    ctypes.string_at(0)


@pytest.fixture
def by_value() -> Iterator[None]:
    """Have this module's functions travel as those of a user's script do."""
    module = sys.modules[__name__]
    cloudpickle.register_pickle_by_value(module)
    yield
    cloudpickle.unregister_pickle_by_value(module)


def shows(text: str, function: Callable[..., Any], comma: str = ",") -> None:
    """Assert that the frame of the function's last line is there, with its source below."""
    lines, first = inspect.getsourcelines(function)
    line = first + len(lines) - 1
    assert f'  File "{__file__}", line {line}{comma} in {function.__name__}\n    {lines[-1].strip()}\n' in text


def test_an_exception_in_a_helper_shows_the_helpers_line(make_executor: Make, by_value: None) -> None:
    with pytest.raises(KeyError) as caught:
        run(make_executor(), lambda: missing(1))
    shows(str(caught.value.__cause__), missing)


def test_an_exception_in_a_helper_of_an_item_shows_the_helpers_line(make_executor: Make, by_value: None) -> None:
    def electron(item: int) -> int:
        return missing(item)

    train = pmap(electron)
    function = TransportableObject(train._electron.electron_object.function)
    executor = make_executor()
    task = {"dispatch_id": str(uuid.uuid4()), "node_id": 0, "results_dir": "/nowhere"}
    with pytest.raises(MapError) as caught:
        asyncio.run(executor.run(partial(wrapper_fn, function, [], []), [TransportableObject([1, 2])], {}, task))
    shows(str(caught.value.errors[1].__cause__), missing)


def test_an_electron_past_its_time_limit_shows_the_line_where_it_stood(make_executor: Make, by_value: None) -> None:
    with pytest.raises(TimeLimitError) as caught:
        run(make_executor(time_limit=1), lambda: waits())
    # In the last lines of its output, which are indented
    shows(re.sub("^  ", "", str(caught.value), flags=re.MULTILINE), waits, comma="")


def test_a_segmentation_fault_shows_the_line_of_the_call(make_executor: Make, by_value: None) -> None:
    with pytest.raises(TaskKilledError) as caught:
        run(make_executor(), lambda: crashes())
    shows(re.sub("^  ", "", str(caught.value), flags=re.MULTILINE), crashes, comma="")


def test_what_is_printed_comes_back(make_executor: Make) -> None:
    executor = make_executor()
    executor._task_stdout, executor._task_stderr = io.StringIO(), io.StringIO()
    run(executor, lambda: print("from the container"))
    assert executor.task_stdout.getvalue() == "from the container\n"


def test_an_electron_that_takes_too_much_memory_is_killed_and_the_error_says_what_to_raise(make_executor: Make) -> None:
    def takes() -> int:
        return len(bytearray(b"x") * (600 << 20))

    with pytest.raises(TaskKilledError, match=r"(?s)256.*memory|memory.*256") as caught:
        run(make_executor(memory=256, retries=0), takes)
    assert "raise" in str(caught.value).lower() and "`memory`" in str(caught.value)


def test_enough_memory_lets_the_same_electron_live(make_executor: Make) -> None:
    assert run(make_executor(memory=1500), lambda: len(bytearray(b"x") * (600 << 20))) == 600 << 20


def test_another_user_with_a_root_that_is_read_only(make_executor: Make) -> None:
    def who() -> tuple[int, bool]:
        try:
            open("/written", "w").close()
        except OSError:
            return os.getuid(), False
        return os.getuid(), True

    assert run(make_executor(container_options="--user 1000:1000 --read-only"), who) == (1000, False)


def test_a_secret_is_in_the_environment(make_executor: Make) -> None:
    assert run(make_executor(secrets={"TOKEN": "token"}), lambda: os.environ["TOKEN"]) == "s3cret #1"


def test_an_image_without_this_package_will_do(make_executor: Make) -> None:
    def packages() -> list[bool]:
        names = ("covalent_parallel_plugin", "covalent", "cloudpickle")
        return [find_spec(name) is not None for name in names]

    # cloudpickle travels with the runner
    assert run(make_executor(), packages) == [False, False, True]


@pytest.mark.parametrize("options", ["", "--user 1000:1000", "--user 1000:1000 --read-only"])
def test_requirements_are_installed_in_the_container(make_executor: Make, options: str) -> None:
    def version() -> str:
        import six

        return str(six.__version__)

    assert run(make_executor(requirements=["six"], container_options=options), version)[0] == "1"


@pytest.mark.parametrize(
    "options",
    ["", "--user 1000:1000", "--read-only --tmpfs /tmp:exec", "--user 1000:1000 --read-only --tmpfs /tmp:exec"],
)
def test_deps_pip_installs_what_has_compiled_parts_for_any_user_and_with_a_root_that_is_read_only(
    make_executor: Make, options: str
) -> None:
    from covalent import DepsPip

    version = metadata.version("markupsafe")

    def electron() -> tuple[str, str]:
        import markupsafe._speedups

        return markupsafe._speedups.__name__, str(markupsafe.escape("<"))

    hook = DepsPip(packages=[f"markupsafe=={version}"])
    executor = make_executor(container_options=options, memory=1024)
    function = partial(wrapper_fn, TransportableObject(electron), [hook.apply()], [])
    where = {"dispatch_id": str(uuid.uuid4()), "node_id": 0}
    value = asyncio.run(executor.run(function, [], {}, where))
    assert value.get_deserialized() == ("markupsafe._speedups", "&lt;")


def test_two_electrons_run_at_once(make_executor: Make, services: Emulator) -> None:
    async def both() -> list[Any]:
        runs = [
            make_executor().run(
                pow, [2, power], {}, {"dispatch_id": str(uuid.uuid4()), "node_id": 0, "results_dir": "/nowhere"}
            )
            for power in (5, 6)
        ]
        return [result.get_deserialized() for result in await asyncio.gather(*runs)]

    assert asyncio.run(both()) == [32, 64]
