"""The machines that attempts ran on: each counts once, from its first attempt's begin to its last one's end; pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ...settings.machine_rules import region_of
from .model import LOST, Electron, MachineHours, TaskAttempt, UsedMachine


def with_shares(electrons: Sequence[Electron]) -> tuple[Electron, ...]:
    """Return electrons whose attempts have their shares of the machines that they ran on.

    A machine counts from its first attempt's begin to its last one's end, over all electrons. Attempts share that in
    the proportion of how long each was on it: all of their machine-seconds add up to the time of the machines.
    """
    lives: dict[tuple[str, str], tuple[float, float]] = {}
    held: dict[tuple[str, str], float] = defaultdict(float)
    for attempt in _attempts(electrons):
        key = _key(attempt.machine)
        if key is not None and attempt.on_machine is not None:
            begin, end = attempt.on_machine
            first, last = lives.get(key, (begin, end))
            lives[key] = min(first, begin), max(last, end)
            held[key] += end - begin
    shares = {key: (last - first) / held[key] for key, (first, last) in lives.items() if held[key] > 0}
    return tuple(_with_shares(electron, shares) for electron in electrons)


def machine_hours(electrons: Iterable[Electron]) -> tuple[MachineHours, ...]:
    """Return the machines of each type, most hours first; of electrons that have their attempts' shares."""
    sums: dict[tuple[str, bool | None, str, str, int], list[float]] = defaultdict(lambda: [0, 0.0, 0.0])
    for electron in electrons:
        gpu_type = electron.asked.gpu_type
        gpu_count = electron.asked.gpu_count if gpu_type else 0
        for attempt in electron.attempts:
            if attempt.on_machine is None:
                continue
            zone = attempt.machine.zone
            region = region_of(zone) if zone else electron.asked.region
            found = sums[attempt.machine.type, attempt.machine.spot, region, gpu_type, gpu_count]
            found[0] += 1
            found[1] += attempt.machine_seconds
            found[2] += min(attempt.seconds(LOST) * attempt.share, attempt.machine_seconds)
    rows = [
        MachineHours(kind, spot, region, int(count), seconds, lost, gpu_type=gpu_type, gpu_count=gpu_count)
        for (kind, spot, region, gpu_type, gpu_count), (count, seconds, lost) in sums.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.seconds, row.type, str(row.spot), row.region, row.gpu_type)))


def _attempts(electrons: Iterable[Electron]) -> Iterable[TaskAttempt]:
    return (attempt for electron in electrons for attempt in electron.attempts)


def _key(machine: UsedMachine) -> tuple[str, str] | None:
    return (machine.zone, machine.instance) if machine.instance else None


def _with_shares(electron: Electron, shares: Mapping[tuple[str, str], float]) -> Electron:
    attempts = []
    for attempt in electron.attempts:
        key = _key(attempt.machine)
        share = 1.0 if key is None else shares.get(key, 1.0)
        attempts.append(attempt if share == 1.0 else replace(attempt, share=share))
    return replace(electron, attempts=tuple(attempts))
