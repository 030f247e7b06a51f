"""docs/reference/checks.md has the table that the checks make, and nothing in it is of another time."""

from __future__ import annotations

import re
from pathlib import Path

from covalent_parallel_plugin.cli.doctor.checks import all_checks, table
from covalent_parallel_plugin.cli.doctor.phases import PHASES
from covalent_parallel_plugin.cli.doctor.results import STATUSES
from covalent_parallel_plugin.cli.doctor.trial_run import CHECK_NAME

PAGE = (Path(__file__).parent.parent.parent / "docs" / "reference" / "checks.md").read_text()
CHECKS = all_checks()


def test_the_page_has_the_table_of_the_checks() -> None:
    made = table()
    assert made in PAGE, f"docs/reference/checks.md is behind: its table should be\n{made}"


def test_the_page_names_no_check_that_is_not_there() -> None:
    groups = "|".join(sorted({check.name.split(".")[0] for check in CHECKS}))
    named = set(re.findall(rf"`((?:{groups}|run)\.[a-z_]+)`", PAGE))
    assert named == {check.name for check in CHECKS} | {CHECK_NAME}


def test_the_page_names_every_status_and_phase() -> None:
    for status in STATUSES:
        assert f"**{status}**" in PAGE
    for name, *_ in PHASES:
        assert f"| {name} |" in PAGE


def test_every_check_says_what_it_means_and_how_to_mend_it() -> None:
    assert all(check.meaning and check.remedy for check in CHECKS)
    assert len({check.name for check in CHECKS}) == len(CHECKS)
