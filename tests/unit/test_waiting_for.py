"""What an electron waits for of which there is no output, in words."""

from __future__ import annotations

import pytest

from covalent_parallel_plugin.cloud.job_status import JobStatus
from covalent_parallel_plugin.results.running_jobs import waiting_for


@pytest.mark.parametrize(
    ("state", "is_staged", "delivers", "is_read", "told"),
    [
        (None, False, True, True, "waits for a slot"),
        (None, True, True, True, "is on its way to Batch"),
        ("QUEUED", True, True, True, "waits for a machine (QUEUED)"),
        ("RUNNING", True, True, True, "has delivered nothing that it printed yet"),
        ("RUNNING", False, True, False, "what it has delivered cannot be read here"),
        ("RUNNING", True, False, True, "has live_output=False"),
        ("SUCCEEDED", True, True, True, "has ended on Batch (SUCCEEDED)"),
    ],
)
def test_it_is_told_what_is_known(state: str | None, is_staged: bool, delivers: bool, is_read: bool, told: str) -> None:
    job = None if state is None else JobStatus("j", "u", state)
    assert told in waiting_for(job, is_staged, delivers, is_read)
