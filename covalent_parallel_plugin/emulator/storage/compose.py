"""Join stored objects into a new one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .metadata_handlers import object_fields, object_resource
from .object_files import Body, read_blocks
from .object_store import BucketStore, ObjectRecord
from .refusals import StorageRefusal
from .routes import Reply, StorageRequest, number, preconditions_of
from .unsupported import check_fields


async def compose(store: BucketStore, call: StorageRequest, body: dict[str, Any]) -> Reply:
    """Join up to 32 objects of one bucket into a new one. Raises StorageRefusal: 400, 404, 412."""
    check_fields(body, {"destination", "sourceObjects"}, {"kind"})
    entries = body.get("sourceObjects")
    if not isinstance(entries, list) or not 1 <= len(entries) <= 32:
        raise StorageRefusal(400, "invalid", "The number of source components must be from 1 to 32")
    wanted = preconditions_of(call.query)
    store.check_write(call.bucket, call.name, wanted)
    sources = [_compose_source(store, call.bucket, entry) for entry in entries]
    fields = object_fields(_map_of(body, "destination"))
    writer = store.new_body()
    files = [source.body.path.open("rb") for source in sources]
    try:
        for source, file in zip(sources, files, strict=True):
            async for block in read_blocks(file, 0, source.body.size):
                await writer.write(block)
        written = await writer.finish()
        joined = Body(written.path, written.size, written.crc32c, md5=None)
        count = sum(source.component_count or 1 for source in sources)
        stored = store.put(call.bucket, call.name, joined, fields, wanted, count)
    except BaseException:
        writer.discard()
        raise
    finally:
        for file in files:
            file.close()
    return Reply(200, object_resource(stored, call.base))


def _compose_source(store: BucketStore, bucket: str, entry: Any) -> ObjectRecord:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise StorageRefusal(400, "required", "Every source object needs a name")
    check_fields(entry, {"name", "generation", "objectPreconditions"}, ())
    source = store.find(bucket, entry["name"], number(entry, "generation"))
    conditions = _map_of(entry, "objectPreconditions")
    check_fields(conditions, {"ifGenerationMatch"}, ())
    preconditions_of(conditions).check(source.generation, source.metageneration)
    return source


def _map_of(resource: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = resource.get(name)
    if value is not None and not isinstance(value, dict):
        raise StorageRefusal(400, "invalid", f"Invalid value for '{name}': it must be a map")
    return value or {}
