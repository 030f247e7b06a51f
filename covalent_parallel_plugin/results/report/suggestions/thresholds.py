"""From where on a report suggests a change: each figure with its reason."""

from __future__ import annotations

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on each suggestion is made; those of time are in seconds. Whoever scales time gives others."""

    # A request is a guess: one that is not twice what was used is a good one
    memory_unused_share: float = 0.5
    # Less seldom leads to another machine
    memory_unused_bytes: int = GIB
    # A machine is billed for a minute at least: what saves less saves nothing
    memory_machine_seconds: float = 60.0
    # Inputs that are a tenth larger would end it
    memory_near_share: float = 0.9
    # Memory is measured now and then: what was killed for want of it may have been smaller at the last measurement
    memory_killed_share: float = 0.75
    # To build an image takes some minutes, once: that is paid back after a run or two
    pip_machine_seconds: float = 300.0
    # Below that, other things matter more
    pip_share: float = 0.03
    # Nobody sorts items for less than the start of a machine takes
    longest_item_seconds: float = 120.0
    # Items that differ by less are of one kind: an order of theirs is hard to foresee
    longest_item_medians: float = 3.0
    # Of fewer items no median says what is usual
    longest_item_items: int = 4
    # A machine that is there takes one to two minutes: https://cloud.google.com/batch/docs/get-started
    machine_wait_seconds: float = 180.0
    # What is lost with a machine is an hour at most then: at Google's least discount, 60 %, three of five attempts
    # would have to be lost before Spot machines cost more
    spot_attempt_seconds: float = 3600.0
    # Less is cents
    spot_machine_seconds: float = 3600.0
    # A single preemption is chance
    spot_lost_machine_seconds: float = 600.0
    # Some tasks at least, for a machine that several share
    sharing_tasks: int = 4
    # Ten minutes of machines that only start
    sharing_machine_seconds: float = 600.0
    # So many calls of one function are a list of items
    short_electrons: int = 10
    # As for sharing_machine_seconds
    short_machine_seconds: float = 600.0


DEFAULTS = Thresholds()
