"""The time that is left of a run, held against runs of which all is known."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from reported_tasks import task

from covalent_parallel_plugin.programs.verdict import TaskEnd
from covalent_parallel_plugin.sweep.display.run_progress import RunProgress
from covalent_parallel_plugin.sweep.records.batch_look import BatchStatus
from covalent_parallel_plugin.sweep.records.time_left import RunState, left_seconds


def state(ended: int = 0, last: float | None = None, **more: object) -> RunState:
    known = {"began": 0.0, "mean_seconds": None, "mean_running": 0.0, "starts": (), "waiting": 0}
    return RunState(**known | {"ended": ended, "last": last} | more)  # type: ignore[arg-type]


def test_nothing_is_said_where_nothing_is_known() -> None:
    assert left_seconds(state(waiting=5), 10.0) is None
    assert left_seconds(state(starts=(0.0, 0.0), waiting=5), 10.0) is None


def test_nothing_is_left_of_what_has_ended() -> None:
    assert left_seconds(state(ended=5, last=4.0), 10.0) == 0


def test_between_two_ends_the_time_left_shrinks() -> None:
    run = state(ended=4, last=60.0, mean_seconds=60.0, mean_running=4.0, starts=(60.0,) * 4, waiting=8)
    assert [left_seconds(run, now) for now in (60.0, 90.0, 119.0)] == [180, 150, 121]


def test_what_began_and_ended_in_one_look_has_no_rate_of_its_own() -> None:
    run = state(ended=3, last=1e-6, mean_seconds=2.0, starts=(0.0,) * 2, waiting=1)
    assert run.rate == 1.0
    assert state(ended=3, last=1e-6, mean_seconds=2.0).rate is None


def test_it_does_not_where_nothing_runs() -> None:
    run = state(ended=4, last=60.0, mean_seconds=60.0, waiting=8)
    assert left_seconds(run, 90.0) == left_seconds(run, 120.0) == 120


def test_the_last_round_of_tasks_takes_as_long_as_a_whole_one() -> None:
    run = state(ended=4, last=60.0, mean_seconds=60.0, mean_running=4.0, starts=(60.0,) * 4, waiting=2)
    assert left_seconds(run, 60.0) == 120


def test_machines_that_have_come_count() -> None:
    few = state(ended=8, last=60.0, mean_seconds=30.0, mean_running=4.0, starts=(60.0,) * 4, waiting=88)
    more = state(ended=8, last=60.0, mean_seconds=30.0, mean_running=4.0, starts=(60.0,) * 8, waiting=84)
    assert left_seconds(few, 60.0) == 690
    assert left_seconds(more, 60.0) == pytest.approx(360, rel=0.05)


def test_what_was_done_before_says_how_long_a_task_takes() -> None:
    run = state(mean_seconds=30.0, starts=(0.0,) * 4, waiting=16)
    assert left_seconds(run, 10.0) == 140


def test_where_nothing_ends_for_long_the_rest_takes_longer() -> None:
    run = state(ended=8, last=8.0, mean_seconds=1.0, mean_running=1.0, starts=(8.0,), waiting=7)
    assert left_seconds(run, 9.0) == 7
    assert (left_seconds(run, 80.0) or 0) >= 80


def test_between_two_looks_the_time_left_shrinks_however_long_they_are_apart() -> None:
    run = state(
        ended=4, last=2.0, mean_seconds=1.0, mean_running=4.0, starts=(2.0,) * 4, waiting=192, seen=2.0, looked=2.0
    )
    left = left_seconds(run, 2.0)
    assert left is not None
    assert [left_seconds(run, now) for now in (10.0, 30.0)] == [left - 8, left - 28]


@dataclass
class Slot:
    """A place for one task at a time, from `opens` on; before each, `gap` seconds pass while its container starts."""

    opens: float
    gap: float


def ends_of(tasks: int, slots: list[Slot], seconds: Callable[[int], float]) -> list[tuple[float, float]]:
    """Return (begin, end) of each task, in the order in which they begin."""
    free = [(slot.opens + slot.gap, number) for number, slot in enumerate(slots)]
    heapq.heapify(free)
    found = []
    for index in range(tasks):
        begin, number = heapq.heappop(free)
        end = begin + seconds(index)
        found.append((begin, end))
        heapq.heappush(free, (end + slots[number].gap, number))
    return found


FOUR = [Slot(0.0, 0.0)] * 4
CASES: dict[str, tuple[int, list[Slot], Callable[[int], float]]] = {
    "200 of 1 s on 4": (200, FOUR, lambda _: 1.0),
    "200 of 1 s on 4, 3 s between two": (200, [Slot(90.0, 3.0)] * 4, lambda _: 1.0),
    "40 of a minute on 4": (40, [Slot(90.0, 5.0)] * 4, lambda _: 60.0),
    "10 on 4, the last of them two": (10, FOUR, lambda _: 60.0),
    "one after the other": (30, [Slot(60.0, 1.0)], lambda _: 20.0),
    "two machines, one a minute later": (
        100, [*[Slot(60.0, 1.0)] * 4, *[Slot(120.0, 1.0)] * 4], lambda _: 30.0,
    ),
    "machines that come one by one": (
        600, [Slot(60.0 + 10 * number, 2.0) for number in range(20)], lambda _: 25.0,
    ),
    "a thousand on 64": (1000, [Slot(80.0, 4.0)] * 64, lambda _: 120.0),
    "unequal ones": (300, [Slot(60.0, 1.0)] * 8, lambda index: 10.0 + index * 7 % 20),
}  # fmt: skip


def shown(
    times: list[tuple[float, float]], gap: float, done: int, look_every: float, folder: Path
) -> Iterator[tuple[float, float | None]]:
    """Yield (now, time left) while a run of tasks goes on; the first `done` have ended before it began.

    With `look_every` it is on Batch: counts are seen so often, and outcomes are read with every second look.
    """
    now = start = times[done - 1][1] if done else 0.0
    reads = itertools.count()
    # A clock goes on between two reads of it
    clock = lambda: now - start + 1e-6 * next(reads)  # noqa: E731
    progress = RunProgress("art", len(times), 0, folder.joinpath, clock, lambda: 1000 + now)
    look = BatchStatus()
    progress.elsewhere = lambda: look
    last = max(end for _, end in times)
    read: set[int] = set()
    began: set[int] = set()
    area = before = 0.0
    number = 0
    while now < last:
        for index, (begin, end) in enumerate(times):
            if look_every == 0 and begin <= now and index not in began:
                began.add(index)
                progress.start(task(str(index)))
            is_read = number % 2 == 0 if look_every else True
            if end <= now and index not in read and is_read:
                read.add(index)
                progress.start(task(str(index))) if look_every else None
                progress.end(
                    task(str(index)), TaskEnd("done", 0, None, end - begin, 1, None, "vm", 1000 + begin, 1000 + end)
                )
        if look_every:
            ended = sum(end <= now for _, end in times)
            # Batch calls a task running while its container starts
            running = sum(begin - gap <= now < end for begin, end in times)
            old = sum(end <= start for _, end in times)
            first = look.began if look.began is not None or not (running or ended > old) else now - start
            area += look.running * (now - before)
            is_new = ended - old > look.ended
            seen = now - start if is_new else look.seen
            mean = (
                area / (now - start - first)
                if is_new and first is not None and now - start > first
                else look.mean_running
            )
            look = BatchStatus(running, ended - len(read), ended - old, first, seen, mean)
        before = now
        yield now, progress.left_seconds
        number += 1
        now += look_every or last / 400


def simulated(case: str, look_every: float) -> tuple[list[tuple[float, float]], float]:
    """Return (begin, end) of each task, and how long a container takes to start."""
    tasks, slots, seconds = CASES[case]
    # Here the next one begins at once
    gap = slots[0].gap if look_every else 0.0
    return ends_of(tasks, [Slot(slot.opens, gap) for slot in slots], seconds), gap


def runs() -> Iterator[tuple[str, int, float]]:
    """Every case: on this machine, and on Batch, where it is looked at now and then; begun anew, or gone on with."""
    for case in CASES:
        yield case, 0, 0.0
        times, _ = simulated(case, 30.0)
        length = times[-1][1] - times[0][0]
        # Of a shorter run the last look is the first
        yield from ((case, done, every) for done in (0, 5) for every in (5.0, 30.0) if every <= length / 20)


@pytest.mark.parametrize(("case", "done", "look_every"), list(runs()))
def test_it_is_within_30_percent_from_a_tenth_of_the_way_on(
    case: str, done: int, look_every: float, tmp_path: Path
) -> None:
    times, gap = simulated(case, look_every)
    first, last = min(begin for begin, _ in times), max(end for _, end in times)
    all_open = max(slot.opens + gap for slot in CASES[case][1])
    wrong = []
    for now, left in shown(times, gap, done, look_every, tmp_path):
        has_ended = sum(end <= now for _, end in times)
        way = (now - first) / (last - first)
        if 0.1 <= way <= 0.95 and has_ended >= 2 and now >= all_open:
            assert left is not None, now
            # Outcomes are read with every second look
            if abs(left - (last - now)) > 0.3 * (last - now) + 2 * look_every:
                wrong.append((round(now, 1), round(left, 1), round(last - now, 1)))
    assert not wrong, wrong
