"""What goes wrong while infrastructure is made or taken down."""

from __future__ import annotations

from ..errors import ParallelError


class DeployError(ParallelError):
    """The infrastructure could not be made, looked at or taken down; the message ends with what to do next."""


class Interrupted(DeployError):
    """The user, or the system, asked for an end before the work was done."""
