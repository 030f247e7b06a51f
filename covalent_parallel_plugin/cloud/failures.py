"""Google's errors as this package's: which of them may pass, and what the others mean to the user."""

from __future__ import annotations

from google.api_core import exceptions as google
from google.api_core.retry import AsyncRetry
from google.auth import exceptions as auth

from ..errors import CloudError, MissingResourceError, PermissionDeniedError, UnavailableError

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

LOGIN = (
    "no Google credentials were found: run `gcloud auth application-default login`, or set"
    " GOOGLE_APPLICATION_CREDENTIALS to a key file, for the user who runs the Covalent server"
)


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    return isinstance(error, (*TRANSIENT, auth.TransportError))


def patiently(seconds: float, initial: float = 0.5, maximum: float = 15.0) -> AsyncRetry:
    """Retry what may pass for so long, with growing pauses drawn at random (jitter)."""
    return AsyncRetry(predicate=may_pass, initial=initial, maximum=maximum, multiplier=2.0, timeout=seconds)


def translated(error: Exception, what: str) -> CloudError:
    """This package's error for one of Google's; `what` says what was tried, as in "read the job X"."""
    if isinstance(error, google.RetryError) and isinstance(error.cause, Exception):
        cause = error.cause
        return UnavailableError(f"Google could not {what}, however often it was asked: {_text(cause)}")
    if isinstance(error, auth.DefaultCredentialsError):
        return PermissionDeniedError(f"could not {what}: {LOGIN}")
    if isinstance(error, auth.RefreshError):
        return PermissionDeniedError(f"could not {what}: the Google credentials have expired: {error}: {LOGIN}")
    if isinstance(error, (google.PermissionDenied, google.Forbidden, google.Unauthorized)):
        return PermissionDeniedError(f"Google does not permit to {what}: {_text(error)}")
    if isinstance(error, google.NotFound):
        return MissingResourceError(f"could not {what}: {_text(error)}")
    if may_pass(error):
        return UnavailableError(f"Google could not {what}: {_text(error)}")
    return CloudError(f"Google refused to {what}: {_text(error)}")


def _text(error: BaseException) -> str:
    return str(getattr(error, "message", "") or error)
