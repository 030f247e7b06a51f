"""What a process used so far, and how late its event loop is; imported by scripts that a contender's Python runs."""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from pathlib import Path

BYTES_PER_MB = 1_000_000
LAG_SECONDS = 0.005


def cpu_seconds() -> float:
    """User and system time of all its threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_mb() -> float:
    """The most that was resident so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / BYTES_PER_MB


def resident_mb() -> float:
    """What is resident now; the peak so far where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except FileNotFoundError:
        return peak_mb()
    return pages * resource.getpagesize() / BYTES_PER_MB


class Lag:
    """How many seconds too late the loop wakes a task that sleeps for a few milliseconds, as long as `watch` runs.

    `computed` is how many the loop's thread computed meanwhile: the rest it waited for a CPU, or for the other threads.
    """

    def __init__(self) -> None:
        self.late: list[float] = []
        self.computed: list[float] = []

    async def watch(self) -> None:
        while True:
            slept, computed = time.perf_counter(), time.thread_time()
            await asyncio.sleep(LAG_SECONDS)
            self.late.append(time.perf_counter() - slept - LAG_SECONDS)
            self.computed.append(time.thread_time() - computed)

    def told(self) -> dict[str, float]:
        """The worst, the 99th percentile of the wakings, and the most that was computed between two."""
        ordered = sorted(self.late)
        return {"worst_lag": ordered[-1], "lag_99": ordered[len(ordered) * 99 // 100], "computed": max(self.computed)}
