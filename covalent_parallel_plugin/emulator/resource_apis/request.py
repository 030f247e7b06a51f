"""Parse a request to one of the JSON APIs, and format its refusal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
# The word that Compute Engine and Cloud Storage add
REASONS = {400: "invalid", 403: "forbidden", 404: "notFound", 429: "rateLimitExceeded"}


class ApiRefusal(Exception):
    """A request is answered with an error; `reason` is that of google.rpc.ErrorInfo, "" for none."""

    def __init__(self, status: int, message: str, reason: str = "", service: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.service = service


@dataclass(frozen=True)
class ResourceRequest:
    """One request: what stands in its path by name, its query's and its body's lists of names."""

    parts: Mapping[str, str]
    names: list[str]

    def __getitem__(self, part: str) -> str:
        return self.parts[part]


def not_found(path: str) -> ApiRefusal:
    return ApiRefusal(404, f"The resource '{path}' was not found")


def error_json(refusal: ApiRefusal) -> dict[str, Any]:
    """Return an error in the form of Google's JSON APIs."""
    error: dict[str, Any] = {
        "code": refusal.status,
        "message": str(refusal),
        "status": STATUS_NAMES.get(refusal.status, "UNKNOWN"),
        "errors": [
            {"message": str(refusal), "domain": "global", "reason": REASONS.get(refusal.status, "backendError")}
        ],
    }
    if refusal.reason:
        info = {"reason": refusal.reason, "domain": "googleapis.com", "metadata": {"service": refusal.service}}
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", **info}]
    return {"error": error}
