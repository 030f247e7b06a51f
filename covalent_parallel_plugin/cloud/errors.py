"""Google's errors as this package's: which of them may pass, and what the others mean to the user."""

from __future__ import annotations

import os

import requests
from google.api_core import exceptions as google
from google.auth import exceptions as auth

from ..errors import CloudError, MissingResourceError, PermissionDeniedError, UnavailableError
from ..protocol.environment import BATCH_EMULATOR_HOST, STORAGE_EMULATOR_HOST, for_google

# Seen to pass by itself on Batch; the client retries UNAVAILABLE alone, and only reads (batch_v1's default_retry)
TRANSIENT = (
    google.ServiceUnavailable,
    google.DeadlineExceeded,
    google.GatewayTimeout,
    google.BadGateway,
    google.ResourceExhausted,
    google.TooManyRequests,
    google.InternalServerError,
    google.Aborted,
    google.Unknown,
)

_LOGIN = (
    "no Google credentials were found: run `gcloud auth application-default login`, or set"
    " GOOGLE_APPLICATION_CREDENTIALS to a key file, for the user who runs the Covalent server or this"
    " command; for the emulator, start either with the three variables that `covalent-parallel emulator` prints"
)
# Of the services, only those whose variable is set are an emulator's.
_ALL_VARIABLES = (
    "no Google credentials were found, and only some of the services are the emulator's: set all three variables that"
    " `covalent-parallel emulator` prints, or none"
)
LOCAL_VARIABLES = (STORAGE_EMULATOR_HOST, BATCH_EMULATOR_HOST)


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    return isinstance(error, (*TRANSIENT, auth.TransportError))


def is_refusal(error: CloudError) -> bool:
    """Whether a service's own answer was no, so that most likely it did nothing."""
    return isinstance(error.__cause__, (google.InvalidArgument, google.PermissionDenied, google.NotFound))


def to_package_error(error: Exception, what: str) -> CloudError:
    """This package's error for one of Google's; `what` says what was tried, as in "read the job X"."""
    if isinstance(error, CloudError):
        return type(error)(f"could not {what}: {error}")
    if isinstance(error, google.RetryError) and isinstance(error.cause, Exception):
        cause = error.cause
        return UnavailableError(
            f"{_whose()} could not {what}, however often it was asked: {_text(cause)}{_local_hint()}"
        )
    if isinstance(error, auth.DefaultCredentialsError):
        return PermissionDeniedError(f"could not {what}: {for_google(_LOGIN, _ALL_VARIABLES)}")
    if isinstance(error, auth.RefreshError):
        return PermissionDeniedError(
            f"could not {what}: the Google credentials have expired: {error}: {for_google(_LOGIN, _ALL_VARIABLES)}"
        )
    if isinstance(error, (google.PermissionDenied, google.Forbidden, google.Unauthorized)):
        return PermissionDeniedError(f"Google does not permit to {what}: {_text(error)}")
    if isinstance(error, google.NotFound):
        return MissingResourceError(f"could not {what}: {_text(error)}")
    if is_transient(error) or isinstance(error, (ConnectionError, requests.exceptions.ConnectionError)):
        return UnavailableError(f"{_whose()} could not {what}: {_text(error)}{_local_hint()}")
    return CloudError(f"Google refused to {what}: {_text(error)}")


def _whose() -> str:
    """Who was asked."""
    return "the emulator" if any(os.environ.get(name) for name in LOCAL_VARIABLES) else "Google"


def _local_hint() -> str:
    """What to do where a server on this machine was asked, and not Google."""
    found = [f"{name}={os.environ[name]}" for name in LOCAL_VARIABLES if os.environ.get(name)]
    if not found:
        return ""
    return (
        f"\nThat was the emulator ({', '.join(found)}): see that `covalent-parallel emulator` runs, and use"
        " the variables that it prints, which are others each time unless its ports are given; a Covalent server is"
        " started anew with them."
    )


def _text(error: BaseException) -> str:
    return str(getattr(error, "message", "") or error)
