"""One bucket of Cloud Storage: write once, read, delete, list; thread-safe, blocking, one client for the process."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Any, BinaryIO, ClassVar

from ..errors import CloudError, MissingResourceError, PermissionDeniedError
from .failures import translated
from .pool import THREADS

REQUEST_TIMEOUT_SECONDS = 60
# How long a request is tried again; the second for a server on this machine, which is there or is not
PATIENCE_SECONDS = 120.0
LOCAL_PATIENCE_SECONDS = 45.0
# Pieces of a large upload: memory held per transfer against one request per piece. A multiple of 256 KiB.
UPLOAD_PIECE_BYTES = 32 * 1024 * 1024
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


class ObjectStore:
    """The objects of one bucket.

    Args:
        client: a `google.cloud.storage.Client`.
        bucket_name: the bucket.
    """

    _clients: ClassVar[dict[tuple[str, str], Any]] = {}
    _lock = threading.Lock()

    def __init__(self, client: Any, bucket_name: str):
        self._client = client
        self._bucket = client.bucket(bucket_name)
        self.bucket_name = bucket_name
        self._patience = _patience()
        self.place = (client._connection.API_BASE_URL, client.project, bucket_name)

    @classmethod
    def shared(cls, project_id: str, bucket_name: str) -> ObjectStore:
        """The bucket through the process's client for this project.

        Raises:
            PermissionDeniedError: no credentials.
        """
        key = (project_id, os.environ.get("STORAGE_EMULATOR_HOST", ""))
        with cls._lock:
            if key not in cls._clients:
                cls._clients[key] = _make_client(project_id)
        return cls(cls._clients[key], bucket_name)

    def put(self, name: str, source: bytes | str) -> bool:
        """Write an object that must not exist yet, from bytes or from the file at a path.

        Returns:
            False if it was there already, as also after a retry of a write whose answer was lost.
        """
        from google.api_core.exceptions import PreconditionFailed

        blob = self._bucket.blob(name)
        try:
            if isinstance(source, bytes):
                blob.upload_from_string(
                    source,
                    content_type="application/octet-stream",
                    if_generation_match=0,
                    **self._patience,
                )
            else:
                blob.chunk_size = UPLOAD_PIECE_BYTES
                blob.upload_from_filename(
                    source,
                    content_type="application/octet-stream",
                    if_generation_match=0,
                    **self._patience,
                )
        except PreconditionFailed:
            return False
        except Exception as error:
            raise self._failure(error, f"write gs://{self.bucket_name}/{name}") from error
        return True

    def get(self, name: str, into: BinaryIO) -> bool:
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

    def _failure(self, error: Exception, what: str) -> CloudError:
        failure = translated(error, what)
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


def _patience() -> dict[str, Any]:
    """How long to wait for one answer, and how long to try again."""
    from google.cloud.storage.retry import DEFAULT_RETRY

    is_local = bool(os.environ.get("STORAGE_EMULATOR_HOST"))
    seconds = LOCAL_PATIENCE_SECONDS if is_local else PATIENCE_SECONDS
    return {"retry": DEFAULT_RETRY.with_timeout(seconds), "timeout": REQUEST_TIMEOUT_SECONDS}


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
        raise translated(error, "connect to Cloud Storage") from error
