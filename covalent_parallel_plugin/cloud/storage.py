"""One bucket of Cloud Storage: write once, read, delete, list; thread-safe, blocking, one client for the process."""

from __future__ import annotations

import builtins
import errno
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, ParamSpec, Protocol

from ..errors import CacheDirError, CloudError, MissingResourceError, ParallelError, PermissionDeniedError
from ..protocol.environment import STORAGE_EMULATOR_HOST
from .errors import to_package_error
from .multi_buffer import MultiBufferReader
from .outage_tracker import service_at
from .page_limit import PageLimit
from .retry import BlockingRetry
from .threads import THREADS, TransferStoppedError

# How long each piece may take that is sent, and how long the first byte of the answer; `bounded_pool` bounds the others
SEND_SECONDS = 60.0
ANSWER_SECONDS = 30.0
# How long a request is tried again after its first failure; the second for a server on this machine, which is there or
# is not
PATIENCE_SECONDS = 120.0
LOCAL_PATIENCE_SECONDS = 20.0
# Google's client sends up to so much in one request, and what is larger in several
ONE_REQUEST_BYTES = 8 * 1024 * 1024
# What only makes a message more precise is not waited for any longer
METADATA_SECONDS = 5
# What a disk says that has no room
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# A download whose checksum does not fit, which the client does not try again by itself
DOWNLOAD_TRIES = 3
# A list has up to 1,000 objects on a page
MOST_PAGES, LIST_SECONDS = 2000, 600.0
# An upload whose session is gone
UPLOAD_TRIES = 3
# The client would look the bucket up in the background on its first use, for traces that are not wanted
QUIET_VARIABLE = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"

P = ParamSpec("P")


@dataclass(frozen=True)
class StoredObject:
    """An object's name, its size in bytes, when it was written in seconds since 1970, and its generation.

    Attributes:
        metadata: its custom metadata, where that was asked for.
    """

    name: str
    size: int
    created_seconds: float
    generation: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict, hash=False)


class CorruptObjectError(CloudError):
    """An object arrived changed, however often it was downloaded."""


class Target(Protocol):
    """What an object is copied into: an empty file, as far as `ObjectStore.get` needs one."""

    def write(self, data: bytes, /) -> int: ...

    def seek(self, offset: int, /) -> int: ...

    def truncate(self) -> int: ...


class _GuardedTarget:
    """A target whose errors are distinct from those of Google's client."""

    def __init__(self, target: Target):
        self._target = target
        self.error: Exception | None = None

    def write(self, data: bytes) -> int:
        return self._guard(self._target.write, data)

    def seek(self, offset: int) -> int:
        return self._guard(self._target.seek, offset)

    def truncate(self) -> int:
        return self._guard(self._target.truncate)

    def _guard(self, function: Callable[P, int], *args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            self.error = error
            # Of no class that is tried again
            raise TransferStoppedError("the target takes no more") from error


class ObjectStore:
    """The objects of one bucket.

    Args:
        client: a `google.cloud.storage.Client`.
        bucket_name: the bucket.
        patience_seconds: how long a request is tried again after its first failure; by default two minutes, and less
            for the emulator.
    """

    # By project and address, and these by bucket too
    _clients: ClassVar[dict[tuple[str, str], Any]] = {}
    _stores: ClassVar[dict[tuple[str, str, str], ObjectStore]] = {}
    _lock = threading.Lock()

    def __init__(self, client: Any, bucket_name: str, patience_seconds: float | None = None):
        self._client = client
        self._bucket = client.bucket(bucket_name)
        self.bucket_name = bucket_name
        retry = _retry(client._connection.API_BASE_URL, patience_seconds)
        self._patience = {"retry": retry, "timeout": (SEND_SECONDS, ANSWER_SECONDS)}
        self.place = (client._connection.API_BASE_URL, client.project, bucket_name)

    @classmethod
    def shared(cls, project_id: str, bucket_name: str) -> ObjectStore:
        """The bucket through the process's client for this project.

        Raises:
            PermissionDeniedError: no credentials.
        """
        key = (project_id, os.environ.get(STORAGE_EMULATOR_HOST, ""))
        place = (*key, bucket_name)
        with cls._lock:
            if place not in cls._stores:
                if key not in cls._clients:
                    cls._clients[key] = _make_client(project_id)
                cls._stores[place] = cls(cls._clients[key], bucket_name)
            return cls._stores[place]

    def with_patience(self, seconds: float) -> ObjectStore:
        """Return the same bucket, each of whose requests is tried again for so long after its first failure."""
        return ObjectStore(self._client, self.bucket_name, seconds)

    def put(self, name: str, source: bytes | Sequence[bytes]) -> bool:
        """Write an object that must not exist yet, given whole or in the pieces in which it lies in memory.

        Large ones have no checksum of Cloud Storage's on their way: what is in pieces here carries its own. An upload
        whose session is gone, or that is answered oddly, as by a proxy, starts again.

        Returns:
            False if it was there already, as also after a retry of a write whose answer was lost.
        """
        return self._put_once(name, lambda how: self._upload(name, source, how))

    def put_file(self, name: str, path: Path) -> bool:
        """Write a file as `put` writes bytes, with ONE_REQUEST_BYTES of it in memory at a time.

        Raises:
            OSError: the file cannot be opened.
        """
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            blob = self._bucket.blob(name, chunk_size=ONE_REQUEST_BYTES)
            return self._put_once(name, lambda how: blob.upload_from_file(file, rewind=True, size=size, **how))

    def _put_once(self, name: str, upload: Callable[[dict[str, Any]], None]) -> bool:
        from google.api_core.exceptions import PreconditionFailed

        how = {"content_type": "application/octet-stream", "if_generation_match": 0, **self._patience}
        for is_last in [False] * (UPLOAD_TRIES - 1) + [True]:
            try:
                upload(how)
            except PreconditionFailed:
                if is_last or name in self.names(name):
                    return False
            except Exception as error:
                if is_last or _is_refusal(error):
                    raise self._failure(error, f"write gs://{self.bucket_name}/{name}") from error
            else:
                return True
        raise AssertionError("the last try ends here")

    def _upload(self, name: str, source: bytes | Sequence[bytes], how: dict[str, Any]) -> None:
        blob = self._bucket.blob(name)
        if isinstance(source, bytes):
            blob.upload_from_string(source, **how)
        elif sum(map(len, source)) <= ONE_REQUEST_BYTES:
            blob.upload_from_string(b"".join(source), **how)
        else:
            reader = MultiBufferReader(source)
            blob.upload_from_file(reader, size=reader.size, checksum=None, **how)

    def get(self, name: str, into: Target) -> bool:
        """Copy an object into an empty file; False if there is none, and no list has its name either.

        What `into` raises ends the transfer at once: it is not tried again, its connection is closed with what was
        still to come, and the exception comes out as it is (an OSError as a CacheDirError). So does a cancelled
        `threads.run_stoppable`, with TransferStoppedError. What was interrupted continues, or begins again.

        Raises:
            CorruptObjectError: it never arrived as its checksum says.
            MissingResourceError: it is listed and not found, so a proxy may have answered; or there is no bucket.
            CacheDirError: `into` has no room, or cannot be written to.
        """
        from google.api_core.exceptions import NotFound

        what = f"read gs://{self.bucket_name}/{name}"
        target = _GuardedTarget(into)
        for _ in range(DOWNLOAD_TRIES):
            try:
                target.seek(0)
                target.truncate()
                blob = self._bucket.blob(name)
                blob.download_to_file(target, raw_download=True, **self._patience)
                if not blob.crc32c and not blob.md5_hash:
                    # Not Cloud Storage's answer, but perhaps a page that asks for a login
                    raise CorruptObjectError("no checksum came with it")
            except NotFound as error:
                if _is_bucket_missing(error) or name in self.names(name):
                    raise self._failure(error, what) from error
                return False
            except Exception as error:
                if target.error is not None:
                    raise _target_failure(target.error, what)  # noqa: B904  # it has its own cause
                if not _has_arrived_changed(error):
                    raise self._failure(error, what) from error
                changed = error
            else:
                return True
        raise CorruptObjectError(
            f"gs://{self.bucket_name}/{name} arrived changed {DOWNLOAD_TRIES} times: its checksum does not fit"
        ) from changed

    def delete(self, name: str) -> bool:
        """Delete an object; False if there was none."""
        from google.api_core.exceptions import NotFound

        try:
            self._bucket.delete_blob(name, **self._patience)
        except NotFound:
            return False
        except Exception as error:
            raise self._failure(error, f"delete gs://{self.bucket_name}/{name}") from error
        return True

    def names(self, prefix: str) -> list[str]:
        """The names of the objects that start so."""
        return [stored.name for stored in self.list(prefix)]

    def list(self, prefix: str, *, start: str = "", with_metadata: bool = False) -> list[StoredObject]:
        """The objects whose names start so, in the order of their names; with `start`, from that name on.

        Raises:
            CloudError: also for a list whose pages have no end.
        """
        found: builtins.list[StoredObject] = []
        limit = PageLimit(MOST_PAGES, LIST_SECONDS)
        try:
            blobs = self._client.list_blobs(
                self._bucket,
                prefix=prefix,
                start_offset=start or None,
                fields=f"items(name,size,timeCreated,generation{',metadata' if with_metadata else ''}),nextPageToken",
                **self._patience,
            )
            for page in blobs.pages:
                found += [
                    StoredObject(
                        blob.name,
                        blob.size or 0,
                        blob.time_created.timestamp() if blob.time_created else 0.0,
                        blob.generation or 0,
                        (blob.metadata or {}) if with_metadata else {},
                    )
                    for blob in page
                ]
                limit.check(blobs.next_page_token)
            return found
        except Exception as error:
            raise self._failure(error, f"list gs://{self.bucket_name}/{prefix}*") from error

    def lifetime_days(self, name: str) -> int | None:
        """After how many days a lifecycle rule of the bucket deletes such an object; None if none does.

        Raises:
            CloudError: that cannot be read; it takes a permission that objects do not.
        """
        try:
            bucket = self._client.get_bucket(self.bucket_name, timeout=METADATA_SECONDS, retry=None)
            ages = [age for rule in bucket.lifecycle_rules if (age := deletes_after_days(rule, name)) is not None]
        except Exception as error:
            raise to_package_error(error, f"read the bucket {self.bucket_name}") from error
        return min(ages, default=None)

    def _failure(self, error: Exception, what: str) -> CloudError:
        failure = to_package_error(error, what)
        if isinstance(failure, MissingResourceError) and _is_bucket_missing(error):
            how = (
                f"start the emulator with --bucket {self.bucket_name}"
                if os.environ.get(STORAGE_EMULATOR_HOST)
                else f"make it with `gcloud storage buckets create gs://{self.bucket_name}`"
            )
            return MissingResourceError(
                f"the bucket {self.bucket_name!r} does not exist (bucket_name): {how}, or name another one"
            )
        if isinstance(failure, PermissionDeniedError) and "gs://" in what:
            return PermissionDeniedError(
                f"{failure}\nGive the identity of the Covalent server roles/storage.objectUser on the bucket"
                f" {self.bucket_name!r} (bucket_name)."
            )
        return failure


def _retry(address: str, seconds: float | None) -> BlockingRetry:
    from google.cloud.storage.retry import DEFAULT_RETRY

    is_local = bool(os.environ.get(STORAGE_EMULATOR_HOST))
    if seconds is None:
        seconds = LOCAL_PATIENCE_SECONDS if is_local else PATIENCE_SECONDS
    return BlockingRetry(
        service_at("Cloud Storage", address, is_local),
        seconds,
        lambda error: DEFAULT_RETRY._predicate(error) or _is_foreign_page(error),
    )


def _target_failure(error: Exception, what: str) -> Exception:
    """Return what a download's target raised, as this package's error where it is this machine's disk."""
    if isinstance(error, ParallelError) or not isinstance(error, OSError):
        return error
    place, reason = what.rpartition(" ")[2], error.strerror or error
    remedy = "make room there, or name another folder" if error.errno in FULL else "name another folder"
    happened = "does not fit into" if error.errno in FULL else "cannot be written to"
    failure = CacheDirError(f"{place} {happened} cache_dir ({reason}): {remedy}")
    failure.__cause__ = error
    return failure


def _is_refusal(error: Any) -> bool:
    """Whether an upload was refused by Cloud Storage itself, or tried for too long.

    Anything else may be a proxy's answer, or that the session of an upload in several requests is gone (404, 410).
    """
    from google.api_core.exceptions import GoogleAPICallError

    if not isinstance(error, GoogleAPICallError):
        return not _is_foreign_page(error)
    return error.code in (400, 401, 403) or _is_bucket_missing(error)


def _is_foreign_page(error: Exception) -> bool:
    """Whether the answer was no JSON: not Cloud Storage's, but perhaps a page that asks for a login."""
    from requests.exceptions import JSONDecodeError

    return isinstance(error, JSONDecodeError)


def _has_arrived_changed(error: Exception) -> bool:
    """Whether an object has another checksum, or another length, than was said, or none."""
    from google.api_core.exceptions import RequestRangeNotSatisfiable
    from google.cloud.storage.exceptions import DataCorruption

    return isinstance(error, (CorruptObjectError, DataCorruption, RequestRangeNotSatisfiable))


def deletes_after_days(rule: Mapping[str, Any], name: str) -> int | None:
    """Return the age at which a lifecycle rule deletes any object of this name; None if it does not."""
    condition = rule.get("condition") or {}
    prefixes = condition.get("matchesPrefix") or []
    others = set(condition) - {"age", "matchesPrefix", "isLive"}
    if (rule.get("action") or {}).get("type") != "Delete" or "age" not in condition or others:
        return None
    if prefixes and not any(name.startswith(prefix) for prefix in prefixes):
        return None
    return int(condition["age"])


def _is_bucket_missing(error: Any) -> bool:
    """Whether a 404 speaks of the bucket: Google's text for it is "The specified bucket does not exist."."""
    return "bucket does not exist" in str(error).lower()


def _make_client(project_id: str) -> Any:
    os.environ.setdefault(QUIET_VARIABLE, "1")
    from google.cloud import storage  # type: ignore[attr-defined]  # the package has no types

    from .session import LeanSession

    try:
        # Google's own way to credentials, scopes and the emulator's address; then the same with another session.
        credentials = storage.Client(project=project_id)._credentials
        return storage.Client(project=project_id, credentials=credentials, _http=LeanSession(credentials, THREADS))
    except Exception as error:
        raise to_package_error(error, "connect to Cloud Storage") from error
