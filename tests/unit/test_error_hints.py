"""Google's own words, as they were seen, and what they are taken for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covalent_parallel_plugin.batch.error_hints import find_hint, find_last_hint

QUOTA = (
    "VM in Managed Instance Group meets error: Batch Error: code - CODE_GCE_QUOTA_EXCEEDED, description - error count"
    " is 4, latest message example: Instance 'x' creation failed: Quota 'N2_CPUS' exceeded. Limit: 24.0 in us-east1"
)
CAPACITY = (
    "VM in Managed Instance Group meets error: Batch Error: code - CODE_GCE_ZONE_RESOURCE_POOL_EXHAUSTED, description -"
    " error count is 1, latest message example: The zone 'projects/p/zones/us-east1-b' does not have enough resources"
    " available to fulfill the request."
)
NOT_BOOKED = "403 Access Not Configured. Batch API has not been used in project 123 before or it is disabled."

SEEN = [
    (QUOTA, "quota"),
    ("Quota 'GPUS_ALL_REGIONS' exceeded.  Limit: 0.0 globally.", "quota"),
    ("Quota 'SSD_TOTAL_GB' exceeded", "quota"),
    ("error: QUOTA_EXCEEDED", "quota"),
    (CAPACITY, "capacity"),
    ("CODE_GCE_ZONE_RESOURCE_POOL_EXHAUSTED", "capacity"),
    ("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", "capacity"),
    ("The zone does not have enough resources available to fulfill the request", "capacity"),
    ("CODE_MACHINE_TYPE_NOT_FOUND", "machine_type"),
    ("Machine type n9-standard-4 does not exist in zone us-east1-b", "machine_type"),
    ("400 machine type n9-standard-4 for job j not found", "machine_type"),
    ("No VM has agent reporting correctly within time window 1080 seconds, VM state for instance x", "agent"),
    ("No VM has agent reporting correctly within time window 60 seconds", "agent"),
    ("caller does not have access to act as the specified service account: robot@p.iam.gserviceaccount.com", "service"),
    ("Permission 'iam.serviceAccounts.actAs' denied on service account", "service"),
    (NOT_BOOKED, "api"),
    ("reason: SERVICE_DISABLED", "api"),
    ("The Batch API is not enabled", "api"),
    ("Cloud Batch API v1 is disabled in project", "api"),
    ("This API method requires billing to be enabled. Billing must be enabled for activation", "billing"),
    ("The billing account for the owning project is disabled in state absent", "billing"),
    ("BILLING_DISABLED", "billing"),
    ("Permission 'batch.jobs.create' denied on 'projects/p/locations/us-east1'", "permission"),
    ("Job gets non-retryable information Batch Error: code - CODE_GCE_INVALID_FIELD_VALUE, description - x", "invalid"),
    ("Invalid value for field 'resource.properties.guestAccelerators[0]'", "invalid"),
    ("CODE_GCE_BAD_REQUEST", "invalid"),
    ("Batch Error: code - CODE_GCE_PERMISSION_DENIED, description - Required 'compute.x' permission", "permission"),
]
ORDINARY = [
    "",
    "Job state is set from QUEUED to SCHEDULED for job projects/1/locations/us-east1/jobs/j.",
    "Task state is updated from RUNNING to FAILED on zones/us-east1-b/instances/9 with exit code 125.",
    "Task state is updated from PENDING to ASSIGNED on zones/us-east1-b/instances/9",
    "the electron printed: quota",
]


@pytest.mark.parametrize(("text", "kind"), SEEN)
def test_words_that_were_seen_are_recognised(text: str, kind: str) -> None:
    trouble = find_hint(text)
    assert trouble is not None
    assert trouble.kind.startswith(kind)


@pytest.mark.parametrize(("text", "kind"), SEEN)
def test_they_are_recognised_also_within_another_text(text: str, kind: str) -> None:
    trouble = find_hint(f'Job failed. Specifically: "{text}"\nmore')
    assert trouble is not None
    assert trouble.kind.startswith(kind)


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_words_are_no_trouble(text: str) -> None:
    assert find_hint(text) is None


@pytest.mark.parametrize(("text", "kind"), SEEN)
def test_each_has_a_meaning_and_a_remedy_that_fit_into_a_sentence(text: str, kind: str) -> None:
    trouble = find_hint(text)
    assert trouble is not None
    for part in (trouble.meaning, trouble.remedy):
        assert part
        assert part[-1] not in ".:,"


def test_only_quota_and_capacity_may_pass_while_a_job_waits() -> None:
    passing = {trouble.kind for text, _ in SEEN if (trouble := find_hint(text)) is not None and trouble.may_pass}
    assert passing == {"quota", "capacity"}


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        ([], None),
        (ORDINARY, None),
        ([QUOTA, CAPACITY], "capacity"),
        ([CAPACITY, QUOTA, *ORDINARY], "quota"),
    ],
)
def test_the_latest_trouble_counts(texts: list[str], kind: str | None) -> None:
    found = find_last_hint(iter(texts))
    if kind is None:
        assert found is None
    else:
        assert found is not None
        assert found[0].kind == kind
        assert found[1] in texts


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    find_hint(text)


def test_long_texts_are_read_quickly() -> None:
    assert find_hint("machine type " * 20_000) is None
