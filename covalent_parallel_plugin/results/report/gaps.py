"""What a report cannot show, in sentences; pure."""

from __future__ import annotations

from collections.abc import Sequence

from ...batch.attempt_times import MEASURED
from .charts.words import counted
from .model import BOOT, CODE, Electron
from .traced_electrons import TracedElectrons


def gaps_of(traced: TracedElectrons, electrons: Sequence[Electron]) -> tuple[str, ...]:
    """Return what a trace does not say of its attempts, and how many of its lines were of no use."""
    found = []
    if traced.left_out:
        found.append(
            f"{counted(traced.left_out, 'line')} of the trace {'is' if traced.left_out == 1 else 'are'} left out: cut"
            " off, of a kind that this version does not know, or with values that are none."
        )
    ran = [attempt for own in traced.electrons.values() for job in own.jobs for attempt in job.attempts.values()]
    unmeasured = [
        each for each in ran if "running" in each.times and not any(name in each.times for name in MEASURED)
    ]  # fmt: skip
    if running := sum(not each.end for each in unmeasured):
        found.append(
            f"How long the container's start and pip took is known once an attempt ends: until then {CODE} includes it,"
            f" in {counted(running, 'attempt')}."
        )
    if unseen := len(unmeasured) - running:
        found.append(
            f"Of {counted(unseen, 'attempt')} only begin and end on the machine are known: {CODE}, or lost, includes"
            " the start of the container and pip there."
        )
    unasked = sum("running" not in each.times and "began" in each.times for each in ran)
    if unasked:
        found.append(
            f"Batch was not asked when {counted(unasked, 'attempt')} began to run, since the runner reported the"
            f" end: {BOOT} includes the start of the container there, and any wait for a turn on a machine."
        )
    return tuple(found)
