"""What is said about errors of Terraform and of Google's provider, in the words in which they come."""

from __future__ import annotations

import pytest

from covalent_parallel_plugin.cli.deploy.error_hints import hint_for

NOT_LOGGED_IN = """
╷
│ Error: Attempted to load application default credentials since neither `credentials` nor `access_token` was set in
│ the provider block.  No credentials loaded. To use your gcloud credentials, run 'gcloud auth application-default
│ login'
"""
LOCKED = """
\x1b[31m╷\x1b[0m
\x1b[31m│\x1b[0m \x1b[1mError: \x1b[0mError acquiring the state lock
│
│ Error message: resource temporarily unavailable
"""
DISABLED = """
│ Error: Error when reading or editing Project Service : Request `List Project Services` returned error: googleapi:
│ Error 403: Cloud Resource Manager API has not been used in project
│ 123456 before or it is disabled.
"""
TAKEN = """
│ Error: googleapi: Error 409: The requested bucket name is not available. The bucket namespace is shared by all users
│ of the system. Please select a different name and try again., conflict
"""
NOT_EMPTY = """
│ Error: Error trying to delete bucket covalent-my-project containing objects without `force_destroy` set to true
"""


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        (NOT_LOGGED_IN, "gcloud auth application-default login"),
        ('Error: Post "https://example": oauth2: "invalid_grant" "Bad Request"', "gcloud auth application-default"),
        (LOCKED, "wait for its end"),
        (DISABLED, "wait two minutes"),
        (TAKEN, "--set bucket_name=NAME"),
        ("Error: Error creating Network: googleapi: Error 409: already exists", "choose another --name"),
        (NOT_EMPTY, "--set force_destroy=true"),
        ("googleapi: Error 400: Billing must be enabled for activation of service 'batch'", "Link a billing account"),
        ("Error 412: Request violates constraint constraints/storage.softDeletePolicySeconds", "administrator"),
        ("googleapi: Error 403: Permission 'iam.serviceAccounts.create' denied", "may not do this"),
        ("Error: Failed to query available provider packages", "could not be fetched"),
        ("Error: Saved plan is stale", "say the same again"),
        ("state snapshot was created by a newer version of Terraform", "written by a newer Terraform"),
    ],
)
def test_a_known_error_is_told_with_its_remedy(errors: str, told: str) -> None:
    assert told in hint_for(errors)


def test_an_unknown_error_speaks_for_itself() -> None:
    assert hint_for("Error: Unsupported argument") == ""


def test_a_disabled_api_is_not_taken_for_a_missing_permission() -> None:
    assert "may not do this" not in hint_for(DISABLED)
