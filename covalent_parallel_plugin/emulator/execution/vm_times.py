"""Count VMs and the time that they live."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

MIN_BILLED_SECONDS = 60
"""Compute Engine bills by the second, and a minute at least."""


@dataclass(eq=False)
class Vm:
    """One VM of a job; `tasks` are those that run on it, `started` is when it began to boot (seconds)."""

    number: int
    started: float
    tasks: set[int] = field(default_factory=set)
    is_ready: bool = False
    is_lost: bool = False


class VmTimes:
    """What VMs live, in seconds of `clock`; counters may be asked for from any thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._living: set[Vm] = set()
        self._started = self._most = self._billed = 0
        self._seconds = 0.0

    def __len__(self) -> int:
        return len(self._living)

    def start(self, number: int) -> Vm:
        """Start a VM."""
        vm = Vm(number, self._clock())
        with self._lock:
            self._living.add(vm)
            self._started += 1
            self._most = max(self._most, len(self._living))
        return vm

    def end(self, vm: Vm) -> None:
        """End a VM."""
        with self._lock:
            life = self._clock() - vm.started
            self._living.discard(vm)
            self._seconds += life
            self._billed += billed_seconds(life)

    def counts(self) -> dict[str, float]:
        """Return "vms" (started), "vms_at_most" (at a time), "vm_seconds" and "vm_billed_seconds", living ones' too."""
        with self._lock:
            now = self._clock()
            lives = [now - vm.started for vm in self._living]
            return {
                "vms": self._started,
                "vms_at_most": self._most,
                "vm_seconds": round(self._seconds + sum(lives), 3),
                "vm_billed_seconds": self._billed + sum(map(billed_seconds, lives)),
            }


def billed_seconds(seconds: float) -> int:
    """Return what a VM that lived so long is billed for."""
    return max(math.ceil(seconds), MIN_BILLED_SECONDS)
