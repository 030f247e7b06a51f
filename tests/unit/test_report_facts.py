"""The report of a dispatch from records and from what Covalent's server has: phases, machines, the chain, gaps."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.batch.attempt_times import TIMES
from covalent_parallel_plugin.batch.machine_hours import machine_seconds
from covalent_parallel_plugin.batch.trace import iterate_trace
from covalent_parallel_plugin.batch.trace_ends import ENDS
from covalent_parallel_plugin.covalent_api.server_client import DispatchRecord, ElectronRecord
from covalent_parallel_plugin.results.report import model
from covalent_parallel_plugin.results.report.last_lines import failure_of, last_lines, split_error
from covalent_parallel_plugin.results.report.model import (
    BOOT,
    CANCELLED,
    CODE,
    COMPLETED,
    DELIVERY,
    ELSEWHERE,
    FAILED,
    IMAGE,
    LONE,
    LOST,
    MAP,
    NOT_RUN,
    PIP,
    RUNNING,
    SERVICE,
    SUBLATTICE,
    UPLOAD,
    WAITING,
    WAITS,
    Electron,
    ElectronFailure,
    Report,
    TaskAttempt,
)  # fmt: skip
from covalent_parallel_plugin.results.report.traced_electrons import traced_electrons
from covalent_parallel_plugin.results.report.traced_report import report_of

NOW = 5000.0
BATCH = "gcpbatch"
# An attempt's times from 1000 on, each phase with a length of its own
WHOLE: dict[str, float | None] = {
    "entered": 1000, "staged": 1001, "submitted": 1002, "scheduled": 1012, "running": 1042, "began": 1050,
    "fetched": 1051, "installed": 1071, "ran_from": 1072, "ran_to": 1172, "delivered": 1173, "ended": 1175,
    "collected": 1178,
}  # fmt: skip


def later(seconds: float) -> dict[str, float | None]:
    return {name: None if value is None else value + seconds for name, value in WHOLE.items()}


def submitted(node: int = 0, round: int = 0, **more: Any) -> dict[str, Any]:
    times = {"entered": 1000.0, "staged": 1001.0, "submitted": 1002.0}
    job = f"projects/p/locations/us-east1/jobs/j{node}-{round}"
    asked = {"vcpus": 2, "memory_mib": 1024, "machine_type": "e2-standard-2", "spot": True, "image": "i"}
    fields = {"name": "dock", "round": round, "tasks": 1, "items": None, "job": job, "asked": asked, "t": times}
    return {"v": 1, "kind": "submitted", "node": node, **fields, **more}


def attempt(number: int = 0, end: str = "value", node: int = 0, **more: Any) -> dict[str, Any]:
    machine = {"type": "e2-standard-2", "zone": "us-east1-b", "instance": f"vm-{node}-{number}", "spot": True}
    fields = {"round": 0, "task": 0, "attempt": number, "end": end, "exit_code": None, "t": dict(WHOLE)}
    return {"v": 1, "kind": "attempt", "node": node, "machine": machine, **fields, **more}


def ended(node: int = 0, verdict: str = "value", at: float = 1178.0, **more: Any) -> dict[str, Any]:
    fields = {"verdict": verdict, "error": None, "message": None, "t": {"entered": 1000.0, "ended": at}}
    return {"v": 1, "kind": "ended", "node": node, **fields, **more}


def items(rows: Sequence[tuple[int, float, float, str]], task: int = 0, round: int = 0) -> dict[str, Any]:
    """Rows of index, begin and end in seconds, and word."""
    columns = {
        "index": [row[0] for row in rows],
        "begin_ms": [round_ms(row[1]) for row in rows],
        "took_ms": [round_ms(row[2] - row[1]) for row in rows],
        "end": [row[3] for row in rows],
    }
    return {"v": 1, "kind": "items", "node": 0, "round": round, "task": task, **columns}


def round_ms(seconds: float) -> int:
    return round(seconds * 1000)


def read(*records: Any, record: DispatchRecord | None = None) -> Report:
    return report_of("d", iter(records), record, NOW)


def only(report: Report) -> Electron:
    (electron,) = report.electrons
    return electron


def phases(attempt: TaskAttempt) -> list[tuple[str, float]]:
    return [(span.phase, span.seconds) for span in attempt.spans]


def check_spans(attempt: TaskAttempt) -> None:
    assert all(span.seconds > 0 and math.isfinite(span.seconds) for span in attempt.spans)
    assert all(first.end == second.begin and first.phase != second.phase for first, second in pairwise(attempt.spans))


def test_an_attempt_has_all_phases_in_order_and_what_it_asked_for() -> None:
    report = read(submitted(), attempt(), ended())
    electron = only(report)

    assert phases(electron.attempts[0]) == [
        (UPLOAD, 2), (WAITING, 10), (BOOT, 30), (IMAGE, 9), (PIP, 20), (IMAGE, 1), (CODE, 100), (DELIVERY, 6),
    ]  # fmt: skip
    assert (electron.kind, electron.state, electron.entered, electron.ended) == (LONE, COMPLETED, 1000, 1178)
    assert electron.asked.memory_bytes == 2**30 and electron.asked.region == "us-east1"
    assert electron.attempts[0].on_machine == (1042, 1175)
    (machines,) = report.machines
    assert (machines.type, machines.spot, machines.region, machines.attempts) == ("e2-standard-2", True, "us-east1", 1)
    assert (machines.seconds, machines.lost_seconds) == (133, 0)


def test_a_moment_in_pip_is_none_and_what_was_not_seen_belongs_to_the_phase_before() -> None:
    quick = {**WHOLE, "installed": 1051.004}
    assert PIP not in dict(phases(only(read(submitted(), attempt(t=quick), ended())).attempts[0]))
    unseen = {**WHOLE, "running": None, "installed": None, "ended": None}
    report = read(submitted(), attempt(t=unseen), ended())
    assert phases(only(report).attempts[0])[2:] == [(BOOT, 38), (IMAGE, 22), (CODE, 100), (DELIVERY, 6)]
    assert "1 attempt began to run" in report.missing[0]
    bare = {name: seconds for name, seconds in WHOLE.items() if name not in TIMES[5:11]}
    report = read(submitted(), attempt(t=bare), ended())
    assert phases(only(report).attempts[0])[2:] == [(BOOT, 30), (CODE, 133), (DELIVERY, 3)]
    assert "only begin and end on the machine are known" in report.missing[0]
    runs = {
        name: seconds for name, seconds in WHOLE.items() if name in ("entered", "submitted", "scheduled", "running")
    }
    report = read(submitted(), attempt(end="", t=runs))
    assert phases(only(report).attempts[0])[-1][0] == CODE and "is known once an attempt ends" in report.missing[0]


def test_what_was_taken_away_or_tried_again_is_lost_and_the_next_attempt_begins_there() -> None:
    first = {**WHOLE, "ran_to": None, "delivered": None, "ended": 1100, "collected": 1400}
    second = later(200) | {"entered": 1000, "submitted": 1002}
    again = {**second, "collected": 1400}
    electron = only(read(submitted(), attempt(0, "preempted", t=first), attempt(1, t=again), ended(at=1400)))

    lost, done = electron.attempts
    assert phases(lost)[-1] == (LOST, 28) and CODE not in dict(phases(lost))
    assert phases(done)[0] == (WAITING, 112)
    assert (lost.spans[-1].end, done.spans[0].begin, done.spans[-1].end) == (1100, 1100, 1400)
    killed = {**first, "ended": 1100}
    electron = only(read(submitted(), attempt(0, "killed", t=killed), attempt(1, t=again), ended(at=1400)))
    assert dict(phases(electron.attempts[0]))[LOST] == 28
    electron = only(read(submitted(), attempt(0, "killed", t={**killed, "collected": 1102}), ended(verdict="killed")))
    found = dict(phases(electron.attempts[0]))
    assert (found[CODE], found[DELIVERY]) == (28, 2) and LOST not in found


def test_a_second_job_begins_where_the_first_was_collected_and_a_restarted_server_counts_anew() -> None:
    second = later(500) | {"entered": 1000, "staged": 1001}
    report = read(
        submitted(), attempt(0, "preempted"), submitted(round=1), attempt(0, round=1, t=second), ended(at=1678)
    )
    first, other = only(report).attempts
    assert (first.round, other.round) == (0, 1)
    assert (other.spans[0].phase, other.spans[0].begin, other.spans[0].end) == (UPLOAD, 1178, 1502)

    report = read(
        submitted(), attempt(0, "stopped"), ended(verdict="stopped"),
        submitted(t={"entered": 2000.0, "submitted": 2002.0}), attempt(0, t=later(1000)), ended(at=2178),
    )  # fmt: skip
    first, other = only(report).attempts
    assert (first.round, other.round) == (0, 1)
    assert phases(other)[:2] == [(WAITING, 822), (UPLOAD, 2)]
    assert LOST in dict(phases(first)) and only(report).state == COMPLETED


def test_records_that_were_written_twice_count_once() -> None:
    records = [submitted(items=2), attempt(), items([(0, 1080, 1090, "value"), (1, 1090, 1100, "value")]), ended()]
    once, twice = read(*records), read(*records, *records)
    assert twice.electrons == once.electrons and twice.machines == once.machines
    assert twice.missing == once.missing
    # Another process went on with the job, before it had an attempt
    resumed = read(records[0], submitted(items=2, taken_up=True), *records[1:])
    assert resumed.electrons == once.electrons


def test_of_a_maps_tasks_only_the_one_that_ended_last_waits_for_the_collection() -> None:
    early = {**WHOLE, "ran_to": 1080, "delivered": 1081, "ended": 1082}
    electron = only(read(submitted(items=2), attempt(t=early), attempt(task=1), ended()))

    assert [each.spans[-1].end for each in electron.attempts] == [1082, 1178]
    assert electron.kind == MAP and electron.items is not None and electron.items.total == 2


def test_of_a_map_only_what_ran_again_is_lost() -> None:
    taken = {**WHOLE, "ran_to": None, "delivered": None, "ended": 1172}
    rows = [(0, 1080, 1110, "value"), (1, 1110, 1150, "exception"), (2, 1300, 1310, "value")]
    rest = later(200) | {"entered": 1000, "staged": 1001, "submitted": 1002}
    records = [submitted(items=3), attempt(0, "preempted", t=taken), attempt(1, t=rest), items(rows)]
    electron = only(read(*records, ended(at=1378)))

    assert phases(electron.attempts[0])[-2:] == [(CODE, 78), (LOST, 22)]
    assert LOST not in dict(phases(electron.attempts[1]))
    assert electron.items is not None and list(electron.items.end) == ["value", "exception", "value"]

    # The item that killed its process, in a job that no other one follows, and in one that one does
    rows = [(0, 1080, 1110, "value"), (1, 1110, 1172, "killed")]
    records = [submitted(items=2), attempt(0, "killed", t=taken), items(rows)]
    assert LOST not in dict(phases(only(read(*records, ended(verdict="exception"))).attempts[0]))
    again = [submitted(round=1, items=1), attempt(0, round=1, t=later(500)), items([(1, 1580, 1600, "value")], round=1)]
    electron = only(read(*records, *again, ended(at=1678)))
    assert phases(electron.attempts[0])[-3:] == [(CODE, 38), (LOST, 62), (DELIVERY, 6)]
    assert electron.items is not None and electron.items.total == 2 and list(electron.items.round) == [0, 0, 1]


def test_attempts_share_the_time_of_their_machine() -> None:
    machine = {"type": "n2-standard-8", "zone": "us-east1-b", "instance": "vm", "spot": False}
    two = [attempt(task=task, machine=machine) for task in range(2)]
    longer = {**WHOLE, "ended": 1241, "collected": 1241}
    records = [submitted(items=9), *two, attempt(task=2, machine=machine, t=longer), ended(at=1241)]
    report = read(*records)

    (machines,) = report.machines
    assert machines.seconds == pytest.approx(1241 - 1042) == machine_seconds(records)
    assert only(report).machine_seconds == pytest.approx(machines.seconds)
    assert machines.attempts == 3


def test_a_task_that_follows_another_on_its_machine_waits_for_that_and_not_for_a_boot() -> None:
    machine = {"type": "n2-standard-8", "zone": "us-east1-b", "instance": "vm", "spot": False}
    unasked = {"running": None, "ended": None, "installed": None}
    after = later(200) | {"entered": 1000, "staged": 1001, "submitted": 1002, "scheduled": 1012, **unasked}
    first = attempt(machine=machine, t={**WHOLE, **unasked, "collected": 1400})
    report = read(submitted(items=2), first, attempt(task=1, machine=machine, t={**after, "collected": 1400}), ended())

    one, other = only(report).attempts
    assert phases(one)[1:3] == [(WAITING, 10), (BOOT, 38)]
    assert phases(other)[1:3] == [(WAITING, 171), (IMAGE, 99)]
    assert report.machines[0].seconds == 1373 - 1050


def test_a_job_without_attempts_waits_until_its_electron_ended_or_until_now() -> None:
    waited = {"v": 1, "kind": "waited", "node": 0, "round": 0, "cause": "quota", "message": "no CPUS", "t": {}}
    failure = {"error": "NoCapacityError", "message": "waited too long"}
    electron = only(read(submitted(), waited, ended(verdict="no_capacity", at=1900, **failure)))
    assert phases(electron.attempts[0]) == [(UPLOAD, 2), (WAITING, 898)]
    assert (electron.state, electron.machine_wait, electron.attempts[0].end) == (FAILED, "no CPUS", "no_capacity")
    assert electron.failure is not None and electron.failure.error == "NoCapacityError"

    report = read(submitted())
    assert phases(only(report).attempts[0]) == [(UPLOAD, 2), (WAITING, NOW - 1002)]
    assert (report.state, report.ended, only(report).ended, only(report).attempts[0].end) == (RUNNING, None, None, "")
    long_ago = report_of("d", [submitted()], None, 1000.0 + 30 * 86400)
    assert (long_ago.state, only(long_ago).ended) == ("", 1002)
    running = attempt(end="", t={"entered": 1000, "submitted": 1002, "scheduled": 1010, "running": 1020})
    (running_now,) = only(read(submitted(), running)).attempts
    assert phases(running_now)[-1] == (CODE, NOW - 1020) and running_now.on_machine == (1020, NOW)


def node(name: str, status: str = "COMPLETED", executor: str = BATCH, at: tuple[float, float] | None = None) -> Any:
    begin, end = at or (None, None)
    return ElectronRecord(name, executor, status=status, began_seconds=begin, ended_seconds=end)


def test_kinds_states_and_parents_are_covalents() -> None:
    electrons = {
        "0": node("prepare", at=(1000, 1178)),
        "1": node(":electron_list:", at=(1178, 1178.1)),
        "2": node("dock", at=(1178.2, 1500)),
        "3": node("plot", executor="local", at=(1500, 1600)),
        "4": node(":sublattice:inner", executor="local", at=(1178, 1700)),
        "5": node(":postprocess:", at=(1700, 1790)),
        "6": node("rank", "FAILED", at=(1600, 1650)),
        "7": node("never", "NEW_OBJECT"),
        "8": node(":parameter:9", at=(900, 990)),
    }
    links = ((0, 1), (1, 2), (8, 1), (2, 3), (0, 4), (3, 5), (4, 5), (2, 6), (6, 7))
    record = DispatchRecord("FAILED", electrons, "study", links=links, began_seconds=999.0, ended_seconds=1800.0)
    report = read(submitted(), attempt(), ended(), record=record)

    found = {each.node: each for each in report.electrons}
    assert [each.kind for each in found.values()] == [LONE, LONE, ELSEWHERE, SUBLATTICE, SERVICE, LONE, LONE]
    assert [found[number].parents for number in (2, 3, 5, 6, 7)] == [(0,), (2,), (3, 4), (2,), (6,)]
    assert [found[number].state for number in (0, 6, 7)] == [COMPLETED, FAILED, NOT_RUN]
    assert (report.name, report.state, report.began, report.ended) == ("study", FAILED, 999, 1800)
    assert report.chain == (0, 4, 5)
    assert found[4].name == "inner" and found[0].title == "dock[0]"

    # Through nodes that are not shown, however many; a circle, which no graph has, is no endless loop
    most = 3000
    hidden = {str(each): node(":electron_list:") for each in range(2, most)}
    chained = [(0, 2), *((each, each + 1) for each in range(2, most - 1)), (most - 1, 1)]
    fanned = [(0, 2), *((2, each) for each in range(3, most)), *((each, 1) for each in range(3, most))]
    for links in (chained, fanned):
        record = DispatchRecord("COMPLETED", {"0": node("f"), "1": node("g"), **hidden}, links=links)
        assert [each.parents for each in read(record=record).electrons] == [(), (0,)]
        circle = DispatchRecord("COMPLETED", record.electrons, links=[*links, (9, 3), (3, 9)])
        assert [each.node for each in read(record=circle).electrons] == [0, 1]

    running = DispatchRecord("RUNNING", {"0": node("f", "RUNNING"), "7": node("never", "NEW_OBJECT")}, "study")
    states = [each.state for each in read(submitted(), record=running).electrons]
    assert states == [RUNNING, WAITS]


def test_values_of_other_electrons_and_dispatches_say_whose_they_are() -> None:
    cached = {"v": 1, "kind": "cached", "node": 0, "name": "f", "from_dispatch": "other", "from_node": 3, "t": {}}
    assert only(read(cached, ended())).cached_from == "other 3"
    note = {"ancestors": ["before"]}
    record = DispatchRecord("COMPLETED", {"2": node("f", at=(50, 50))}, note=note)
    assert only(read(record=record)).cached_from == "before 2"


def test_without_covalents_server_states_are_those_of_the_trace() -> None:
    assert read(submitted(), attempt(), ended()).state == COMPLETED
    assert read(submitted(), ended(verdict="cancelled")).state == CANCELLED
    failed = read(submitted(), ended(verdict="killed"), submitted(1), ended(1))
    assert (failed.state, failed.began, failed.ended, failed.chain) == (FAILED, 1000, 1178, ())
    assert read().state == "" and read().electrons == ()


def test_lines_that_cannot_be_used_are_left_out_and_counted(tmp_path: Path) -> None:
    whole = [json.dumps(record) for record in (submitted(items=2), attempt(), ended())]
    odd = [
        '{"v": 1, "kind": "attempt", "node": 0, "round"', "[]", '{"v": 2, "kind": "ended", "node": 0}',
        '{"v": 1, "kind": "dreamt", "node": 0}', '{"v": 1, "kind": "attempt", "node": true}',
        json.dumps(attempt(task=-1)), json.dumps(attempt(round="one")), json.dumps(attempt(node=-4)),
        json.dumps({**items([(0, 1080, 1090, "value")]), "index": [0, 1]}),
        json.dumps({**items([(0, 1080, 1090, "value")]), "index": [-1]}),
        json.dumps({**items([(0, 1080, 1090, "value")]), "begin_ms": ["now"]}),
        json.dumps({**items([(0, 1080, 1090, "value")]), "end": None}),
        json.dumps({**items([(0, 1080, 1090, "value")]), "index": [2**70]}), json.dumps(ended(node=None)),
    ]  # fmt: skip
    path = tmp_path / "d.jsonl"
    path.write_text("\n".join([whole[0], *odd, *whole[1:]]) + "\n\n" + whole[1][:40])

    report = report_of("d", iterate_trace(path), None, NOW)

    assert f"{len(odd) + 1} lines of the trace are left out" in report.missing[0]
    assert phases(only(report).attempts[0])[0] == (UPLOAD, 2) and only(report).state == COMPLETED


ODD = st.one_of(
    st.none(), st.floats(), st.floats(990, 1300), st.integers(), st.text(max_size=3), st.booleans(),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=2), st.none(), max_size=1),
)  # fmt: skip
HOSTILE = st.one_of(ODD, st.fixed_dictionaries(dict.fromkeys(TIMES, st.one_of(st.floats(900, 1400), st.none(), ODD))))


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from([*ENDS, ""]), HOSTILE), min_size=1, max_size=7),
    st.integers(0, 2),
)
def test_the_phases_of_a_task_are_the_time_from_its_call_to_its_collection(
    found: list[tuple[int, str, Any]], last_round: int
) -> None:
    records: list[Any] = []
    for number in range(last_round + 1):
        records += [submitted(round=number), *(attempt(index, end, round=number, t=t) for index, end, t in found)]
    electron = only(read(*records, ended()))

    spans = [span for each in electron.attempts for span in each.spans]
    for each in electron.attempts:
        check_spans(each)
        assert each.machine_seconds >= 0
    assert all(first.end == second.begin for first, second in pairwise(spans))
    # What is collected is, by the server's clock, not there before the call was
    ours = ("entered", "staged", "submitted", "collected")
    # Of two records of one attempt the later one counts
    times = list({index: t for index, _, t in found}.values())
    is_seen = all(isinstance(t, dict) and is_a_time(t.get("collected")) for t in times)
    if is_seen and "" not in [end for _, end, _ in found]:
        last = max(1000, *(t[name] for t in times for name in ours if is_a_time(t.get(name))))
        assert sum(span.seconds for span in spans) == pytest.approx(last - 1000, abs=0.002)
        assert not spans or (spans[0].begin, spans[-1].end) == (1000, pytest.approx(last, abs=0.002))


def is_a_time(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value < 2.5e11  # type: ignore[operator]  # it is a number


@given(
    st.lists(
        st.fixed_dictionaries(
            {"kind": st.sampled_from(["submitted", "attempt", "items", "cached", "ended", "waited"])},
            optional={
                name: st.one_of(ODD, st.integers(0, 1))
                for name in (
                    "node", "round", "task", "attempt", "end", "t", "machine", "asked", "name", "job", "items", "index",
                    "begin_ms", "took_ms", "verdict", "error", "message", "from_dispatch", "from_node", "exit_code",
                    "peak_memory_bytes", "cpu_seconds",
                )
            },
        ),
        max_size=12,
    )
)  # fmt: skip
def test_whatever_records_hold_there_is_a_report_of_plain_values(records: list[dict[str, Any]]) -> None:
    report = read(*records)

    for electron in report.electrons:
        assert isinstance(electron.name, str) and isinstance(electron.job, str)
        for each in electron.attempts:
            check_spans(each)
    assert all(math.isfinite(row.seconds) and row.seconds >= row.lost_seconds >= 0 for row in report.machines)


def test_errors_and_last_lines_are_the_ends_of_texts() -> None:
    told = "Traceback (most recent call last):\n  x\nnumpy.linalg.LinAlgError: no: really"
    assert split_error(told) == ("LinAlgError", "no: really")
    assert split_error(f"begins\n{told}\nloss: 0.1\nends") == ("LinAlgError", "no: really")
    assert split_error(f"{told.rpartition(':')[0].rpartition(':')[0]}\n") == ("LinAlgError", "")
    assert split_error("it ended") == ("", "it ended") and split_error("") == ("", "")
    assert last_lines("".join(f"{number}\n" for number in range(50))).split("\n")[0] == "30"
    assert set(model.PHASES) >= {UPLOAD, LOST}


@pytest.mark.parametrize(
    ("stderr", "stdout", "lines"),
    [
        ("was killed.\nJob: j\n", "ballast\n", "ballast"),
        ("", "ballast\n", "ballast"),
        ("warned\nwas killed.\n", "ballast\n", "warned\nwas killed."),
        ("was killed.", "", ""),
    ],
)
def test_the_last_lines_of_an_electron_that_printed_no_more_than_its_error_are_of_standard_output(
    stderr: str, stdout: str, lines: str
) -> None:
    texts = {"error": "", "stderr": stderr, "stdout": stdout}
    message = "was killed.\nLast lines of its output:\n  ballast\nJob: j"
    traced = traced_electrons([submitted(), ended(verdict="killed", error="TaskKilledError", message=message)])
    electron = ElectronRecord("killed", BATCH, status="FAILED")
    assert failure_of(electron, texts, 0, traced) == ElectronFailure("TaskKilledError", message, lines)
