"""Charts of a report: inline SVG, from pure functions."""
