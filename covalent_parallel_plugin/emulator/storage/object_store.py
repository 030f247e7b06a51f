"""Hold buckets and objects with generations, preconditions and ordered listing, as Cloud Storage does.

Knows nothing of HTTP. Not thread-safe: one event loop owns it, and every method that changes something is
synchronous, so each change is atomic for all requests and a listing sees every write that was answered.
"""

from __future__ import annotations

import base64
import time
import uuid
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .object_files import Body, BodyWriter
from .refusals import NO_PRECONDITIONS, Preconditions, StorageRefusal, check_bucket_name, check_object_name


@dataclass(frozen=True)
class ObjectRecord:
    """One generation of an object; times are nanoseconds since the epoch, `fields` is what the user may set."""

    bucket: str
    name: str
    generation: int
    metageneration: int
    body: Body
    created_ns: int
    updated_ns: int
    fields: Mapping[str, Any]
    component_count: int | None = None

    @property
    def etag(self) -> str:
        return base64.b64encode(f"{self.generation}/{self.metageneration}".encode()).decode("ascii")


@dataclass(frozen=True)
class Page:
    """One page of a listing: objects, common prefixes, and the token of the next page or None."""

    objects: list[ObjectRecord]
    prefixes: list[str]
    next_token: str | None


@dataclass
class BucketRecord:
    """A bucket: its settings and its live objects, by name and in name order."""

    name: str
    created_ns: int
    fields: Mapping[str, Any]
    metageneration: int = 1
    updated_ns: int = 0
    objects: dict[str, ObjectRecord] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)


class BucketStore:
    """All buckets of one server, bodies as files in `folder`; `clock_ns` gives nanoseconds since the epoch."""

    def __init__(self, folder: Path, clock_ns: Callable[[], int] = time.time_ns) -> None:
        self._folder = folder
        self._clock_ns = clock_ns
        self._buckets: dict[str, BucketRecord] = {}
        self._last_generation = 0

    def new_body(self) -> BodyWriter:
        """Return a writer for a file of its own; nothing is stored until `put`."""
        return BodyWriter(self._folder / uuid.uuid4().hex)

    def create_bucket(self, name: str, fields: Mapping[str, Any]) -> BucketRecord:
        """Make a bucket. Raises StorageRefusal: 400 for an illegal name, 409 for a duplicate."""
        check_bucket_name(name)
        if name in self._buckets:
            message = "Your previous request to create the named bucket succeeded and you already own it."
            raise StorageRefusal(409, "conflict", message)
        now = self._clock_ns()
        self._buckets[name] = BucketRecord(name, now, dict(fields), updated_ns=now)
        return self._buckets[name]

    def bucket(self, name: str) -> BucketRecord:
        """Return the bucket of this name. Raises StorageRefusal: 404."""
        try:
            return self._buckets[name]
        except KeyError:
            raise StorageRefusal(404, "notFound", "The specified bucket does not exist.") from None

    def buckets(self) -> list[BucketRecord]:
        """Return all buckets in name order."""
        return [self._buckets[name] for name in sorted(self._buckets)]

    def set_bucket_fields(self, bucket: BucketRecord, fields: Mapping[str, Any]) -> None:
        """Replace what the user may set on a bucket: its metageneration goes up by one."""
        bucket.fields = fields
        bucket.metageneration += 1
        bucket.updated_ns = self._clock_ns()

    def delete_bucket(self, name: str) -> None:
        """Remove an empty bucket. Raises StorageRefusal: 404, or 409 if it holds objects."""
        if self.bucket(name).objects:
            raise StorageRefusal(409, "conflict", "The bucket you tried to delete is not empty.")
        del self._buckets[name]

    def find(self, bucket: str, name: str, generation: int | None = None) -> ObjectRecord:
        """Return the live object. Raises StorageRefusal: 404, also if another generation is asked for."""
        found = self.bucket(bucket).objects.get(name)
        if found is None or (generation is not None and generation != found.generation):
            shown = name if generation is None else f"{name}#{generation}"
            raise StorageRefusal(404, "notFound", f"No such object: {bucket}/{shown}")
        return found

    def check_write(self, bucket: str, name: str, preconditions: Preconditions) -> None:
        """Judge a write before its body has arrived. Raises StorageRefusal: 400, 404, 412."""
        home = self.bucket(bucket)
        check_object_name(name)
        live = home.objects.get(name)
        preconditions.check(*((0, None) if live is None else (live.generation, live.metageneration)))

    def put(
        self,
        bucket: str,
        name: str,
        body: Body,
        fields: Mapping[str, Any],
        preconditions: Preconditions = NO_PRECONDITIONS,
        component_count: int | None = None,
    ) -> ObjectRecord:
        """Store a finished body as the object's new generation; it replaces the one before.

        Raises:
            StorageRefusal: 404, 412; the body's file is then still the caller's.
        """
        self.check_write(bucket, name, preconditions)
        home = self._buckets[bucket]
        now = self._clock_ns()
        # Google's generations look like microseconds of the clock; two in the same one must still increase.
        self._last_generation = max(now // 1000, self._last_generation + 1)
        if "storageClass" not in fields and "storageClass" in home.fields:
            fields = {**fields, "storageClass": home.fields["storageClass"]}
        stored = ObjectRecord(bucket, name, self._last_generation, 1, body, now, now, fields, component_count)
        before = home.objects.get(name)
        home.objects[name] = stored
        if before is None:
            insort(home.names, name)
        else:
            before.body.path.unlink()
        return stored

    def copy(
        self,
        source: ObjectRecord,
        bucket: str,
        name: str,
        fields: Mapping[str, Any],
        preconditions: Preconditions,
    ) -> ObjectRecord:
        """Store the source's bytes under another name, without copying them. Raises as `put`."""
        self.check_write(bucket, name, preconditions)
        path = self._folder / uuid.uuid4().hex
        path.hardlink_to(source.body.path)
        body = replace(source.body, path=path)
        return self.put(bucket, name, body, fields, preconditions, source.component_count)

    def set_fields(self, current: ObjectRecord, fields: Mapping[str, Any]) -> ObjectRecord:
        """Replace what the user may set on a live object: its metageneration goes up by one."""
        changed = replace(
            current, fields=fields, metageneration=current.metageneration + 1, updated_ns=self._clock_ns()
        )
        self._buckets[current.bucket].objects[current.name] = changed
        return changed

    def delete(self, stored: ObjectRecord) -> None:
        """Remove a live object and its file."""
        home = self._buckets[stored.bucket]
        del home.objects[stored.name]
        del home.names[bisect_left(home.names, stored.name)]
        stored.body.path.unlink()

    def list_page(
        self,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        start: str = "",
        end: str | None = None,
        token: str | None = None,
        limit: int = 1000,
        matches: Callable[[str], object] | None = None,
        with_trailing_delimiter: bool = False,
    ) -> Page:
        """Return one page in name order, of at most `limit` objects and prefixes together.

        Args:
            start: first name to list, inclusive. end: first name not to list. token: from the page before.
            matches: which objects are listed, and which prefixes, also those with such an object below.

        Raises:
            StorageRefusal: 404 for the bucket, 400 for a token that no page gave out.
        """
        home = self.bucket(bucket)
        names = home.names
        place = bisect_left(names, max(prefix, start))
        if token is not None:
            place = max(place, _place_after(names, token))
        objects: list[ObjectRecord] = []
        prefixes: list[str] = []
        last = ""
        while place < len(names) and names[place].startswith(prefix):
            name = names[place]
            if end is not None and name >= end:
                break
            cut = name.find(delimiter, len(prefix)) if delimiter else -1
            group = name if cut < 0 else name[: cut + len(delimiter)]
            after = place + 1 if cut < 0 else _end_of_group(names, place, group)
            if matches is not None and not any(map(matches, {group, *names[place:after]})):
                place = after
                continue
            if len(objects) + len(prefixes) >= limit:
                return Page(objects, prefixes, base64.urlsafe_b64encode(last.encode()).decode("ascii"))
            if cut < 0:
                objects.append(home.objects[name])
                last = f"o{name}"
                place += 1
                continue
            prefixes.append(group)
            if with_trailing_delimiter and name == group:
                objects.append(home.objects[group])
            last = f"p{group}"
            place = after
        return Page(objects, prefixes, None)


def _place_after(names: list[str], token: str) -> int:
    # A token is the last thing listed, "o" and an object's name or "p" and a common prefix.
    try:
        last = base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except ValueError as error:  # binascii.Error and UnicodeDecodeError are both ValueErrors
        raise StorageRefusal(400, "invalid", f"Invalid page token: {token!r}") from error
    if last.startswith("p"):
        return _end_of_group(names, bisect_left(names, last[1:]), last[1:])
    return bisect_right(names, last[1:])


def _end_of_group(names: list[str], place: int, prefix: str) -> int:
    return bisect_left(names, True, lo=place, key=lambda name: not name.startswith(prefix))
