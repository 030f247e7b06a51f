"""How far a map is: items counted from names of objects, the time left, and what nobody may pretend; all simulated."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, pairwise

import pytest

from covalent_parallel_plugin.batch.progress import MOST_OBSERVATIONS, ClockDifference, ItemPace, last_end
from covalent_parallel_plugin.cloud.batch import Event, JobStatus
from covalent_parallel_plugin.cloud.storage import StoredObject
from covalent_parallel_plugin.protocol.object_names import call_folder, chunk_name, live_name, outcome_name
from covalent_parallel_plugin.results.status.item_counts import CountedJob, ItemCounts

FOLDER = call_folder("d", 1, "0123456789abcdef")
BEGAN = 1_000_000.0
EVENTS = (Event("Job state is set from SCHEDULED to RUNNING for job projects/1/locations/r/jobs/j.", BEGAN),)
RAN = "ran its items"


# A task delivers first so long after its start, and then after pauses that double; later if nothing has ended by then
FIRST_SECONDS, LONGEST_PAUSE_SECONDS = 10.0, 50.0


@dataclass
class SimulatedTask:
    """A task of a map: when it starts, how long its items take (s), and which of them raise."""

    index: int
    start: float
    seconds: Sequence[float]
    raising: frozenset[int] = frozenset()

    @property
    def end(self) -> float:
        return self.start + sum(self.seconds)

    def done(self, now: float) -> int:
        passed, ended = self.start, 0
        for seconds in self.seconds:
            passed += seconds
            if passed > now + 1e-9:
                break
            ended += 1
        return ended

    def failed(self, now: float) -> int:
        return len(self.raising & set(range(self.done(now))))

    def objects(self, now: float, round: int) -> Iterator[StoredObject]:
        due, pause, last = self.start + FIRST_SECONDS, FIRST_SECONDS, 0
        for number in count():
            # The end of the next item, where none has ended by the time at which it is due
            moment = max(due, self.start + sum(self.seconds[: last + 1]))
            if moment > min(now, self.end) or last == len(self.seconds):
                break
            last = self.done(moment)
            yield StoredObject(live_name(FOLDER, self.index, 0, number, last, self.failed(moment), round), 1, moment)
            due, pause = moment + pause, min(2 * pause, LONGEST_PAUSE_SECONDS)
        if self.end <= now:
            yield StoredObject(outcome_name(FOLDER, self.index, round), 1, self.end)


@dataclass
class SimulatedMap:
    """A job of a map: tasks that take turns with the items, so many at a time."""

    seconds: Sequence[float]
    tasks: int
    at_once: int = 5000
    starts: Sequence[float] = ()
    raising: frozenset[int] = frozenset()
    round: int = 0
    all: list[SimulatedTask] = field(default_factory=list)

    def __post_init__(self) -> None:
        lanes = [BEGAN] * min(self.at_once, self.tasks)
        for index in range(self.tasks):
            start = heapq.heappop(lanes) + (self.starts[index] if self.starts else 0.5)
            raising = frozenset(
                at for at, item in enumerate(range(index, len(self.seconds), self.tasks)) if item in self.raising
            )
            task = SimulatedTask(index, start, self.seconds[index :: self.tasks], raising)
            heapq.heappush(lanes, task.end)
            self.all.append(task)

    @property
    def end(self) -> float:
        return max(task.end for task in self.all)

    def job(self, now: float) -> JobStatus:
        states = ["SUCCEEDED" if t.end <= now else "RUNNING" if t.start <= now else "PENDING" for t in self.all]
        counts = {state: states.count(state) for state in set(states)}
        state = "SUCCEEDED" if self.end <= now else "RUNNING"
        return JobStatus(
            "projects/p/locations/r/jobs/j", "uid", state, counts, EVENTS, {"covalent-items": str(len(self.seconds))}
        )

    def objects(self, now: float) -> list[StoredObject]:
        return list(chain.from_iterable(task.objects(now, self.round) for task in self.all))

    def counts(self, now: float) -> ItemCounts:
        job = CountedJob(self.job(now), self.round, len(self.seconds), side_by_side=min(self.at_once, self.tasks))
        return job.count(self.objects(now), now)


SHAPES = {
    "200 items of 1 s on 4 tasks": SimulatedMap([1.0] * 200, 4),
    "items of 5 s": SimulatedMap([5.0] * 200, 4),
    "items of a minute": SimulatedMap([60.0] * 40, 4),
    "items of half an hour": SimulatedMap([1800.0] * 40, 4),
    "items of 60 ms": SimulatedMap([0.0625] * 32_000, 4),
    "one task": SimulatedMap([2.0] * 100, 1),
    "200 tasks": SimulatedMap([3.0] * 20_000, 200),
    "a first item that takes 30 s longer": SimulatedMap([31.0] * 4 + [1.0] * 1200, 4),
    "more tasks than run at once": SimulatedMap([1.0] * 1200, 24, at_once=5),
    "short tasks, few at once": SimulatedMap([1.0] * 400, 100, at_once=5),
    "machines that come a minute later": SimulatedMap([1.0] * 400, 4, starts=[60.0, 62.0, 64.0, 60.5]),
    "one slow task": SimulatedMap([4.0 if index % 4 == 1 else 1.0 for index in range(400)], 4),
    "items of 1 and 3 s in turn": SimulatedMap([1.0 + 2 * (index // 4 % 2) for index in range(400)], 4),
    "items that raise": SimulatedMap([1.0] * 200, 4, raising=frozenset(range(0, 200, 3))),
}


# After how many seconds there is a basis, where that is not when a task first delivers
KNOWN_FROM = {"a first item that takes 30 s longer": 42.0, "machines that come a minute later": 81.0}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_time_left_is_right_within_30_percent_from_a_tenth_of_the_way_on(shape: str) -> None:
    simulated = SHAPES[shape]
    duration = simulated.end - BEGAN
    first = min(stored.created_seconds for stored in simulated.objects(simulated.end))
    known = max(first, BEGAN + KNOWN_FROM.get(shape, 0.0), BEGAN + duration / 10)
    # Nobody knows how far an item is that runs, nor how long the next task takes to start.
    unknown = max(simulated.seconds[-1], 5.0)
    assert all(simulated.counts(now).left_seconds is None for now in (BEGAN, BEGAN + 1.0, first - 0.1))
    moments = [known + (simulated.end - known) * step / 100 for step in range(100)]
    shown = [(now, simulated.counts(now).left_seconds, simulated.end - now) for now in moments]
    assert [one for one in shown if one[1] is None or abs(one[1] - one[2]) > max(0.3 * one[2], unknown)] == []


@pytest.mark.parametrize("shape", SHAPES)
def test_the_display_never_stands_still_for_more_than_a_minute(shape: str) -> None:
    simulated = SHAPES[shape]
    moments = [now for now in _moments(simulated, 60.0) if now >= BEGAN + KNOWN_FROM.get(shape, 0.0)]
    shown = [(told.done, round(told.left_seconds)) for now in moments if (told := simulated.counts(now)).left_seconds]
    assert all(before != after for before, after in pairwise(shown))


@pytest.mark.parametrize("shape", SHAPES)
def test_counts_are_exact_and_never_more_than_what_has_ended(shape: str) -> None:
    simulated = SHAPES[shape]
    before = -1
    for now in _moments(simulated, (simulated.end - BEGAN) / 40):
        told = simulated.counts(now)
        assert before <= told.done <= sum(task.done(now) for task in simulated.all)
        assert told.failed <= sum(task.failed(now) for task in simulated.all)
        assert told.done + told.running + told.waiting == told.total == len(simulated.seconds)
        before = told.done
    ended = simulated.counts(simulated.end)
    assert (ended.done, ended.running, ended.waiting, ended.left_seconds) == (len(simulated.seconds), 0, 0, None)


def _moments(simulated: SimulatedMap, every: float) -> Iterator[float]:
    return (BEGAN + step * every for step in range(min(int((simulated.end - BEGAN) / every) + 1, 100)))


def test_before_there_is_a_basis_no_time_is_named_and_no_rate() -> None:
    told = SHAPES["200 items of 1 s on 4 tasks"].counts(BEGAN + 9.0)
    assert (told.per_second, told.left_seconds, told.done) == (None, None, 0)


def test_between_two_deliveries_the_time_left_counts_down() -> None:
    simulated = SHAPES["one task"]
    first, later = (simulated.counts(BEGAN + seconds).left_seconds for seconds in (80.0, 100.0))
    assert first is not None
    assert later == pytest.approx(first - 20.0)


def test_the_rate_is_that_of_all_tasks_that_run() -> None:
    assert SHAPES["200 tasks"].counts(BEGAN + 100.0).per_second == pytest.approx(200 / 3, rel=0.1)


# --- names


def counted(
    names: Sequence[str], items: str = "20", tasks: int = 4, state: str = "RUNNING", **given: object
) -> ItemCounts:
    job = JobStatus(
        "projects/p/locations/r/jobs/j", "uid", state, {"RUNNING": tasks}, EVENTS, {"covalent-items": items}
    )
    objects = [StoredObject(name, 1, BEGAN + 60.0 + at) for at, name in enumerate(names)]
    total = int(items) if items else None
    told = CountedJob(job, **{"number": 0, "total": total, **given})  # type: ignore[arg-type]
    return told.count(objects, BEGAN + 90.0)


def live(task: int, done: int, failed: int = 0, number: int = 0, attempt: int = 0, round: int = 0) -> str:
    return live_name(FOLDER, task, attempt, number, done, failed, round)


@pytest.mark.parametrize(
    ("names", "done", "failed"),
    [
        ([], 0, 0),
        ([live(0, 3), live(1, 2, 1)], 5, 1),
        ([live(0, 1), live(0, 3, 2, number=1)], 3, 2),
        ([live(0, 4, number=9), live(0, 5, number=10)], 5, 0),
        ([live(0, 4), live(0, 2, number=0, attempt=1)], 2, 0),
        ([live(0, 4, 1), outcome_name(FOLDER, 0)], 5, 1),
        ([outcome_name(FOLDER, task) for task in range(4)], 20, 0),
        ([chunk_name(FOLDER, 0, 0, number) for number in range(2)], 2, 0),
        ([f"{FOLDER}/call", f"{FOLDER}/follow", "somebody/elses"], 0, 0),
        ([live(0, 3, round=1)], 0, 0),
    ],
)
def test_items_are_counted_from_the_names_of_objects(names: list[str], done: int, failed: int) -> None:
    told = counted(names)
    assert (told.done, told.failed, told.running, told.waiting) == (done, failed, min(4, 20 - done), max(16 - done, 0))


@pytest.mark.parametrize(
    "forged",
    [
        live(0, 6, number=7),
        live(0, 10**30, number=10**30),
        live(0, 3, 4, number=7),
        live(0, 5, number=1, attempt=11),
        live(4, 1),
        live(10**30, 1),
        outcome_name(FOLDER, 4),
        live(0, 5, number=0),
        f"{FOLDER}/live/0-0-1-05",
        f"{FOLDER}/live/0-0-1--5",
        f"{FOLDER}/live/0-0-1-3.9.9",
    ],
)
def test_impossible_names_of_somebody_else_are_passed_over(forged: str) -> None:
    told = counted([live(0, 2, 1, number=0), live(0, 3, 1, number=2), forged])
    assert (told.done, told.failed) == (3, 1)


def test_no_share_is_exceeded_whatever_names_there_are() -> None:
    everything = [live(task, done, done, number, attempt) for task in range(5) for done in range(9)
                  for number in range(3) for attempt in range(3)]  # fmt: skip
    told = counted(everything)
    assert (told.done, told.failed, told.running) == (20, 20, 0)


def test_without_their_number_items_are_counted_and_no_end_is_foretold() -> None:
    told = counted([live(0, 3), live(1, 2, 1)], items="")
    assert (told.total, told.done, told.failed, told.running, told.left_seconds) == (None, 5, 1, 4, None)
    assert told.is_exact
    assert not counted([live(0, 3), outcome_name(FOLDER, 0)], items="").is_exact


def test_a_task_that_was_killed_has_not_ended_its_items() -> None:
    names = [live(0, 2, 1), outcome_name(FOLDER, 0), live(1, 2), outcome_name(FOLDER, 1)]
    told = counted(names, endings={0: "was killed by signal 9", 1: f"{RAN}, of which 4 raised, the first KeyError: 1"})
    assert (told.done, told.failed) == (2 + 5, 1 + 4)


def test_what_a_first_job_delivered_stays_counted_in_the_second() -> None:
    first = ItemCounts(100, 90, failed=5, lost=10)
    second = {"items": "10", "tasks": 2, "number": 1, "total": 100, "before": first}
    assert counted([], **second).done == 90  # type: ignore[arg-type]
    told = counted([live(0, 4), live(0, 5), live(0, 3, 1, round=1)], **second)  # type: ignore[arg-type]
    assert (told.total, told.done, told.failed, told.running, told.waiting) == (100, 93, 6, 2, 5)


def test_the_time_left_of_a_second_job_is_that_of_its_own_items() -> None:
    second = SimulatedMap([1.0] * 100, 2, round=1)
    now = second.all[0].start + 31.0
    told = CountedJob(second.job(now), 1, 400, before=ItemCounts(400, 300)).count(second.objects(now), now)
    assert (told.total, told.done) == (400, 340)
    assert told.left_seconds == pytest.approx(second.end - now, rel=0.1)


# --- the pace alone


def test_a_pace_needs_two_observations_or_a_beginning() -> None:
    pace = ItemPace()
    assert (pace.rate(0.0), pace.end(10, 0.0)) == (None, None)
    pace.observe(10.0, 2)
    assert pace.rate(10.0) is None
    pace.observe(20.0, 2)
    assert pace.rate(20.0) is None, "the same number again is no news"
    pace.observe(20.0, 4)
    assert (pace.rate(20.0), pace.end(10, 20.0)) == (0.2, 50.0)
    began = ItemPace(0.0)
    began.observe(10.0, 0)
    assert began.rate(10.0) is None
    began.observe(20.0, 4)
    assert began.rate(20.0) == 0.4, "since nothing had ended at 10 s"


def test_a_pace_follows_what_changes() -> None:
    pace = ItemPace(0.0)
    for second in range(1, 101):
        pace.observe(float(second), second if second <= 50 else 50 + 3 * (second - 50))
    assert pace.rate(100.0) == 3.0


def test_a_pace_goes_on_where_a_lost_machine_left_it() -> None:
    pace = ItemPace(0.0)
    for seconds, done in ((10.0, 10), (20.0, 20), (40.0, 15)):
        pace.observe(seconds, done)
    assert pace.rate(40.0) is None
    pace.observe(50.0, 20)
    assert (pace.rate(50.0), pace.end(30, 50.0)) == (0.5, 70.0)


def test_where_nothing_ends_for_longer_than_ever_the_time_left_grows() -> None:
    pace = ItemPace(0.0)
    for seconds in (60.0, 120.0, 180.0):
        pace.observe(seconds, int(seconds))
    assert pace.end(240, 200.0) == pace.end(240, 250.0) == 240.0
    late = [pace.end(240, now) for now in (400.0, 600.0)]
    assert None not in late
    assert 240.0 < late[0] < late[1]  # type: ignore[operator]


def test_a_pace_with_very_many_observations_stays_small() -> None:
    pace = ItemPace(0.0)
    for second in range(1, 10 * MOST_OBSERVATIONS):
        pace.observe(float(second), 2 * second)
    assert len(pace.observations) <= MOST_OBSERVATIONS
    assert pace.rate(1e4) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("ends", "waiting", "end"),
    [
        ([], [], None),
        ([], [1.0], None),
        ([3.0, 5.0], [], 5.0),
        ([3.0, 5.0], [4.0, 4.0, 1.0], 9.0),
        ([0.0], [1.0] * 9, 9.0),
    ],
)
def test_what_waits_takes_the_place_of_what_ends_first(ends: list[float], waiting: list[float], end: float) -> None:
    assert last_end(ends, waiting) == end


@pytest.mark.parametrize(
    ("seen", "seconds"),
    [
        ([], 0.0),
        ([(100.0, 103.0, None)], 0.0),
        ([(100.0, 103.0, 98.0)], 0.0),
        ([(100.0, 40.0, None)], -60.0),
        ([(100.0, 163.0, 158.0)], 58.0),
        ([(100.0, 163.0, 158.0), (200.0, 261.0, 259.0)], 59.0),
        ([(0.0, 5000.0, None)], 0.0),
    ],
)
def test_a_clock_is_believed_until_objects_prove_it_wrong(
    seen: list[tuple[float, float, float | None]], seconds: float
) -> None:
    clock = ClockDifference()
    for one in seen:
        clock.see(*one)
    assert clock.seconds == seconds
