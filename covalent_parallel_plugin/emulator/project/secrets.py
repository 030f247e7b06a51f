"""Keep the values of secrets, as Secret Manager does for the service account of a task."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping

SECRET_VERSION = re.compile(r"projects/([^/]+)/secrets/([A-Za-z0-9_-]{1,255})/versions/([A-Za-z0-9_-]+)")

ONLY_VERSION = "1"
"""The version of a secret of which only the name is known."""


class SecretDenied(Exception):
    """A task may not read a secret, or there is none of this name: Secret Manager does not say which."""


class Secrets:
    """The values of secrets' versions, by projects/PROJECT/secrets/SECRET/versions/VERSION.

    A project's id and its number mean the same. `versions/latest` is the highest number. `named` are secrets of which
    only the names are known: each has one version, in any project, with a value made up from its name. Raises
    ValueError for a name of another form.
    """

    def __init__(self, values: Mapping[str, str] | None = None, named: Iterable[str] = ()) -> None:
        self._named = frozenset(named)
        self._values: dict[tuple[str, str], dict[str, str]] = {}
        for name, value in (values or {}).items():
            match = SECRET_VERSION.fullmatch(name)
            if match is None:
                raise ValueError(f"{name!r} is not projects/PROJECT/secrets/SECRET/versions/VERSION")
            self._values.setdefault((project_number(match[1]), match[2]), {})[match[3]] = value

    def value(self, name: str) -> str:
        """Return a version's value. Raises SecretDenied."""
        match = SECRET_VERSION.fullmatch(name)
        versions = self._values.get((project_number(match[1]), match[2]), {}) if match else {}
        if match and not versions and match[2] in self._named:
            versions = {ONLY_VERSION: placeholder_secret(match[2])}
        version = found_version(versions, match[3]) if match else None
        if version is None:
            # The text of Secret Manager's own clients, as programs in Go print it
            raise SecretDenied(
                f"failed to access secret {name}: rpc error: code = PermissionDenied desc = Permission "
                f"'secretmanager.versions.access' denied for resource '{name}' (or it may not exist)."
            )
        return versions[version]

    def text_or_secret(self, text: str) -> str:
        """Return the value of the version that a text names, or the text where it names none. Raises SecretDenied."""
        return self.value(text) if SECRET_VERSION.fullmatch(text) else text


def placeholder_secret(name: str) -> str:
    """Return the made-up value of a secret of which only the name is known."""
    return f"stand-in-value-of-{name}"


def found_version(versions: Iterable[str], wanted: str) -> str | None:
    """Return the version that is wanted, which for `latest` is the highest number; None if there is none."""
    there = set(versions)
    if wanted in there:
        return wanted
    numbers = [number for number in there if number.isdecimal()]
    return max(numbers, key=int) if wanted == "latest" and numbers else None


def project_number(project: str) -> str:
    """Return the number that stands for a project: always the same for the same id."""
    return project if project.isdigit() else str(100_000_000_000 + zlib.crc32(project.encode()))
