"""Every check of a set-up, in the order in which they are told."""

from __future__ import annotations

from ..check_runner import Check, Gate
from ..checks_cloud import cloud_checks
from ..checks_here import here_checks
from ..checks_job import job_checks
from ..checks_machines import machine_checks
from ..setup import Case

OPTIONS_CHECK = "config.mistakes"
SERVICES_CHECK = "project.apis"


def all_checks(case: Case) -> list[Check]:
    """The checks of a case; making them looks at nothing."""
    before, after = here_checks(case)
    return [*before, *cloud_checks(case), *machine_checks(case), *job_checks(case), *after]


def gate(case: Case) -> Gate:
    """What keeps checks from being run."""
    return Gate(case.unusable, OPTIONS_CHECK, SERVICES_CHECK)


def table(checks: list[Check]) -> str:
    """The checks as a table in Markdown, for docs/doctor.md."""
    rows = ["| check | what it looks at | how to mend it |", "|---|---|---|"]
    rows += [f"| `{check.name}` | {check.meaning} | {check.mending} |" for check in checks]
    return "\n".join(rows)
