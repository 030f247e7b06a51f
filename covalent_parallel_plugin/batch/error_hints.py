"""What Google's own words in an event, an error or a log mean, in plain words and with the remedy."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from ..protocol.environment import is_on_emulator


@dataclass(frozen=True)
class Hint:
    """A kind of hint: its name, what it means, what to do, and whether it may pass while a job waits.

    `emulator_remedy` is what to do on an emulator, where that is another thing.
    """

    kind: str
    meaning: str
    remedy: str
    may_pass: bool = False
    emulator_remedy: str = ""


QUOTA = "quota"
CAPACITY = "capacity"

# Texts seen in events and errors of Batch, Compute Engine and Service Usage. The first that is found is meant.
_KNOWN: tuple[tuple[str, Hint], ...] = (
    (
        r"CODE_GCE_QUOTA_EXCEEDED|Quota '[^']*' exceeded|QUOTA_EXCEEDED",
        Hint(
            QUOTA,
            "the project's quota for such machines is used up",
            "wait for other jobs to end, ask for more (console: IAM & Admin, Quotas), or use smaller machines or"
            " another region",
            may_pass=True,
            emulator_remedy="wait for other jobs to end, or give the emulator more --vms",
        ),
    ),
    (
        r"RESOURCE_POOL_EXHAUSTED|does not have enough resources|STOCKOUT",
        Hint(
            CAPACITY,
            "Google has no such machine free there now",
            "wait, use spot=False, another machine_type or gpu_type, or another region",
            may_pass=True,
        ),
    ),
    (
        r"CODE_MACHINE_TYPE_NOT_FOUND|[Mm]achine type .{0,200} (does not exist|not found)|[Ii]nvalid machine type",
        Hint(
            "machine_type",
            "the region has no such machine type",
            "check machine_type with `gcloud compute machine-types list --filter=zone~REGION`",
            emulator_remedy="check machine_type against the types in the emulator's --known file",
        ),
    ),
    (
        r"No VM has agent reporting correctly",
        Hint(
            "agent",
            "the machine started and could not report to Batch",
            "give service_account_email roles/batch.agentReporter on the project, and the network a way to Google"
            " (Private Google Access, if it has no external address)",
        ),
    ),
    (
        r"act as the specified service account|iam\.serviceAccounts\.actAs",
        Hint(
            "service_account",
            "the identity of the Covalent server may not run jobs as this service account",
            "give it roles/iam.serviceAccountUser on service_account_email",
        ),
    ),
    (
        r"SERVICE_DISABLED|has not been used in project|API\b.{0,80} is (disabled|not enabled)",
        Hint(
            "api",
            "an API is not enabled in the project",
            "run `gcloud services enable batch.googleapis.com compute.googleapis.com logging.googleapis.com"
            " storage.googleapis.com`",
            emulator_remedy="take it out of disabled_apis in the emulator's --known file, or end the fault",
        ),
    ),
    (
        r"[Bb]illing (account|must be enabled)|BILLING_DISABLED",
        Hint("billing", "the project has no active billing account", "link one to the project"),
    ),
    (
        r"batch\.jobs\.create",
        Hint(
            "permission",
            "the identity of the Covalent server may not create jobs",
            "give it roles/batch.jobsEditor on the project",
        ),
    ),
    (
        r"CODE_GCE_INVALID_FIELD_VALUE|CODE_GCE_BAD_REQUEST|Invalid value for field",
        Hint(
            "invalid_field",
            "Compute Engine refuses the machine that was asked for",
            "check machine_type, gpu_type, gpu_count and boot_disk_gb against each other and the region",
        ),
    ),
    (
        r"CODE_GCE_PERMISSION_DENIED|PERMISSION_DENIED",
        Hint(
            "permission",
            "an identity lacks a permission",
            "read Google's words for which one, and give it the role that has it",
        ),
    ),
)


def find_hint(text: str) -> Hint | None:
    """The kind of hint that a text speaks of, or None."""
    for pattern, hint in _KNOWN:
        if re.search(pattern, text):
            return replace(hint, remedy=hint.emulator_remedy or hint.remedy) if is_on_emulator() else hint
    return None


def find_last_hint(texts: Iterable[str]) -> tuple[Hint, str] | None:
    """The hint that the latest of these texts speaks of, with that text, or None."""
    for text in reversed(list(texts)):
        hint = find_hint(text)
        if hint is not None:
            return hint, text
    return None
