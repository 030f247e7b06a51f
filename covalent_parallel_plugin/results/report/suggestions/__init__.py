"""What to change, by what a report has: the rules, and what they found in the order of its weight."""

from __future__ import annotations

from ..model import Report, Suggestion
from .gpu_wait import gpu_wait
from .longest_item import longest_item
from .memory import memory
from .packages import packages
from .sharing import sharing
from .short_electrons import short_electrons
from .spot import spot
from .thresholds import DEFAULTS, Thresholds

RULES = (memory, packages, longest_item, gpu_wait, spot, sharing, short_electrons)


def suggestions(report: Report, limits: Thresholds = DEFAULTS) -> tuple[Suggestion, ...]:
    """Return what to change: what keeps an electron from failing first, then by gain, the largest first.

    The measure of a gain is the sum of its seconds to the end and of its machine-seconds: a second of somebody who
    waits counts as much as one of a machine.
    """
    found = [suggestion for rule in RULES for suggestion in rule(report, limits)]
    return tuple(sorted(found, key=lambda each: (not each.is_failure, -(each.seconds + each.machine_seconds))))
