"""Charts as inline SVG: pure functions from a report, an electron or values to Markup."""
