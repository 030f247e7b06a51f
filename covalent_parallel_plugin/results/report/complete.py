"""The report of a dispatch or sweep by its name: read, with the user's prices and what to change."""

from __future__ import annotations

import os
from dataclasses import replace

from ...batch.job_names import is_plain_id
from ...errors import MissingResourceError
from .model import Report
from .prices import priced, prices_path, read_prices
from .suggestions import suggestions
from .sweep_report import is_sweep, sweep_report


def complete_report(name: str) -> Report:
    """Return the report of a sweep of this name, id or folder, or of a dispatch of this id.

    Raises:
        MissingResourceError: nothing is known of either.
        UnknownSweepError: there is no such sweep, and it cannot be the id of a dispatch; or there are several.
    """
    if is_sweep(name) or not is_plain_id(name):
        return completed(sweep_report(name))
    # Here, so that sweeps do without Covalent
    from .read import dispatch_report

    try:
        return completed(dispatch_report(name))
    except MissingResourceError as error:
        raise MissingResourceError(
            f"{error}\nthere is no sweep {name!r} on this machine either: `covalent-parallel sweep list` lists them"
        ) from error


def completed(report: Report) -> Report:
    """Return a report with prices, as far as the user has given them, and with suggestions."""
    report = priced(report, read_prices(prices_path(os.environ)))
    return replace(report, suggestions=suggestions(report))
