"""What is known of a map's items, and what follows from it: the whole table."""

from __future__ import annotations

import copyreg
import pickle
from pathlib import Path
from typing import Any

import pytest

from covalent_parallel_plugin import wire
from covalent_parallel_plugin.dispatch.call import Call
from covalent_parallel_plugin.dispatch.items import Item, Running, TaskReport, ValueStore
from covalent_parallel_plugin.dispatch.map_rounds import (
    KILLS_BEFORE_GIVING_UP,
    NAMED_ITEMS,
    SHOWN_CHARACTERS,
    Progress,
    failure_of,
    named,
    output_of,
    pickle_of_error,
    totals,
)
from covalent_parallel_plugin.dispatch.outcome import Outcome, Raised
from covalent_parallel_plugin.errors import ElectronError, RemoteTraceback, TaskKilledError

CALL = Call("d", 7, "train", "3.11.7", "0.240.0")
RAISED = Raised("ValueError", "builtins", "no\nreally", ("no\nreally",), "Traceback ...\nValueError: no\n")
OWN = Raised("ModelDiverged", "models", "after step 7", None, "Traceback ...\n")
KILLED = Outcome(wire.KILLED, "", "", signal=9)
OUT_OF_MEMORY = Outcome(wire.KILLED, "", "", signal=9, out_of_memory_kills=1)
LEFT = Outcome(wire.KILLED, "", "", exit_status=3)
TIMED_OUT = Outcome(wire.KILLED, "", "", signal=9, reason="time_limit")
HOOK = Outcome(wire.EXCEPTION, "", "", raised=RAISED)


def of(total: int | None = 4, *reports: TaskReport) -> Progress:
    progress = Progress(total)
    for report in reports:
        progress.add(report)
    return progress


def done(*indices: int) -> TaskReport:
    return TaskReport([Item(index) for index in indices])


def raised(index: int, what: Raised = RAISED) -> TaskReport:
    return TaskReport([Item(index, raised=what, arguments=f"({index},)")])


def killed(index: int, how: Outcome = KILLED, **printed: str) -> TaskReport:
    return TaskReport(ended=how, running=Running(index, f"({index},)", **printed))


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
def test_what_is_to_be_run_again(progress: Progress, lost: list[int] | None, is_complete: bool) -> None:
    assert (progress.lost(), progress.is_complete) == (lost, is_complete)


@pytest.mark.parametrize(
    ("report", "hook", "timed_out", "kills"),
    [
        (done(1), False, False, {}),
        (TaskReport(ended=HOOK), True, False, {}),
        (TaskReport(ended=KILLED), True, False, {}),
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
    assert progress.items[0].shown == "first"


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
    error = pickle.loads(pickle_of_error(OWN))  # noqa: S301 - made here
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
        error = pickle.loads(pickle_of_error(OWN))  # noqa: S301 - made here
    finally:
        copyreg.dispatch_table.clear()
        copyreg.dispatch_table.update(before)
    assert type(error) is ElectronError


def test_the_failure_names_every_item_its_arguments_and_its_exception() -> None:
    error = failure_of(CALL, of(4, done(1), raised(2), raised(0, OWN), done(3)))
    assert str(error) == (
        "2 of 4 items of electron 'train' (node 7 of dispatch d) failed: 0, 2\n"
        "  item 0 ((0,)): models.ModelDiverged: after step 7\n"
        "  item 2 ((2,)): ValueError: no"
    )


def test_the_failure_carries_an_error_for_each_item() -> None:
    errors = failure_of(CALL, of(4, raised(2), raised(0, OWN), killed(3, OUT_OF_MEMORY))).errors
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
    assert text in str(failure_of(CALL, of(4, killed(3, how))))


def test_an_item_that_returned_the_second_time_is_no_failure() -> None:
    assert failure_of(CALL, of(2, killed(1), done(0, 1))).errors == {}


def test_of_many_failures_the_first_are_named_and_the_others_counted() -> None:
    text = str(failure_of(CALL, of(100, *(raised(index) for index in range(100)))))
    assert text.count("ValueError") == NAMED_ITEMS
    assert text.splitlines()[0].endswith("18, 19, ...")
    assert text.endswith("... and 80 more")


def test_output_stands_under_the_index_of_its_item() -> None:
    rows = [Item(1, stdout="second"), Item(0, stdout="first\n"), Item(2, stderr="trouble\n")]
    progress = of(3, TaskReport(rows))
    assert output_of(progress, "stdout") == "--- item 0 ---\nfirst\n--- item 1 ---\nsecond\n"
    assert output_of(progress, "stderr") == "--- item 2 ---\ntrouble\n"


def test_the_last_words_of_an_item_that_killed_its_process_are_shown() -> None:
    assert output_of(of(2, killed(1, stdout="last words\n")), "stdout") == "--- item 1 ---\nlast words\n"


def test_of_too_much_output_the_beginning_and_the_end_are_shown() -> None:
    rows = [Item(index, stdout=str(index) * 1_000_000) for index in range(9)]
    text = output_of(of(9, TaskReport(rows)), "stdout")
    assert len(text) < SHOWN_CHARACTERS + 100
    assert text.startswith("--- item 0 ---\n0") and text.endswith("8\n")
    assert "characters left out" in text


@pytest.mark.parametrize(
    ("progress", "tasks", "jobs", "text"),
    [
        (of(2, done(0, 1)), 1, 1, "2 items: 2 returned; 1 task\n"),
        (of(4, done(0, 1), raised(2)), 4, 1, "4 items: 2 returned, 1 raised, 1 did not end; 4 tasks\n"),
        (of(4, done(0, 1, 2, 3)), 5, 2, "4 items: 4 returned; 5 tasks in 2 jobs\n"),
        (of(0), 0, 0, "0 items: 0 returned; 0 tasks\n"),
    ],
)
def test_one_line_has_the_totals(progress: Progress, tasks: int, jobs: int, text: str) -> None:
    progress.tasks, progress.jobs = tasks, jobs
    assert totals(progress) == text


@pytest.mark.parametrize(("count", "text"), [(2, "0, 1"), (NAMED_ITEMS + 1, "18, 19, ...")])
def test_some_of_the_indices_are_named(count: int, text: Any) -> None:
    assert named(range(count)).endswith(text)
