"""List the names that faults refer to: methods, kinds of request, provisioning models, gRPC statuses."""

from __future__ import annotations

import grpc

BATCH_METHODS = (
    "CreateJob",
    "GetJob",
    "ListJobs",
    "GetTask",
    "ListTasks",
    "CancelJob",
    "DeleteJob",
    "GetOperation",
    "ListOperations",
    "WaitOperation",
    "CancelOperation",
    "DeleteOperation",
)
LOGGING_METHODS = ("ListLogEntries", "WriteLogEntries", "ListLogs", "DeleteLog")
PROVISIONING = ("STANDARD", "SPOT", "PREEMPTIBLE", "RESERVATION_BOUND", "FLEX_START", "PROVISIONING_MODEL_UNSPECIFIED")
API_REQUESTS = (
    "resourcemanager.projects.get",
    "serviceusage.services.get",
    "batch.locations.list",
    "batch.locations.get",
    "compute.regions.get",
    "compute.machineTypes.get",
    "compute.acceleratorTypes.get",
    "compute.networks.get",
    "compute.subnetworks.get",
    "iam.serviceAccounts.testPermissions",
    "iam.serviceAccounts.get",
    "secretmanager.versions.get",
)
"""Named as the permission that each needs, where it needs one."""
READS = (
    "objects.get",
    "objects.download",
    "objects.list",
    "buckets.get",
    "buckets.list",
    "buckets.testPermissions",
)
WRITES = (
    "objects.insert",
    "uploads.start",
    "uploads.chunk",
    "uploads.cancel",
    "objects.delete",
    "objects.patch",
    "objects.update",
    "objects.compose",
    "objects.copy",
    "objects.rewrite",
    "buckets.insert",
    "buckets.patch",
    "buckets.delete",
)
STATUS_CODES = tuple(code.name for code in grpc.StatusCode if code is not grpc.StatusCode.OK)
"""The names of gRPC's status codes, OK left out."""
