"""Answer requests to the metadata server in its own format: values, lists of names, and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

ROOT = "computeMetadata/v1"
FLAVOR = "Metadata-Flavor"
GOOGLE = "Google"
_PARAMETERS = {"recursive": ("true", "false"), "alt": ("json", "text")}
_NO_TOKENS = (
    "The emulator has no service accounts and gives no tokens: with STORAGE_EMULATOR_HOST and the like set, its"
    " services want no credentials. For Google's own services give the task credentials in a file, and name it in"
    " GOOGLE_APPLICATION_CREDENTIALS."
)


@dataclass(frozen=True)
class Answer:
    """A status, what follows it, and its type."""

    status: int
    text: str
    content_type: str = "application/text"
    location: str = ""


def answer(facts: Mapping[str, Any], method: str, target: str, headers: Mapping[str, str]) -> Answer:
    """Answer a request of the machine with these facts; the names of `headers` are in lower case."""
    parts = urlsplit(target)
    if method not in ("GET", "HEAD"):
        return Answer(405, f"{method} is not allowed: the emulator's metadata can only be read.")
    if headers.get(FLAVOR.lower()) != GOOGLE:
        return Answer(403, f"Missing required header: {FLAVOR}: {GOOGLE}")
    if "x-forwarded-for" in headers:
        return Answer(403, "Requests with the header X-Forwarded-For are refused: they come from a proxy.")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name, value in query.items():
        if value not in _PARAMETERS.get(name, ()):
            return Answer(400, f"The emulator's metadata does not know the parameter {name}={value}.")
    names = [name for name in parts.path.split("/") if name]
    if names[:4] == [*ROOT.split("/"), "instance", "service-accounts"]:
        return Answer(404, _NO_TOKENS)
    found: Any = {"computeMetadata": {"v1": facts}}
    for name in names:
        if not isinstance(found, Mapping) or name not in found:
            return Answer(404, f"The emulator's metadata has no {parts.path}.")
        found = found[name]
    return _shown(found, parts.path, query)


def _shown(found: Any, path: str, query: Mapping[str, str]) -> Answer:
    is_recursive, form = query.get("recursive") == "true", query.get("alt")
    if isinstance(found, Mapping) and not path.endswith("/") and not is_recursive:
        return Answer(301, "", location=f"{path}/")
    if is_recursive or form == "json":
        return Answer(200, json.dumps(_with_json_names(found)), "application/json")
    if isinstance(found, Mapping):
        return Answer(200, "".join(f"{name}/\n" if isinstance(found[name], Mapping) else f"{name}\n" for name in found))
    return Answer(200, str(found))


def _with_json_names(value: Any) -> Any:
    """Name fields as JSON has them: machine-type is machineType."""
    if not isinstance(value, Mapping):
        return value
    return {_json_name(name): _with_json_names(part) for name, part in value.items()}


def _json_name(name: str) -> str:
    first, *rest = name.split("-")
    return first + "".join(map(str.capitalize, rest))
