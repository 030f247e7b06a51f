"""Keep the long-running operations that CancelJob and DeleteJob answer with, for google.longrunning.Operations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from google.cloud import batch_v1
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

from ..filters.filter_language import Field, FilterLanguage, text, truth
from ..model.errors import RpcError
from .messages import set_time

MAX_KEPT = 10_000
"""More operations than this, and the oldest that are done are forgotten."""


@dataclass
class Operation:
    """One operation; `verb` is "cancel" or "delete", `target` the job's name."""

    name: str
    target: str
    verb: str
    created: float
    ended: float | None = None
    is_cancelled: bool = False


OPERATION_FILTERS = FilterLanguage[Operation](
    fields={
        "name": Field(lambda operation: operation.name, text),
        "done": Field(lambda operation: operation.ended is not None, truth),
    }
)
"""What filters of operations understand."""


class Operations:
    """The operations of all projects. Not safe for threads: guard it with a lock."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._by_name: dict[str, Operation] = {}
        self._new_id = new_id

    def begin(self, parent: str, target: str, verb: str, now: float) -> Operation:
        """Start an operation on a job."""
        operation = Operation(f"{parent}/operations/operation-{self._new_id()}", target, verb, now)
        self._by_name[operation.name] = operation
        if len(self._by_name) > MAX_KEPT:
            done = next((name for name, operation in self._by_name.items() if operation.ended is not None), None)
            if done is not None:
                del self._by_name[done]
        return operation

    def get(self, name: str) -> Operation:
        """Find an operation. Raises RpcError (NOT_FOUND)."""
        if name not in self._by_name:
            raise RpcError("NOT_FOUND", f'Resource "{name}" was not found')
        return self._by_name[name]

    def delete(self, name: str) -> None:
        """Forget an operation. Raises RpcError (NOT_FOUND)."""
        self.get(name)
        del self._by_name[name]

    def below(self, parent: str) -> list[Operation]:
        """List the operations of a project and location, oldest first."""
        return [operation for operation in self._by_name.values() if operation.name.startswith(f"{parent}/operations/")]


def operation_message(operation: Operation) -> Any:
    """Return the protobuf message of an operation."""
    metadata = batch_v1.OperationMetadata.pb(batch_v1.OperationMetadata())
    set_time(metadata.create_time, operation.created)
    metadata.target, metadata.verb, metadata.api_version = operation.target, operation.verb, "v1"
    metadata.requested_cancellation = operation.is_cancelled
    answer = operations_pb2.Operation(name=operation.name, done=operation.ended is not None)
    if operation.ended is not None:
        set_time(metadata.end_time, operation.ended)
        is_cancel = operation.verb == "cancel"
        answer.response.Pack(
            batch_v1.CancelJobResponse.pb(batch_v1.CancelJobResponse()) if is_cancel else empty_pb2.Empty()
        )
    answer.metadata.Pack(metadata)
    return answer
