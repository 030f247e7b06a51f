"""A request to one of the JSON APIs, understood, and its refusal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class ApiRefusal(Exception):
    """A request is answered with an error; `reason` is that of google.rpc.ErrorInfo, "" for none."""

    def __init__(self, status: int, message: str, reason: str = "", service: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.service = service


@dataclass(frozen=True)
class Asked:
    """One request: what stands in its path by name, its query's and its body's lists of names."""

    parts: Mapping[str, str]
    names: list[str]

    def __getitem__(self, part: str) -> str:
        return self.parts[part]


def not_found(path: str) -> ApiRefusal:
    return ApiRefusal(404, f"The resource '{path}' was not found")
