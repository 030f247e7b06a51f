"""Parse a request to Cloud Storage's JSON API, and format answers and errors: no state, no I/O."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from ..model.errors import BODILESS
from .refusals import Preconditions, StorageRefusal
from .unsupported import check_headers, check_parameters, unknown_call


@dataclass(frozen=True)
class StorageRequest:
    """One request, understood: which operation it asks for, on what, and with which parameters."""

    kind: str
    bucket: str
    name: str
    query: Mapping[str, str]
    base: str
    etag_match: str | None = None
    etag_not_match: str | None = None
    target_bucket: str = ""
    target_name: str = ""


@dataclass(frozen=True)
class Reply:
    """An HTTP answer: `content` is JSON-able, or None for an empty body."""

    status: int
    content: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


_BUCKET = r"/storage/v1/b/(?P<bucket>[^/]+)"
_OBJECT = _BUCKET + r"/o/(?P<name>[^/]+)"
_ROUTES: list[tuple[str, re.Pattern[str], str]] = [
    (method, re.compile(pattern), kind)
    for method, pattern, kind in [
        ("GET", _OBJECT, "objects.get"),
        ("GET", "/download" + _OBJECT, "objects.download"),
        ("POST", f"/(?:resumable/)?upload{_BUCKET}/o", "objects.insert"),
        ("PUT", f"/(?:resumable/)?upload{_BUCKET}/o", "uploads.chunk"),
        ("DELETE", f"/(?:resumable/)?upload{_BUCKET}/o", "uploads.cancel"),
        ("DELETE", _OBJECT, "objects.delete"),
        ("GET", _BUCKET + "/o", "objects.list"),
        ("PATCH", _OBJECT, "objects.patch"),
        ("PUT", _OBJECT, "objects.update"),
        ("POST", _OBJECT + "/compose", "objects.compose"),
        ("POST", _OBJECT + "/copyTo/b/(?P<target_bucket>[^/]+)/o/(?P<target_name>[^/]+)", "objects.copy"),
        ("POST", _OBJECT + "/rewriteTo/b/(?P<target_bucket>[^/]+)/o/(?P<target_name>[^/]+)", "objects.rewrite"),
        ("POST", _OBJECT + "/moveTo/o/(?P<target_name>[^/]+)", "objects.move"),
        ("GET", _BUCKET + "/iam/testPermissions", "buckets.testPermissions"),
        ("GET", _BUCKET, "buckets.get"),
        ("PATCH", _BUCKET, "buckets.patch"),
        ("PUT", _BUCKET, "buckets.update"),
        ("DELETE", _BUCKET, "buckets.delete"),
        ("GET", "/storage/v1/b", "buckets.list"),
        ("POST", "/storage/v1/b", "buckets.insert"),
        ("POST", "/batch(?:/storage/v1)?", "batch"),
        ("GET", "/_emulator/counts", "emulator.counts"),
        ("GET", "/_emulator/faults", "emulator.faults"),
        ("PUT", "/_emulator/faults", "emulator.set_faults"),
        ("GET", "/_emulator/runtime", "emulator.runtime"),
    ]
]


def identify(method: str, raw_path: str, query: str, base: str, headers: Mapping[str, str]) -> StorageRequest:
    """Find out what a request asks for.

    Args:
        raw_path: percent-encoded, since only its encoding distinguishes a "/" inside an object's name from one outside.
        base: scheme and host for the links in answers.

    Raises:
        StorageRefusal: 400 for an address that is not percent-encoded UTF-8, and for parameters and headers that this
            emulator does not act on; 404 or 501 for what no route matches.
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict") if query else []
        unquote(raw_path, errors="strict")
    except ValueError as error:  # UnicodeDecodeError is one
        raise StorageRefusal(400, "invalid", "The address is not percent-encoded UTF-8") from error
    parameters = _single_values(pairs)
    if raw_path == "/b" or raw_path.startswith("/b/"):
        # What Google's client for Node.js makes of STORAGE_EMULATOR_HOST; no bucket has so short a name
        raw_path = f"/storage/v1{raw_path}"
    for verb, pattern, kind in _ROUTES:
        if verb != method:
            continue
        match = pattern.fullmatch(raw_path)
        if match is None:
            continue
        parts = {key: unquote(value) for key, value in match.groupdict().items()}
        refined = _refined(kind, parameters)
        check_parameters(refined, parameters)
        check_headers(refined, headers)
        return StorageRequest(
            kind=refined,
            bucket=parts.get("bucket", ""),
            name=parts.get("name", ""),
            query=parameters,
            base=base,
            etag_match=headers.get("if-match"),
            etag_not_match=headers.get("if-none-match"),
            target_bucket=parts.get("target_bucket", ""),
            target_name=parts.get("target_name", ""),
        )
    raise unknown_call(method, raw_path)


def _single_values(pairs: list[tuple[str, str]]) -> dict[str, str]:
    parameters = dict(pairs)
    for name, value in pairs:
        if value != parameters[name] and name != "permissions":
            message = f"The parameter '{name[:100]}' occurs twice, with different values"
            raise StorageRefusal(400, "invalid", message)
    return parameters


def _refined(kind: str, query: Mapping[str, str]) -> str:
    if kind in ("objects.get", "objects.download"):
        # Both paths serve both: only alt=media decides, as at Google.
        return "objects.download" if query.get("alt") == "media" else "objects.get"
    if kind == "objects.insert" and "upload_id" in query:
        return "uploads.chunk"
    if kind == "objects.insert" and query.get("uploadType") == "resumable":
        return "uploads.start"
    return kind


def number(query: Mapping[str, Any], key: str) -> int | None:
    """Return an integer parameter or JSON field, None if absent. Raises StorageRefusal: 400."""
    if query.get(key) is None:
        return None
    text = str(query[key])
    if not re.fullmatch(r"-?\d{1,19}", text):
        raise StorageRefusal(400, "invalid", f"Invalid value for '{key}': {text!r}")
    return int(text)


def flag(query: Mapping[str, str], key: str) -> bool:
    """A parameter that is true or false, false if absent; clients differ in its case. Raises StorageRefusal: 400."""
    text = query.get(key, "false").lower()
    if text not in ("true", "false"):
        raise StorageRefusal(400, "invalid", f"Invalid value for '{key}': {query[key]!r}")
    return text == "true"


def preconditions_of(query: Mapping[str, Any], prefix: str = "if") -> Preconditions:
    """Return the preconditions of a call, or with `prefix` "ifSource" those of a copy's source."""
    return Preconditions(
        number(query, f"{prefix}GenerationMatch"),
        number(query, f"{prefix}GenerationNotMatch"),
        number(query, f"{prefix}MetagenerationMatch"),
        number(query, f"{prefix}MetagenerationNotMatch"),
    )


def parse_json(body: bytes) -> dict[str, Any]:
    """Return a request's JSON object; an empty body is an empty object. Raises StorageRefusal: 400."""
    if not body.strip():
        return {}
    try:
        parsed = json.loads(body)
    except ValueError as error:
        raise StorageRefusal(400, "parseError", "Parse Error") from error
    if not isinstance(parsed, dict):
        raise StorageRefusal(400, "parseError", "Parse Error: the body must be a JSON object")
    return parsed


def error_reply(refusal: StorageRefusal) -> Reply:
    """Google's JSON form of an error; some statuses have no body."""
    if refusal.code in BODILESS:
        return Reply(refusal.code)
    detail = {"message": refusal.message, "domain": "global", "reason": refusal.reason}
    content = {"error": {"code": refusal.code, "message": refusal.message, "errors": [detail]}}
    return Reply(refusal.code, content, {"Location": refusal.location} if refusal.location else {})
