"""Writes schema.json: what Google's provider lets the used resources have, from its generated Python bindings.

    python tests/deploy/make_schema.py BINDINGS.whl [BINDINGS.whl ...]

The bindings come from `pip download --no-deps cdktf-cdktf-provider-google==VERSION`: 13.32.1 was made from the
provider's 5.43.1, 16.12.1 from 6.50.0, the last there is. Each wheel carries a description of all types in JSON (jsii's
assembly), which neither node nor the wheel's own code is needed to read. They are too large (50 MB each) to be a
dependency of the tests, so what they say of the few resources used here is checked in.
"""

from __future__ import annotations

import io
import json
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SCHEMA = HERE / "schema.json"
INFRA = HERE.parent.parent / "covalent_parallel_plugin" / "assets" / "infra"
# "Docs at Terraform Registry: {@link https://.../6.50.0/docs/resources/storage_bucket#force_destroy ...}"
_LINK = re.compile(r"/google/([0-9.]+)/docs/resources/[a-z0-9_]+(?:#([a-z0-9_]+))?")


def resource_types(texts: Iterable[str]) -> list[str]:
    """The types of Google's resources that Terraform files name."""
    return sorted({name for text in texts for name in re.findall(r'(?m)^resource "(google_[a-z0-9_]+)"', text)})


def assembly(wheel: Path) -> Mapping[str, Any]:
    """The description of all types inside the bindings."""
    with zipfile.ZipFile(wheel) as archive:
        inner = next(name for name in archive.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(archive.read(inner))) as package:
            file = package.extractfile("package/.jsii")
            assert file is not None
            loaded: Mapping[str, Any] = json.load(file)
    return loaded


def schema_of(types: Mapping[str, Any], resource: str) -> dict[str, Any]:
    """A resource's arguments and attributes, nested blocks included."""
    made_of = next(
        kind
        for kind in types.values()
        if kind.get("base") == "cdktf.TerraformResource" and f" {resource}}}" in kind["docs"]["summary"]
    )
    settable = _block(types, types[f"{made_of['fqn']}Config"])
    attributes = {_snake(entry["name"]) for entry in made_of["properties"] if not entry.get("static")}
    readable = {name for name in attributes if not name.endswith("_input")}
    return {**settable, "readable": sorted(readable)}


def version_of(types: Mapping[str, Any]) -> str:
    """The provider's version that the bindings were made from."""
    found = _LINK.search(json.dumps(types["@cdktf/provider-google.storageBucket.StorageBucketConfig"]))
    assert found is not None
    return found[1]


def _block(types: Mapping[str, Any], kind: Mapping[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    blocks: dict[str, Any] = {}
    for entry in kind["properties"]:
        # In the summary where the provider says nothing of the argument, else in the remarks
        link = _LINK.search(entry["docs"]["summary"] + entry["docs"].get("remarks", ""))
        if link is None or link[2] is None:
            continue
        name = link[2]
        nested = [fqn for fqn in _names(entry["type"]) if fqn.startswith("@cdktf/provider-google.")]
        is_required = not entry.get("optional", False)
        if nested:
            is_single = "fqn" in entry["type"]
            blocks[name] = {"required": is_required, "single": is_single, **_block(types, types[nested[0]])}
        else:
            arguments[name] = {"required": is_required, "type": _type(entry["type"])}
    return {"arguments": arguments, "blocks": blocks}


def _names(kind: Mapping[str, Any]) -> list[str]:
    """Every type named inside a type."""
    if "fqn" in kind:
        return [kind["fqn"]]
    inner = kind.get("union", {}).get("types", [])
    if "collection" in kind:
        inner = [kind["collection"]["elementtype"]]
    return [name for part in inner for name in _names(part)]


def _type(kind: Mapping[str, Any]) -> str:
    """Terraform's name for a type: string, number, bool, list(...), map(...)."""
    if "primitive" in kind:
        return {"boolean": "bool"}.get(kind["primitive"], kind["primitive"])
    if "collection" in kind:
        outer = {"array": "list"}.get(kind["collection"]["kind"], kind["collection"]["kind"])
        return f"{outer}({_type(kind['collection']['elementtype'])})"
    parts = [part for part in kind.get("union", {}).get("types", []) if part.get("fqn") != "cdktf.IResolvable"]
    return _type(parts[0]) if parts else "any"


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _laid_out(found: Mapping[str, Mapping[str, Any]]) -> str:
    """JSON with a line for each resource."""
    versions = []
    for version, resources in found.items():
        lines = [f"  {json.dumps(name)}: {json.dumps(schema, sort_keys=True)}" for name, schema in resources.items()]
        versions.append(f" {json.dumps(version)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(versions) + "\n}\n"


def main(wheels: list[str]) -> None:
    wanted = resource_types(path.read_text() for path in sorted(INFRA.glob("*.tf")))
    found: dict[str, Any] = {}
    for wheel in wheels:
        types = assembly(Path(wheel))["types"]
        found[version_of(types)] = {name: schema_of(types, name) for name in wanted}
    SCHEMA.write_text(_laid_out(found))
    print(f"{SCHEMA}: {len(wanted)} resources of {', '.join(found)}")


if __name__ == "__main__":
    main(sys.argv[1:])
