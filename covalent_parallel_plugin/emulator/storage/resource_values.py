"""Check the values of what users may set on buckets and objects: types, names of nested fields, and limits.

Names and values are those of the JSON API's reference ("Buckets: resource", "Objects: resource").
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ..model.storage_names import is_utf8
from .refusals import StorageRefusal
from .unsupported import asks_for_nothing, unknown

STORAGE_CLASSES = frozenset(
    ["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE", "MULTI_REGIONAL", "REGIONAL", "DURABLE_REDUCED_AVAILABILITY"]
)
# https://cloud.google.com/storage/quotas#objects: custom metadata, one value and all keys and values of an object
MOST_VALUE_BYTES, MOST_CUSTOM_BYTES = 4096, 8192
# https://cloud.google.com/storage/docs/tags-and-labels: how many labels a bucket has, and how long each part is
MOST_LABELS = 64
_LABEL_VALUE = re.compile(r"[\w-]{0,63}")

# A type, the texts that are allowed, a list of one kind, the fields of a map, or with the key "*" a map of any names
_UNIFORM_ACCESS = {"enabled": bool, "lockedTime": str}
_BUCKET_VALUES: Mapping[str, Any] = {
    "location": str,
    "storageClass": STORAGE_CLASSES,
    "labels": {"*": str},
    "rpo": frozenset({"DEFAULT", "ASYNC_TURBO"}),
    "website": {"mainPageSuffix": str, "notFoundPage": str},
    "customPlacementConfig": {"dataLocations": [str]},
    "cors": [{"origin": [str], "method": [str], "responseHeader": [str], "maxAgeSeconds": int}],
    "iamConfiguration": {
        "uniformBucketLevelAccess": _UNIFORM_ACCESS,
        "bucketPolicyOnly": _UNIFORM_ACCESS,
        "publicAccessPrevention": frozenset({"enforced", "inherited", "unspecified"}),
    },
    "lifecycle": {
        "rule": [
            {
                "action": {
                    "type": frozenset({"Delete", "SetStorageClass", "AbortIncompleteMultipartUpload"}),
                    "storageClass": STORAGE_CLASSES,
                },
                "condition": {
                    "age": int,
                    "createdBefore": str,
                    "customTimeBefore": str,
                    "daysSinceCustomTime": int,
                    "daysSinceNoncurrentTime": int,
                    "isLive": bool,
                    "matchesPrefix": [str],
                    "matchesSuffix": [str],
                    "matchesStorageClass": [STORAGE_CLASSES],
                    "noncurrentTimeBefore": str,
                    "numNewerVersions": int,
                },
            }
        ]
    },
}
_OBJECT_VALUES: Mapping[str, Any] = {
    "contentType": str,
    "contentEncoding": str,
    "contentDisposition": str,
    "contentLanguage": str,
    "cacheControl": str,
    "customTime": str,
    "metadata": {"*": str},
    "storageClass": STORAGE_CLASSES,
}
BUCKET_FIELDS = frozenset(_BUCKET_VALUES)
OBJECT_FIELDS = frozenset(_OBJECT_VALUES)


def check_bucket_values(fields: Mapping[str, Any]) -> None:
    """Check what is to be set on a bucket; None removes. Raises StorageRefusal: 400."""
    _check_map("", fields, _BUCKET_VALUES)
    labels = fields.get("labels") or {}
    if len(labels) > MOST_LABELS:
        raise _invalid(f"A bucket has at most {MOST_LABELS} labels, not {len(labels)}")
    for key, value in labels.items():
        if not _is_label(key) or not key[:1].isalpha() or not _is_label(value or ""):
            raise _invalid(f"Invalid label {key!r}: {value!r}: at most 63 lower-case letters, digits, '-' and '_'")


def check_object_values(fields: Mapping[str, Any]) -> None:
    """Check what is to be set on an object; None removes. Raises StorageRefusal: 400."""
    _check_map("", fields, _OBJECT_VALUES)
    if not is_utf8(json.dumps(fields, ensure_ascii=False)):
        raise _invalid("Invalid value: text that is not UTF-8")
    metadata = {key: value for key, value in (fields.get("metadata") or {}).items() if value is not None}
    values = [len(value.encode()) for value in metadata.values()]
    total = sum(values) + sum(len(key.encode()) for key in metadata)
    if total > MOST_CUSTOM_BYTES or max(values, default=0) > MOST_VALUE_BYTES:
        raise _invalid(f"The custom metadata is too large: {total} bytes")
    if fields.get("customTime") is not None:
        moment_of(fields["customTime"])


def check_later_custom_time(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Refuse to remove an object's custom time or to set it back ("Object metadata: Custom-Time").

    Raises StorageRefusal: 400.
    """
    if "customTime" not in before:
        return
    if "customTime" not in after or moment_of(after["customTime"]) < moment_of(before["customTime"]):
        raise _invalid("The field 'customTime' of an object can be neither removed nor set to an earlier time")


def moment_of(text: str) -> datetime:
    """Read a time in RFC 3339. Raises StorageRefusal: 400."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", text)
    try:
        if match is None:
            raise ValueError(text)
        day, clock, fraction, zone = match.groups(default="")
        whole = datetime.fromisoformat(f"{day}T{clock}{zone.upper().replace('Z', '+00:00')}")
    except ValueError as error:
        raise _invalid(f"Invalid value for 'customTime': {text!r} is not a time in RFC 3339") from error
    return whole.replace(microsecond=int(fraction[1:7].ljust(6, "0")))


def _check_map(path: str, resource: object, known: Mapping[str, Any]) -> None:
    if not isinstance(resource, dict):
        raise _invalid(f"Invalid value for '{path}': it must be a map")
    for key, value in resource.items():
        inner = f"{path}.{key}" if path else key
        wanted = known.get(key, known.get("*"))
        if wanted is not None:
            _check(inner, value, wanted)
        elif not asks_for_nothing(value):
            raise unknown("field", inner)


def _check(path: str, value: object, wanted: Any) -> None:
    if value is None:
        return
    if isinstance(wanted, dict):
        _check_map(path, value, wanted)
    elif isinstance(wanted, list):
        if not isinstance(value, list):
            raise _invalid(f"Invalid value for '{path}': it must be a list")
        for entry in value:
            _check(path, entry, wanted[0])
    elif isinstance(wanted, frozenset):
        if not isinstance(value, str) or value not in wanted:
            names = "a storage class" if wanted is STORAGE_CLASSES else f"one of {', '.join(sorted(wanted))}"
            raise _invalid(f"Invalid value for '{path}': {value!r} is not {names}")
    elif not _has_type(value, wanted):
        raise _invalid(f"Invalid value for '{path}': {value!r} is not {_TYPES[wanted]}")


_TYPES = {str: "a text", bool: "true or false", int: "a whole number"}


def _has_type(value: object, wanted: type) -> bool:
    # JSON's 64-bit numbers may come as texts, and True is an int in Python
    if wanted is int:
        is_text = isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value) is not None
        return is_text or (isinstance(value, int) and not isinstance(value, bool))
    return isinstance(value, wanted)


def _is_label(text: str) -> bool:
    return _LABEL_VALUE.fullmatch(text) is not None and text == text.lower()


def _invalid(message: str) -> StorageRefusal:
    return StorageRefusal(400, "invalid", message)
