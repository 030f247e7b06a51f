"""The benchmark command's arguments and tables; what it measures needs the replaced plugin and minutes."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.__main__ import ROWS, parse
from benchmarks.contenders import OURS, Measured
from benchmarks.in_flight import FLOOR, RAW, Flight
from benchmarks.in_flight import table_of as in_flight_rows
from benchmarks.services import Counts, storage_by_kind
from benchmarks.tables import Bound, Line, Table, shown


def table(*lines: Line) -> list[str]:
    return Table("Title", ["ours", "theirs"], ("ours", "theirs"), lines).markdown().splitlines()


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_without_arguments_all_rows_are_measured_in_rounds_of_their_own_of_forty() -> None:
    arguments = parse([])
    assert (arguments.rows, arguments.rounds, arguments.electrons) == (list(ROWS), None, 40)


def test_rows_can_be_chosen() -> None:
    assert parse(["--electrons", "5", "memory"]).rows == ["memory"]


@pytest.mark.parametrize("words", [["--electrons", "0"], ["--rounds", "-1"], ["--poll", "half"], ["lunch"]])
def test_what_cannot_be_measured_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(words)
    assert ended.value.code == 2
    assert words[-1] in capsys.readouterr().err


def test_a_line_shows_each_contenders_median_and_their_ratio() -> None:
    line = Line("wall time, s", {"ours": [3.0, 1.0, 2.0], "theirs": [8.0]})
    assert cells(table(line)[-1]) == ["wall time, s", "2", "8", "0.25", "", ""]


def test_a_bound_of_the_ratio_is_judged_by_the_ratio() -> None:
    values = {"ours": [2.0], "theirs": [4.0]}
    rows = table(Line("a", values, Bound(0.5, is_ratio=True)), Line("b", values, Bound(0.4, is_ratio=True)))
    assert [cells(row)[-2:] for row in rows[-2:]] == [["ratio ≤ 0.5", "holds"], ["ratio ≤ 0.4", "BROKEN"]]


def test_a_bound_of_the_value_is_judged_by_this_plugins_median() -> None:
    rows = table(Line("a", {"ours": [5.0], "theirs": [1.0]}, Bound(4)))
    assert cells(rows[-1])[-2:] == ["value ≤ 4", "BROKEN"]


def test_a_contender_that_was_not_measured_leaves_its_cell_and_the_ratio_open() -> None:
    assert cells(table(Line("a", {"ours": [5.0]}))[-1]) == ["a", "5", "–", "–", "", ""]


def test_a_ratio_to_nothing_is_left_open() -> None:
    assert cells(table(Line("a", {"ours": [5.0], "theirs": [0.0]}))[-1])[3] == "–"


def test_all_lines_of_a_table_are_equally_wide() -> None:
    rows = table(Line("a", {"ours": [5.0], "theirs": [123456.0]}), Line("much longer", {"ours": [0.001]}, Bound(4)))
    assert len({len(row) for row in rows[2:]}) == 1


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (4, "4"), (7.02, "7.02"), (43.91, "43.9"), (1549.4, "1549"), (0.0971, "0.097"), (150, "150")],
)
def test_numbers_have_three_significant_digits(number: float, text: str) -> None:
    assert shown(number) == text


def test_storage_requests_are_told_apart_and_reading_the_counts_is_none() -> None:
    counts = {"objects.insert": 2, "uploads.chunk": 1, "objects.download": 3, "objects.get": 4, "emulator.counts": 9}
    assert storage_by_kind(counts) == {"uploads": 3, "downloads": 3, "listings": 0, "deletions": 0, "others": 4}


def test_counts_between_two_moments_are_the_difference() -> None:
    before = Counts(Counter(GetJob=2), Counter({"objects.list": 1}))
    after = Counts(Counter(GetJob=5, CreateJob=1), Counter({"objects.list": 1}))
    assert after.since(before).batch == {"GetJob": 3, "CreateJob": 1}
    assert not after.since(before).storage


def flight(cpu: float, lag: float | None = None, lists: int = 0, singles: int = 0) -> Flight:
    counts = Counts(Counter(ListJobs=lists, GetJob=singles), Counter({"objects.insert": 400, "objects.delete": 100}))
    results = {"wall": 1.0, "cpu": cpu, "loop_cpu": cpu / 2, "grown": 1.0}
    watched = None if lag is None else Measured({"worst_lag": lag, "lag_99": lag, "computed": lag}, counts, {})
    return Flight(Measured(results, counts, {}), watched)


def flown(cpu: float, raw: float = 1.0, lag: float = 0.05, **counts: int) -> dict[str, Flight]:
    return {OURS: flight(cpu, lag, **counts), FLOOR: flight(0.0, 0.02), RAW: flight(raw)}


def row(rounds_of: dict[int, list[dict[str, Flight]]], measure: str) -> list[str]:
    (found,) = [line for line in in_flight_rows(rounds_of).markdown().splitlines() if f" {measure} " in line]
    return cells(found)


def test_cpu_in_flight_is_judged_by_that_of_the_raw_calls_where_most_are_in_flight() -> None:
    rounds = {10: [flown(9.0)], 100: [flown(2.0)]}
    assert row(rounds, "100: CPU / that of four raw calls")[1::5] == ["2", "value ≤ 2.5"]
    assert row(rounds, "10: CPU / that of four raw calls")[1::5] == ["9", ""]


def test_cpu_in_flight_is_judged_by_that_of_fewer_electrons() -> None:
    rounds = {10: [flown(1.0)], 100: [flown(1.0)], 1000: [flown(14.0)]}
    assert row(rounds, "1,000: CPU per electron / that at 100")[1::6] == ["1.4", "BROKEN"]


def test_the_loops_lag_is_judged_by_what_it_has_beyond_the_floors() -> None:
    assert row({10: [flown(1.0, lag=0.15)]}, "10: worst lag beyond the floor's, ms")[1::6] == ["130", "BROKEN"]


def test_lists_are_shared_and_no_electrons_own_calls() -> None:
    rounds = {10: [flown(1.0, lists=5, singles=20)]}
    assert row(rounds, "10: Batch calls per electron, without lists")[1] == "2"
    assert row(rounds, "10: lists of jobs per electron")[1] == "0.5"


def test_deletions_are_not_among_an_electrons_storage_requests() -> None:
    rounds = {100: [flown(1.0)]}
    assert row(rounds, "100: storage requests per electron, without deletions")[1::6] == ["4", "holds"]


def test_a_contender_that_did_not_fly_leaves_its_cell_open() -> None:
    assert row({10: [flown(1.0)]}, "10: CPU per electron, ms")[2] == "–"
