"""`covalent-parallel logs` on a real server: what electrons print, while they run and after they have ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import pytest
from command_process import CommandProcess, Ended

if TYPE_CHECKING:
    from conftest import Report

    from covalent_parallel_plugin.covalent_api.private_server import PrivateCovalentServer

WORKFLOWS = r"""
from covalent_parallel_plugin import GCPBatchExecutor, pmap

@ct.electron(executor="gcpbatch")
def train(step):
    import sys
    print(f"step {step}")
    print("\x1b[31mred\x1b[0m", "10%\r20%")
    print("careful", file=sys.stderr)
    return step

@ct.electron(executor="gcpbatch")
def fails():
    print("so far")
    raise LookupError("not here")

@pmap(executor=GCPBatchExecutor(max_parallel=2))
def dock(index):
    import sys
    print(f"item {index}")
    print("--- item 1 ---")
    print("docked", index)
    if index == 1:
        sys.stderr.write("bad item\n--- item 0 ---\n")
        raise ValueError(index)

@workflow()
def trained():
    return [train(1), train(2)]

@workflow()
def failed():
    return fails()

@workflow()
def docked():
    return dock(range(4))
"""


@pytest.fixture(scope="module")
def reports(run_workflows: Callable[[str], Mapping[str, Report]]) -> Mapping[str, Report]:
    return run_workflows(WORKFLOWS)


@pytest.fixture(scope="module")
def logs(covalent_server: PrivateCovalentServer) -> Iterator[Callable[..., Ended]]:
    with CommandProcess(covalent_server.environment) as process:
        yield lambda *arguments: process.run("logs", *arguments)


def test_of_several_electrons_each_line_says_whose_it_is(
    reports: Mapping[str, Report], logs: Callable[..., Ended]
) -> None:
    ended = logs(reports["trained"].dispatch_id)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == ("train[0] | step 1\ntrain[0] | red 10%\r20%\ntrain[2] | step 2\ntrain[2] | red 10%\r20%\n")


@pytest.mark.parametrize("named", ["0", "train[0]"])
def test_one_electron_needs_no_prefix(reports: Mapping[str, Report], logs: Callable[..., Ended], named: str) -> None:
    assert logs(reports["trained"].dispatch_id, named).stdout == "step 1\nred 10%\r20%\n"


def test_a_name_means_all_electrons_that_have_it(reports: Mapping[str, Report], logs: Callable[..., Ended]) -> None:
    assert logs(reports["trained"].dispatch_id, "train", "--no-prefix", "--stderr").stdout == "careful\n" * 2


def test_both_streams_come_apart(reports: Mapping[str, Report], logs: Callable[..., Ended]) -> None:
    ended = logs(reports["trained"].dispatch_id, "0", "--both")
    assert (ended.stdout, ended.stderr) == ("step 1\nred 10%\r20%\n", "careful\n")


def test_json_has_the_lines_as_they_are(reports: Mapping[str, Report], logs: Callable[..., Ended]) -> None:
    dispatch_id = reports["trained"].dispatch_id
    lines = [json.loads(line) for line in logs(dispatch_id, "0", "--both", "--json").stdout.splitlines()]
    assert [line["line"] for line in lines] == ["step 1", "\x1b[31mred\x1b[0m 10%\r20%", "careful"]
    assert lines[-1] == {
        "dispatch": dispatch_id, "node": 0, "electron": "train", "task": 0, "attempt": None, "item": None,
        "stream": "stderr", "time": None, "line": "careful",
    }  # fmt: skip


def test_a_failed_electron_shows_what_it_printed_and_its_traceback(
    reports: Mapping[str, Report], logs: Callable[..., Ended]
) -> None:
    ended = logs(reports["failed"].dispatch_id, "--both")
    assert (ended.returncode, ended.stdout) == (0, "so far\n")
    assert "LookupError: not here" in ended.stderr


@pytest.mark.parametrize("item", [0, 1, 3])
def test_an_item_of_a_map_that_has_ended_has_exactly_its_own_output(
    reports: Mapping[str, Report], logs: Callable[..., Ended], item: int
) -> None:
    ended = logs(reports["docked"].dispatch_id, "--item", str(item))
    assert ended.stdout == f"item {item}\n--- item 1 ---\ndocked {item}\n"
    errors = logs(reports["docked"].dispatch_id, "--item", str(item), "--stderr")
    assert errors.stdout == ("bad item\n--- item 0 ---\n" if item == 1 else "")


def test_a_whole_map_says_of_which_item_each_line_is(reports: Mapping[str, Report], logs: Callable[..., Ended]) -> None:
    lines = logs(reports["docked"].dispatch_id, "--tail", "1").stdout.splitlines()
    assert lines == [
        *(f"dock[0] item {index} | docked {index}" for index in range(4)),
        "dock[0] | 4 items: 3 returned, 1 raised; 2 tasks",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("trian",), "has no electron 'trian': did you mean train? It has train[0], train[2]"),
        (("77",), "has no electron '77'. It has train[0]"),
        (("0", "--item", "3"), "train[0]: no item 3, since it is not a map"),
        (("0", "--attempt", "3"), "train[0]: there is no output of an attempt 3"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(
    reports: Mapping[str, Report], logs: Callable[..., Ended], arguments: tuple[str, ...], told: str
) -> None:
    ended = logs(reports["trained"].dispatch_id, *arguments)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert told in ended.stderr


def test_an_item_beyond_the_last_is_told(reports: Mapping[str, Report], logs: Callable[..., Ended]) -> None:
    ended = logs(reports["docked"].dispatch_id, "dock", "--item", "4")
    assert ended.returncode == 1
    assert "dock[0] has no item 4: it has the items 0 to 3" in ended.stderr


def test_an_unknown_dispatch_is_told_with_those_that_there_are(
    reports: Mapping[str, Report], logs: Callable[..., Ended]
) -> None:
    dispatch_id = reports["docked"].dispatch_id
    ended = logs(f"{dispatch_id[:-1]}x")
    assert ended.returncode == 1
    assert f"did you mean {dispatch_id}?" in ended.stderr
    assert "has nothing of it" in ended.stderr


def test_a_command_line_that_is_wrong_names_all_mistakes(logs: Callable[..., Ended]) -> None:
    ended = logs("../x", "--stderr", "--both", "--json", "--no-prefix")
    assert ended.returncode == 2
    for told in ("'../x' is not a valid dispatch id", "--both has --stderr in it", "--json has no prefixes"):
        assert told in ended.stderr
    assert logs("d", "--since", "5x").returncode == 2
    assert logs("d", "--item", "-1").returncode == 2


def test_ended_electrons_are_read_when_google_is_out_of_reach(
    reports: Mapping[str, Report], covalent_server: PrivateCovalentServer
) -> None:
    nobody = "127.0.0.1:9"
    variables = dict.fromkeys(("BATCH_EMULATOR_HOST", "LOGGING_EMULATOR_HOST"), nobody)
    variables["STORAGE_EMULATOR_HOST"] = f"http://{nobody}"
    with CommandProcess(covalent_server.environment | variables) as process:
        ended = process.run("logs", reports["trained"].dispatch_id, "0")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "step 1\nred 10%\r20%\n", "")


def test_since_leaves_out_what_ended_before(reports: Mapping[str, Report], logs: Callable[..., Ended]) -> None:
    dispatch_id = reports["trained"].dispatch_id
    ended = logs(dispatch_id, "0", "--since", "1d")
    assert ended.stdout.startswith("step 1\n")
    assert "its lines have no times" in ended.stderr
    assert logs(dispatch_id, "0", "--since", "0.001s").stdout == ""
