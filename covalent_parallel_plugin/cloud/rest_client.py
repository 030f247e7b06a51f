"""A client of Google's JSON APIs: what exists and what the caller may do; blocking, thread-safe, without retries.

With STORAGE_EMULATOR_HOST set the requests go to that host, under the same paths: the emulator serves all APIs on its
one HTTP port.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import google.auth
import requests
from google.auth import exceptions as auth
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession, Request

from ..errors import CloudError, PermissionDeniedError, UnavailableError
from ..protocol.environment import STORAGE_EMULATOR_HOST
from .errors import to_package_error

SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
REQUEST_SECONDS = 10.0
# Where the reasons of google.rpc.ErrorInfo are: https://cloud.google.com/apis/design/errors
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
SERVICE_DISABLED = "SERVICE_DISABLED"


class NotOfferedError(CloudError):
    """What answers in Google's place does not know this API."""


@dataclass(frozen=True)
class Principal:
    """Whose credentials were found.

    `kind` is "user", "service account" or the credentials' class; `account` and `quota_project` are "" if not known.
    """

    kind: str
    account: str = ""
    quota_project: str = ""

    @property
    def member(self) -> str:
        """Who it is in commands that grant roles; YOU where the account is not known."""
        return f"{'serviceAccount' if self.kind == 'service account' else 'user'}:{self.account or 'YOU'}"


@dataclass(frozen=True)
class RestResponse:
    """What an API answered: HTTP status, JSON (empty if the body is none), and the body."""

    status: int
    content: Mapping[str, Any] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    @property
    def is_ok(self) -> bool:
        return self.status < 300

    @property
    def message(self) -> str:
        """Google's text for the error; the status if there is none."""
        return str(self._error.get("message") or f"HTTP {self.status}")

    @property
    def reason(self) -> str:
        """The reason of google.rpc.ErrorInfo, such as SERVICE_DISABLED; "" if none is given."""
        details = self._error.get("details") or ()
        return next((str(detail.get("reason", "")) for detail in details if detail.get("@type") == ERROR_INFO), "")

    @property
    def _error(self) -> Mapping[str, Any]:
        error = self.content.get("error")
        return error if isinstance(error, Mapping) else {}


class RestClient:
    """The APIs through one session.

    Args:
        session: an `AuthorizedSession`.
        emulator_url: scheme and host of the emulator; "" for Google.
    """

    def __init__(self, session: Any, emulator_url: str = ""):
        self._session = session
        self.emulator_url = emulator_url

    @classmethod
    def connect(cls, credentials: Any = None) -> RestClient:
        """The APIs with these credentials, or where STORAGE_EMULATOR_HOST points, with none."""
        emulator_url = os.environ.get(STORAGE_EMULATOR_HOST, "")
        if not emulator_url:
            return cls(AuthorizedSession(credentials))  # type: ignore[no-untyped-call]  # google-auth has no types
        session = AuthorizedSession(AnonymousCredentials())  # type: ignore[no-untyped-call]  # as above
        session.trust_env = False  # no proxy leads to loopback
        return cls(session, emulator_url.rstrip("/"))

    def get(self, url: str, query: Sequence[tuple[str, str]] = ()) -> RestResponse:
        """Send a GET request; `url` is Google's own.

        Raises:
            NotOfferedError: the emulator does not know this API.
            UnavailableError: no answer. PermissionDeniedError: the credentials do not work.
        """
        return self.request("GET", url, query)

    def request(self, method: str, url: str, query: Sequence[tuple[str, str]] = (), body: Any = None) -> RestResponse:
        """Send a request with any method, as `get`; `body` is bytes, or what JSON can hold."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
        try:
            response = self._session.request(
                method,
                self._address(url),
                params=list(query),
                data=data,
                headers={"Content-Type": kind} if data is not None else {},
                timeout=REQUEST_SECONDS,
                max_allowed_time=REQUEST_SECONDS,
            )
        except requests.exceptions.Timeout as error:
            host = urlsplit(self._address(url)).netloc
            raise UnavailableError(f"{host} did not answer within {REQUEST_SECONDS:g} s") from error
        except requests.exceptions.RequestException as error:
            # The text has the whole address and several classes around the reason.
            host, reason = urlsplit(self._address(url)).netloc, str(error).rpartition(": ")[2].strip("()'\"")
            raise UnavailableError(f"{host} could not be reached: {reason}") from error
        except auth.GoogleAuthError as error:
            raise to_package_error(error, f"ask {urlsplit(url).netloc}") from error
        answer = RestResponse(response.status_code, _json(response), response.content)
        if self.emulator_url and not answer.is_ok and not _is_google_error(answer, url):
            raise NotOfferedError(f"the emulator at {self.emulator_url} knows nothing of {urlsplit(url).netloc}")
        return answer

    def _address(self, url: str) -> str:
        if not self.emulator_url:
            return url
        parts = urlsplit(url)
        host = urlsplit(self.emulator_url)
        return urlunsplit((host.scheme, host.netloc, parts.path, parts.query, ""))


def default_credentials() -> tuple[Any, Principal]:
    """The credentials that Google's clients find here, refreshed, and whose they are.

    Raises:
        PermissionDeniedError: there are none, or they have expired.
        UnavailableError: Google could not be asked for a token.
    """
    try:
        credentials, _ = google.auth.default(scopes=SCOPES)
        credentials.refresh(Request())  # type: ignore[no-untyped-call]  # google-auth has no types
    except auth.TransportError as error:
        raise UnavailableError(f"Google could not be asked for a token: {error}") from error
    except auth.GoogleAuthError as error:
        raise to_package_error(error, "find credentials") from error
    except (OSError, ValueError) as error:
        raise PermissionDeniedError(f"the credentials cannot be read: {error}") from error
    return credentials, _principal(credentials)


def part(name: str) -> str:
    """A name as one part of an address's path."""
    return quote(name, safe="")


def _principal(credentials: Any) -> Principal:
    email = getattr(credentials, "service_account_email", "") or ""
    account = getattr(credentials, "account", "") or ""
    quota_project = getattr(credentials, "quota_project_id", "") or ""
    if email:
        return Principal("service account", email, quota_project)
    if type(credentials).__module__ == "google.oauth2.credentials":
        return Principal("user", account, quota_project)
    return Principal(type(credentials).__name__, account, quota_project)


def _is_google_error(refusal: RestResponse, url: str) -> bool:
    """Whether a refusal has Google's form; Cloud Storage's has no status in words."""
    is_storage = urlsplit(url).netloc == "storage.googleapis.com"
    return bool(refusal._error) and (is_storage or "status" in refusal._error)


def _json(response: requests.Response) -> Mapping[str, Any]:
    if "json" not in response.headers.get("Content-Type", ""):
        return {}
    try:
        content = response.json()
    except ValueError:
        return {}
    return content if isinstance(content, Mapping) else {}
