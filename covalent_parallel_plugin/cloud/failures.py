"""Google's errors as this package's: which of them may pass, and what the others mean to the user."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import requests
from google.api_core import exceptions as google
from google.auth import exceptions as auth

from ..errors import CloudError, MissingResourceError, PermissionDeniedError, UnavailableError
from ..protocol.environment import BATCH_EMULATOR_HOST, STORAGE_EMULATOR_HOST
from .outages import LOCAL_LONGEST_PAUSE_SECONDS, Service, Tries

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

INITIAL_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0

LOGIN = (
    "no Google credentials were found: run `gcloud auth application-default login`, or set"
    " GOOGLE_APPLICATION_CREDENTIALS to a key file, for the user who runs the Covalent server; for the local stand-in,"
    " start the server with the three variables that `covalent-parallel emulator` prints"
)
LOCAL_VARIABLES = (STORAGE_EMULATOR_HOST, BATCH_EMULATOR_HOST)
T = TypeVar("T")


def may_pass(error: BaseException) -> bool:
    """Whether the same request may succeed a little later."""
    return isinstance(error, (*TRANSIENT, auth.TransportError))


async def patiently(attempt: Callable[[], Awaitable[T]], seconds: float, service: Service) -> T:
    """Make an attempt, and others while what goes wrong may pass, for so long.

    The pauses double from half a second on, with jitter on both sides and never near zero: a service in trouble is not
    asked again at once. (`google.api_core.retry` draws them from zero on.) Whoever waits is told after a few seconds.

    Raises:
        The last attempt's error.
    """
    tries = Tries(service, seconds)
    pause = INITIAL_PAUSE_SECONDS
    longest = LOCAL_LONGEST_PAUSE_SECONDS if service.is_local else LONGEST_PAUSE_SECONDS
    while True:
        try:
            answer = await attempt()
        except Exception as error:
            if not may_pass(error):
                service.answered()
                raise
            wait = pause * random.uniform(0.6, 1.4)
            tries.failed(error, wait)
            if service.clock() + wait > tries.until:
                raise
        else:
            service.answered()
            return answer
        await asyncio.sleep(wait)
        pause = min(pause * 2, longest)


def translated(error: Exception, what: str) -> CloudError:
    """This package's error for one of Google's; `what` says what was tried, as in "read the job X"."""
    if isinstance(error, google.RetryError) and isinstance(error.cause, Exception):
        cause = error.cause
        return UnavailableError(
            f"{_whose()} could not {what}, however often it was asked: {_text(cause)}{_local_hint()}"
        )
    if isinstance(error, auth.DefaultCredentialsError):
        return PermissionDeniedError(f"could not {what}: {LOGIN}")
    if isinstance(error, auth.RefreshError):
        return PermissionDeniedError(f"could not {what}: the Google credentials have expired: {error}: {LOGIN}")
    if isinstance(error, (google.PermissionDenied, google.Forbidden, google.Unauthorized)):
        return PermissionDeniedError(f"Google does not permit to {what}: {_text(error)}")
    if isinstance(error, google.NotFound):
        return MissingResourceError(f"could not {what}: {_text(error)}")
    if may_pass(error) or isinstance(error, (ConnectionError, requests.exceptions.ConnectionError)):
        return UnavailableError(f"{_whose()} could not {what}: {_text(error)}{_local_hint()}")
    return CloudError(f"Google refused to {what}: {_text(error)}")


def _whose() -> str:
    """Who was asked."""
    return "the local stand-in" if any(os.environ.get(name) for name in LOCAL_VARIABLES) else "Google"


def _local_hint() -> str:
    """What to do where a server on this machine was asked, and not Google."""
    found = [f"{name}={os.environ[name]}" for name in LOCAL_VARIABLES if os.environ.get(name)]
    if not found:
        return ""
    return (
        f"\nThat was the local stand-in ({', '.join(found)}): see that `covalent-parallel emulator` runs, and start"
        " the Covalent server anew with the variables that it prints, which are others each time unless its ports are"
        " given."
    )


def _text(error: BaseException) -> str:
    return str(getattr(error, "message", "") or error)
