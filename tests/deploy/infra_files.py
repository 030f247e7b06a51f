"""The Terraform files as data: resources, variables and outputs, with quotes and the parser's own keys taken off."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hcl2

from covalent_parallel_plugin.cli.deploy.deployment_folder import INFRA

# https://developer.hashicorp.com/terraform/language/resources: what any resource may have beside its own arguments
META_ARGUMENTS = {"count", "for_each", "depends_on", "provider", "lifecycle", "provisioner", "connection"}


@dataclass(frozen=True)
class Resource:
    """One resource block."""

    type: str
    name: str
    body: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.type}.{self.name}"


def files() -> list[Path]:
    return sorted(INFRA.glob("*.tf"))


def load(path: Path) -> dict[str, Any]:
    with path.open() as file:
        plain = _plain(hcl2.load(file))
    assert isinstance(plain, dict)
    return plain


def resources(path: Path | None = None) -> list[Resource]:
    """Every resource, or those of one file."""
    return [
        Resource(kind, name, body)
        for file in ([path] if path else files())
        for block in load(file).get("resource", [])
        for kind, named in block.items()
        for name, body in named.items()
    ]


def blocks(kind: str) -> dict[str, dict[str, Any]]:
    """Every `variable` or `output` by name."""
    return {
        name: body
        for path in files()
        for block in load(path).get(kind, [])
        for name, body in block.items()
        if isinstance(body, dict)
    }


def references() -> set[tuple[str, str]]:
    """Every attribute of a resource that an expression names: (type, attribute)."""
    found = re.findall(
        r"\b(google_[a-z0-9_]+|terraform_data)\.[a-z0-9_]+(?:\[[^\]]*\])?\.([a-z0-9_]+)",
        "\n".join(path.read_text() for path in files()),
    )
    return set(found)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            _unquoted(key): _plain(entry) for key, entry in value.items() if key not in ("__comments__", "__is_block__")
        }
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return _unquoted(value) if isinstance(value, str) else value


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text
