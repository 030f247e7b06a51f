"""One bucket of Cloud Storage: write once, read, delete, list; thread-safe, blocking, one client for the process."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from ..errors import CacheDirError, CloudError, MissingResourceError, ParallelError, PermissionDeniedError
from ..protocol.environment import STORAGE_EMULATOR_HOST
from .errors import to_package_error
from .multi_buffer import MultiBufferReader
from .outage_tracker import logging_retry, service_at
from .threads import THREADS

REQUEST_TIMEOUT_SECONDS = 60
# How long a request is tried again; the second for a server on this machine, which is there or is not
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
# The client would look the bucket up in the background on its first use, for traces that nobody asked for
QUIET_VARIABLE = "DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA"


@dataclass(frozen=True)
class StoredObject:
    """An object's name, its size in bytes, and when it was written in seconds since 1970."""

    name: str
    size: int
    created_seconds: float


class CorruptObjectError(CloudError):
    """An object arrived changed, however often it was downloaded."""


class Target(Protocol):
    """What an object is copied into: an empty file, as far as `ObjectStore.get` needs one."""

    def write(self, data: bytes, /) -> int: ...

    def seek(self, offset: int, /) -> int: ...

    def truncate(self) -> int: ...


class ObjectStore:
    """The objects of one bucket.

    Args:
        client: a `google.cloud.storage.Client`.
        bucket_name: the bucket.
    """

    # By project and address, and these by bucket too
    _clients: ClassVar[dict[tuple[str, str], Any]] = {}
    _stores: ClassVar[dict[tuple[str, str, str], ObjectStore]] = {}
    _lock = threading.Lock()

    def __init__(self, client: Any, bucket_name: str):
        self._client = client
        self._bucket = client.bucket(bucket_name)
        self.bucket_name = bucket_name
        self._patience = _patience(client._connection.API_BASE_URL)
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

    def put(self, name: str, source: bytes | Sequence[bytes]) -> bool:
        """Write an object that must not exist yet, given whole or in the pieces in which it lies in memory.

        Large ones have no checksum of Cloud Storage's on their way: what is in pieces here carries its own.

        Returns:
            False if it was there already, as also after a retry of a write whose answer was lost.
        """
        from google.api_core.exceptions import PreconditionFailed

        blob = self._bucket.blob(name)
        how = {"content_type": "application/octet-stream", "if_generation_match": 0, **self._patience}
        try:
            if isinstance(source, bytes):
                blob.upload_from_string(source, **how)
            elif sum(map(len, source)) <= ONE_REQUEST_BYTES:
                blob.upload_from_string(b"".join(source), **how)
            else:
                reader = MultiBufferReader(source)
                blob.upload_from_file(reader, size=reader.size, checksum=None, **how)
        except PreconditionFailed:
            return False
        except Exception as error:
            raise self._failure(error, f"write gs://{self.bucket_name}/{name}") from error
        return True

    def get(self, name: str, into: Target) -> bool:
        """Copy an object into an empty file; False if there is none.

        Raises:
            CorruptObjectError: it never arrived as its checksum says.
        """
        from google.api_core.exceptions import NotFound
        from google.cloud.storage.exceptions import DataCorruption

        for _ in range(DOWNLOAD_TRIES):
            into.seek(0)
            into.truncate()
            try:
                self._bucket.blob(name).download_to_file(into, raw_download=True, **self._patience)
            except NotFound as error:
                if _is_bucket_missing(error):
                    raise self._failure(error, f"read gs://{self.bucket_name}/{name}") from error
                return False
            except DataCorruption as error:
                changed = error
            except Exception as error:
                raise self._failure(error, f"read gs://{self.bucket_name}/{name}") from error
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

    def list(self, prefix: str) -> list[StoredObject]:
        """The objects whose names start so."""
        try:
            blobs = self._client.list_blobs(
                self._bucket,
                prefix=prefix,
                fields="items(name,size,timeCreated),nextPageToken",
                **self._patience,
            )
            return [
                StoredObject(blob.name, blob.size or 0, blob.time_created.timestamp() if blob.time_created else 0.0)
                for blob in blobs
            ]
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

    def _failure(self, error: Exception, what: str) -> ParallelError:
        if isinstance(error, ParallelError):
            # What the target of a download said
            return error
        if isinstance(error, OSError) and error.errno in FULL:
            place = what.rpartition(" ")[2]
            return CacheDirError(
                f"{place} does not fit into cache_dir ({error.strerror}): make room there, or name another folder"
            )
        failure = to_package_error(error, what)
        if isinstance(failure, MissingResourceError):
            return MissingResourceError(
                f"the bucket {self.bucket_name!r} does not exist (bucket_name): make it with"
                f" `gcloud storage buckets create gs://{self.bucket_name}`, or name another one"
            )
        if isinstance(failure, PermissionDeniedError) and "gs://" in what:
            return PermissionDeniedError(
                f"{failure}\nGive the identity of the Covalent server roles/storage.objectUser on the bucket"
                f" {self.bucket_name!r} (bucket_name)."
            )
        return failure


def _patience(address: str) -> dict[str, Any]:
    """How long to wait for one answer, and how long to try again."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    is_local = bool(os.environ.get(STORAGE_EMULATOR_HOST))
    seconds = LOCAL_PATIENCE_SECONDS if is_local else PATIENCE_SECONDS
    retry = logging_retry(DEFAULT_RETRY, service_at("Cloud Storage", address, is_local), seconds)
    return {"retry": retry, "timeout": REQUEST_TIMEOUT_SECONDS}


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
