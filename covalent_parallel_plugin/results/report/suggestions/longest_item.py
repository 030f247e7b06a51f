"""An item of a map, or a task of a sweep, for which all others had to wait."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from ..charts.words import duration
from ..model import CODE, MAP, SWEEP, Electron, Report, Suggestion
from .grouping import by_name
from .thresholds import Thresholds


@dataclass(frozen=True, slots=True)
class _Piece:
    """An item, by its index, or a sweep's task: its name, round and task, when it began and how long it took."""

    name: str
    task: tuple[int, int]
    begin: float
    took: float
    index: int | None = None

    @property
    def end(self) -> float:
        return self.begin + self.took


def longest_item(report: Report, limits: Thresholds) -> Iterator[Suggestion]:
    """Suggest that the longest begins at once, or is split; of maps of one name the one where that matters most."""
    for group in by_name(report, (MAP, SWEEP)):
        found = [each for electron in group if (each := _longest(report, electron, limits)) is not None]
        if found:
            yield max(found, key=lambda suggestion: suggestion.seconds)


def _longest(report: Report, electron: Electron, limits: Thresholds) -> Suggestion | None:
    pieces = _pieces(electron)
    last = max(pieces, key=lambda piece: piece.end, default=None)
    # Another round's began for other reasons, such as what was lost
    pieces = [] if last is None else [piece for piece in pieces if piece.task[0] == last.task[0]]
    if last is None or len(pieces) < max(limits.longest_item_items, 2):
        return None
    longest = max((piece for piece in pieces if piece.task == last.task), key=lambda piece: piece.took)
    usual = median(piece.took for piece in pieces)
    others = max((piece.end for piece in pieces if piece.task != last.task), default=last.end)
    # What is more than usual of it: the rest of its task's time has other reasons
    alone = min(last.end - others, longest.took - usual)
    # Begun at once, beside the others, it would end then, or with them
    first = min(last.end - max(others, min(piece.begin for piece in pieces) + longest.took), alone)
    if alone < limits.longest_item_seconds or longest.took < limits.longest_item_medians * usual:
        return None
    return _suggestion(report, electron, longest, usual, alone, first if first >= limits.longest_item_seconds else None)


def _suggestion(
    report: Report, electron: Electron, last: _Piece, usual: float, alone: float, first: float | None
) -> Suggestion:
    times = f", {last.took / usual:.0f} times the median" if usual > 0 else ""
    before = [each for each in electron.attempts if (each.round, each.task) == last.task and each.number > 0]
    again = ", and its task had begun anew before" if before else ""
    what = "item" if electron.kind == MAP else "task"
    gain = alone if first is None else first
    if first is None:
        advice = "It takes longer than all the others do side by side: only smaller pieces help."
        remedy = f"# {last.name}: make several {what}s of it"
    elif last.index is not None:
        advice = "A task runs its items one after the other: in a map of its own this one begins at once."
        rest = f"items[:{last.index}] + items[{last.index + 1}:]"
        remedy = f"{electron.name}({rest})\n{electron.name}(items[{last.index}:{last.index + 1}])"
    else:
        advice = "Tasks begin in the order of the file: the longest goes first."
        remedy = f"# {last.name}: the first one in the file"
    whole = "" if not report.seconds else f" of the {duration(report.seconds)}"
    return Suggestion(
        "longest-item",
        f"One {what} kept {electron.title} busy for {duration(alone)} longer than all others",
        f"{last.name[:1].upper()}{last.name[1:]} took {duration(last.took)}{times}{again}. {advice}",
        remedy,
        f"{duration(gain)}{whole}",
        seconds=gain,
        nodes=(electron.node,),
    )


def _pieces(electron: Electron) -> list[_Piece]:
    """All that ran of its items, or of its tasks; the last run of each."""
    found: dict[object, _Piece] = {}
    if electron.kind == MAP and electron.items is not None:
        items = electron.items
        rows = zip(items.index, items.round, items.task, items.begin, items.took, strict=False)
        for index, round, task, begin, took in rows:
            found[index] = _later(found.get(index), _Piece(f"item {index}", (round, task), begin, took, index))
    elif electron.kind == SWEEP:
        for attempt in electron.attempts:
            spans = [span for span in attempt.spans if span.phase == CODE]
            if spans:
                name = attempt.name or f"task {attempt.task}"
                piece = _Piece(name, (attempt.round, attempt.task), spans[0].begin, spans[-1].end - spans[0].begin)
                found[attempt.name or attempt.task] = _later(found.get(attempt.name or attempt.task), piece)
    return list(found.values())


def _later(known: _Piece | None, piece: _Piece) -> _Piece:
    return piece if known is None or piece.end >= known.end else known
