"""Refuse what a request to Cloud Storage asks for and this emulator would forget: parameters, headers and fields.

Names are those of the JSON API's reference ("Buckets", "Objects"). What is only about the form of an answer, such as
`prettyPrint` and `projection`, is let through: no answer has ACLs.
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
    "storagelayout": "managed folders and hierarchical namespaces",
    "hierarchical": "managed folders and hierarchical namespaces",
    "hmac": "HMAC keys",
    "requesterpays": "requester pays",
    "billing": "requester pays",
    "logging": "usage logs",
    "autoclass": "Autoclass",
    "ipfilter": "IP filters",
    "contexts": "object contexts",
    "customaudit": "audit logs",
    "serviceaccount": "service agents",
    "anywherecache": "Anywhere Cache",
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
        "access_token",
        "oauth_token",
        "$.xgafv",
        "uploadType",
        "project",
        "provider",
        # TensorStore makes every address another one with it, so that no cache answers
        "tensorstore",
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
# Those of a bucket that Google sets by itself, and that gcsfs sends with each
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
# They make another request of one, or hold a body that is to be unpacked first
_OTHER_REQUEST = frozenset(["x-http-method-override", "x-http-method", "x-method-override", "content-encoding"])

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
BUCKET_OUTPUT = _OUTPUT | frozenset(["projectNumber", "locationType", "owner", "satisfiesPZS", "satisfiesPZI"])


def check_parameters(kind: str, query: Mapping[str, str]) -> None:
    """Refuse parameters that this emulator does not act on. Raises StorageRefusal: 400."""
    known = _PARAMETERS.get(kind)
    if known is None:
        return
    if query.get("alt", "json") not in ("json", "media"):
        raise StorageRefusal(400, "invalid", f"Invalid value for 'alt': {query['alt'][:100]!r} is not json or media")
    if query.get("projection", "full") not in ("full", "noAcl"):
        value = query["projection"][:100]
        raise StorageRefusal(400, "invalid", f"Invalid value for 'projection': {value!r} is not full or noAcl")
    for name, value in query.items():
        is_own_acl = kind == "buckets.insert" and value in _OWN_ACLS.get(name, ())
        if name not in known and name not in _FORM and not is_own_acl and not asks_for_nothing(value):
            raise unknown("parameter", name)


def check_headers(kind: str, headers: Mapping[str, str]) -> None:
    """Refuse headers that change what a request means and that this emulator does not act on.

    Raises StorageRefusal: 400.
    """
    if kind not in _PARAMETERS:
        return
    for name in headers:
        is_condition = name in _CONDITIONS or (name in ("if-match", "if-none-match") and kind not in _READS)
        is_unknown = name.startswith("x-goog-") and name not in _GOOGLE_HEADERS
        if is_condition or is_unknown or name in _OTHER_REQUEST:
            hint = ": send the field contentEncoding" if name == "content-encoding" else ""
            refusal = unknown("header", name)
            raise StorageRefusal(refusal.code, refusal.reason, refusal.message + hint)


def check_fields(resource: Mapping[str, Any], known: Collection[str], output: Collection[str]) -> None:
    """Refuse fields of a resource that this emulator would forget; one that is off or empty asks for nothing.

    Raises StorageRefusal: 400.
    """
    for name, value in resource.items():
        if name not in known and name not in output and not asks_for_nothing(value):
            raise unknown("field", name)


def unknown_call(method: str, path: str) -> StorageRefusal:
    """Return the error for an address that no route has."""
    if not path.startswith(("/storage/", "/upload/", "/download/", "/resumable/", "/batch", "/_emulator")):
        message = f"This emulator does not support Cloud Storage's XML API ({method} {path}): use the JSON API"
        return StorageRefusal(501, "notImplemented", message)
    rest = "/".join(path.split("/")[5:])
    feature = _feature(rest) if "/" not in rest or "/o/" not in rest else _feature(rest.rpartition("/")[2])
    if feature:
        return StorageRefusal(501, "notImplemented", f"This emulator does not have {feature} ({method} {path})")
    return StorageRefusal(404, "notFound", f"Not Found: this emulator has no such call ({method} {path})")


def asks_for_nothing(value: object) -> bool:
    """Return whether a value is off or empty."""
    if isinstance(value, dict):
        return all(map(asks_for_nothing, value.values()))
    return value in (None, False, "", "false", "False", "0", 0, [])


def unknown(what: str, name: str) -> StorageRefusal:
    """Refuse a parameter, header or field of this name."""
    feature = _feature(name)
    if not feature and name.startswith("x-goog-"):
        feature = "the XML API, whose header this is"
    why = f": it does not have {feature}" if feature else ""
    return StorageRefusal(400, "invalid", f"This emulator does not know the {what} '{name[:100]}'{why}")


def _feature(name: str) -> str:
    plain = name.lower().replace("-", "").replace("_", "")
    return next((feature for word, feature in _FEATURES.items() if word in plain), "")
