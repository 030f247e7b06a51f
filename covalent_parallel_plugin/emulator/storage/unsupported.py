"""Refuse what a request to Cloud Storage asks for and this emulator would forget: parameters, headers and fields.

Names are those of the JSON API's reference ("Buckets", "Objects"). What is only about the form of an answer, such as
`fields` and `projection`, is let through: the answer has all that there is, and no ACLs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from .refusals import StorageRefusal

# By a word in the name of a parameter, header, field or address
_FEATURES = {
    "acl": "ACLs",
    "iam": "IAM policies",
    "hold": "object holds",
    "retention": "retention policies",
    "versioning": "object versioning",
    "encryption": "customer-supplied and customer-managed keys",
    "kmskey": "customer-supplied and customer-managed keys",
    "softdelete": "soft deletion",
    "restore": "soft deletion",
    "notification": "notifications",
    "folder": "managed folders and hierarchical namespaces",
    "hierarchical": "managed folders and hierarchical namespaces",
    "hmac": "HMAC keys",
    "requesterpays": "requester pays",
}
_FORM = frozenset(
    [
        "alt",
        "fields",
        "prettyPrint",
        "projection",
        "key",
        "quotaUser",
        "userIp",
        "userProject",
        "callback",
        "access_token",
        "oauth_token",
        "$.xgafv",
        "uploadType",
        "project",
        "provider",
    ]
)
_MATCH = frozenset(["ifGenerationMatch", "ifGenerationNotMatch", "ifMetagenerationMatch", "ifMetagenerationNotMatch"])
_SOURCE = frozenset(name.replace("if", "ifSource", 1) for name in _MATCH) | {"sourceGeneration"}
_PAGE = frozenset(["prefix", "pageToken", "maxResults"])
_PARAMETERS: Mapping[str, Collection[str]] = {
    "objects.get": _MATCH | {"generation"},
    "objects.download": _MATCH | {"generation"},
    "objects.delete": _MATCH | {"generation"},
    "objects.patch": _MATCH | {"generation"},
    "objects.update": _MATCH | {"generation"},
    "objects.insert": _MATCH | {"name", "contentEncoding"},
    "uploads.start": _MATCH | {"name", "contentEncoding"},
    "uploads.chunk": _MATCH | {"name", "contentEncoding", "upload_id"},
    "uploads.cancel": _MATCH | {"name", "contentEncoding", "upload_id"},
    "objects.list": _PAGE
    | frozenset(["delimiter", "startOffset", "endOffset", "includeTrailingDelimiter", "matchGlob", "versions"]),
    "objects.compose": _MATCH,
    "objects.copy": _MATCH | _SOURCE,
    "objects.rewrite": _MATCH | _SOURCE | {"rewriteToken", "maxBytesRewrittenPerCall"},
    "objects.move": _MATCH | _SOURCE,
    "buckets.list": _PAGE,
    "buckets.insert": frozenset(),
    "buckets.get": _MATCH,
    "buckets.patch": _MATCH,
    "buckets.update": _MATCH,
    "buckets.delete": _MATCH,
    "buckets.testPermissions": frozenset({"permissions"}),
    "batch": frozenset(),
}
# Those of a bucket that Google makes without being told, and that gcsfs sends with each
_OWN_ACLS = {
    "predefinedAcl": {"projectPrivate"},
    "predefinedDefaultObjectAcl": {"projectPrivate", "bucketOwnerFullControl"},
}
_GOOGLE_HEADERS = frozenset(
    [
        "x-goog-api-client",
        "x-goog-hash",
        "x-goog-user-project",
        "x-goog-request-params",
        "x-goog-request-reason",
        "x-goog-gcs-idempotency-token",
        "x-goog-api-key",
    ]
)
_CONDITIONS = ("if-modified-since", "if-unmodified-since", "if-range")
_READS = frozenset({"objects.get", "objects.download"})

# What Google says of a resource, and what clients send back with an update
_OUTPUT = frozenset(
    ["kind", "id", "selfLink", "name", "etag", "timeCreated", "updated", "metageneration", "generation"]
)
OBJECT_OUTPUT = _OUTPUT | frozenset(
    [
        "bucket",
        "mediaLink",
        "size",
        "crc32c",
        "md5Hash",
        "componentCount",
        "owner",
        "timeStorageClassUpdated",
        "timeDeleted",
        "timeFinalized",
    ]
)
BUCKET_OUTPUT = _OUTPUT | frozenset(
    ["projectNumber", "locationType", "owner", "satisfiesPZS", "satisfiesPZI", "generation"]
)
BUCKET_FIELDS = frozenset(
    [
        "location",
        "storageClass",
        "labels",
        "lifecycle",
        "iamConfiguration",
        "cors",
        "website",
        "customPlacementConfig",
        "rpo",
    ]
)
# Lifecycle rules, CORS and website are kept and answered; nothing here acts on them.
STORAGE_CLASSES = frozenset(
    ["STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE", "MULTI_REGIONAL", "REGIONAL", "DURABLE_REDUCED_AVAILABILITY"]
)


def check_parameters(kind: str, query: Mapping[str, str]) -> None:
    """Refuse parameters that this emulator does not act on. Raises StorageRefusal: 400."""
    known = _PARAMETERS.get(kind)
    if known is None:
        return
    for name, value in query.items():
        is_own_acl = kind == "buckets.insert" and value in _OWN_ACLS.get(name, ())
        if name not in known and name not in _FORM and not is_own_acl and not _asks_for_nothing(value):
            raise _refusal("parameter", name)


def check_headers(kind: str, headers: Mapping[str, str]) -> None:
    """Refuse headers that change what a request means and that this emulator does not act on.

    Raises StorageRefusal: 400.
    """
    if kind not in _PARAMETERS:
        return
    for name in headers:
        is_condition = name in _CONDITIONS or (name in ("if-match", "if-none-match") and kind not in _READS)
        if is_condition or (name.startswith("x-goog-") and name not in _GOOGLE_HEADERS):
            raise _refusal("header", name)
    if kind == "objects.insert" and "content-encoding" in headers:
        raise StorageRefusal(
            400, "invalid", "This emulator does not read the header 'content-encoding': send the field contentEncoding"
        )


def check_fields(resource: Mapping[str, Any], known: Collection[str], output: Collection[str]) -> None:
    """Refuse fields of a resource that this emulator would forget; one that is off or empty asks for nothing.

    Raises StorageRefusal: 400.
    """
    for name, value in resource.items():
        if name not in known and name not in output and not _asks_for_nothing(value):
            raise _refusal("field", name)


def check_storage_class(resource: Mapping[str, Any]) -> None:
    """Refuse a storage class that Google does not have. Raises StorageRefusal: 400."""
    value = resource.get("storageClass")
    if value is not None and value not in STORAGE_CLASSES:
        raise StorageRefusal(400, "invalid", f"Invalid argument: {value!r} is not a storage class")


def unknown_call(method: str, path: str) -> StorageRefusal:
    """Say of an address that no route has what it is."""
    if not path.startswith(("/storage/", "/upload/", "/download/", "/resumable/", "/batch", "/_emulator")):
        message = f"This emulator does not have Cloud Storage's XML API ({method} {path}): use the JSON API"
        return StorageRefusal(501, "notImplemented", message)
    rest = "/".join(path.split("/")[5:])
    feature = _feature(rest) if "/" not in rest or "/o/" not in rest else _feature(rest.rpartition("/")[2])
    if feature:
        return StorageRefusal(501, "notImplemented", f"This emulator does not have {feature} ({method} {path})")
    return StorageRefusal(404, "notFound", f"Not Found: this emulator has no such call ({method} {path})")


def _asks_for_nothing(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_asks_for_nothing, value.values()))
    return value in (None, False, "", "false", "False", "0", 0, [])


def _refusal(what: str, name: str) -> StorageRefusal:
    feature = _feature(name)
    if not feature and name.startswith("x-goog-"):
        feature = "the XML API, whose header this is"
    why = f": it does not have {feature}" if feature else ""
    return StorageRefusal(400, "invalid", f"This emulator does not know the {what} '{name[:100]}'{why}")


def _feature(name: str) -> str:
    plain = name.lower().replace("-", "").replace("_", "")
    return next((feature for word, feature in _FEATURES.items() if word in plain), "")
