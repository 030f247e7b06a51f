"""Apply faults to gRPC calls, around the call of a method: refused, lost, late, not found yet, garbage, endless."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from google.longrunning import operations_pb2

from ..model.errors import RpcError, batch_disabled
from .endless import ENDLESS, endless_token
from .fault import Fault
from .plan import ArmedFault, FaultPlan, FaultTarget
from .read_quota import ReadQuota

_JOB = re.compile(r"projects/[^/]+/locations/[^/]+/jobs/([^/]+)")
_TASK = re.compile(r"/tasks/(\d+)$")
_REFUSALS = ("error", "not_found", "api_disabled", "service_account", "machine_type")
# No message: field numbers below 1 are not valid (protobuf's "Encoding")
_GARBAGE = bytes(9)
_PRESENCE = ("GetJob", "GetTask", "ListTasks", "CancelJob", "DeleteJob")

Described = Callable[[str], tuple[Mapping[str, str], float] | None]
"""From a job's full name to its labels and the time it was created (seconds since the epoch), if there is one."""


class CallFaults:
    """The faults of one service's calls; `family` is "rpc" or "logging", `described` describes Batch's jobs."""

    def __init__(
        self,
        plan: FaultPlan,
        family: str,
        described: Described = lambda name: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._plan = plan
        self._family = family
        self._described = described
        self._clock = clock
        self._lock = threading.Lock()
        self._quotas: dict[int, ReadQuota] = {}

    def answer(self, method: str, request: Any, call: Callable[[Any], Any], context: Any) -> Any:
        """Let the call be answered, or strike. Raises RpcError, besides what the call raises.

        A call that is late takes effect after its delay, also when the client has given up meanwhile.
        """
        if not self._plan.has(self._family):
            return call(request)
        target, created = self._target(method, request)
        late = self._draw("latency", target)
        if late is not None:
            ended = threading.Event()
            # False when the client is gone already: then there is no need to wait
            if context.add_callback(ended.set):
                ended.wait(late.consume().value("seconds"))
        refused = self._draw_refusal(target, created)
        if refused is not None:
            raise self._refusal(refused.consume(), target, request)
        self._count_read(method, request)
        if getattr(request, "page_token", "").startswith(ENDLESS):
            request.page_token = ""
        answer = call(request)
        lost = self._draw("lost", target)
        if lost is not None:
            fault = lost.consume()
            raise RpcError(fault.value("code"), fault.value("message") or "the response was lost")
        garbage = self._draw("garbage", target)
        if garbage is not None:
            garbage.consume()
            return _GARBAGE
        return self._without_end(answer, target)

    def _without_end(self, answer: Any, target: FaultTarget) -> Any:
        endless = self._draw("endless", target) if target.method.startswith("List") else None
        if endless is None:
            return answer
        token = endless.consume().value("token")
        # All answers of lists have this field under the same number, and of two the last is meant
        last = operations_pb2.ListOperationsResponse(next_page_token=endless_token(token))
        return (answer if isinstance(answer, bytes) else answer.SerializeToString()) + last.SerializeToString()

    def _draw(self, what: str, target: FaultTarget) -> ArmedFault | None:
        return self._plan.draw((f"{self._family}.{what}",), target)

    def _draw_refusal(self, target: FaultTarget, created: float | None) -> ArmedFault | None:
        age = None if created is None else self._clock() - created

        def applies(fault: Fault) -> bool:
            if fault.kind in ("rpc.service_account", "rpc.machine_type"):
                return target.method == "CreateJob"
            if fault.kind != "rpc.not_found":
                return True
            # a fault of jobs that exist: what does not is not found anyway
            limit = fault.value("seconds")
            return target.method in _PRESENCE and age is not None and (limit is None or age < limit)

        return self._plan.draw(tuple(f"{self._family}.{what}" for what in _REFUSALS), target, applies)

    def _target(self, method: str, request: Any) -> tuple[FaultTarget, float | None]:
        if self._family != "rpc":
            return FaultTarget(method=method), None
        if method == "CreateJob":
            return FaultTarget(method=method, job=request.job_id, labels=dict(request.job.labels)), None
        text = getattr(request, "name", "") or getattr(request, "parent", "")
        match = _JOB.match(text)
        if match is None:
            return FaultTarget(method=method), None
        task = _TASK.search(text)
        labels, created = self._described(match[0]) or ({}, None)
        number = None if task is None else int(task[1])
        return FaultTarget(method=method, job=match[1], labels=labels, task=number), created

    def _count_read(self, method: str, request: Any) -> None:
        if method != "ListLogEntries":
            return
        drawn = self._plan.draw(("logging.quota",), FaultTarget(method=method))
        if drawn is None:
            return
        per_minute = drawn.fault.value("per_minute")
        with self._lock:
            quota = self._quotas.setdefault(per_minute, ReadQuota(per_minute, time.monotonic))
        try:
            quota.take(name.partition("/")[2] for name in request.resource_names)
        except RpcError:
            drawn.consume()
            raise
        drawn.give_back()

    def _refusal(self, fault: Fault, target: FaultTarget, request: Any) -> RpcError:
        if fault.kind == "rpc.not_found":
            named = getattr(request, "name", "") or request.parent
            return RpcError("NOT_FOUND", f'Resource "{named}" was not found')
        if fault.kind == "rpc.api_disabled":
            return batch_disabled(_project(request))
        if fault.kind == "rpc.service_account":
            email = request.job.allocation_policy.service_account.email or "the default service account"
            text = f"caller does not have access to act as the specified service account: {email}"
            return RpcError("PERMISSION_DENIED", text)
        if fault.kind == "rpc.machine_type":
            machines = [instance.policy.machine_type for instance in request.job.allocation_policy.instances]
            text = f"Invalid machine type: {(machines or [''])[0]!r} is not supported in {request.parent}"
            return RpcError("INVALID_ARGUMENT", text)
        return RpcError(fault.value("code"), fault.value("message") or f"{target.method} is refused by a fault")


def _project(request: Any) -> str:
    named = getattr(request, "parent", "") or getattr(request, "name", "")
    return str([*named.split("/"), "", ""][1])
