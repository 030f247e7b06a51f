"""Check the names of buckets and objects by Cloud Storage's rules."""

from __future__ import annotations

import ipaddress
import re

_BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


def is_bucket_name(name: str) -> bool:
    """Apply the rules of "Bucket names" in Cloud Storage's documentation."""
    return (
        _BUCKET_NAME.fullmatch(name) is not None
        and all(1 <= len(part) <= 63 for part in name.split("."))
        and not name.startswith("goog")
        and "google" not in name
        and "g00gle" not in name
        and not _is_ip_address(name)
    )


def is_object_name(name: str) -> bool:
    """Apply the rules of "Object names": 1 to 1024 bytes of UTF-8, no line breaks, and no name that is reserved."""
    # One that is stored all the same breaks every listing of its bucket: no answer can hold it.
    too_long = len(name) > 256 and len(name.encode(errors="replace")) > 1024
    has_line_break = "\n" in name or "\r" in name
    is_reserved = name in (".", "..") or name.startswith(".well-known/acme-challenge/")
    return bool(name) and is_utf8(name) and not too_long and not has_line_break and not is_reserved


def is_utf8(text: str) -> bool:
    """Return whether UTF-8 can hold the text; lone surrogates, which JSON's escapes can bring along, it cannot."""
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
