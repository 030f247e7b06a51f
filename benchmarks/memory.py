"""Row 3: how far a large result makes the dispatcher's process grow, each time in a fresh process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

from .contenders import OURS, REPLACED, Contender, measure
from .services import Services
from .tables import Bound, Line, Table

PAYLOAD_BYTES = 100_000_000
MOST_MB = 550
# The plugin's own part: until `run()` has returned
MOST_OWN_MB = 150


def memory_table(
    contenders: Sequence[Contender], services: Services, rounds: int, tell: Callable[[str], None]
) -> Table:
    """Growth of the peak of the resident set (MB of 10^6 bytes) over the peak after a warm-up."""
    grown: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(rounds):
        for contender in contenders:
            tell(f"memory, round {number + 1} of {rounds}: {contender.name}")
            run = measure(contender, services, measure="memory", payload_bytes=PAYLOAD_BYTES)
            for moment, growth in run.results.items():
                grown[moment][contender.name].append(growth)
    return Table(
        "A result of 100 MB: growth of the dispatcher's peak memory",
        [contender.name for contender in contenders],
        (OURS, REPLACED),
        [
            Line("until run() has returned, MB", grown["returned"], Bound(MOST_OWN_MB)),
            Line("until the value was read once, MB", grown["read"], Bound(MOST_MB)),
            Line("until Covalent's serialize() of it, MB", grown["serialized"]),
        ],
    )
