"""Where a sweep is on Google: its project, region and bucket, as the journal keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...settings import Settings, options

PLACE = ("project_id", "region", "bucket_name")


def place_event(settings: Settings) -> dict[str, dict[str, str]]:
    """Return the place, as a part of a run's event."""
    return {"place": {name: getattr(settings, name) for name in PLACE}}


def settings_at(place: Mapping[str, Any], configured: Mapping[str, object] | None = None) -> Settings:
    """Return the settings with which a place is reached; what it does not name is configured.

    Raises:
        SettingsError: something is missing, or wrong.
    """
    known = {name: value for name, value in (configured or {}).items() if name in PLACE}
    values = options.resolve({name: place.get(name) for name in PLACE}, known)
    return options.check(values, way=lambda name: f"give --{name.replace('_', '-')}")
