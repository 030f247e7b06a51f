"""Decide what Cloud Storage would refuse: names and preconditions."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.storage_names import is_bucket_name, is_object_name


class StorageRefusal(Exception):
    """A request answered with an error: HTTP status, Google's reason word, the message, and where to go instead."""

    def __init__(self, code: int, reason: str, message: str, location: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.location = location


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


def check_bucket_name(name: str) -> None:
    """Refuse a name that Google would refuse for a bucket. Raises StorageRefusal: 400."""
    if not is_bucket_name(name):
        raise StorageRefusal(400, "invalid", f"Invalid bucket name: '{name}'")


def check_object_name(name: str) -> None:
    """Refuse a name that Google would refuse for an object. Raises StorageRefusal: 400."""
    if not name:
        raise StorageRefusal(400, "required", "Required")
    if not is_object_name(name):
        raise StorageRefusal(400, "invalid", f"Invalid object name: {name[:100]!r}")
