"""Copy, rewrite and move stored objects: pure functions."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any

from .metadata_handlers import object_fields, object_resource
from .object_store import BucketStore, ObjectRecord
from .refusals import StorageRefusal
from .routes import Reply, StorageRequest, number, preconditions_of

# "Objects: rewrite": maxBytesRewrittenPerCall is a multiple of this many bytes
REWRITE_UNIT_BYTES = 1 << 20


def _move_object(store: BucketStore, call: StorageRequest, body: dict[str, Any]) -> Reply:
    source = _source(store, call)
    if call.name == call.target_name:
        raise StorageRefusal(400, "invalid", "Source and destination of a move must differ")
    moved = store.copy(source, call.bucket, call.target_name, source.fields, preconditions_of(call.query))
    store.delete(source)
    return Reply(200, object_resource(moved, call.base))


def _copy_object(store: BucketStore, call: StorageRequest, body: dict[str, Any]) -> Reply:
    source = _source(store, call)
    return Reply(200, object_resource(_copied(store, call, source, _fields(source, body)), call.base))


def _rewrite_object(store: BucketStore, call: StorageRequest, body: dict[str, Any]) -> Reply:
    source = _source(store, call)
    fields = _fields(source, body)
    size = source.body.size
    written = _written_before(call, source)
    limit = number(call.query, "maxBytesRewrittenPerCall")
    if limit is not None and (limit < 1 or limit % REWRITE_UNIT_BYTES):
        message = (
            f"Invalid value for 'maxBytesRewrittenPerCall': {limit} is not a multiple of {REWRITE_UNIT_BYTES} bytes"
        )
        raise StorageRefusal(400, "invalid", message)
    content: dict[str, Any] = {"kind": "storage#rewriteResponse", "objectSize": str(size)}
    if limit is not None and written + limit < size and _is_rewritten(store, call, source, fields):
        written += limit
        token = _token(call, source, written)
        return Reply(200, content | {"totalBytesRewritten": str(written), "done": False, "rewriteToken": token})
    resource = object_resource(_copied(store, call, source, fields), call.base)
    return Reply(200, content | {"totalBytesRewritten": str(size), "done": True, "resource": resource})


def _source(store: BucketStore, call: StorageRequest) -> ObjectRecord:
    source = store.find(call.bucket, call.name, number(call.query, "sourceGeneration"))
    preconditions_of(call.query, "ifSource").check(source.generation, source.metageneration)
    return source


def _fields(source: ObjectRecord, body: Mapping[str, Any]) -> dict[str, Any]:
    fields = object_fields(body)
    # A class alone is the new one of the same object.
    return fields if fields.keys() - {"storageClass"} else {**source.fields, **fields}


def _copied(store: BucketStore, call: StorageRequest, source: ObjectRecord, fields: Mapping[str, Any]) -> ObjectRecord:
    return store.copy(source, call.target_bucket, call.target_name, fields, preconditions_of(call.query))


def _is_rewritten(store: BucketStore, call: StorageRequest, source: ObjectRecord, fields: Mapping[str, Any]) -> bool:
    """Return whether bytes must move: to another class or location. Elsewhere a rewrite takes one call."""
    before, after = store.bucket(call.bucket).fields, store.bucket(call.target_bucket).fields
    own_class = source.fields.get("storageClass", "STANDARD")
    new_class = fields.get("storageClass", after.get("storageClass", "STANDARD"))
    places = [str(fields.get("location", "US")).upper() for fields in (before, after)]
    return bool(own_class != new_class) or places[0] != places[1]


def _token(call: StorageRequest, source: ObjectRecord, written: int) -> str:
    """Everything that a rewrite in several calls depends on, so that nothing is kept between them."""
    text = "\n".join([str(written), str(source.generation), call.target_bucket, call.target_name])
    return base64.urlsafe_b64encode(text.encode()).decode("ascii")


def _written_before(call: StorageRequest, source: ObjectRecord) -> int:
    token = call.query.get("rewriteToken")
    if not token:
        return 0
    try:
        written = int(base64.urlsafe_b64decode(token).partition(b"\n")[0])
    except ValueError:  # binascii.Error is one
        written = 0
    if not 0 < written < source.body.size or token != _token(call, source, written):
        raise StorageRefusal(400, "invalid", f"Invalid value for 'rewriteToken': {token[:100]!r}")
    return written


COPIES: Mapping[str, Callable[[BucketStore, StorageRequest, dict[str, Any]], Reply]] = {
    "objects.copy": _copy_object,
    "objects.rewrite": _rewrite_object,
    "objects.move": _move_object,
}
