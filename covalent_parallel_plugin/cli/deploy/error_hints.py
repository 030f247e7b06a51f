"""What to do about an error that Terraform or Google's provider shows: a table of texts."""

from __future__ import annotations

import re

# In the order in which they are looked for: the first cause explains the others. Texts are those of Terraform 1.5 to
# 1.11 and of Google's provider 5 to 7.
_HINTS = (
    (
        r"could not find default credentials|No credentials loaded|could not find or load default credentials"
        r"|invalid_grant|reauth related error|token has been expired or revoked",
        "Log in with: gcloud auth application-default login",
    ),
    (
        r"Error acquiring the state lock",
        "Another command works on this deployment: wait for its end. (A crashed one leaves no lock behind.)",
    ),
    (
        r"[Bb]illing (account|must be enabled)|BILLING_DISABLED|billing to be enabled",
        "Link a billing account to the project: https://console.cloud.google.com/billing/projects",
    ),
    (
        r"has not been used in project \S+ before or it is disabled|SERVICE_DISABLED|accessNotConfigured",
        "An API was enabled a moment ago, or cannot be: wait two minutes and say the same again. If it stays, enable it"
        " with: gcloud services enable cloudresourcemanager.googleapis.com serviceusage.googleapis.com",
    ),
    (
        r"requested bucket name is not available|you already own it|Error 409: Your previous request to create the"
        r" named bucket",
        "Bucket names are one for all the world: choose another with --set bucket_name=NAME, or use the bucket that you"
        " have with --set create_bucket=false --set bucket_name=NAME",
    ),
    (
        r"[Ee]rror 409|already exists",
        "Something of that name stands that this deployment did not make: choose another --name, or take it over with"
        " `terraform import` in the deployment's folder",
    ),
    (
        r"force_destroy|[Bb]ucket .{0,80}(not empty|contains objects)|trying to delete a bucket without",
        "The bucket holds objects: delete them, or allow it with: up --set force_destroy=true, then down",
    ),
    (
        r"violates constraint constraints/|orgpolicy|conditionNotMet",
        "A policy of the organisation forbids it: ask its administrator, or choose other values with --set",
    ),
    (
        r"[Ee]rror 403|PERMISSION_DENIED|does not have .{0,60}(permission|access)",
        "The identity that Terraform runs as may not do this: docs/how-to/deploy.md names what it needs (roles/owner on"
        " the project is enough)",
    ),
    (
        r"Failed to query available provider packages|[Cc]ould not (connect to|retrieve the list)|registry\.\S+.{0,200}"
        r"(timeout|no such host|connection refused)",
        "The provider could not be fetched: look at the network, the proxy variables, or set up a mirror"
        " (https://developer.hashicorp.com/terraform/cli/config/config-file#provider-installation)",
    ),
    (
        r"state (data|snapshot).{0,80}(newer|future) version|created by a newer version of Terraform",
        "The state was written by a newer Terraform: use that one, with --terraform PATH",
    ),
    (
        r"[Ss]aved plan is stale",
        "The infrastructure changed after the plan was made: say the same again",
    ),
)


def hint_for(errors: str) -> str:
    """Return what to do, in a sentence; "" for an error that speaks for itself."""
    # Terraform wraps its messages in boxes, in the middle of sentences
    flat = re.sub(r"[\s│╷╵]+", " ", re.sub(r"\x1b\[[0-9;]*m", "", errors))
    return next((hint for pattern, hint in _HINTS if re.search(pattern, flat)), "")
