"""Answer the calls of google.logging.v2.LoggingServiceV2 from a store, message in and message out."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from google.cloud.logging_v2 import types
from google.protobuf import empty_pb2

from ..faults.read_quota import ReadQuota
from ..filters.filter_language import FilterError
from ..model.errors import RpcError
from ..model.log_store import LogRecord, LogStore, log_name_of
from .entry_filter import parse_entry_filter

# "Method: entries.list": 50 entries a page unless the request says otherwise, at most 1,000.
DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
# A gRPC client takes messages up to 4 MiB: a page ends early rather than past that.
PAGE_BYTES = 2 * 1024 * 1024

_ListLogEntriesResponse = types.ListLogEntriesResponse.pb()
_WriteLogEntriesResponse = types.WriteLogEntriesResponse.pb()
_ListLogsResponse = types.ListLogsResponse.pb()


def _invalid(message: str) -> RpcError:
    return RpcError("INVALID_ARGUMENT", message)


class LoggingService:
    """The four calls, each from a request message to a response message."""

    def __init__(self, store: LogStore, quota: ReadQuota) -> None:
        self._store = store
        self._quota = quota

    def list_log_entries(self, request: Any) -> Any:
        projects = _projects(request.resource_names)
        self._quota.take(projects)
        try:
            matches = parse_entry_filter(request.filter)
        except FilterError as error:
            raise _invalid(f"Unparseable filter: {error}") from error
        descending = _is_descending(request.order_by)
        last = _last_of_token(request.page_token, request)
        found = sorted(
            (r for r in self._store.records() if r.project in projects and matches(r)),
            key=lambda record: record.order,
            reverse=descending,
        )
        limit = _page_size(request.page_size)
        response = _ListLogEntriesResponse()
        size = 0
        for record in found:
            # Also skips an entry written twice: same time, insert id and log mean the same entry to Google.
            if last is not None and (record.order >= last if descending else record.order <= last):
                continue
            if len(response.entries) == limit or (response.entries and size + record.size > PAGE_BYTES):
                response.next_page_token = _token(last, request)
                break
            _fill(response.entries.add(), record)
            size += record.size
            last = record.order
        return response

    def write_log_entries(self, request: Any) -> Any:
        records = [self._record(entry, request) for entry in request.entries]
        if not request.dry_run:
            self._store.append(*records)
        return _WriteLogEntriesResponse()

    def list_logs(self, request: Any) -> Any:
        projects = _projects([request.parent, *request.resource_names])
        names = sorted({r.log_name for r in self._store.records() if r.project in projects})
        after = request.page_token
        limit = _page_size(request.page_size)
        rest = [name for name in names if name > after]
        response = _ListLogsResponse(log_names=rest[:limit])
        if len(rest) > limit:
            response.next_page_token = rest[limit - 1]
        return response

    def delete_log(self, request: Any) -> Any:
        project, log = _split_log_name(request.log_name)
        if self._store.delete_log(log_name_of(project, log)) == 0:
            raise RpcError("NOT_FOUND", f"Log {request.log_name} does not exist")
        return empty_pb2.Empty()

    def _record(self, entry: Any, request: Any) -> LogRecord:
        project, log = _split_log_name(entry.log_name or request.log_name)
        resource = entry.resource if entry.HasField("resource") else request.resource
        if not resource.type:
            raise _invalid("A monitored resource must be specified for each log entry")
        now = self._store.now_ns()
        payload_kind = entry.WhichOneof("payload")
        structured = payload_kind in ("json_payload", "proto_payload")
        return LogRecord(
            project=project,
            log_name=log_name_of(project, log),
            labels={**request.labels, **entry.labels},
            severity=entry.severity,
            text=entry.text_payload,
            timestamp_ns=entry.timestamp.ToNanoseconds() if entry.HasField("timestamp") else now,
            received_ns=now,
            insert_id=entry.insert_id or self._store.new_insert_id(),
            resource_type=resource.type,
            resource_labels=dict(resource.labels),
            payload=getattr(entry, payload_kind) if structured else None,
        )


def _fill(entry: Any, record: LogRecord) -> None:
    entry.log_name = record.log_name
    entry.resource.type = record.resource_type
    entry.resource.labels.update(record.resource_labels)
    entry.timestamp.FromNanoseconds(record.timestamp_ns)
    entry.receive_timestamp.FromNanoseconds(record.received_ns)
    entry.severity = record.severity
    entry.insert_id = record.insert_id
    entry.labels.update(record.labels)
    if record.payload is None:
        entry.text_payload = record.text
    elif record.payload.DESCRIPTOR.name == "Struct":
        entry.json_payload.CopyFrom(record.payload)
    else:
        entry.proto_payload.CopyFrom(record.payload)


def _projects(names: Iterable[str]) -> set[str]:
    wanted = {name for name in names if name}
    if not wanted:
        raise _invalid("At least one resource name is needed")
    for name in wanted:
        if not re.fullmatch(r"projects/[^/]+", name):
            raise _invalid(f"This emulator knows resource names of the form projects/PROJECT_ID, not {name!r}")
    return {name.partition("/")[2] for name in wanted}


def _split_log_name(name: str) -> tuple[str, str]:
    match = re.fullmatch(r"projects/([^/]+)/logs/([^/]+)", name)
    if match is None:
        raise _invalid(f"Invalid log name: {name!r}")
    return match.group(1), unquote(match.group(2))


def _is_descending(order_by: str) -> bool:
    words = order_by.split()
    if words not in ([], ["timestamp"], ["timestamp", "asc"], ["timestamp", "desc"]):
        raise _invalid(f"Invalid order_by: {order_by!r}")
    return words[1:] == ["desc"]


def _page_size(requested: int) -> int:
    if requested < 0:
        raise _invalid("page_size must not be negative")
    return min(requested or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


def _question(request: Any) -> list[Any]:
    return [sorted(request.resource_names), request.filter, request.order_by]


def _token(last: tuple[int, str, str] | None, request: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps([last, _question(request)]).encode()).decode("ascii")


def _last_of_token(token: str, request: Any) -> tuple[int, str, str] | None:
    if not token:
        return None
    try:
        (timestamp_ns, insert_id, log_name), question = json.loads(base64.urlsafe_b64decode(token))
    except (ValueError, TypeError) as error:
        raise _invalid("page_token is not valid") from error
    if question != _question(request):
        raise _invalid("page_token belongs to a request with another filter, order or resource")
    return timestamp_ns, insert_id, log_name
