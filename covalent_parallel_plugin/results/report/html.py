"""A report as one HTML file that needs nothing else, and its timeline alone for a notebook; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup

from ... import __version__
from .charts.items import ItemsChart, has_items_chart, items_chart
from .charts.load import load
from .charts.phases import LABELS, phase_bar, phase_shares, used_phases
from .charts.timeline import timeline
from .charts.timeline_texts import chain_text
from .charts.words import TEXT_CHARACTERS, dollars, duration, hours, memory, moment, short, shown
from .costs import cost_sentence
from .document import document
from .electron_rows import electron_rows, state_of
from .failures import MOST_FAILURES, failures
from .figures import counts_text, figures, total_dollars
from .model import SWEEP, Electron, Report
from .sweep_sections import SweepSections

if TYPE_CHECKING:
    from jinja2 import Environment

# So many maps have charts of their items, those that used most of machines
MOST_CHARTS = 6
# What the page has of items and attempts as JSON
MOST_ITEMS_INSIDE, MOST_ATTEMPTS_INSIDE = 20_000, 10_000


def page(report: Report, has_all_data: bool = False) -> str:
    """Return the report's page: it makes no request, and is readable without script.

    Args:
        has_all_data: the data inside have all items and attempts, however many.
    """
    drawn_load, cost, failed = load(report), total_dollars(report), failures(report)
    shares = phase_shares(attempt for each in report.electrons for attempt in each.attempts)
    charts, left_out = _charts(report.electrons)
    return _environment().get_template("page.html.j2").render(
        **_heading(report), is_sweep=report.kind == SWEEP, figures=figures(report, drawn_load), shares=shares,
        bar=phase_bar(shares) if shares else Markup(""), charts=charts,
        # Tasks of a sweep are in no table of electrons
        timeline=timeline(report, is_linked=report.kind != SWEEP),
        charts_left_out=left_out, load=drawn_load, rows=electron_rows(report), failures=failed[:MOST_FAILURES],
        failures_left_out=max(len(failed) - MOST_FAILURES, 0), has_prices=cost is not None, total=cost,
        cost_sentence=cost_sentence(report), data=_data(report, has_all_data),
        sweep=SweepSections.of(report.results) if report.results is not None else None,
        versions=report.facts.get("versions") or {"covalent-parallel-plugin": __version__},
    )  # fmt: skip


def timeline_markup(report: Report) -> str:
    """Return the timeline alone, with its own style for a notebook's cell; one sentence if no time is known."""
    drawn = timeline(report, is_linked=False)
    return _environment().get_template("cell.html.j2").render(**_heading(report), timeline=drawn)


def _heading(report: Report) -> dict[str, object]:
    """Return what both begin with."""
    return {
        "report": report, "state": state_of(report.state), "counts": counts_text(report), "phases": used_phases(report),
        "chain": chain_text(report),
    }  # fmt: skip


def _charts(electrons: Iterable[Electron]) -> tuple[list[ItemsChart], int]:
    """Return the charts of items, in the order of the electrons, and how many electrons are left out."""
    having = [each for each in electrons if has_items_chart(each)]
    most = sorted(having, key=lambda each: each.machine_seconds, reverse=True)[:MOST_CHARTS]
    nodes = {each.node for each in most}
    return [items_chart(each) for each in having if each.node in nodes], len(having) - len(most)


def _data(report: Report, has_all: bool) -> Markup:
    """Return the report as JSON for a script element: nothing in it can end the element."""
    limits = (None, None) if has_all else (MOST_ITEMS_INSIDE, MOST_ATTEMPTS_INSIDE)
    data = document(report, True, *limits)
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


@cache
def _environment() -> Environment:
    """Return the templates' environment: all that is put in is escaped, and shown without control characters."""
    from jinja2 import BaseLoader, Environment, StrictUndefined, TemplateNotFound

    class Assets(BaseLoader):
        """Loads the templates of the package."""

        def get_source(self, environment: Environment, template: str) -> tuple[str, None, None]:
            """Return a template's text."""
            try:
                return asset(template), None, None
            except FileNotFoundError as error:
                raise TemplateNotFound(template) from error

    def finalize(value: object) -> object:
        return value if isinstance(value, Markup) else shown(value, TEXT_CHARACTERS)

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, loader=Assets(), finalize=finalize, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "short": short, "shown": shown, "duration": duration, "hours": hours, "memory": memory, "dollars": dollars,
        "moment": moment,
    }  # fmt: skip
    environment.globals |= {"labels": LABELS, "style": lambda name: Markup(asset(name))}
    return environment


def asset(name: str) -> str:
    """Return the text of one of the report's files."""
    return (files("covalent_parallel_plugin") / "assets" / "report" / name).read_text(encoding="utf-8")
