"""One request to a container registry: its answer, or this package's error with what to do."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from ...errors import CloudError, MissingResourceError, PermissionDeniedError, UnavailableError
from .image_reference import DOCKER_HUB, ImageReference

# The limit that the distribution specification sets for manifests; configurations are smaller
MOST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class RegistryResponse:
    """What came back; `challenge` says how to ask with permission."""

    status: int
    challenge: str
    body: bytes

    def json(self, reference: ImageReference) -> dict[str, Any]:
        """Read the body as a JSON object. Raises CloudError."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise CloudError(f"{reference.host} does not answer as a registry does: {self.body[:80]!r}") from error
        if not isinstance(value, dict):
            raise CloudError(f"{reference.host} does not answer as a registry does: {self.body[:80]!r}")
        return value

    @property
    def digest(self) -> str:
        """The body's own digest, as registries write it."""
        return f"sha256:{hashlib.sha256(self.body).hexdigest()}"


def new_session() -> requests.Session:
    """A session that asks again, twice, where a registry's front end is in trouble for a moment."""
    retries = Retry(
        total=None,
        connect=0,
        # False: a timeout stays one, and is not called a failed connection
        read=False,
        other=0,
        status=2,
        backoff_factor=0.3,
        status_forcelist=(502, 503, 504),
        raise_on_status=False,
        # what a registry says there may be minutes
        respect_retry_after_header=False,
    )
    session = _RegistrySession()
    session.mount("https://", HTTPAdapter(max_retries=retries))
    session.mount("http://", HTTPAdapter(max_retries=retries))
    return session


def ask(
    session: requests.Session,
    reference: ImageReference,
    url: str,
    headers: Mapping[str, str],
    query: Mapping[str, str],
    timeout_seconds: float,
) -> RegistryResponse:
    """Send one GET; any HTTP status is an answer.

    Each wait for the registry may take `timeout_seconds`, and the whole of it twice that.

    Raises:
        UnavailableError: none came.
        CloudError: it is too large to be a registry's.
    """
    host = reference.host
    late = (
        f"the registry {host} did not answer within {timeout_seconds:g} s, asked for {reference}: try again, or see"
        " that a proxy or firewall lets this machine through"
    )
    answers: list[RegistryResponse] = []
    errors: list[Exception] = []

    def request() -> None:
        try:
            answers.append(_answer(session, url, headers, query, timeout_seconds))
        except Exception as error:
            # Raised again where it is waited for.
            errors.append(error)

    # No timeout of requests' ends an answer of which a byte comes now and then; what it leaves here ends with it.
    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    thread.join(2 * timeout_seconds)
    try:
        if errors:
            raise errors[0]
        if answers:
            return answers[0]
        raise UnavailableError(late)
    except requests.exceptions.Timeout as error:
        raise UnavailableError(late) from error
    except requests.exceptions.RequestException as error:
        raise UnavailableError(
            f"the registry {host} cannot be reached ({_innermost(error)}), asked for {reference}: check the name, and"
            " that this machine has a way there"
        ) from error


class _RegistrySession(requests.Session):
    """Keeps what it is given to the host it is meant for."""

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """Where a redirection leads elsewhere, send neither the token nor a password from ~/.netrc.

        Raises:
            CloudError: it leads from https to what is not.
        """
        old, new = str(response.request.url), str(prepared_request.url)
        if urlsplit(old).scheme == "https" and urlsplit(new).scheme != "https":
            raise CloudError(f"{urlsplit(old).netloc} redirects to {new}, which is not https")
        if "Authorization" in prepared_request.headers and self.should_strip_auth(old, new):
            del prepared_request.headers["Authorization"]


def _answer(
    session: requests.Session, url: str, headers: Mapping[str, str], query: Mapping[str, str], timeout_seconds: float
) -> RegistryResponse:
    with session.get(
        url, headers=dict(headers), params=dict(query), timeout=timeout_seconds, stream=True, auth=_as_it_is
    ) as response:
        body = b""
        for piece in response.iter_content(64 * 1024):
            body += piece
            if len(body) > MOST_BYTES:
                host = urlsplit(url).netloc
                raise CloudError(f"{host} answers more than {MOST_BYTES:,} bytes, which is not a registry's way")
        return RegistryResponse(response.status_code, response.headers.get("WWW-Authenticate", ""), body)


def error_for(answer: RegistryResponse, reference: ImageReference, has_google_account: bool) -> CloudError:
    """The error for an answer other than 200."""
    host, status, said = reference.host, answer.status, _said(answer)
    if status in (401, 403):
        # Registries hide what does not exist behind 401 and 403.
        remedy = _permission_remedy(reference, has_google_account)
        return PermissionDeniedError(f"the registry {host} does not let this user read {reference}{said}: {remedy}")
    if status == 404:
        return MissingResourceError(
            f"the registry {host} has no image {reference}{said}: check name and tag, or build and push it with"
            f" `covalent-parallel image build --push --tag {reference}`"
        )
    if status == 429:
        return UnavailableError(f"the registry {host} takes no more requests for now (429){said}: try again later")
    if status >= 500:
        return UnavailableError(f"the registry {host} is in trouble (HTTP {status}){said}: try again later")
    return CloudError(f"the registry {host} answered HTTP {status} for {reference}{said}")


def _permission_remedy(reference: ImageReference, has_google_account: bool) -> str:
    if reference.is_google and not has_google_account:
        return "no Google credentials were found: run `gcloud auth application-default login`"
    if reference.is_google:
        return "the repository has to exist, and this Google account needs roles/artifactregistry.reader on it"
    pull = f"pull it with docker or podman, logged in, and check it again on this machine: `docker pull {reference}`"
    if reference.host == DOCKER_HUB:
        return f"it does not exist or is private. Check the name; if it is private, {pull}"
    return pull


def _said(answer: RegistryResponse) -> str:
    """The registry's own words, in brackets; "" where it has none."""
    try:
        errors = json.loads(answer.body)["errors"]
        return f" ({'; '.join(str(error['message']) for error in errors)})"
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keep a password for the host in the user's ~/.netrc out of it: it would replace the token."""
    return request


def _innermost(error: BaseException) -> str:
    """What went wrong in the end, of errors that carry one another as reason or argument."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return _innermost(reason)
    if error.args and isinstance(error.args[-1], BaseException):
        return _innermost(error.args[-1])
    return str(error).rsplit(": ", 1)[-1]
