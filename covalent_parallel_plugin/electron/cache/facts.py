"""What decides a call's value beside its pickles, as far as it is known here. Pure."""

from __future__ import annotations

from ...batch import job_definition
from ...protocol.envelope import python_minor
from ...settings import Settings
from ..call import Call


def structure_facts(call: Call, settings: Settings) -> dict[str, object]:
    """Return the facts that the key of a call's structure has: all that can be written as JSON.

    Machines, retries, limits and labels are not among them: they decide when and where there is a value, not which.
    """
    return {
        "image": job_definition.image(settings, call.python),
        "python": python_minor(call.python),
        "requirements": list(settings.requirements),
        "environment": dict(settings.environment),
        "secrets": dict(settings.secrets),
        "volumes": dict(settings.volumes),
        "container_options": settings.container_options,
        "own_modules": call.modules.sha256 if call.modules is not None else "",
        "cache_version": settings.cache_version,
    }
