"""Calls to Batch and requests to Cloud Storage that are refused, lost, late or changed on their way."""

from __future__ import annotations

from faulty_electrons import BEGUN, seven, sleeps
from faulty_runs import Case, http, refused, struck

from covalent_parallel_plugin.emulator import Fault
from covalent_parallel_plugin.errors import (
    CloudError,
    MissingResourceError,
    NoCapacityError,
    NoOutcomeError,
    OutcomeError,
    PermissionDeniedError,
    TaskKilledError,
    TaskRefusedError,
)

BUCKET = "faulty"
# With these Batch refuses to tell of a job, and no outage has them
ODD_CODES = (
    "CANCELLED",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "FAILED_PRECONDITION",
    "DATA_LOSS",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
)

REQUESTS: dict[str, Case] = {
    "may-not-create": Case(
        seven,
        [refused("CreateJob", "PERMISSION_DENIED", message="Permission 'batch.jobs.create' denied on resource")],
        error=PermissionDeniedError,
        words=["batch.jobs.create", "roles/batch.jobsEditor"],
        jobs=[],
    ),
    "may-not-act-as": Case(
        seven,
        [Fault("rpc.service_account")],
        {"service_account_email": "runner@local.iam.gserviceaccount.com"},
        error=PermissionDeniedError,
        words=["act as", "roles/iam.serviceAccountUser", "service_account_email"],
        jobs=[],
    ),
    "api-disabled": Case(
        seven,
        [Fault("rpc.api_disabled", method="CreateJob")],
        error=PermissionDeniedError,
        words=["disabled_apis in the emulator's --known file"],
        jobs=[],
    ),
    "machine-refused-at-once": Case(
        seven,
        [Fault("rpc.machine_type")],
        {"machine_type": "n5-standard-8"},
        error=CloudError,
        words=["machine type", "the emulator's --known file"],
        jobs=[],
    ),
    "bucket-missing": Case(
        seven,
        [Fault("storage.no_bucket", request="writes")],
        error=MissingResourceError,
        words=[BUCKET, "bucket_name", "start the emulator with --bucket"],
        jobs=[],
    ),
    "bucket-not-writable": Case(
        seven,
        [http(403, "writes", "*/call")],
        error=PermissionDeniedError,
        words=["roles/storage.objectUser", BUCKET],
        jobs=[],
    ),
    "task-may-not-read": Case(
        seven,
        [http(403, "objects.download", "*/call")],
        error=NoOutcomeError,
        words=["69", "could not read", "roles/storage.objectViewer", "403"],
        jobs=["FAILED"],
        attempts=1,
    ),
    "task-may-not-write": Case(
        seven,
        [http(403, "objects.insert", "*/outcome*")],
        error=NoOutcomeError,
        words=["73", "could not write", "roles/storage.objectCreator", "403"],
        jobs=["FAILED"],
        attempts=1,
    ),
    "call-deleted": Case(
        seven,
        [http(404, "objects.download", "*/call")],
        error=NoOutcomeError,
        words=["66", "not in the bucket"],
        jobs=["FAILED"],
        attempts=1,
    ),
    "call-changed": Case(
        seven,
        [Fault("storage.corrupt", request="objects.download", object="*/call", keeps_hash=False)],
        error=TaskRefusedError,
        words=["changed on its way", "not the one that was sealed"],
        attempts=1,
    ),
    "call-changed-once": Case(
        seven, [Fault("storage.corrupt", request="objects.download", object="*/call", first=1)], attempts=1
    ),
    "outcome-not-readable": Case(
        seven,
        [http(403, "objects.download", "*/outcome*")],
        error=PermissionDeniedError,
        words=["roles/storage.objectUser", BUCKET, "stays in gs://", "covalent-parallel fetch"],
        left=["outcome-0"],
    ),
    "outcome-cut-off-once": Case(seven, [Fault("storage.truncate", object="*/outcome*", first=1)]),
    "outcome-changed-once": Case(seven, [Fault("storage.corrupt", object="*/outcome*", first=1)]),
    "outcome-always-changed": Case(
        seven,
        [Fault("storage.corrupt", object="*/outcome*")],
        error=OutcomeError,
        words=["stays in gs://", "covalent-parallel fetch"],
        left=["outcome-0"],
    ),
    "outcome-changed-unnoticed-once": Case(
        seven, [Fault("storage.corrupt", object="*/outcome*", keeps_hash=False, first=1)]
    ),
    "outcome-changed": Case(
        seven,
        [Fault("storage.corrupt", object="*/outcome*", keeps_hash=False)],
        error=OutcomeError,
        words=["no usable outcome", "who else writes to the bucket", "stays in gs://", "covalent-parallel fetch"],
        left=["outcome-0"],
    ),
    "batch-unavailable-at-first": Case(seven, [refused("CreateJob", "UNAVAILABLE", first=2)], attempts=1),
    "batch-late-at-first": Case(seven, [refused("CreateJob", "DEADLINE_EXCEEDED", first=1)], attempts=1),
    "creation-unanswered": Case(seven, [Fault("rpc.lost", method="CreateJob", first=1)], attempts=1),
    "creation-unanswered-late": Case(
        seven, [Fault("rpc.lost", method="CreateJob", code="DEADLINE_EXCEEDED", first=2)], attempts=1
    ),
    "looks-fail": Case(seven, [refused("GetJob", "UNAVAILABLE", first=4)], attempts=1),
    "looks-break": Case(seven, [refused("GetJob", "INTERNAL", first=4)], attempts=1),
    "looks-are-too-many": Case(seven, [refused("GetJob", "RESOURCE_EXHAUSTED", first=2)], attempts=1),
    "looks-are-late": Case(seven, [Fault("rpc.latency", method="GetJob", seconds=1)], attempts=1),
    **{
        f"looks-are-odd-{code.lower().replace('_', '-')}": Case(seven, [refused("GetJob", code, first=1)], attempts=1)
        for code in ODD_CODES
    },
    "deletions-are-refused-once": Case(seven, [http(403, "objects.delete", "*", first=1)], attempts=1),
    "deletion-is-refused": Case(seven, [http(403, "objects.delete", "*/call")], left=["call"]),
    "outcome-not-permitted-at-first": Case(seven, [http(403, "objects.download", "*/outcome*", first=2)], attempts=1),
    "outcome-not-found-at-first": Case(seven, [http(404, "objects.download", "*/outcome*", first=1)], attempts=1),
    "not-found-at-first": Case(seven, [Fault("rpc.not_found", method="GetJob", first=3)], attempts=1),
    "task-not-told-at-first": Case(
        sleeps,
        [struck("exit", exit_code=137, after_output=BEGUN), refused("GetTask", "UNAVAILABLE", first=2)],
        error=TaskKilledError,
        words=["137"],
        jobs=["FAILED"],
        attempts=1,
    ),
    "cancelling-fails-at-first": Case(
        seven,
        [Fault("job.quota"), refused("CancelJob", "UNAVAILABLE", first=2)],
        {"queue_limit": 1},
        error=NoCapacityError,
        jobs=["CANCELLED"],
    ),
    "cancelling-is-unanswered": Case(
        seven,
        [Fault("job.quota"), Fault("rpc.lost", method="CancelJob", first=1)],
        {"queue_limit": 1},
        error=NoCapacityError,
        jobs=["CANCELLED"],
    ),
    "cancelling-is-not-there": Case(
        seven,
        [Fault("job.quota"), refused("CancelJob", "UNIMPLEMENTED")],
        {"queue_limit": 1},
        error=NoCapacityError,
        jobs=[],
    ),
    "deleting-fails-at-first": Case(
        seven,
        [
            Fault("job.quota"),
            refused("CancelJob", "UNIMPLEMENTED"),
            refused("DeleteJob", "UNAVAILABLE", first=2),
        ],
        {"queue_limit": 1},
        error=NoCapacityError,
        jobs=[],
    ),
    "uploads-fail-at-first": Case(seven, [http(503, "objects.insert", "*/call", first=3)], attempts=1),
    "uploads-are-too-many": Case(seven, [http(429, "objects.insert", "*/call", first=2)], attempts=1),
    "upload-unanswered": Case(
        seven, [Fault("storage.lost", request="objects.insert", object="*/call", first=1)], attempts=1
    ),
    "upload-dropped": Case(
        seven, [Fault("storage.drop", request="objects.insert", object="*/call", first=1)], attempts=1
    ),
    "storage-slow": Case(seven, [Fault("storage.slow", object="*", seconds=1)], attempts=1),
    "call-not-read-at-first": Case(seven, [http(503, "objects.download", "*/call", first=2)], attempts=1),
    "call-cut-off-at-first": Case(
        seven,
        [Fault("storage.truncate", request="objects.download", object="*/call", first=1)],
        attempts=1,
    ),
    "outcome-not-written-at-first": Case(seven, [http(503, "objects.insert", "*/outcome*", first=2)], attempts=1),
    "outcome-unanswered": Case(
        seven, [Fault("storage.lost", request="objects.insert", object="*/outcome*", first=1)], attempts=1
    ),
    "outcome-not-read-at-first": Case(seven, [http(503, "objects.download", "*/outcome*", first=2)], attempts=1),
    "deletions-fail-at-first": Case(seven, [http(503, "objects.delete", "*", first=2)], attempts=1),
    "deletions-unanswered": Case(
        seven, [Fault("storage.lost", request="objects.delete", object="*", first=1)], attempts=1
    ),
}
