"""Row 7: large values there and back, beside google-cloud-storage's own upload and download of the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .contenders import OURS, OURS_INSTALLED, REPLACED, Contender, measure
from .services import Services
from .tables import Bound, Line, Table

PLAIN = "google-cloud-storage"
SIZES_MB = (1, 32, 256)
BYTES_PER_MB = 1_000_000
# The bounds, which are for the largest of the sizes
LEAST_OF_PLAIN = 0.8
MOST_OF_PAYLOAD = 1.5

Found = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Case:
    """What was measured with `megabytes` of payload: this plugin and the plain client, and the replaced plugin."""

    megabytes: int
    ours: Found
    replaced: Found

    def lines(self) -> list[Line]:
        """Speeds and memory as they are shown."""
        bounds = self.megabytes == max(SIZES_MB)
        speed = Bound(LEAST_OF_PLAIN, is_ratio=True, is_least=True) if bounds else None
        memory = Bound(MOST_OF_PAYLOAD) if bounds else None
        lines = [
            self._line("there, MB/s", self._speeds("there"), speed),
            self._line("back, MB/s", self._speeds("back"), speed),
            self._line("there and back, MB/s", self._both(), speed),
            self._line("run(), through the task, s", self._seconds()),
        ]
        if not bounds:
            # What the allocator has free already, or keeps, is more than blocks of that size
            return lines
        return [
            *lines,
            self._line("memory there / payload", self._memory("there grown"), memory),
            self._line("memory back / payload", self._memory("back grown"), memory),
            self._line("memory of run() / payload", {REPLACED: self._shares(self.replaced["run grown"])}),
            self._line(
                "memory of Covalent's serialize() / payload", {OURS: self._shares(self.ours["serialized grown"])}
            ),
        ]

    def _line(self, what: str, values: Found, bound: Bound | None = None) -> Line:
        return Line(f"{self.megabytes} MB: {what}", values, bound)

    def _speeds(self, way: str) -> Found:
        return {
            name: [self.megabytes / seconds for seconds in self.ours[prefix + way]]
            for name, prefix in ((OURS, ""), (PLAIN, "plain "))
        }

    def _both(self) -> Found:
        return {
            name: [2 * self.megabytes / sum(pair) for pair in zip(self.ours[there], self.ours[back], strict=True)]
            for name, there, back in ((OURS, "there", "back"), (PLAIN, "plain there", "plain back"))
        }

    def _seconds(self) -> Found:
        return {OURS: self.ours["run"], PLAIN: self.ours["plain run"], REPLACED: self.replaced["run"]}

    def _memory(self, what: str) -> Found:
        return {OURS: self._shares(self.ours[what]), PLAIN: self._shares(self.ours[f"plain {what}"])}

    def _shares(self, grown: Sequence[float]) -> list[float]:
        return [megabytes / self.megabytes for megabytes in grown]


def payload_table(
    contenders: Sequence[Contender], services: Services, rounds: int, tell: Callable[[str], None]
) -> Table:
    """Each size in a fresh process; of the replaced plugin once, as it takes several times as long."""
    ours, replaced = (contender for contender in contenders if contender.name != OURS_INSTALLED)

    def transfers(contender: Contender, megabytes: int, repeats: int) -> Found:
        tell(f"payload: {contender.name}, {megabytes} MB there and back, {repeats} times")
        size = megabytes * BYTES_PER_MB
        return measure(contender, services, measure="payload", payload_bytes=size, repeats=repeats).results

    lines: list[Line] = []
    for megabytes in SIZES_MB:
        # Two for memory; of the others an odd number, so that the middle one is one that was measured
        found = transfers(ours, megabytes, 2 * rounds + 3)
        lines += Case(megabytes, found, transfers(replaced, megabytes, 1)).lines()
    return Table("Payload, there and back", [OURS, PLAIN, REPLACED], (OURS, PLAIN), lines)
