"""Reports with invented figures, always the same ones, for tests of what is made from a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from covalent_parallel_plugin.results.report.model import (
    BOOT,
    CODE,
    COMPLETED,
    DELIVERY,
    FAILED,
    IMAGE,
    LONE,
    LOST,
    MAP,
    NOT_RUN,
    PIP,
    RUNNING,
    SERVICE,
    SWEEP,
    UPLOAD,
    WAITING,
    WAITS,
    Asked,
    Electron,
    ElectronFailure,
    Items,
    MachineHours,
    Price,
    Report,
    ResultTable,
    Span,
    Suggestion,
    TaskAttempt,
    UsedMachine,
)  # fmt: skip

# 14:02:11 on 24 November 2026, UTC
BEGAN = 1795528931.0
GB = 2**30
GIB = 2**30
VERSIONS = {"covalent-parallel-plugin": "0.2.0", "covalent": "0.240.0"}
PREEMPTED_TASKS = (4, 11, 19, 23, 30, 37)


def screen_compounds() -> Report:
    """Return a dispatch of 9 electrons and 3 service nodes: a map with preemptions, a failure, one that did not run."""
    prepare = _lone(0, "prepare", BEGAN, (1, 21, 49, 13, 13, 214, 5), Asked(8, 64 * GB, "", False, "python:3.11"))
    prepare = _used(prepare, UsedMachine("e2-standard-16", False, "us-east1-b", "batch-0"), 921 * 10**6)
    dock = _dock(BEGAN + 316)
    asked = Asked(8, 30 * GB, "g2-standard-8", True, "trainer:3", "nvidia-l4", 1, "us-east1", ("us-east1-b",))
    begin = BEGAN + 1726
    codes = {5: 402, 6: 455, 7: 288, 8: 388, 9: 371, 10: 430}
    trains = tuple(_train(node, begin, code, asked) for node, code in codes.items())
    services = tuple(Electron(node, name, SERVICE, COMPLETED) for node, name in enumerate((":list:", ":get:"), 3))
    rank = Electron(13, "rank", LONE, NOT_RUN, tuple(codes))
    electrons = (prepare, dock, *services, *trains, Electron(12, ":list:", SERVICE, COMPLETED), rank)
    ended = max(electron.ended for electron in trains if electron.ended is not None)
    return Report(
        "dispatch", "7c1e9a52-0d4b-4f6e-9a55-2f1c8e7b3d10", "screen_compounds", FAILED, ended + 724, BEGAN, ended,
        electrons, (0, 2, 6), _machines(electrons), _suggestions(), None,
        ("The boot of an attempt that was preempted before it ran counts as waiting.",), {"versions": VERSIONS},
    )  # fmt: skip


def small() -> Report:
    """Return a dispatch of one electron that ran for 3 ms."""
    electron = _lone(0, "add", BEGAN, (0.4, 2.1, 0, 1.2, 0, 0.003, 0.2), Asked(1, GB))
    return Report(
        "dispatch", "0b1f6f0e-3a55-4a39-9d3c-8a6f3b1e2c4d", "one", COMPLETED, BEGAN + 60, BEGAN, electron.ended,
        (electron,), (0,), _machines((electron,)), facts={"versions": VERSIONS},
    )  # fmt: skip


def still_running() -> Report:
    """Return `screen_compounds` as it stood 15 minutes after its begin."""
    report, now = screen_compounds(), BEGAN + 900
    prepare, dock, *rest = report.electrons
    attempts = tuple(_as_of(each, now) for each in dock.attempts if each.spans[0].begin < now)
    assert dock.items is not None
    rows = zip(*(getattr(dock.items, name) for name in ("index", "round", "task", "begin", "took", "end")), strict=True)
    items = Items(dock.items.total, *zip(*(row for row in rows if row[3] + row[4] < now), strict=True))
    dock = replace(dock, state=RUNNING, ended=None, attempts=attempts, items=items)
    others = tuple(replace(each, state=WAITS, entered=None, ended=None, attempts=(), failure=None) for each in rest)
    electrons = (prepare, dock, *others)
    return replace(
        report, state=RUNNING, made=now, ended=None, electrons=electrons, chain=(0, 2), machines=_machines(electrons),
        suggestions=(),
    )  # fmt: skip


def many_electrons(electrons: int, items: int) -> Report:
    """Return a dispatch of lone electrons of 12 names, whose every tenth one is a map; the maps share the items."""
    random, shares = Random(7), max(electrons // 10, 1)
    made: list[Electron] = []
    for node in range(electrons):
        begin = BEGAN + random.uniform(0, 3600)
        if node % 10 == 0:
            made.append(_map(node, f"map_{node % 7}", begin, items // shares, 4, random))
            continue
        seconds = (0.2, random.uniform(5, 40), 45, 8, 0, random.uniform(20, 300), 1)
        made.append(_lone(node, f"step_{node % 12}", begin, seconds, Asked(2, 4 * GB, "e2-standard-2", True)))
    ended = max((each.ended for each in made if each.ended is not None), default=BEGAN)
    return Report(
        "dispatch", "5d2c1b7a-0000-4000-8000-000000000000", "many", COMPLETED, ended + 9, BEGAN, ended, tuple(made),
        (0,), _machines(made), facts={"versions": VERSIONS},
    )  # fmt: skip


def grid_sweep() -> Report:
    """Return a sweep of 24 tasks over two parameters, one of which failed."""
    random, attempts, rows = Random(3), [], []
    for task in range(24):
        rate, depth = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)[task % 6], (2, 4, 6, 8)[task // 6]
        spans = _spans(BEGAN, (0.5, random.uniform(15, 40), 45, 9, 0, random.uniform(60, 400), 1))
        failed = task == 17
        attempts.append(
            TaskAttempt(
                0,
                task,
                0,
                "exception" if failed else "value",
                spans,
                (spans[1].end, spans[-1].end),
                UsedMachine("e2-standard-2", True, "us-east1-b", f"batch-{task}"),
                1 if failed else 0,
                random.randrange(GB, 3 * GB),
                spans[-2].seconds * 0.9,
                f"rate={rate},depth={depth}",
            )
        )
        result = {} if failed else {"loss": round(abs(rate - 0.02) * 3 + depth / 40 + random.uniform(0, 0.05), 4)}
        rows.append({"rate": rate, "depth": depth, **result})
    names = tuple(attempt.name for attempt in attempts)
    statuses = tuple("done" if attempt.end == "value" else "failed" for attempt in attempts)
    ended = max(attempt.spans[-1].end for attempt in attempts)
    electron = Electron(
        0, "grid", SWEEP, FAILED, (), BEGAN, ended, tuple(attempts), None, Asked(2, 4 * GB, "e2-standard-2", True),
        ElectronFailure("", "rate=0.03,depth=6: failed, exit 1", "ValueError: loss is not finite"),
    )  # fmt: skip
    return Report(
        "sweep", "20261124-140211-grid", "grid", FAILED, ended + 60, BEGAN, ended, (electron,), (0,),
        _machines((electron,)), (), ResultTable(("rate", "depth"), ("loss",), tuple(rows), names, statuses), (),
        {"versions": {"covalent-parallel-plugin": "0.2.0"}},
    )  # fmt: skip


def _spans(begin: float, seconds: Sequence[float]) -> tuple[Span, ...]:
    """Lay phases one after the other: upload, waiting, boot, image, pip, code and delivery."""
    spans, phases = [], (UPLOAD, WAITING, BOOT, IMAGE, PIP, CODE, DELIVERY)
    for phase, length in zip(phases, seconds, strict=True):
        spans.append(Span(phase, begin, begin + length))
        begin += length
    return tuple(spans)


def _as_of(attempt: TaskAttempt, now: float) -> TaskAttempt:
    """Return what was known of an attempt at a time."""
    if attempt.spans[-1].end <= now:
        return attempt
    spans = tuple(replace(span, end=min(span.end, now)) for span in attempt.spans if span.begin < now)
    up = None if attempt.on_machine is None or attempt.on_machine[0] >= now else (attempt.on_machine[0], now)
    return replace(attempt, end="", spans=spans, on_machine=up, exit_code=None, peak_bytes=None, cpu_seconds=None)


def _lost(task: int, begin: float, waited: float, seconds: float, machine: UsedMachine) -> TaskAttempt:
    up, end = begin + waited, begin + waited + seconds
    spans = (Span(WAITING, begin, up), Span(LOST, up, end))
    return TaskAttempt(0, task, 0, "preempted", spans, (up, end), machine, 50001)


def _attempt(task: int, number: int, spans: tuple[Span, ...], machine: UsedMachine, peak: int) -> TaskAttempt:
    code = sum(span.seconds for span in spans if span.phase == CODE)
    up = next(span.end for span in spans if span.phase == WAITING)
    return TaskAttempt(0, task, number, "value", spans, (up, spans[-1].end), machine, 0, peak, 0.93 * code)


def _lone(node: int, name: str, begin: float, seconds: Sequence[float], asked: Asked) -> Electron:
    machine = UsedMachine(asked.machine_type or "e2-standard-2", bool(asked.spot), "us-east1-b", f"batch-{node}")
    attempt = _attempt(0, 0, _spans(begin, seconds), machine, int(0.6 * (asked.memory_bytes or GB)))
    parents = () if node == 0 else (0,)
    job = f"projects/p/locations/us-east1/jobs/{name.replace('_', '-')}-{node}"
    return Electron(node, name, LONE, COMPLETED, parents, begin, begin + sum(seconds), (attempt,), asked=asked, job=job)


def _used(electron: Electron, machine: UsedMachine, peak: int) -> Electron:
    return replace(
        electron, attempts=tuple(replace(each, machine=machine, peak_bytes=peak) for each in electron.attempts)
    )


def _train(node: int, begin: float, code: float, asked: Asked) -> Electron:
    wait = {8: 331}.get(node, 20 + 2 * (node - 5))
    electron = _lone(node, "train", begin, (1, wait, 78, 52, 2, code, 3), asked)
    electron = _used(electron, electron.attempts[0].machine, int((17.4 + 0.2 * (node - 5)) * GB))
    if node == 6:
        lost = _lost(0, begin, wait, 272, electron.attempts[0].machine)
        again = _spans(lost.spans[-1].end, (0, 19, 78, 52, 2, code, 3))[1:]
        second = _attempt(0, 1, again, electron.attempts[0].machine, int(18.9 * GB))
        return replace(electron, attempts=(lost, second), ended=again[-1].end)
    if node == 7:
        killed = replace(electron.attempts[0], end="killed", exit_code=137, peak_bytes=30 * GB - 10**7)
        message = "train was killed by signal 9 (SIGKILL): its memory ran out.\nRaise `memory`."
        failure = ElectronFailure("TaskKilledError", message, "epoch 11 loss 0.233\nepoch 12 loss 0.219\nKilled")
        return replace(electron, state=FAILED, attempts=(killed,), failure=failure)
    waited = "Quota NVIDIA_L4_GPUS in us-east1: five were granted, six were asked for." if node == 8 else ""
    return replace(electron, machine_wait=waited)


def _dock(begin: float) -> Electron:
    random = Random(20)
    asked = Asked(2, 4 * GB, "e2-standard-2", True, "docker:7", has_requirements=True, max_parallel=40)
    electron = _map(2, "dock", begin, 480, 40, random, asked, PREEMPTED_TASKS)
    return replace(electron, parents=(0,))


def _map(
    node: int, name: str, begin: float, items: int, tasks: int, random: Random, asked: Asked | None = None,
    preempted: tuple[int, ...] = (),
) -> Electron:  # fmt: skip
    asked = asked if asked is not None else Asked(2, 4 * GB, "e2-standard-2", True)
    attempts: list[TaskAttempt] = []
    columns: list[tuple[int, int, int, float, float, str]] = []
    for task in range(tasks):
        machine, at, number = UsedMachine("e2-standard-2", True, "us-east1-c", f"batch-{node}-{task}"), begin, 0
        if task in preempted:
            lost = _lost(task, begin, random.uniform(20, 50), random.uniform(200, 400), machine)
            attempts.append(lost)
            at, number = lost.spans[-1].end, 1
        lengths = [random.lognormvariate(3.8, 0.42) for _ in range(task, items, tasks)]
        if 317 in range(task, items, tasks):
            lengths[317 // tasks] = 412.0
        spans = _spans(at, (1, random.uniform(15, 50), 49, 13, 41, sum(lengths), 2))
        attempts.append(_attempt(task, number, spans, machine, int(random.uniform(2.0, 2.6) * GB)))
        item_begin = next(span.begin for span in spans if span.phase == CODE)
        for index, took in zip(range(task, items, tasks), lengths, strict=True):
            columns.append((index, 0, task, item_begin, took, "exception" if index in (44, 209) else "value"))
            item_begin += took
    index, rounds, of, begins, took, ends = zip(*columns, strict=True) if columns else ((),) * 6
    ended = max((attempt.spans[-1].end for attempt in attempts), default=begin) + 1
    return Electron(
        node, name, MAP, COMPLETED, (), begin, ended, tuple(attempts),
        Items(items, index, rounds, of, begins, took, ends), asked,
        job=f"projects/p/locations/us-east1/jobs/{name.replace('_', '-')}-{node}",
    )  # fmt: skip


def _machines(electrons: Sequence[Electron]) -> tuple[MachineHours, ...]:
    """Add up the attempts' machines by type."""
    prices = {"e2-standard-16": 0.5361, "e2-standard-2": 0.0268, "g2-standard-8": 0.3416}
    used: dict[tuple[str, bool | None], list[TaskAttempt]] = {}
    for electron in electrons:
        for attempt in electron.attempts:
            if attempt.on_machine is not None:
                used.setdefault((attempt.machine.type, attempt.machine.spot), []).append(attempt)
    return tuple(
        MachineHours(
            type_, spot, "us-east1", len(attempts), sum(each.machine_seconds for each in attempts),
            sum(each.seconds(LOST) for each in attempts), Price(prices[type_], "2026-11-01", "list prices"),
        )
        for (type_, spot), attempts in sorted(used.items())
    )  # fmt: skip


def _suggestions() -> tuple[Suggestion, ...]:
    return (
        Suggestion(
            "memory-exceeded", "train[7] was killed, most likely for want of memory",
            "It used all of the 30.0 GB it asked for. Its siblings used 17.4 to 18.9 GB.", "memory=40960",
            "train[7] failed, and rank[13] did not run", nodes=(7,), is_failure=True,
        ),
        Suggestion(
            "pip", "dock spends 7 % of its machines' time on pip",
            "requirements took 41 s on each of 46 machines. An image that has them needs none of it.",
            "covalent-parallel image build --requirements requirements.txt --push", "0.5 machine-hours a run",
            41, 1886, (2,),
        ),
        Suggestion(
            "one-long-item", "One item kept dock busy for longer than all others",
            "Item 317 took 6 m 52 s, 9 times the median. Long items go first: a task takes its items in their order.",
            "sorted(items, key=size, reverse=True)", "7 m 40 s of the 43 m 45 s", 460, 0, (2,),
        ),
        Suggestion(
            "memory-unused", "prepare asked for 64.0 GB and used 0.9 GB",
            "Batch took an e2-standard-16 for it. With 1.5 GB an e2-standard-2 would have done.", "memory=1536",
            "0.1 machine-hours of a large machine", 0, 200, (0,),
        ),
        Suggestion(
            "quota", "train[8] waited 5 m 31 s for a GPU",
            "Quota NVIDIA_L4_GPUS in us-east1: five were granted, six were asked for.",
            'zones=["us-east1-b", "us-east1-d"] or more quota', "5 m 31 s", 331, 0, (8,),
        ),
    )  # fmt: skip
