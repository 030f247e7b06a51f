"""Answer the requests of Cloud Storage's JSON API that carry metadata only: pure functions.

Uploads, downloads, composition and copies have modules of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from .glob import compile_glob
from .object_store import BucketRecord, BucketStore, ObjectRecord
from .refusals import StorageRefusal
from .resource_values import (
    BUCKET_FIELDS,
    OBJECT_FIELDS,
    check_bucket_values,
    check_later_custom_time,
    check_object_values,
)
from .routes import Reply, StorageRequest, flag, number, preconditions_of
from .unsupported import BUCKET_OUTPUT, OBJECT_OUTPUT, check_fields


def object_fields(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the user may set, out of an object's resource. Raises StorageRefusal: 400."""
    check_fields(resource, OBJECT_FIELDS, OBJECT_OUTPUT)
    fields = {key: value for key, value in resource.items() if key in OBJECT_FIELDS}
    check_object_values(fields)
    return merged({}, fields)


def object_resource(stored: ObjectRecord, base: str) -> dict[str, Any]:
    """Return the metadata resource of an object ("Objects: resource representations")."""
    bucket, name, generation = stored.bucket, quote(stored.name, safe=""), stored.generation
    created = _timestamp(stored.created_ns)
    resource: dict[str, Any] = {
        "kind": "storage#object",
        "id": f"{bucket}/{stored.name}/{generation}",
        "selfLink": f"{base}/storage/v1/b/{bucket}/o/{name}",
        "mediaLink": f"{base}/download/storage/v1/b/{bucket}/o/{name}?generation={generation}&alt=media",
        "name": stored.name,
        "bucket": bucket,
        "generation": str(generation),
        "metageneration": str(stored.metageneration),
        "storageClass": "STANDARD",
        "size": str(stored.body.size),
        "crc32c": stored.body.crc32c,
        "etag": stored.etag,
        "timeCreated": created,
        "updated": created if stored.updated_ns == stored.created_ns else _timestamp(stored.updated_ns),
        "timeStorageClassUpdated": created,
        **stored.fields,
    }
    if stored.body.md5 is not None:
        resource["md5Hash"] = stored.body.md5
    if stored.component_count is not None:
        resource["componentCount"] = stored.component_count
    return resource


def bucket_resource(bucket: BucketRecord, base: str) -> dict[str, Any]:
    """Return the metadata resource of a bucket."""
    location = str(bucket.fields.get("location", "US")).upper()
    return {
        "storageClass": "STANDARD",
        **bucket.fields,
        "location": location,
        "locationType": _location_type(location, bucket.fields),
        "kind": "storage#bucket",
        "id": bucket.name,
        "name": bucket.name,
        "selfLink": f"{base}/storage/v1/b/{bucket.name}",
        "metageneration": str(bucket.metageneration),
        "etag": f"CA{bucket.metageneration}=",
        "timeCreated": _timestamp(bucket.created_ns),
        "updated": _timestamp(bucket.updated_ns),
    }


def _location_type(location: str, fields: Mapping[str, Any]) -> str:
    # https://cloud.google.com/storage/docs/locations
    if "customPlacementConfig" in fields or re.fullmatch(r"(NAM|EUR|ASIA)\d+", location):
        return "dual-region"
    return "multi-region" if location in ("US", "EU", "ASIA") else "region"


def _timestamp(nanoseconds: int) -> str:
    moment = datetime.fromtimestamp(nanoseconds // 1000 / 1e6, tz=timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def readable_object(store: BucketStore, call: StorageRequest) -> ObjectRecord:
    """Return the object a read asks for, its preconditions checked. Raises StorageRefusal: 304, 400, 404, 412."""
    stored = store.find(call.bucket, call.name, number(call.query, "generation"))
    preconditions_of(call.query).check(stored.generation, stored.metageneration, reading=True)
    if call.etag_match is not None and not _is_named(stored.etag, call.etag_match):
        raise StorageRefusal(412, "conditionNotMet", "The If-Match pre-condition did not hold.")
    if call.etag_not_match is not None and _is_named(stored.etag, call.etag_not_match):
        raise StorageRefusal(304, "notModified", "Not Modified")
    return stored


def _is_named(etag: str, header: str) -> bool:
    return header.strip() == "*" or etag in [named.strip().strip('"') for named in header.split(",")]


def _changeable_object(store: BucketStore, call: StorageRequest) -> ObjectRecord:
    stored = store.find(call.bucket, call.name, number(call.query, "generation"))
    preconditions_of(call.query).check(stored.generation, stored.metageneration)
    return stored


def _get_object(store: BucketStore, call: StorageRequest, body: dict[str, Any]) -> Reply:
    stored = readable_object(store, call)
    return Reply(200, object_resource(stored, call.base), {"ETag": stored.etag})


def _delete_object(store: BucketStore, call: StorageRequest, body: dict[str, Any]) -> Reply:
    store.delete(_changeable_object(store, call))
    return Reply(204)


def _patch_object(store: BucketStore, call: StorageRequest, body: dict[str, Any]) -> Reply:
    stored = _changeable_object(store, call)
    object_fields(body)
    changes = {key: value for key, value in body.items() if key in OBJECT_FIELDS}
    return _changed_object(store, stored, merged(stored.fields, changes), body, call)


def _update_object(store: BucketStore, call: StorageRequest, body: dict[str, Any]) -> Reply:
    stored = _changeable_object(store, call)
    kept = {"storageClass": stored.fields["storageClass"]} if "storageClass" in stored.fields else {}
    return _changed_object(store, stored, {**object_fields(body), **kept}, body, call)


def _changed_object(
    store: BucketStore, stored: ObjectRecord, fields: dict[str, Any], body: Mapping[str, Any], call: StorageRequest
) -> Reply:
    _refuse_new_class(stored, body)
    check_later_custom_time(stored.fields, fields)
    return Reply(200, object_resource(store.set_fields(stored, object_fields(fields)), call.base))


def _refuse_new_class(stored: ObjectRecord, body: Mapping[str, Any]) -> None:
    now = stored.fields.get("storageClass", "STANDARD")
    if body.get("storageClass", now) not in (now, None):
        raise StorageRefusal(400, "invalid", "The storage class of an object is changed by rewriting it")


def _list_objects(store: BucketStore, call: StorageRequest, body: dict[str, Any]) -> Reply:
    query = call.query
    glob = query.get("matchGlob")
    # Every version that there is is live
    flag(query, "versions")
    if glob and query.get("delimiter", "/") != "/":
        raise StorageRefusal(400, "invalid", "With 'matchGlob' the delimiter can only be '/'")
    page = store.list_page(
        call.bucket,
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        start=query.get("startOffset", ""),
        end=query.get("endOffset") or None,
        token=query.get("pageToken") or None,
        limit=_page_size(query),
        matches=None if not glob else compile_glob(glob).fullmatch,
        with_trailing_delimiter=flag(query, "includeTrailingDelimiter"),
    )
    content: dict[str, Any] = {"kind": "storage#objects"}
    if page.objects:
        content["items"] = [object_resource(stored, call.base) for stored in page.objects]
    if page.prefixes:
        content["prefixes"] = page.prefixes
    if page.next_token is not None:
        content["nextPageToken"] = page.next_token
    return Reply(200, content)


def _page_size(query: Mapping[str, str]) -> int:
    # "Objects: list": at most 1,000 items and prefixes a page, whatever is asked for.
    limit = number(query, "maxResults")
    if limit is None:
        return 1000
    if limit < 1:
        raise StorageRefusal(400, "invalid", f"Invalid value for 'maxResults': {limit}")
    return min(limit, 1000)


def _list_buckets(store: BucketStore, call: StorageRequest, body: dict[str, Any]) -> Reply:
    prefix, after, limit = call.query.get("prefix", ""), call.query.get("pageToken", ""), _page_size(call.query)
    found = [bucket for bucket in store.buckets() if bucket.name.startswith(prefix) and bucket.name > after]
    content: dict[str, Any] = {"kind": "storage#buckets"}
    if found:
        content["items"] = [bucket_resource(bucket, call.base) for bucket in found[:limit]]
    if len(found) > limit:
        content["nextPageToken"] = found[limit - 1].name
    return Reply(200, content)


def _insert_bucket(store: BucketStore, call: StorageRequest, body: dict[str, Any]) -> Reply:
    name = body.get("name")
    if not isinstance(name, str) or not name:
        raise StorageRefusal(400, "required", "Required")
    return Reply(200, bucket_resource(store.create_bucket(name, merged({}, _bucket_fields(body))), call.base))


def _bucket_fields(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the user may set on a bucket, out of its resource. Raises StorageRefusal: 400."""
    check_fields(resource, BUCKET_FIELDS, BUCKET_OUTPUT)
    fields = {key: value for key, value in resource.items() if key in BUCKET_FIELDS}
    check_bucket_values(fields)
    return fields


def _get_bucket(store: BucketStore, call: StorageRequest, body: dict[str, Any]) -> Reply:
    bucket = store.bucket(call.bucket)
    preconditions_of(call.query).check(0, bucket.metageneration, reading=True)
    return Reply(200, bucket_resource(bucket, call.base))


def _patch_bucket(store: BucketStore, call: StorageRequest, body: dict[str, Any]) -> Reply:
    bucket = store.bucket(call.bucket)
    preconditions_of(call.query).check(0, bucket.metageneration)
    return _with_bucket_fields(store, bucket, merged(bucket.fields, _bucket_fields(body)), call)


def merged(before: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a patch makes of a resource (RFC 7396): maps are merged, None removes."""
    after = dict(before)
    for key, value in changes.items():
        old = after.get(key)
        after[key] = merged(old if isinstance(old, dict) else {}, value) if isinstance(value, dict) else value
    return {key: value for key, value in after.items() if value is not None}


def _update_bucket(store: BucketStore, call: StorageRequest, body: dict[str, Any]) -> Reply:
    bucket = store.bucket(call.bucket)
    preconditions_of(call.query).check(0, bucket.metageneration)
    fields = _bucket_fields(body)
    # Where a bucket is cannot be changed
    return _with_bucket_fields(store, bucket, {**merged({}, fields), **_location(bucket.fields)}, call)


def _location(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: fields[key] for key in ("location", "customPlacementConfig") if key in fields}


def _with_bucket_fields(
    store: BucketStore, bucket: BucketRecord, fields: Mapping[str, Any], call: StorageRequest
) -> Reply:
    if fields.get("location", "US").upper() != bucket.fields.get("location", "US").upper():
        raise StorageRefusal(400, "invalid", "The location of a bucket cannot be changed")
    store.set_bucket_fields(bucket, fields)
    return Reply(200, bucket_resource(bucket, call.base))


def _delete_bucket(store: BucketStore, call: StorageRequest, body: dict[str, Any]) -> Reply:
    preconditions_of(call.query).check(0, store.bucket(call.bucket).metageneration)
    store.delete_bucket(call.bucket)
    return Reply(204)


ANSWERS: Mapping[str, Callable[[BucketStore, StorageRequest, dict[str, Any]], Reply]] = {
    "objects.get": _get_object,
    "objects.delete": _delete_object,
    "objects.patch": _patch_object,
    "objects.update": _update_object,
    "objects.list": _list_objects,
    "buckets.list": _list_buckets,
    "buckets.insert": _insert_bucket,
    "buckets.get": _get_bucket,
    "buckets.patch": _patch_bucket,
    "buckets.update": _update_bucket,
    "buckets.delete": _delete_bucket,
}
