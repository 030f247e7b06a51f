"""What a user sees of an electron's output, and of one that fails, through a Covalent server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

SOURCE = """
@alone()
def raises():
    print("printed before the end")
    print("written to the other stream", file=sys.stderr)
    table = {"present": 1}
    return table["missing"]  # the line that fails

class ModelDiverged(Exception):
    pass

@alone()
def raises_from_a_cause():
    try:
        1 / 0
    except ZeroDivisionError as error:
        raise ModelDiverged("after step 7") from error

@alone()
def leaves():
    import os
    print("the last line", flush=True)
    os._exit(3)

@alone()
def cannot_be_pickled():
    import threading
    return threading.Lock()

@alone()
def succeeds():
    print("out")
    print("err", file=sys.stderr)
    return 1

@alone(executor=ct.executor.GCPBatchExecutor(time_limit=5))
def runs_too_long():
    import time
    print("started", flush=True)
    time.sleep(60)

@alone(executor=ct.executor.GCPBatchExecutor(max_machine_hours=0.003))
def costs_too_much():
    import time
    print("started", flush=True)
    time.sleep(60)

@alone()
def lacks_a_module():
    import no_such_module_anywhere

@alone()
def raises_what_is_no_text():
    raise ValueError("caf\\udce9")

@alone()
def prints_what_is_no_text():
    print("caf\\udce9")
    return "caf\\udce9"

@alone(executor=ct.executor.GCPBatchExecutor(bucket_name="not-there"))
def has_no_bucket():
    return 1
"""


@pytest.fixture(scope="module")
def reports(run_workflows: Callable[[str], Mapping[str, Any]]) -> Mapping[str, Any]:
    return run_workflows(SOURCE)


def electron(reports: Mapping[str, Any], name: str) -> Any:
    return reports[name].electrons[name]


FAILING = [
    "raises",
    "raises_from_a_cause",
    "leaves",
    "cannot_be_pickled",
    "runs_too_long",
    "lacks_a_module",
    "has_no_bucket",
    "raises_what_is_no_text",
]


@pytest.mark.parametrize("name", FAILING)
def test_electron_and_lattice_are_failed(reports: Mapping[str, Any], name: str) -> None:
    assert (reports[name].status, electron(reports, name).status) == ("FAILED", "FAILED")


def test_stderr_has_type_message_and_the_users_own_line_of_an_exception(reports: Mapping[str, Any]) -> None:
    stderr = electron(reports, "raises").stderr
    assert "KeyError: 'missing'" in stderr
    assert 'return table["missing"]  # the line that fails' in stderr


def test_the_traceback_starts_at_the_users_first_frame(reports: Mapping[str, Any]) -> None:
    trace = electron(reports, "raises").stderr.split("Traceback (most recent call last):\n")[1]
    assert trace.splitlines()[0].endswith("in raises")


def test_both_streams_of_a_failed_electron_are_kept(reports: Mapping[str, Any]) -> None:
    node = electron(reports, "raises")
    assert node.stdout == "printed before the end\n"
    assert node.stderr.startswith("written to the other stream\n")


def test_stderr_has_the_chain_of_causes(reports: Mapping[str, Any]) -> None:
    stderr = electron(reports, "raises_from_a_cause").stderr
    assert "ZeroDivisionError: division by zero" in stderr
    assert "direct cause" in stderr
    assert "ModelDiverged: after step 7" in stderr


def test_an_electron_that_leaves_the_interpreter_shows_exit_status_and_last_line(reports: Mapping[str, Any]) -> None:
    node = electron(reports, "leaves")
    assert node.stdout == "the last line\n"
    assert "exit status 3" in node.stderr


def test_a_value_that_cannot_be_pickled_is_named(reports: Mapping[str, Any]) -> None:
    assert "_thread.lock" in electron(reports, "cannot_be_pickled").stderr


def test_an_electron_past_its_time_limit_shows_where_it_stood(reports: Mapping[str, Any]) -> None:
    node = electron(reports, "runs_too_long")
    assert node.stdout == "started\n"
    assert "time_limit of 5 s" in node.stderr
    assert "in runs_too_long" in node.stderr


def test_a_missing_module_comes_with_the_remedy(reports: Mapping[str, Any]) -> None:
    stderr = electron(reports, "lacks_a_module").stderr
    assert "no_such_module_anywhere" in stderr
    assert "DepsPip" in stderr


def test_a_missing_bucket_is_named_with_its_option(reports: Mapping[str, Any]) -> None:
    stderr = electron(reports, "has_no_bucket").stderr
    assert "'not-there'" in stderr
    assert "bucket_name" in stderr


def test_both_streams_of_a_success_arrive(reports: Mapping[str, Any]) -> None:
    node = electron(reports, "succeeds")
    assert (node.status, node.stdout, node.stderr) == ("COMPLETED", "out\n", "err\n")


def test_an_exception_whose_message_is_no_text_arrives(reports: Mapping[str, Any]) -> None:
    assert "ValueError: caf" in electron(reports, "raises_what_is_no_text").stderr


def test_output_that_is_no_text_arrives(reports: Mapping[str, Any]) -> None:
    node = electron(reports, "prints_what_is_no_text")
    assert (node.status, node.stdout) == ("COMPLETED", "caf\\udce9\n")


def test_one_whose_dispatch_has_used_up_its_machine_hours_says_what_to_do(reports: Mapping[str, Any]) -> None:
    node = electron(reports, "costs_too_much")
    assert node.status == "FAILED"
    assert node.stdout == "started\n"
    for part in ("'costs_too_much' (node 0", "was stopped", "max_machine_hours is 0.003", "raise `max_machine_hours`"):
        assert part in node.stderr
