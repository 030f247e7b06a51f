"""Tables as HTML that any notebook shows: no background, the notebook's own colour of text, nothing fetched; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape

_TABLE = "border-collapse:collapse;font-size:90%;color:inherit;background:transparent"
_CELL = "padding:2px 10px 2px 0;border:0;border-bottom:1px solid rgba(128,128,128,0.35);background:transparent"
# By state, readable on white and on black
COLOURS = {
    "COMPLETED": "#2e9e4f", "done": "#2e9e4f", "FAILED": "#e0433a", "failed": "#e0433a", "killed": "#e0433a",
    "RUNNING": "#1f8ec4", "running": "#1f8ec4", "CANCELLED": "#b98900", "cancelled": "#b98900",
}  # fmt: skip


def html_table(
    title: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    below: Sequence[str] = (),
    right: Collection[str] = (),
    colours: Mapping[str, str] = COLOURS,
) -> str:
    """Return a table between a title and lines of text; all text is escaped.

    Args:
        right: the headings of columns of numbers.
        colours: of cells, by their text.
    """

    def style(heading: str) -> str:
        return f"{_CELL};text-align:{'right' if heading in right else 'left'}"

    def cell(heading: str, text: str) -> str:
        colour = f";color:{colours[text]}" if text in colours else ""
        return f'<td style="{style(heading)}{colour}">{escape(text)}</td>'

    head = "".join(f'<th style="{style(heading)};font-weight:600">{escape(heading)}</th>' for heading in headings)
    body = "".join(f"<tr>{''.join(map(cell, headings, row))}</tr>" for row in rows)
    table = f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>' if rows else ""
    lines = "".join(f'<div style="font-size:90%">{escape(line)}</div>' for line in below)
    return f"<div><div>{escape(title)}</div>{table}{lines}</div>"
