"""Every check of a set-up: a module for each subject, in the order in which they are reported."""

from __future__ import annotations

from ..check_runner import Check
from . import account, bucket, configuration, credentials, image, machines, network, project, server, versions

SUBJECTS = (versions, configuration, credentials, project, bucket, machines, network, image, account, server)


def all_checks() -> list[Check]:
    """Return the checks in the order of their modules, and there of their definitions."""
    return [found for subject in SUBJECTS for found in vars(subject).values() if isinstance(found, Check)]


def table() -> str:
    """Return the checks as a table in Markdown, for docs/reference/checks.md."""
    rows = ["| check | what it looks at | how to fix it |", "|---|---|---|"]
    rows += [f"| `{check.name}` | {check.meaning} | {check.remedy} |" for check in all_checks()]
    return "\n".join(rows)
