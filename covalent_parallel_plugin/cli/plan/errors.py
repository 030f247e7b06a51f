"""What can go wrong before a Job is made; mistakes in options are SettingsErrors, as everywhere."""

from __future__ import annotations

from ...errors import ParallelError


class RequestError(ParallelError):
    """The command line is not what it should be: no such file, lattice or node, arguments that are wrong, no JSON."""


class WorkflowError(ParallelError):
    """The user's file, or the lattice in it, raised; the text ends with the traceback from that file on."""


class ConfigurationError(ParallelError):
    """Covalent's configuration file cannot be read or written."""


class UnreadableJobError(ParallelError):
    """The Job does not survive its own JSON: a mistake in this package."""
