import json
import math
from collections import defaultdict
from dataclasses import replace

from sample_reports import screen_compounds, still_running

from covalent_parallel_plugin.results.report.model import (
    CODE,
    COMPLETED,
    LOST,
    MAP,
    WAITING,
    Electron,
    Items,
    Report,
    Span,
    TaskAttempt,
    UsedMachine,
)
from covalent_parallel_plugin.results.report.trace_events import trace_lines

KEYS = {
    "M": ({"ph", "name", "pid", "tid", "args"}, set()),
    "X": ({"ph", "name", "cat", "ts", "dur", "pid", "tid"}, {"args"}),
    "C": ({"ph", "name", "ts", "pid", "tid", "args"}, set()),
    "s": ({"ph", "name", "cat", "id", "ts", "pid", "tid"}, set()),
    "f": ({"ph", "name", "cat", "id", "ts", "pid", "tid", "bp"}, set()),
}


def loaded(report: Report, with_items: bool) -> list[dict]:
    """Load a trace as strictly as its format is written, and return its events."""
    found = json.loads("".join(trace_lines(report, with_items)), parse_constant=lambda word: 1 / 0)
    assert found["displayTimeUnit"] == "ms"
    events = found["traceEvents"]
    for event in events:
        required, optional = KEYS[event["ph"]]
        assert required <= event.keys() <= required | optional
        whole = [event[name] for name in ("pid", "tid", "ts", "dur", "id") if name in event]
        assert all(type(number) is int and number >= 0 for number in whole) and event["pid"] and event["tid"]
        assert event["name"] and type(event["name"]) is str
        if event["ph"] == "C":
            assert all(type(level) is int and level >= 0 for level in event["args"].values())
    times = [event["ts"] for event in events if event["ph"] != "M"]
    assert times == sorted(times)
    assert [event["ph"] for event in events[: len(events) - len(times)]] == ["M"] * (len(events) - len(times))
    named = {(event["pid"], event["tid"]) for event in events if event["name"] == "thread_name"}
    assert len({tid for _, tid in named}) == len(named)
    open_slices: dict[tuple[int, int], list[dict]] = defaultdict(list)
    for event in (event for event in events if event["ph"] == "X"):
        assert (event["pid"], event["tid"]) in named
        inside = open_slices[event["pid"], event["tid"]]
        while inside and ended(inside[-1]) <= event["ts"]:
            inside.pop()
        assert not inside or ended(event) <= ended(inside[-1]), "slices overlap"
        event["depth"] = len(inside)
        inside.append(event)
    for begin, end in zip(of(events, "s"), of(events, "f"), strict=True):
        # An arrow holds on to the slices that are open at its ends
        assert begin["id"] == end["id"] and begin["ts"] <= end["ts"] and end["bp"] == "e"
        for point in (begin, end):
            at = [each for each in of(events, "X") if (each["pid"], each["tid"]) == (point["pid"], point["tid"])]
            assert any(each["ts"] <= point["ts"] < max(ended(each), each["ts"] + 1) for each in at)
    return events


def of(events: list[dict], phase: str) -> list[dict]:
    return sorted((event for event in events if event["ph"] == phase), key=lambda event: event.get("id", 0))


def ended(event: dict) -> int:
    return event["ts"] + event["dur"]


def names(events: list[dict], kind: str) -> dict[int, str]:
    return {event["tid"]: event["args"]["name"] for event in events if event["name"] == kind}


def test_electrons_are_processes_tasks_threads_and_phases_are_inside_attempts():
    report = screen_compounds()
    events = loaded(report, with_items=False)
    processes = {event["args"]["name"]: event["pid"] for event in events if event["name"] == "process_name"}
    assert list(processes)[:3] == ["screen_compounds", "prepare[0]", "dock[2]"] and len(processes) == 13
    of_dock = [event for event in of(events, "X") if event["pid"] == processes["dock[2]"]]
    threads = names([event for event in events if event["pid"] == processes["dock[2]"]], "thread_name")
    assert list(threads.values()) == ["map", *(f"task {task}" for task in range(40))]
    (task_4,) = (tid for tid, name in threads.items() if name == "task 4")
    in_4 = [(event["depth"], event["name"]) for event in of_dock if event["tid"] == task_4]
    assert in_4[:4] == [(0, "attempt 0: preempted"), (1, "waiting"), (1, "lost"), (0, "attempt 1: value")]
    assert (1, "code") in in_4
    seconds = defaultdict(float)
    for event in of(events, "X"):
        if event["cat"] == "phase":
            seconds[event["name"]] += event["dur"] / 1e6
    for phase, found in seconds.items():
        expected = sum(attempt.seconds(phase) for electron in report.electrons for attempt in electron.attempts)
        assert math.isclose(found, expected, abs_tol=0.001)
    machines = [event["args"]["machines"] for event in of(events, "C") if event["name"] == "machines"]
    assert max(machines) == 40 and machines[-1] == 0
    # prepare is needed by dock and by each of the six others
    assert len(of(events, "s")) == 7


def test_items_are_inside_the_phase_in_which_they_ran():
    events = loaded(screen_compounds(), with_items=True)
    items = [event for event in of(events, "X") if event["cat"] == "item"]
    assert sorted(int(event["name"].split()[1]) for event in items) == list(range(480))
    assert {event["depth"] for event in items} == {2}
    (longest,) = (event for event in items if event["name"] == "item 317")
    assert abs(longest["dur"] - 412_000_000) <= 1 and longest["args"] == {"end": "value"}


def test_a_dispatch_that_still_runs_has_slices_until_now():
    report = still_running()
    events = loaded(report, with_items=True)
    assert any(event["name"] == "attempt 0: runs" for event in events)
    assert max(ended(event) for event in of(events, "X") if event["cat"] != "item") == round(report.made * 1e6)


def test_times_that_contradict_each_other_still_give_slices_inside_each_other():
    spans = (Span(WAITING, 10.0, 20.0), Span(CODE, 20.0, 50.0))
    attempts = (
        TaskAttempt(0, 0, 0, "preempted", (Span(WAITING, 0.0, 5.0), Span(LOST, 5.0, 30.0)), (5.0, 30.0)),
        TaskAttempt(0, 0, 1, "value", spans, (20.0, math.nan), peak_bytes=5),
        TaskAttempt(1, 0, 0, "value", (), None, cpu_seconds=math.inf),
        TaskAttempt(1, 1, 0, "", (Span(WAITING, 50.0, 60.0),), name="\ud83d"),
        TaskAttempt(2, 0, 0, "value", (Span(CODE, 60.0, math.inf),)),
    )
    # Items that overlap, begin before the phase and end after it, take no time, and of tasks without attempts
    items = Items(
        9, (0, 1, 2, 3, 4, 5, 6), (0, 0, 0, 0, 3, 3, 1), (0, 0, 0, 0, 9, 9, 1),
        (19.999, 25.0, 30.001, 50.0, 70.0, 70.5, math.nan), (6.0, 5.003, 40.0, 0.0, 1.0, 1.0, 1.0), ("value",) * 7,
    )  # fmt: skip
    electron = Electron(1, "\u202e", MAP, COMPLETED, (0, 1, 9), 5.0, None, attempts, items)
    odd = Electron(0, "late", "elsewhere", "", (1,), 90.0, 80.0)
    report = Report("dispatch", "d", "", COMPLETED, 99.0, math.nan, None, (odd, electron))
    events = loaded(report, with_items=True)
    found = [event for event in of(events, "X") if event["cat"] == "item"]
    assert sorted(event["name"] for event in found) == [f"item {index}" for index in range(6)]
    assert loaded(replace(report, electrons=()), with_items=True)


def test_a_machine_that_tasks_share_counts_once():
    machine = UsedMachine("e2-standard-8", instance="i-1")
    electron = screen_compounds().electrons[0]
    shared = tuple(replace(electron.attempts[0], task=task, machine=machine) for task in range(3))
    events = loaded(replace(screen_compounds(), electrons=(replace(electron, attempts=shared),)), with_items=False)
    levels = defaultdict(list)
    for event in of(events, "C"):
        levels[event["name"]].append(event["args"][event["name"]])
    assert levels["machines"] == [1, 0]
    assert levels["bytes asked for"] == [3 * 64 * 2**30, 0] and levels["bytes used"] == [3 * 921 * 10**6, 0]
