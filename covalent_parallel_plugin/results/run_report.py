"""The report of a dispatch in Python: a timeline in a notebook, lines of text elsewhere, files, rows and data."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..sweep.display.printable import printable
from .report.charts.words import duration, hours, memory, percent
from .report.document import document, phase_seconds
from .report.formats import FORMATS, format_of, mistakes_of_path, text_of, write_text
from .report.model import SERVICE, Electron, Report, peak_of
from .report.rows import columns, rows

# Electrons beyond are counted in the text
MOST_LINES = 30


class RunReport:
    """Where the time, machines and memory of a dispatch went, and what to change; it does not change by itself.

    A notebook shows the timeline, and `print` some lines of text.
    """

    def __init__(self, report: Report) -> None:
        self._report = report

    @property
    def data(self) -> dict[str, Any]:
        """All of it as dicts and lists, with the fields of `covalent-parallel report --format json`."""
        return document(self._report)

    def rows(self, items: bool = False) -> list[dict[str, Any]]:
        """Return a dict for each attempt of a task, or for each item of maps: what `pandas.DataFrame` takes."""
        names = columns(items)
        return [dict(zip(names, row, strict=True)) for row in rows(self._report, items)]

    def save(self, path: str | os.PathLike[str], format: str | None = None, items: bool = False) -> Path:
        """Write it to a file, as `covalent-parallel report -o FILE` does, and return the file's path.

        Args:
            path: a file; one that is there is replaced.
            format: html, trace (for ui.perfetto.dev), csv or json; else by the path's end, where .html, .csv, .json
                and .trace.json are known. Anything else is html.
            items: rows are of items, and a trace has them.

        Raises:
            SettingsError: another format, or nothing can be written to this path.
            OSError: the file cannot be written.
        """
        file = Path(path)
        problem = mistakes_of_path(file)
        mistakes = [f"path {str(file)!r} {problem}"] if problem else []
        if format is not None and format not in FORMATS:
            mistakes.append(f"format is {format!r}: give one of {', '.join(FORMATS)}")
        if mistakes:
            raise SettingsError(mistakes)
        write_text(file, text_of(self._report, format or format_of(file), items))
        return file

    def __repr__(self) -> str:
        return "\n".join(_lines(self._report))

    def _repr_html_(self) -> str:
        from .report.html import timeline_markup

        return str(timeline_markup(self._report))


def _lines(report: Report) -> Iterator[str]:
    took = "" if report.seconds is None else f", {duration(report.seconds)}"
    used = hours(sum(electron.machine_seconds for electron in report.electrons))
    name = f" ({report.name})" if report.name else ""
    yield printable(f"{report.kind} {report.id}{name}: {report.state or 'state not known'}{took}, {used} machine-hours")
    yield from _phase_lines(report)
    shown = [electron for electron in report.electrons if electron.kind != SERVICE]
    yield from (printable(_electron_line(electron)) for electron in shown[:MOST_LINES])
    if len(shown) > MOST_LINES:
        yield f"and {len(shown) - MOST_LINES} more electrons"
    for suggestion in report.suggestions:
        gain = f" ({suggestion.gain})" if suggestion.gain else ""
        yield printable(f"to change: {suggestion.title}{gain}: {suggestion.remedy}".replace("\n", "; "))
    yield from (printable(f"not known: {sentence}") for sentence in report.missing)


def _phase_lines(report: Report) -> Iterator[str]:
    seconds = phase_seconds(attempt for electron in report.electrons for attempt in electron.attempts)
    if seconds:
        whole = sum(seconds.values())
        yield "time of all attempts: " + ", ".join(f"{phase} {percent(each, whole)}" for phase, each in seconds.items())


def _electron_line(electron: Electron) -> str:
    texts = [electron.state]
    if electron.cached_from:
        texts.append(f"from the cache ({electron.cached_from})")
    if len(electron.attempts) > 1:
        ends = Counter(attempt.end or "running" for attempt in electron.attempts)
        texts.append(f"{len(electron.attempts)} attempts ({', '.join(f'{ends[end]} {end}' for end in ends)})")
    if electron.entered is not None and electron.ended is not None:
        texts.append(f"{duration(electron.ended - electron.entered)} in all")
    if electron.machine_seconds:
        texts.append(f"{duration(electron.machine_seconds)} on machines")
    machines = Counter(
        f"{attempt.machine.type}{' (Spot)' if attempt.machine.spot else ''}"
        for attempt in electron.attempts
        if attempt.machine.type
    )
    texts += [f"{machine}{f' x {count}' if count > 1 else ''}" for machine, count in machines.items()]
    peak = peak_of(electron.attempts)
    if peak:
        texts.append(f"at most {memory(peak)} of memory")
    return f"{electron.title}: {', '.join(texts)}"
