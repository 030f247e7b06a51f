"""Define the kinds of faults: a dataclass for each, made of what narrows it, its parameters and their defaults.

What each of them does is in docs/reference/emulator.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field, make_dataclass
from typing import Any

from . import value_types as types
from .fault import KINDS, REQUIRED, Fault

_Fields = Mapping[str, tuple[types.ValueType, Any]]

_COMMON: _Fields = {
    "name": (types.TEXT, ""),
    "rate": (types.RATE, 1.0),
    "first": (types.LIMIT, None),
    "skip": (types.COUNT, 0),
    "every": (types.POSITIVE_COUNT, 1),
    "per": (types.UNIT, ""),
}
_ANY_JOB: _Fields = {"job": (types.PATTERN, "*"), "labels": (types.LABELS, {})}
_RPC: _Fields = {"method": (types.BATCH_METHOD, "*"), **_ANY_JOB, "task": (types.NUMBERS, "*")}
_LOGGING: _Fields = {"method": (types.LOGGING_METHOD, "*")}
_STORAGE: _Fields = {
    "request": (types.STORAGE_REQUEST, "*"),
    "bucket": (types.PATTERN, "*"),
    "object": (types.PATTERN, "*"),
}
_API: _Fields = {"request": (types.API_REQUEST, "*")}
_JOB: _Fields = {**_ANY_JOB, "provisioning": (types.PROVISIONING_MODEL, "*")}
_ATTEMPT: _Fields = {**_JOB, "task": (types.NUMBERS, "*"), "attempt": (types.NUMBERS, "*")}

_MESSAGE: _Fields = {"message": (types.TEXT, "")}
_CALL_ERROR: _Fields = {"code": (types.GRPC_STATUS, REQUIRED), **_MESSAGE}
_CALL_LOST: _Fields = {"code": (types.GRPC_STATUS, "UNAVAILABLE"), **_MESSAGE}
_HTTP_ERROR: _Fields = {"code": (types.HTTP_STATUS, REQUIRED), **_MESSAGE}
_ENDLESS: _Fields = {"token": (types.PAGE_TOKEN, "same")}
_TRICKLE: _Fields = {"bytes_per_second": (types.POSITIVE_COUNT, REQUIRED)}
_DELAY: _Fields = {"seconds": (types.SECONDS, REQUIRED)}
_FOR_EVER: _Fields = {"seconds": (types.SECONDS, None)}
_DELAYED: _Fields = {"after_seconds": (types.SECONDS, 0.0)}
_AFTER: _Fields = {**_DELAYED, "after_output": (types.TEXT, "")}
_GOES_ON: _Fields = {"goes_on": (types.TRUTH, False)}
_BEFORE_RUN: _Fields = {"before_run": (types.TRUTH, False)}
_QUEUED: _Fields = {"state": (types.STATE_BEFORE_RUN, "QUEUED")}
_SCHEDULED: _Fields = {"state": (types.STATE_BEFORE_RUN, "SCHEDULED")}
_REFUSAL: _Fields = {"code": (types.BATCH_CODE, "CODE_MACHINE_TYPE_NOT_FOUND"), **_MESSAGE}
_RUNS_OR_NOT: _Fields = {"state": (types.STATE_AROUND_RUN, "QUEUED")}

_TABLE: Mapping[str, _Fields] = {
    # calls to Batch and to its operations
    "rpc.error": {**_RPC, **_CALL_ERROR},
    "rpc.lost": {**_RPC, **_CALL_LOST},
    "rpc.latency": {**_RPC, **_DELAY},
    "rpc.garbage": _RPC,
    "rpc.endless": {**_RPC, **_ENDLESS},
    "rpc.not_found": {**_RPC, **_FOR_EVER},
    "rpc.api_disabled": _RPC,
    "rpc.service_account": _RPC,
    "rpc.machine_type": _RPC,
    # calls to Cloud Logging
    "logging.error": {**_LOGGING, **_CALL_ERROR},
    "logging.lost": {**_LOGGING, **_CALL_LOST},
    "logging.latency": {**_LOGGING, **_DELAY},
    "logging.garbage": _LOGGING,
    "logging.endless": {**_LOGGING, **_ENDLESS},
    "logging.quota": {**_LOGGING, "per_minute": (types.COUNT, 60)},
    # requests to Cloud Storage
    "storage.error": {**_STORAGE, **_HTTP_ERROR, "location": (types.TEXT, "")},
    "storage.lost": {**_STORAGE, "code": (types.FINAL_STATUS, ""), **_MESSAGE},
    "storage.slow": {**_STORAGE, **_DELAY},
    "storage.drop": _STORAGE,
    "storage.truncate": _STORAGE,
    "storage.corrupt": {**_STORAGE, "keeps_hash": (types.TRUTH, True)},
    "storage.stall": {**_STORAGE, **_FOR_EVER},
    "storage.trickle": {**_STORAGE, **_TRICKLE},
    "storage.garbage": _STORAGE,
    "storage.endless": {**_STORAGE, **_ENDLESS},
    "storage.no_bucket": _STORAGE,
    # requests to the JSON APIs that describe the project
    "api.error": {**_API, **_HTTP_ERROR},
    "api.slow": {**_API, **_DELAY},
    "api.drop": _API,
    "api.truncate": _API,
    "api.stall": {**_API, **_FOR_EVER},
    "api.trickle": {**_API, **_TRICKLE},
    "api.garbage": _API,
    # attempts of tasks
    "attempt.preempt": {**_ATTEMPT, **_AFTER, "notice_seconds": (types.SECONDS, 30.0), **_BEFORE_RUN},
    "attempt.lost": {**_ATTEMPT, **_AFTER, **_GOES_ON, **_BEFORE_RUN},
    "attempt.reboot": {**_ATTEMPT, **_AFTER},
    "attempt.unresponsive": {**_ATTEMPT, **_AFTER, **_GOES_ON},
    "attempt.recreate": {**_ATTEMPT, **_AFTER, **_GOES_ON},
    "attempt.twice": {**_ATTEMPT, **_AFTER, "concurrent": (types.TRUTH, True)},
    "attempt.no_image": {**_ATTEMPT, **_MESSAGE},
    "attempt.exit": {**_ATTEMPT, "exit_code": (types.POSITIVE_COUNT, REQUIRED), **_AFTER, **_BEFORE_RUN},
    "attempt.stuck": {**_ATTEMPT, **_FOR_EVER, "exit_code": (types.POSITIVE_COUNT, None)},
    "attempt.late": {**_ATTEMPT, **_DELAY},
    # jobs on their way
    "job.refused": {**_JOB, **_REFUSAL, **_DELAYED, **_SCHEDULED},
    "job.quota": {**_JOB, **_FOR_EVER, **_MESSAGE, **_QUEUED},
    "job.no_capacity": {**_JOB, **_FOR_EVER, **_MESSAGE, **_QUEUED},
    "job.no_agent": {**_JOB, "seconds": (types.SECONDS, 0.0), "window_seconds": (types.SECONDS, 1080), **_SCHEDULED},
    "job.vanish": {**_JOB, **_AFTER, **_RUNS_OR_NOT},
    "job.cancelled": {**_JOB, **_AFTER, **_RUNS_OR_NOT},
    "job.stuck_cancelling": {**_JOB, **_FOR_EVER},
    "job.stop_siblings": {**_JOB, "task": (types.NUMBERS, "*"), "spares_running": (types.TRUTH, False)},
}


def _define(kind: str, own: _Fields) -> type[Fault]:
    found = {**_COMMON, **own}
    name = "".join(word.capitalize() for word in re.split(r"[._]", kind))
    return make_dataclass(
        f"{name}Fault",
        [("kind", str, kind), *((name, Any, _defaulting_to(default)) for name, (_, default) in found.items())],
        bases=(Fault,),
        namespace={"types": {name: value_type for name, (value_type, _) in found.items()}, "own_fields": tuple(own)},
        frozen=True,
    )


def _defaulting_to(default: Any) -> Any:
    return field(default_factory=dict) if default == {} else field(default=default)


KINDS.update((kind, _define(kind, own)) for kind, own in _TABLE.items())
