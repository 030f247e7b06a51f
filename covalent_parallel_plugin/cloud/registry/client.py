"""Reads from a container registry what an image is: its labels, environment, user, architecture and size.

The protocol is the OCI distribution specification's: https://github.com/opencontainers/distribution-spec/blob/main/spec.md
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from ...errors import CloudError, PermissionDeniedError
from .image_config import ImageConfig, image_config
from .image_reference import ImageReference, is_digest, parse_reference
from .responses import RegistryResponse, ask, error_for, new_session

OS, ARCHITECTURE = "linux", "amd64"
"""Batch's machines: every machine family that it runs is x86 (https://cloud.google.com/batch/docs/get-started)."""
ACCEPTED = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
TIMEOUT_SECONDS = 10.0
_FIELD = re.compile(r'(\w+)="([^"]*)"')

GoogleToken = Callable[[], "str | None"]


def read_image_config(
    uri: str, timeout_seconds: float = TIMEOUT_SECONDS, google_token: GoogleToken | None = None
) -> ImageConfig:
    """Read an image's configuration from its registry, without downloading its layers.

    For an image with several platforms it is linux/amd64's, else the first one's, whose architecture then shows.

    Args:
        timeout_seconds: for each wait of the at most five requests, none of which takes more than twice as long.
        google_token: returns an access token for Google's registries, None without an account; default: Google's
            default credentials.

    Raises:
        ValueError: `uri` is not an image.
        MissingResourceError: the registry does not have it.
        PermissionDeniedError: it wants other credentials, or none were found.
        UnavailableError: it cannot be reached, or is in trouble.
        CloudError: it answered with something else.
    """
    reference = parse_reference(uri)
    with new_session() as session:
        registry = _Registry(session, reference, timeout_seconds, google_token or default_google_token)
        try:
            return registry.image(uri)
        except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            # A registry may send anything: names and numbers of any shape, addresses that are none.
            raise CloudError(
                f"{reference.host} does not answer as a registry does, asked for {reference}"
                f" ({type(error).__name__}: {str(error)[:200]})"
            ) from error


def default_google_token() -> str | None:
    """An access token of Google's default credentials; None where there are none.

    Raises:
        PermissionDeniedError: there are some, and Google does not take them any more.
    """
    import google.auth
    import google.auth.transport.requests
    from google.auth import exceptions

    try:
        credentials, _ = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    except exceptions.DefaultCredentialsError:
        return None
    try:
        credentials.refresh(google.auth.transport.requests.Request())  # type: ignore[no-untyped-call]  # google-auth's
    except exceptions.GoogleAuthError as error:
        raise PermissionDeniedError(
            f"Google's default credentials cannot be used: {error}: run `gcloud auth application-default login`"
        ) from error
    return str(credentials.token)


class _Registry:
    """One registry, asked for one image."""

    def __init__(
        self, session: requests.Session, reference: ImageReference, timeout_seconds: float, google_token: GoogleToken
    ):
        self._session = session
        self._reference = reference
        self._timeout_seconds = timeout_seconds
        token = google_token() if reference.is_google else None
        self._has_google_account = token is not None
        self._authorization = {} if token is None else {"Authorization": f"Bearer {token}"}

    def image(self, uri: str) -> ImageConfig:
        manifest, digest = self._manifest(self._reference.version)
        if "manifests" in manifest:
            manifest, digest = self._manifest(self._platform(manifest["manifests"]))
        try:
            described = manifest["config"]["digest"]
            size_bytes = sum(int(layer["size"]) for layer in manifest["layers"])
        except (KeyError, TypeError, ValueError) as error:
            raise CloudError(
                f"{self._reference} has a manifest of an old kind, or is not a container image (schema version"
                f" {manifest.get('schemaVersion')!r}): build and push it again with a recent docker or podman"
            ) from error
        if not is_digest(described):
            raise CloudError(f"{self._reference} names its configuration by no digest: {described!r:.100}")
        config = self._got(f"blobs/{described}", "application/json")
        self._verify(config, described)
        return image_config(uri, digest, config.json(self._reference), size_bytes)

    def _manifest(self, version: str) -> tuple[dict[str, Any], str]:
        answer = self._got(f"manifests/{version}", ", ".join(ACCEPTED))
        if version.startswith("sha256:"):
            self._verify(answer, version)
        return answer.json(self._reference), answer.digest

    def _platform(self, entries: object) -> str:
        """The digest of the entry for Batch's machines, else of the first that is an image."""
        found: dict[tuple[str, str], str] = {}
        for entry in entries if isinstance(entries, list) else []:
            if not isinstance(entry, dict):
                continue
            platform = entry.get("platform") or {}
            # Attestations, say, are listed as images for an unknown platform.
            if is_digest(entry.get("digest")) and platform.get("os") != "unknown":
                found.setdefault((platform.get("os", ""), platform.get("architecture", "")), entry["digest"])
        if not found:
            raise CloudError(f"{self._reference} lists no image for any platform")
        return found.get((OS, ARCHITECTURE)) or next(iter(found.values()))

    def _got(self, what: str, accept: str) -> RegistryResponse:
        url = f"{self._reference.address}/v2/{self._reference.path}/{what}"
        answer = self._ask(url, {"Accept": accept, **self._authorization})
        if answer.status == 401 and not self._authorization:
            token = self._anonymous_token(answer.challenge, url)
            if token is not None:
                self._authorization = {"Authorization": f"Bearer {token}"}
                answer = self._ask(url, {"Accept": accept, **self._authorization})
        if answer.status != 200:
            raise error_for(answer, self._reference, self._has_google_account)
        return answer

    def _anonymous_token(self, challenge: str, url: str) -> str | None:
        """Ask for a token that anybody gets, where the registry says; None where it has none.

        https://distribution.github.io/distribution/spec/auth/token/
        """
        if not challenge.lower().startswith("bearer "):
            return None
        fields = dict(_FIELD.findall(challenge))
        realm = urljoin(url, fields.get("realm", ""))
        if urlsplit(realm).scheme != "https" and not self._reference.is_local:
            raise CloudError(f"the registry {self._reference.host} gives its tokens at {realm}, which is not https")
        query = {"scope": f"repository:{self._reference.path}:pull", **fields}
        answer = self._ask(realm, {}, {name: query[name] for name in ("service", "scope") if name in query})
        if answer.status in (401, 403):
            return None
        if answer.status != 200:
            raise error_for(answer, self._reference, self._has_google_account)
        given = answer.json(self._reference)
        token = given.get("token") or given.get("access_token")
        return str(token) if token else None

    def _ask(self, url: str, headers: dict[str, str], query: dict[str, str] | None = None) -> RegistryResponse:
        return ask(self._session, self._reference, url, headers, query or {}, self._timeout_seconds)

    def _verify(self, answer: RegistryResponse, digest: str) -> None:
        if answer.digest != digest:
            raise CloudError(f"{self._reference.host} sent other data for {self._reference} than it names ({digest})")
