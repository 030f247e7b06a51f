"""The phases of attempts: what a report calls them, their shares as a bar, and how many tasks were in which one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ..model import BOOT, CODE, DELIVERY, IMAGE, LOST, PHASES, PIP, UPLOAD, WAITING, Report, Span, TaskAttempt
from .axis import TimeAxis, area, number
from .words import duration, percent

LABELS: Mapping[str, str] = {
    UPLOAD: "call on its way",
    WAITING: "waiting",
    BOOT: "machine starts",
    IMAGE: "image and runner",
    PIP: "pip install",
    CODE: "your code",
    LOST: "lost work",
    DELIVERY: "result on its way",
}
# In an area of all tasks, from the bottom
STACK = (CODE, LOST, PIP, IMAGE, BOOT, WAITING, UPLOAD, DELIVERY)


@dataclass(frozen=True)
class PhaseShare:
    """How long all attempts were in a phase."""

    phase: str
    seconds: float
    share: str

    @property
    def label(self) -> str:
        """What the report calls it."""
        return LABELS[self.phase]


def phase_shares(attempts: Iterable[TaskAttempt]) -> list[PhaseShare]:
    """Add up the attempts' phases, in their order; those that took no time are left out."""
    seconds = dict.fromkeys(PHASES, 0.0)
    for attempt in attempts:
        for span in attempt.spans:
            seconds[span.phase] += span.seconds
    total = sum(seconds.values())
    return [PhaseShare(phase, took, percent(took, total)) for phase, took in seconds.items() if took > 0]


def used_phases(report: Report) -> list[str]:
    """Return the phases that a report has, in their order."""
    used = {
        span.phase
        for electron in report.electrons
        for attempt in electron.attempts
        for span in attempt.spans
        if span.seconds > 0
    }
    return [phase for phase in PHASES if phase in used]


def phase_bar(shares: Sequence[PhaseShare]) -> Markup:
    """Draw the shares as one bar."""
    total, x, parts = sum(share.seconds for share in shares), 0.0, []
    for each in shares:
        width = 1000 * each.seconds / total
        parts.append(
            Markup('<rect class="p-{}" x="{}" width="{}" height="26"><title>{}: {}, {}</title></rect>').format(
                each.phase, number(x), number(width), each.label, duration(each.seconds), each.share
            )
        )
        x += width
    return Markup(
        '<svg class="bar" viewBox="0 0 1000 26" preserveAspectRatio="none" role="img"'
        ' aria-label="Shares of the time by phase; the list below has the figures">{}</svg>'
    ).format(Markup("").join(parts))


def stacked_phases(
    attempts: Sequence[TaskAttempt], axis: TimeAxis, top: float, height: float, what: str = "over all tasks"
) -> Markup:
    """Draw how many tasks were in which phase over time."""
    spans: dict[str, list[Span]] = {}
    for attempt in attempts:
        for span in attempt.spans:
            spans.setdefault(span.phase, []).append(span)
    columns = {
        phase: axis.occupied((span.begin, span.end) for span in spans[phase]) for phase in STACK if phase in spans
    }
    most = max(map(sum, zip(*columns.values(), strict=True)), default=0.0)
    if not most:
        return Markup("")
    low, parts = [0.0] * len(next(iter(columns.values()))), []
    for phase, values in columns.items():
        high = [one + other for one, other in zip(low, values, strict=True)]
        if data := area(low, high, top + height, height / most):
            seconds = sum(span.seconds for span in spans[phase])
            title = f"{LABELS[phase]}: {duration(seconds)} {what}"
            parts.append(Markup('<path class="p-{}" d="{}"><title>{}</title></path>').format(phase, data, title))
        low = high
    return Markup("").join(parts)
