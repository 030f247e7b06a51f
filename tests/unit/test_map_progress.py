"""What is known of a map's items, and what follows from it: the whole table."""

from __future__ import annotations

import copyreg
import pickle
from pathlib import Path
from typing import Any

import pytest

from covalent_parallel_plugin.electron.call import Call
from covalent_parallel_plugin.electron.map.item_table import Item, ValueStore
from covalent_parallel_plugin.electron.map.progress import (
    KILLS_BEFORE_GIVING_UP,
    MapProgress,
    failure_of,
    named_items,
    pickle_of_error,
)
from covalent_parallel_plugin.electron.map.report import InterruptedItem, TaskReport
from covalent_parallel_plugin.electron.outcome import Outcome, Raised
from covalent_parallel_plugin.errors import NAMED_ITEMS, ElectronError, RemoteTraceback, TaskKilledError
from covalent_parallel_plugin.protocol import envelope
from covalent_parallel_plugin.protocol.envelope import EXCEPTION

CALL = Call("d", 7, "train", "3.11.7", "0.240.0")
RAISED = Raised("ValueError", "builtins", "no\nreally", ("no\nreally",), "Traceback ...\nValueError: no\n")
OWN = Raised("ModelDiverged", "models", "after step 7", None, "Traceback ...\n")
KILLED = Outcome(envelope.KILLED, "", "", signal=9)
OUT_OF_MEMORY = Outcome(envelope.KILLED, "", "", signal=9, out_of_memory_kills=1)
LEFT = Outcome(envelope.KILLED, "", "", exit_status=3)
TIMED_OUT = Outcome(envelope.KILLED, "", "", signal=9, reason="time_limit")
REFUSED = Outcome(envelope.REFUSED, "", "", reason="missing_module")
HOOK = Outcome(EXCEPTION, "", "", raised=RAISED)


def of(total: int | None = 4, *reports: TaskReport) -> MapProgress:
    progress = MapProgress(total)
    for report in reports:
        progress.add(report)
    return progress


def done(*indices: int) -> TaskReport:
    return TaskReport([Item(index) for index in indices])


def raised(index: int, what: Raised = RAISED) -> TaskReport:
    return TaskReport([Item(index, raised=what, arguments=f"({index},)")])


def killed(index: int, how: Outcome = KILLED, **printed: str) -> TaskReport:
    return TaskReport(ended=how, running=InterruptedItem(index, f"({index},)", **printed))


@pytest.mark.parametrize(
    ("progress", "lost", "is_complete"),
    [
        (of(None), None, False),
        (of(None, TaskReport(ended=KILLED)), None, False),
        (of(0), [], True),
        (of(4), [0, 1, 2, 3], False),
        (of(4, done(0, 2)), [1, 3], False),
        (of(4, done(0, 1), done(3, 2)), [], True),
        (of(4, done(0, 1, 2), raised(3)), [], True),
        (of(None, TaskReport([Item(0)], total=2)), [1], False),
        (of(4, killed(1)), [0, 2, 3, 1], False),
        (of(4, killed(1), killed(0), done(2)), [3, 0, 1], False),
        (of(4, killed(1), killed(1)), [0, 2, 3], False),
        (of(4, killed(1), killed(1), done(0, 2, 3)), [], False),
        (of(4, killed(1), done(1, 0, 2, 3)), [], True),
        (of(4, killed(1, TIMED_OUT), done(0, 2, 3)), [1], False),
    ],
)
def test_what_is_to_be_run_again(progress: MapProgress, lost: list[int] | None, is_complete: bool) -> None:
    assert (progress.lost(), progress.is_complete) == (lost, is_complete)


@pytest.mark.parametrize(
    ("report", "hook", "timed_out", "kills"),
    [
        (done(1), False, False, {}),
        (TaskReport(ended=HOOK), True, False, {}),
        (TaskReport(ended=KILLED), False, False, {}),
        (TaskReport(ended=KILLED, total=4), True, False, {}),
        (TaskReport(ended=REFUSED), True, False, {}),
        (TaskReport([Item(0)], ended=HOOK), True, False, {}),
        (TaskReport(ended=TIMED_OUT), False, True, {}),
        (killed(2, TIMED_OUT), False, True, {}),
        (killed(2), False, False, {2: 1}),
        (killed(2, LEFT), False, False, {2: 1}),
    ],
)
def test_how_a_task_ended_is_told_apart(report: TaskReport, hook: bool, timed_out: bool, kills: dict[int, int]) -> None:
    progress = of(4, report)
    found = (progress.hook is not None, progress.timed_out is not None, progress.kills)
    assert found == (hook, timed_out, kills)


def test_an_item_that_was_delivered_before_stays_as_it_was() -> None:
    progress = of(4, TaskReport([Item(0, shown="first")]), TaskReport([Item(0, shown="second")]))
    assert progress.item(0).shown == "first"


def test_the_task_knows_better_how_many_items_there_are() -> None:
    assert of(None, TaskReport(total=3)).total == 3
    assert of(None, TaskReport(total=3), TaskReport(total=None)).total == 3


def test_items_that_raised_can_be_run_again() -> None:
    progress = of(3, done(0, 2), raised(1))
    progress.forget_raised()
    assert (progress.lost(), progress.raised) == ([1], [])


def test_an_item_is_given_up_after_it_killed_its_process_twice() -> None:
    assert KILLS_BEFORE_GIVING_UP == 2


def test_pickles_come_in_the_order_of_the_items_with_what_stands_for_the_raised(tmp_path: Path) -> None:
    store = ValueStore(str(tmp_path))
    starts = {index: store.add(iter([data])) for index, data in ((2, b"two"), (0, b"zero"))}
    rows = [Item(index, offset=start, size=4 if index == 0 else 3) for index, start in starts.items()]
    progress = of(3, TaskReport(rows), raised(1))
    found = [(size, b"".join(chunks)) for size, chunks in progress.pickles(store, {1: b"error"})]
    store.close()
    assert found == [(4, b"zero"), (5, b"error"), (3, b"two")]


def test_the_list_is_shown_by_its_first_values() -> None:
    few = of(3, TaskReport([Item(0, shown="a"), Item(1), Item(2, shown="c")]))
    many = of(1000, TaskReport([Item(index, shown=str(index)) for index in range(1000)]))
    assert few.shown() == "[a, ..., c]"
    assert many.shown().endswith("18, 19, ... 980 more]")
    assert of(0).shown() == "[]"


def test_the_shown_list_is_of_bounded_length() -> None:
    assert len(of(20, TaskReport([Item(index, shown="x" * 80) for index in range(20)])).shown()) <= 4096


def test_what_stands_for_an_item_that_raised_survives_a_pickle() -> None:
    found = of(1, raised(0, OWN)).errors()
    error = pickle.loads(pickle_of_error(found[0]))  # noqa: S301 - made here
    assert type(error) is ElectronError
    assert (error.type_name, error.message, error.remote_traceback) == (
        "models.ModelDiverged",
        "after step 7",
        "Traceback ...\n",
    )


def test_what_stands_for_an_item_that_raised_needs_no_package_that_pickles_exceptions_its_own_way() -> None:
    """As in Covalent's server, where Dask has tblib do that: another electron's image may have no tblib."""
    before = dict(copyreg.dispatch_table)
    try:
        copyreg.pickle(ElectronError, lambda error: (print, ()))  # type: ignore[arg-type,return-value]
        error = pickle.loads(pickle_of_error(ElectronError("models.ModelDiverged", "after step 7")))  # noqa: S301 - made here
    finally:
        copyreg.dispatch_table.clear()
        copyreg.dispatch_table.update(before)
    assert type(error) is ElectronError


def test_the_failure_names_every_item_its_arguments_and_its_exception() -> None:
    error = failure_of(str(CALL), of(4, done(1), raised(2), raised(0, OWN), done(3)))
    assert str(error) == (
        "2 of 4 items of electron 'train' (node 7 of dispatch d) failed: 0, 2\n"
        "  item 0 ((0,)): models.ModelDiverged: after step 7\n"
        "  item 2 ((2,)): ValueError: no"
    )


def test_the_failure_carries_an_error_for_each_item() -> None:
    errors = failure_of(str(CALL), of(4, raised(2), raised(0, OWN), killed(3, OUT_OF_MEMORY))).errors
    assert list(errors) == [0, 2, 3]
    assert [type(error) for error in errors.values()] == [ElectronError, ValueError, TaskKilledError]
    assert isinstance(errors[2].__cause__, RemoteTraceback)


@pytest.mark.parametrize(
    ("how", "text"),
    [
        (KILLED, "item 3 ((3,)): killed its process (signal 9)"),
        (OUT_OF_MEMORY, "item 3 ((3,)): killed its process (signal 9) for want of memory: raise `memory`"),
        (LEFT, "item 3 ((3,)): killed its process (exit status 3)"),
    ],
)
def test_the_failure_says_how_an_item_killed_its_process(how: Outcome, text: str) -> None:
    assert text in str(failure_of(str(CALL), of(4, killed(3, how))))


def test_an_item_that_returned_the_second_time_is_no_failure() -> None:
    assert failure_of(str(CALL), of(2, killed(1), done(0, 1))).errors == {}


def test_of_many_failures_the_first_are_named_and_the_others_counted() -> None:
    text = str(failure_of(str(CALL), of(100, *(raised(index) for index in range(100)))))
    assert text.count("ValueError") == NAMED_ITEMS
    assert text.splitlines()[0].endswith("18, 19, ...")
    assert text.endswith("... and 80 more")


def test_what_stands_for_an_item_that_killed_its_process_says_how() -> None:
    error = of(2, done(0), killed(1, OUT_OF_MEMORY, stderr="Fatal Python error\n")).errors()[1]
    assert error.type_name == "covalent_parallel_plugin.errors.TaskKilledError"
    assert error.message == "killed its process (signal 9) for want of memory: raise `memory`"
    assert error.remote_traceback == "Fatal Python error\n"


def test_an_item_that_was_delivered_after_its_kill_has_no_error() -> None:
    progress = of(3, killed(1), raised(2), done(0, 1))
    assert (list(progress.errors()), progress.still_killed) == ([2], {})


def test_the_latest_of_several_kills_comes_last() -> None:
    progress = of(4, killed(1), killed(3), killed(1, LEFT), done(0))
    assert list(progress.still_killed) == [3, 1]


def test_items_that_shared_a_task_with_a_kill_have_none_of_their_own() -> None:
    """Two jobs: the first one's task is killed in item 1 and takes 2 and 3 along; in the second 2 kills its own."""
    progress = of(4, TaskReport([Item(0)], total=4, ended=KILLED, running=InterruptedItem(1, "1")))
    assert progress.lost() == [2, 3, 1]
    progress.add(TaskReport([], total=4, ended=KILLED, running=InterruptedItem(2, "2"), round=1))
    assert (progress.kills, progress.lost()) == ({1: 1, 2: 1}, [3, 1, 2])
    progress.add(TaskReport([Item(3), Item(1)], total=4, ended=KILLED, running=InterruptedItem(2, "2"), round=2))
    assert (progress.lost(), list(progress.still_killed)) == ([], [2])


# --- tasks that are killed before their first item

EARLY = TaskReport(ended=KILLED)


@pytest.mark.parametrize(
    ("reports", "is_hopeless"),
    [
        ([done(0)], False),
        ([EARLY], True),
        ([EARLY, done(0)], False),
        ([EARLY, EARLY, done(0)], False),
        ([EARLY, done(0), TaskReport(ended=KILLED, round=1)], True),
        ([TaskReport(ended=KILLED, total=4), done(0)], False),
        ([killed(1)], False),
    ],
)
def test_it_is_hopeless_where_no_task_gets_to_its_items_or_some_do_not_in_two_jobs(
    reports: list[TaskReport], is_hopeless: bool
) -> None:
    assert of(4, *reports).is_hopeless is is_hopeless


@pytest.mark.parametrize(("count", "text"), [(2, "0, 1"), (NAMED_ITEMS + 1, "18, 19, ...")])
def test_some_of_the_indices_are_named(count: int, text: Any) -> None:
    assert named_items(range(count)).endswith(text)
