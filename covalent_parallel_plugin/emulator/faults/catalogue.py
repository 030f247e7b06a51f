"""Which faults there are: what each matches on, and its parameters with their defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Value = str | float | int | bool | None


@dataclass(frozen=True)
class FaultKind:
    """One kind of fault. A parameter in `required` has no default; `matches` are the fields it may be narrowed by."""

    matches: tuple[str, ...]
    parameters: Mapping[str, Value] = field(default_factory=dict)
    required: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All fields of this kind."""
        return (*self.matches, *self.required, *self.parameters)


_RPC = ("method", "job", "labels", "task")
_LOGGING = ("method",)
_STORAGE = ("request", "bucket", "object")
_API = ("request",)
_ATTEMPT = ("job", "labels", "provisioning", "task", "attempt")
_JOB = ("job", "labels", "provisioning")

KINDS: Mapping[str, FaultKind] = {
    # calls to Batch and to its operations
    "rpc.error": FaultKind(_RPC, {"message": ""}, required=("code",)),
    "rpc.lost": FaultKind(_RPC, {"code": "UNAVAILABLE", "message": ""}),
    "rpc.latency": FaultKind(_RPC, required=("seconds",)),
    "rpc.not_found": FaultKind(_RPC, {"seconds": None}),
    "rpc.api_disabled": FaultKind(_RPC),
    "rpc.service_account": FaultKind(_RPC),
    "rpc.machine_type": FaultKind(_RPC),
    # calls to Cloud Logging
    "logging.error": FaultKind(_LOGGING, {"message": ""}, required=("code",)),
    "logging.lost": FaultKind(_LOGGING, {"code": "UNAVAILABLE", "message": ""}),
    "logging.latency": FaultKind(_LOGGING, required=("seconds",)),
    "logging.quota": FaultKind(_LOGGING, {"per_minute": 60}),
    # requests to Cloud Storage
    "storage.error": FaultKind(_STORAGE, {"message": ""}, required=("code",)),
    "storage.lost": FaultKind(_STORAGE, {"code": "", "message": ""}),
    "storage.slow": FaultKind(_STORAGE, required=("seconds",)),
    "storage.drop": FaultKind(_STORAGE),
    "storage.truncate": FaultKind(_STORAGE),
    "storage.corrupt": FaultKind(_STORAGE, {"keeps_hash": True}),
    "storage.no_bucket": FaultKind(_STORAGE),
    # requests to the JSON APIs that tell what exists
    "api.error": FaultKind(_API, {"message": ""}, required=("code",)),
    "api.slow": FaultKind(_API, required=("seconds",)),
    # attempts of tasks
    "attempt.preempt": FaultKind(_ATTEMPT, {"after_seconds": 0.0, "notice_seconds": 30.0, "before_run": False}),
    "attempt.lost": FaultKind(_ATTEMPT, {"after_seconds": 0.0, "goes_on": False, "before_run": False}),
    "attempt.reboot": FaultKind(_ATTEMPT, {"after_seconds": 0.0}),
    "attempt.unresponsive": FaultKind(_ATTEMPT, {"after_seconds": 0.0, "goes_on": False}),
    "attempt.recreate": FaultKind(_ATTEMPT, {"after_seconds": 0.0, "goes_on": False}),
    "attempt.twice": FaultKind(_ATTEMPT, {"after_seconds": 0.0, "concurrent": True}),
    "attempt.no_image": FaultKind(_ATTEMPT, {"message": ""}),
    "attempt.exit": FaultKind(_ATTEMPT, {"after_seconds": 0.0, "before_run": False}, required=("exit_code",)),
    "attempt.stuck": FaultKind(_ATTEMPT, {"seconds": None, "exit_code": None}),
    "attempt.late": FaultKind(_ATTEMPT, required=("seconds",)),
    # jobs on their way
    "job.refused": FaultKind(
        _JOB, {"code": "CODE_MACHINE_TYPE_NOT_FOUND", "message": "", "after_seconds": 0.0, "state": "SCHEDULED"}
    ),
    "job.quota": FaultKind(_JOB, {"seconds": None, "message": "", "state": "QUEUED"}),
    "job.no_capacity": FaultKind(_JOB, {"seconds": None, "message": "", "state": "QUEUED"}),
    "job.no_agent": FaultKind(_JOB, {"seconds": 0.0, "window_seconds": 1080, "state": "SCHEDULED"}),
    "job.vanish": FaultKind(_JOB, {"after_seconds": 0.0, "state": "QUEUED"}),
    "job.cancelled": FaultKind(_JOB, {"after_seconds": 0.0, "state": "QUEUED"}),
    "job.stuck_cancelling": FaultKind(_JOB, {"seconds": None}),
    "job.stop_siblings": FaultKind((*_JOB, "task"), {"spares_running": False}),
}

TARGETS: Mapping[str, str] = {
    "rpc": "method",
    "logging": "method",
    "storage": "request",
    "api": "request",
    "attempt": "job",
    "job": "job",
}
"""The field that a flag's second part fills, by family (a kind's name up to its dot)."""

STATES: Mapping[str, tuple[str, ...]] = {
    "job.vanish": ("QUEUED", "RUNNING"),
    "job.cancelled": ("QUEUED", "RUNNING"),
}
"""The states that the parameter `state` may name; QUEUED and SCHEDULED where nothing else is said."""

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
READS = ("objects.get", "objects.download", "objects.list", "buckets.get", "buckets.list")
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
STATUS_CODES = (
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""The names of gRPC's status codes, OK left out."""
