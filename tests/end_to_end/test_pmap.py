"""pmap through a Covalent server: one electron, one job of several tasks, a list of values in order."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from test_cancel import PRELUDE as CANCELLING

if TYPE_CHECKING:
    from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer

SOURCE = """
import os
from covalent_parallel_plugin import GCPBatchExecutor, grid, pmap

three = GCPBatchExecutor(max_parallel=3)
note = "%(note)s"

@pmap(executor=three)
def train(learning_rate, batch_size, offset=0):
    print(f"training with {learning_rate}")
    return learning_rate * batch_size + offset

@ct.electron(executor="gcpbatch")
def best(scores):
    return max(scores)

@ct.electron(executor="gcpbatch")
def several(count):
    return list(range(count))

@workflow()
def search():
    scores = train(grid(learning_rate=[1, 2], batch_size=[10, 20]))
    return {"scores": scores, "best": best(scores)}

@pmap(executor=three)
def power(number, exponent=2, table=None):
    return number ** exponent + (table or {}).get(number, 0)

@workflow(arguments=(5,))
def of_an_earlier_electron(count):
    return power(several(count))

@workflow()
def with_constants():
    return power(zip([1, 2, 3]), exponent=3, table={1: 100})

@workflow()
def with_a_constant_of_an_earlier_electron():
    @pmap(executor="gcpbatch")
    def held(number, numbers):
        return number in numbers
    return held([1, 7], numbers=several(3))

@workflow()
def of_electrons():
    return power([best([1, 2]), best([3])])

@workflow()
def of_tuples_with_electrons():
    return power([(best([1, 2]), 3), (5, 1)])

@ct.electron(executor="gcpbatch")
def text():
    return "adam"

@workflow()
def of_text_of_an_earlier_electron():
    return power(text())

@workflow()
def of_nothing_of_an_earlier_electron():
    return power(several(0))

@workflow()
def of_nothing():
    return power([])

@workflow()
def of_items_of_a_map():
    first, second, third = power([1, 2, 3])
    squares = power(range(4, 8))
    return [third, squares[-1], first, best(squares[0:2]), squares[1:][0]]

@workflow()
def of_an_item_that_is_not_there():
    return power([1, 2])[2]

def noted():
    with open(note, "a") as file:
        file.write("hook\\n")
    return 7

@pmap(executor=three, call_before=[ct.DepsCall(noted, retval_keyword="seven")])
def hooked(number, seven=0):
    return number + seven

@workflow()
def hooks():
    return hooked(range(9))

@pmap(executor=three, deps_pip=ct.DepsPip(packages=["%(wheel)s"]))
def with_package(number):
    import tiny_package_of_a_map
    return tiny_package_of_a_map.ANSWER + number

@workflow()
def pip():
    return with_package(range(4))

@ct.electron(executor="gcpbatch")
@ct.lattice(executor="gcpbatch", workflow_executor="gcpbatch")
def inner(count):
    return power(range(count))

@workflow()
def sublattice():
    return inner(4)

@pmap(executor="local")
def here(number):
    return number + 1

@workflow()
def local():
    return here(range(4))

@pmap(executor="local")
def fails_here(number):
    return 1 // number

@workflow()
def local_failing():
    return fails_here([1, 0, 2, 0])

def says():
    print("made ready")

@pmap(executor=three, call_before=[ct.DepsCall(says)], return_exceptions=True)
def deadly(number):
    import os
    if number == 2:
        os._exit(7)
    return number

@workflow(check=lambda values: [str(value) for value in values])
def killed_in_place():
    return deadly(range(4))

@pmap(executor=three)
def sometimes(number):
    print("number", number)
    if number % 4 == 1:
        raise ValueError(f"no {number}")
    return number

@workflow()
def failing():
    return sometimes(range(8))

@pmap(executor=three, return_exceptions=True)
def forgiving(number):
    return 1 // number

@workflow(check=lambda values: [str(value) for value in values])
def errors_in_place():
    return forgiving([1, 0])
"""

CANCEL = """
from covalent_parallel_plugin import GCPBatchExecutor, pmap

@pmap(executor=GCPBatchExecutor(max_parallel=2))
def waits(number):
    import time
    time.sleep(60)

dispatch_id = ct.dispatch(ct.lattice(lambda: waits(range(10))))()
wait_until("its job runs", lambda: states_of(dispatch_id) == ["RUNNING"])
ct.cancel(dispatch_id)
report["cancelled"] = conclude(dispatch_id)
with open(sys.argv[1], "w") as file:
    json.dump(report, file)
"""


@pytest.fixture(scope="module")
def note(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that each run of a hook adds a line to."""
    return tmp_path_factory.mktemp("hooks") / "note"


@pytest.fixture(scope="module")
def reports(
    run_workflows: Callable[[str], Mapping[str, Any]], tmp_path_factory: pytest.TempPathFactory, note: Path
) -> Mapping[str, Any]:
    wheel = make_wheel(tmp_path_factory.mktemp("wheel"))
    return run_workflows(SOURCE.replace("%(wheel)s", str(wheel)).replace("%(note)s", str(note)))


def make_wheel(folder: Path) -> Path:
    """A package that no environment has, and that pip installs without an index."""
    name = "tiny_package_of_a_map"
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}.py", "ANSWER = 42\n")
        archive.writestr(f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return wheel


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("search", {"scores": [10, 20, 20, 40], "best": 40}),
        ("of_an_earlier_electron", [0, 1, 4, 9, 16]),
        ("with_constants", [101, 8, 27]),
        ("with_a_constant_of_an_earlier_electron", [True, False]),
        ("of_electrons", [4, 9]),
        ("of_items_of_a_map", [9, 49, 1, 25, 25]),
        ("of_nothing", []),
        ("of_nothing_of_an_earlier_electron", []),
        ("of_tuples_with_electrons", [8, 5]),
        ("hooks", [number + 7 for number in range(9)]),
        ("pip", [42, 43, 44, 45]),
        ("sublattice", [0, 1, 4, 9]),
        ("local", [1, 2, 3, 4]),
        ("errors_in_place", ["1", "ZeroDivisionError: integer division or modulo by zero"]),
        (
            "killed_in_place",
            ["0", "1", "covalent_parallel_plugin.errors.TaskKilledError: killed its process (exit status 7)", "3"],
        ),
    ],
)
def test_a_map_gives_the_values_in_order(reports: Mapping[str, Any], name: str, value: Any) -> None:
    assert reports[name].status == "COMPLETED", reports[name]
    assert reports[name].value == value


def test_an_item_that_is_not_there_is_an_index_error(reports: Mapping[str, Any]) -> None:
    report = reports["of_an_item_that_is_not_there"]
    assert report.status == "FAILED"
    (node,) = (node for name, node in report.electrons.items() if name.endswith(".__getitem__"))
    assert node.stderr.endswith("IndexError: list index out of range\n")


def test_hooks_run_once_per_task_and_not_per_item(reports: Mapping[str, Any], note: Path) -> None:
    assert reports["hooks"].status == "COMPLETED"
    assert note.read_text() == "hook\n" * 3


def test_a_map_is_one_electron_in_the_graph(reports: Mapping[str, Any]) -> None:
    own = [name for name in reports["search"].electrons if not name.startswith(":")]
    assert sorted(own) == ["best", "train"]


def test_the_output_of_each_item_is_found_under_its_index_and_totals_come_last(reports: Mapping[str, Any]) -> None:
    stdout = reports["search"].electrons["train"].stdout
    sections = "".join(f"--- item {index} ---\ntraining with {rate}\n" for index, rate in enumerate([1, 1, 2, 2]))
    assert stdout == f"{sections}4 items: 4 returned; 3 tasks\n"


def test_a_failing_map_names_its_items_and_shows_the_first_traceback(reports: Mapping[str, Any]) -> None:
    report = reports["failing"]
    assert report.status == "FAILED"
    node = report.electrons["sometimes"]
    assert (node.status, node.error) == ("FAILED", None)
    assert "2 of 8 items of electron 'sometimes'" in node.stderr
    assert "item 1 (1): ValueError: no 1" in node.stderr
    assert "item 5 (5): ValueError: no 5" in node.stderr
    assert 'raise ValueError(f"no {number}")' in node.stderr
    assert "--- item 7 ---\nnumber 7\n" in node.stdout, "the others ran"
    assert node.stdout.endswith("8 items: 6 returned, 2 raised; 3 tasks\n")


def test_what_hooks_print_is_shown_once_and_before_the_items(reports: Mapping[str, Any]) -> None:
    stdout = reports["killed_in_place"].electrons["deadly"].stdout
    assert stdout == (
        "--- tasks 0-2; task 0 of job 2, outside the items ---\nmade ready\n"
        "4 items: 3 returned, 1 did not end; 4 tasks in 2 jobs\n"
    )


def test_on_another_executor_a_failing_map_names_its_items_as_well(reports: Mapping[str, Any]) -> None:
    report = reports["local_failing"]
    assert report.status == "FAILED"
    told = report.electrons["fails_here"].stderr
    assert "2 of 4 items of electron 'fails_here' failed: 1, 3" in told
    assert "item 3 (0): ZeroDivisionError" in told


def test_a_text_in_the_place_of_a_list_is_refused(reports: Mapping[str, Any]) -> None:
    report = reports["of_text_of_an_earlier_electron"]
    assert report.status == "FAILED"
    assert "the items of a map are a list, and this is of type str: write ['adam']" in report.electrons["power"].stderr


def test_a_map_cancelled_in_the_middle_ends_cancelled_and_its_job_with_it(run_client: Callable[[str], Any]) -> None:
    report = run_client(CANCELLING + CANCEL)["cancelled"]
    assert (report["status"], report["jobs"]) == ("CANCELLED", ["CANCELLED"])
    assert report["nodes"]["waits-0"] == "CANCELLED"


def test_watch_shows_the_electrons_by_name_and_ends_with_the_dispatch(
    reports: Mapping[str, Any], covalent_server: PrivateCovalentServer
) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "from covalent_parallel_plugin.cli import main; main()", "watch",
         reports["search"].dispatch_id],
        env=covalent_server.environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert lines[-1].startswith(f"dispatch {reports['search'].dispatch_id} (search): COMPLETED, ")
    assert any(line.startswith("train (node ") and "4 of 4 items done" in line for line in lines)
