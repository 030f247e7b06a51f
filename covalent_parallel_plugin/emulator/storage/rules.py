"""Decide what Cloud Storage would refuse: names and preconditions."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass


class StorageRefusal(Exception):
    """A request answered with an error: HTTP status, Google's reason word, and the message."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Preconditions:
    """The if*Match parameters of a request; 0 as a generation means "no live object".

    Source: "Request preconditions" in Cloud Storage's documentation.
    """

    generation_match: int | None = None
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    def check(self, generation: int, metageneration: int | None, *, reading: bool = False) -> None:
        """Compare with the live object; without one its generation is 0 and its metageneration None.

        Raises:
            StorageRefusal: 412, or 304 where a read asked for "not this one".
        """
        if self.generation_match is not None and self.generation_match != generation:
            raise _condition_failed(412)
        if self.metageneration_match is not None and self.metageneration_match != metageneration:
            raise _condition_failed(412)
        unwanted = self.generation_not_match is not None and self.generation_not_match == generation
        if self.metageneration_not_match is not None and self.metageneration_not_match == metageneration:
            unwanted = True
        if unwanted:
            raise _condition_failed(304 if reading else 412)


NO_PRECONDITIONS = Preconditions()


def _condition_failed(code: int) -> StorageRefusal:
    message = "At least one of the pre-conditions you specified did not hold."
    return StorageRefusal(code, "conditionNotMet", message)


_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


def check_bucket_name(name: str) -> None:
    """Apply the rules of "Bucket names" in Cloud Storage's documentation.

    Raises:
        StorageRefusal: 400 for a name that Google would refuse.
    """
    parts = name.split(".")
    legal = (
        _BUCKET_NAME.fullmatch(name) is not None
        and all(1 <= len(part) <= 63 for part in parts)
        and not name.startswith("goog")
        and "google" not in name
        and "g00gle" not in name
        and not _is_ip_address(name)
    )
    if not legal:
        raise StorageRefusal(400, "invalid", f"Invalid bucket name: '{name}'")


def check_object_name(name: str) -> None:
    """Apply the rules of "Objects: naming": 1 to 1024 bytes of UTF-8, no line breaks, not "." or "..".

    Raises:
        StorageRefusal: 400.
    """
    if not name:
        raise StorageRefusal(400, "required", "Required")
    # One that is stored all the same breaks every listing of its bucket: no answer can hold it.
    too_long = len(name) > 256 and len(name.encode(errors="replace")) > 1024
    if not is_utf8(name) or too_long or "\n" in name or "\r" in name or name in (".", ".."):
        raise StorageRefusal(400, "invalid", f"Invalid object name: {name[:100]!r}")


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can hold the text; lone surrogates, which JSON's escapes can bring along, it cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_ip_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True
