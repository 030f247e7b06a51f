"""Long-running operations: what CancelJob and DeleteJob answer with, kept for google.longrunning.Operations."""

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
class Record:
    """One operation; `verb` is "cancel" or "delete", `target` the job's name."""

    name: str
    target: str
    verb: str
    created: float
    ended: float | None = None
    is_cancelled: bool = False


OPERATION_FILTERS = FilterLanguage[Record](
    fields={
        "name": Field(lambda record: record.name, text),
        "done": Field(lambda record: record.ended is not None, truth),
    }
)
"""What filters of operations understand."""


class Operations:
    """The operations of all projects. Not safe for threads: guard it with a lock."""

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._records: dict[str, Record] = {}
        self._new_id = new_id

    def begin(self, parent: str, target: str, verb: str, now: float) -> Record:
        """Start an operation on a job."""
        record = Record(f"{parent}/operations/operation-{self._new_id()}", target, verb, now)
        self._records[record.name] = record
        if len(self._records) > MAX_KEPT:
            done = next((name for name, kept in self._records.items() if kept.ended is not None), None)
            if done is not None:
                del self._records[done]
        return record

    def get(self, name: str) -> Record:
        """Find an operation. Raises RpcError (NOT_FOUND)."""
        if name not in self._records:
            raise RpcError("NOT_FOUND", f'Resource "{name}" was not found')
        return self._records[name]

    def delete(self, name: str) -> None:
        """Forget an operation. Raises RpcError (NOT_FOUND)."""
        self.get(name)
        del self._records[name]

    def below(self, parent: str) -> list[Record]:
        """List the operations of a project and location, oldest first."""
        return [record for record in self._records.values() if record.name.startswith(f"{parent}/operations/")]


def operation_answer(record: Record) -> Any:
    """Give the protobuf message of an operation."""
    metadata = batch_v1.OperationMetadata.pb(batch_v1.OperationMetadata())
    set_time(metadata.create_time, record.created)
    metadata.target, metadata.verb, metadata.api_version = record.target, record.verb, "v1"
    metadata.requested_cancellation = record.is_cancelled
    answer = operations_pb2.Operation(name=record.name, done=record.ended is not None)
    if record.ended is not None:
        set_time(metadata.end_time, record.ended)
        is_cancel = record.verb == "cancel"
        answer.response.Pack(
            batch_v1.CancelJobResponse.pb(batch_v1.CancelJobResponse()) if is_cancel else empty_pb2.Empty()
        )
    answer.metadata.Pack(metadata)
    return answer
