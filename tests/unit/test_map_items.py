"""The items of a map: whose they are, how their indices are written, and what a task may tell of them."""

from __future__ import annotations

import io
import itertools
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.electron.electron_job import tasks_for
from covalent_parallel_plugin.electron.map.item_table import COPY_BYTES, IN_MEMORY_BYTES, Item, ItemTable, ValueStore
from covalent_parallel_plugin.electron.map.report import MOST_ITEMS, TaskReport, read_chunk, read_task
from covalent_parallel_plugin.electron.outcome import raised_of
from covalent_parallel_plugin.errors import OutcomeError
from covalent_parallel_plugin.protocol import envelope
from covalent_parallel_plugin.protocol.envelope import ITEMS, KILLED, OUTCOME, Part, envelope_chunks, seal_envelope
from covalent_parallel_plugin.protocol.identity import CallIdentity, TaskAddress, chunk_binding, task_binding
from covalent_parallel_plugin.protocol.item_call import format_indices, parse_indices
from covalent_parallel_plugin.protocol.limits import KEPT_BYTES
from covalent_parallel_plugin.runner.map_items import ItemShare
from covalent_parallel_plugin.runner.outcome_report import head_and_tail

KEY = b"k" * 32
CALL_ID = "call-1"
EXCEPTION = {"type": "ValueError", "module": "builtins", "message": "no", "args": ["no"], "traceback": "Traceback\n"}
HEADER: dict[str, Any] = {
    "kind": OUTCOME,
    "outcome": ITEMS,
    "call_id": CALL_ID,
    "task_index": 1,
    "attempt": 0,
    "python": "3.11.7",
    "cloudpickle": "3.1.1",
    "count": 10,
    "chunks": 0,
    "peak_memory_bytes": 5,
    "streams": [8, 3],
    "outside": [[], []],
    "table": {
        "index": [1, 5, 9],
        "size": [3, 0, 2],
        "output": [0, 4, 0, 0, 4, 8, 0, 3, 8, 8, 3, 3],
        "raised": [[1, EXCEPTION, "5"]],
        "shown": [[0, "11"]],
    },
}
PARTS: dict[str, Part] = {"stdout": b"one\nfive", "stderr": b"err", "values": b"aaabb"}

index_lists = st.lists(st.integers(0, 2000), max_size=60)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ValueStore]:
    made = ValueStore(str(tmp_path))
    yield made
    made.close()


def sealed(header: Any = HEADER, parts: dict[str, Part] = PARTS, bound_to: bytes | None = None) -> io.BytesIO:
    bound_to = task_binding(OUTCOME, CALL_ID, 1) if bound_to is None else bound_to
    return io.BytesIO(b"".join(envelope_chunks(seal_envelope(header, parts, KEY, bound_to), parts)))


def read(store: ValueStore, stream: io.BytesIO, **where: Any) -> TaskReport:
    return read_task(stream, address(**where), store)


def address(key: bytes = KEY, call_id: str = CALL_ID, task: int = 1, round: int = 0) -> TaskAddress:
    return CallIdentity(call_id, key, "folder").task(task, round)


def value(store: ValueStore, report: TaskReport, number: int) -> bytes:
    item = report.items[number]
    return b"".join(store.read(item.offset, item.size))


def printed(store: ValueStore, report: TaskReport) -> list[tuple[str, str]]:
    return [(store.text(item.stdout), store.text(item.stderr)) for item in report.items]


# --- indices


@given(index_lists.filter(bool))
def test_indices_come_back_in_their_order(indices: list[int]) -> None:
    assert parse_indices(format_indices(indices)) == indices


@pytest.mark.parametrize(
    ("indices", "text"),
    [
        ([3, 8, 12, 16, 20], "3,8-20/4"),
        ([0, 1, 2, 3], "0-3"),
        ([5], "5"),
        ([4, 5], "4,5"),
        ([9, 5], "9,5"),
        ([7, 7, 7], "7,7,7"),
        ([9, 5, 6, 7, 0], "9,5-7,0"),
    ],
)
def test_runs_of_equal_steps_are_written_short(indices: list[int], text: str) -> None:
    assert format_indices(indices) == text
    assert parse_indices(text) == indices


@given(st.integers(1, 20), st.integers(0, 200))
def test_every_item_is_of_exactly_one_task(tasks: int, count: int) -> None:
    shares = [ItemShare(task, tasks, 0, None, "").indices(count) for task in range(tasks)]
    assert sorted(itertools.chain(*shares)) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(st.integers(1, 20), index_lists, st.integers(0, 1500))
def test_chosen_items_are_shared_out_in_their_order(tasks: int, chosen: list[int], count: int) -> None:
    shares = [ItemShare(task, tasks, 0, chosen, "").indices(count) for task in range(tasks)]
    there = [index for index in chosen if index < count]
    taken = [share[turn] for turn in range(len(there)) for share in shares if turn < len(share)]
    assert taken == there


@given(st.integers(1, 5), st.integers(0, 40), st.integers(0, 50))
def test_a_later_attempt_goes_on_where_the_earlier_one_was(tasks: int, count: int, position: int) -> None:
    whole = ItemShare(0, tasks, 0, None, "").indices(count)
    assert ItemShare(0, tasks, position, None, "").indices(count) == whole[position:]


@pytest.mark.parametrize(
    ("items", "max_parallel", "tasks"), [(100, 16, 16), (3, 16, 3), (0, 16, 1), (None, 16, 16), (10**6, 10**6, 5000)]
)
def test_there_are_no_more_tasks_than_items_or_batch_allows(items: int | None, max_parallel: int, tasks: int) -> None:
    assert tasks_for(items, max_parallel) == tasks


# --- what tasks deliver


def test_items_come_with_values_exceptions_and_their_own_output(store: ValueStore) -> None:
    report = read(store, sealed())
    assert (report.total, report.ended, report.running) == (10, None, None)
    assert [item.index for item in report.items] == [1, 5, 9]
    assert (value(store, report, 0), value(store, report, 2)) == (b"aaa", b"bb")
    raised = report.items[1].raised
    assert raised is not None
    assert (raised.full_name, report.items[1].arguments) == ("ValueError", "5")
    assert printed(store, report) == [("one\n", ""), ("five", "err"), ("", "")]
    assert report.items[0].shown == "11"


def test_a_killed_task_tells_its_ending_and_the_item_it_stood_in(store: ValueStore) -> None:
    ended = {
        "outcome": KILLED,
        "signal": 9,
        "exit_status": None,
        "reason": "",
        "running": [3, "(3,)", [0, 3, 0, 0]],
    }
    report = read(store, sealed({**HEADER, "ended": ended}))
    assert report.ended is not None and report.running is not None
    assert report.ended.signal == 9
    assert (report.running.index, report.running.arguments, report.running.stdout) == (3, "(3,)", "one")
    assert len(report.items) == 3


def test_a_task_that_never_came_to_its_items_tells_its_own_ending(store: ValueStore) -> None:
    header = {**HEADER, "outcome": envelope.EXCEPTION, "exception": EXCEPTION}
    report = read(store, sealed(header, {"stdout": b"out", "stderr": b""}))
    assert report.ended is not None and report.ended.raised is not None
    assert (report.ended.raised.message, report.stdout, list(report.items)) == ("no", "out", [])


def test_a_chunk_has_items_and_their_output(store: ValueStore) -> None:
    header = {key: HEADER[key] for key in ("table", "streams", "outside")}
    report = read_chunk(sealed(header, PARTS, chunk_binding(CALL_ID, 1, 0, 2)), address(), 2, store)
    assert [stdout for stdout, _ in printed(store, report)] == ["one\n", "five", ""]
    assert value(store, report, 2) == b"bb"


def test_what_was_printed_outside_the_items_is_told_apart(store: ValueStore) -> None:
    report = read(store, sealed({**HEADER, "outside": [[[0, 2], [6, 8]], [[1, 3]]]}))
    assert (report.stdout, report.stderr) == ("onve", "rr")


def test_a_table_holds_items_as_they_were_put_into_it() -> None:
    raised = raised_of(EXCEPTION)
    items = [Item(3, 10, 5, (1, 2), (3, 4), shown="x"), Item(7, raised=raised, arguments="(7,)"), Item(0)]
    table = ItemTable(items)
    assert list(table) == items
    assert (len(table), table[1:], table.raised) == (3, items[1:], [1])
    with pytest.raises(IndexError):
        table[3]


def test_values_past_the_memory_limit_come_back(store: ValueStore, tmp_path: Path) -> None:
    large = b"x" * (IN_MEMORY_BYTES + 3)
    table = {**TABLE, "index": [0], "size": [len(large)], "output": []}
    report = read(store, sealed({**HEADER, "table": table}, {**PARTS, "values": large}))
    assert value(store, report, 0) == large
    assert list(tmp_path.iterdir()) == []


TABLE: dict[str, Any] = {"index": [], "size": [], "output": [], "raised": [], "shown": []}


def changed_table(**columns: Any) -> dict[str, Any]:
    return {"table": {**HEADER["table"], **columns}}


@pytest.mark.parametrize(
    "changed",
    [
        {"table": TABLE},
        changed_table(size=[3, 0, 3]),
        changed_table(size=[3, -1, 3]),
        changed_table(size=[3, 0.0, 2]),
        changed_table(size=[True, 2, 2]),
        changed_table(size=[3, 2]),
        changed_table(size={"a": 5}),
        changed_table(index=[1, 5, -1]),
        changed_table(index=[1, 5, MOST_ITEMS + 1]),
        changed_table(index=[1, 5, "9"]),
        changed_table(index="159"),
        changed_table(output=[0, 4]),
        changed_table(output=[0, -4] + [0] * 10),
        changed_table(output="0" * 12),
        changed_table(output=None),
        changed_table(shown=[[0, 3]]),
        changed_table(shown=[[-1, "x"]]),
        changed_table(shown=5),
        changed_table(raised=[[1, {}, "5"]]),
        changed_table(raised=[[1, EXCEPTION]]),
        changed_table(raised=[["1", EXCEPTION, "5"]]),
        {"table": {"a": 1}},
        {"table": [HEADER["table"]]},
        {"table": None},
        {"table": 5},
        {"outside": None},
        {"outside": [[]]},
        {"outside": [[[0]], []]},
        {"outside": [[[0, -1]], []]},
        {"outside": [[["0", "1"]], []]},
        {"count": -1},
        {"count": "10"},
        {"count": MOST_ITEMS + 1},
        {"chunks": -1},
        {"chunks": None},
        {"streams": []},
        {"streams": [1]},
        {"streams": None},
        {"ended": {"outcome": "danced", "running": None}},
        {"ended": {"outcome": KILLED, "running": [1]}},
        {"ended": {"outcome": KILLED, "running": [-1, "", [0, 0, 0, 0]]}},
        {"ended": 5},
        {"outcome": "danced"},
        {"python": 3},
    ],
)
def test_a_header_that_makes_no_sense_is_refused(store: ValueStore, changed: dict[str, Any]) -> None:
    with pytest.raises(OutcomeError, match=r"outcome of task 1 .* (makes no sense|is refused)"):
        read(store, sealed({**HEADER, **changed}))


@pytest.mark.parametrize(
    "changed",
    [
        {"outside": [[[0, 8]] * 100_000, []]},
        {"outside": [[[0, 8], [7, 8]], []]},
        changed_table(index=[0] * 2_000_000),
        {"count": 2_000_000_000},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_header_that_would_take_much_memory_is_refused(store: ValueStore, changed: dict[str, Any]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(OutcomeError, match=r"outcome of task 1 .* (makes no sense|is refused)"):
            read(store, sealed({**HEADER, **changed}))
        assert tracemalloc.get_traced_memory()[1] < 200_000_000
    finally:
        tracemalloc.stop()


def test_output_that_is_longer_than_any_that_is_kept_is_refused(store: ValueStore) -> None:
    with pytest.raises(OutcomeError, match="stdout is longer"):
        read(store, sealed(parts={**PARTS, "stdout": b"x" * (3 * KEPT_BYTES)}))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(["table", "streams", "outside", "count", "chunks", "ended", "outcome", "cloudpickle"]),
        json_values,
    ),
    st.dictionaries(st.sampled_from(["index", "size", "output", "raised", "shown"]), json_values),
)
def test_whatever_a_header_says_there_is_a_report_or_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, changed: dict[str, Any], columns: dict[str, Any]
) -> None:
    header = {**HEADER, **changed_table(**columns), **changed}
    made = ValueStore(str(tmp_path_factory.getbasetemp()))
    try:
        read(made, sealed(header))
    except OutcomeError:
        pass
    finally:
        made.close()


@pytest.mark.parametrize("where", [{"key": b"x" * 32}, {"call_id": "call-2"}, {"task": 2}, {"round": 1}])
def test_an_outcome_that_was_sealed_for_another_place_is_refused(store: ValueStore, where: dict[str, Any]) -> None:
    with pytest.raises(OutcomeError, match="seal does not fit"):
        read(store, sealed(), **where)


@pytest.mark.parametrize("where", [(2, 0, 2), (1, 1, 2), (1, 0, 3)])
def test_a_chunk_that_was_sealed_for_another_place_is_refused(store: ValueStore, where: tuple[int, int, int]) -> None:
    header = {key: HEADER[key] for key in ("table", "streams", "outside")}
    stream = sealed(header, PARTS, chunk_binding(CALL_ID, 1, 0, 2))
    with pytest.raises(OutcomeError, match="seal does not fit"):
        read_chunk(stream, address(task=where[0], round=where[1]), where[2], store)


def test_an_outcome_does_not_pass_for_a_chunk(store: ValueStore) -> None:
    with pytest.raises(OutcomeError, match="seal does not fit"):
        read_chunk(sealed(), address(), 0, store)


def test_changed_values_are_refused(store: ValueStore) -> None:
    data = sealed().getvalue()
    with pytest.raises(OutcomeError, match="not the ones that were sealed"):
        read(store, io.BytesIO(data[:-1] + b"c"))


def test_values_that_come_after_refused_ones_are_read_right(store: ValueStore) -> None:
    data = sealed().getvalue()
    with pytest.raises(OutcomeError):
        read(store, io.BytesIO(data[:-1] + b"c"))
    report = read(store, sealed())
    assert (value(store, report, 0), value(store, report, 2)) == (b"aaa", b"bb")


def test_an_object_that_is_cut_short_is_refused(store: ValueStore) -> None:
    data = sealed().getvalue()
    for length in (0, 5, len(json.dumps(HEADER)), len(data) - 1):
        with pytest.raises(OutcomeError):
            read(store, io.BytesIO(data[:length]))


# --- output of which only the first and the last megabyte were kept


@pytest.fixture
def long_stream(tmp_path: Path) -> Path:
    """Four spans: 1000 a, 2 MiB of b, 1 MiB of c, 1000 d."""
    path = tmp_path / "stream"
    path.write_bytes(b"a" * 1000 + b"b" * 2 * KEPT_BYTES + b"c" * KEPT_BYTES + b"d" * 1000)
    return path


def spans_of(store: ValueStore, path: Path, *spans: tuple[int, int]) -> list[str]:
    size = path.stat().st_size
    output = [offset for span in spans for offset in (*span, 0, 0)]
    table = {**TABLE, "index": list(range(len(spans))), "size": [0] * len(spans), "output": output}
    parts: dict[str, Part] = {"stdout": head_and_tail(str(path)), "stderr": b"", "values": b""}
    report = read(store, sealed({**HEADER, "table": table, "streams": [size, 0]}, parts))
    return [stdout for stdout, _ in printed(store, report)]


def test_runner_and_dispatcher_mean_the_same_by_kept() -> None:
    assert KEPT_BYTES == COPY_BYTES


def test_items_at_the_ends_of_a_long_stream_keep_their_output(store: ValueStore, long_stream: Path) -> None:
    size = long_stream.stat().st_size
    assert spans_of(store, long_stream, (0, 1000), (size - 1000, size)) == ["a" * 1000, "d" * 1000]


def test_an_item_across_the_gap_has_its_beginning_and_its_end(store: ValueStore, long_stream: Path) -> None:
    size = long_stream.stat().st_size
    (whole,) = spans_of(store, long_stream, (0, size))
    assert whole == head_and_tail(str(long_stream)).decode()


def test_an_item_within_the_gap_is_told_to_be_left_out(store: ValueStore, long_stream: Path) -> None:
    (text,) = spans_of(store, long_stream, (KEPT_BYTES + 10, KEPT_BYTES + 20))
    assert text.strip().startswith("...") and text.strip().endswith("bytes left out ...")


def test_an_item_that_printed_nothing_shows_nothing_wherever_it_stood(store: ValueStore, long_stream: Path) -> None:
    size = long_stream.stat().st_size
    spots = [(0, 0), (KEPT_BYTES + 10, KEPT_BYTES + 10), (size, size)]
    assert spans_of(store, long_stream, *spots) == ["", "", ""]


def test_a_stream_a_little_longer_than_what_is_kept_is_cut_right(store: ValueStore, tmp_path: Path) -> None:
    """Then the line that tells of the gap is longer than the gap."""
    path = tmp_path / "stream"
    path.write_bytes(b"a" * 2 * KEPT_BYTES + b"bcdef")
    size = path.stat().st_size
    assert spans_of(store, path, (0, 3), (size - 3, size)) == ["aaa", "def"]
