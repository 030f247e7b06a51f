"""What an electron's executor says of its jobs besides where they are: the bucket, and how tasks share machines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ...batch.job_definition import tasks_per_node
from ...covalent_api.server_client import ElectronRecord
from ...errors import SettingsError
from ...settings import options as options
from ...settings.resolve_options import settings_from


@dataclass(frozen=True)
class ExecutorFacts:
    """An executor's bucket, "" where it is not known, the tasks that share a machine, and how many machines at most."""

    bucket_name: str = ""
    tasks_per_machine: int = 1
    most_machines: int | None = None


def executor_facts(record: ElectronRecord | None, configured: Mapping[str, object]) -> ExecutorFacts:
    """Return what an electron's executor says, or for one that has only a name the configuration file.

    Args:
        record: None of an electron that is not known.
        configured: the section of Covalent's configuration file.
    """
    own = configured if record is None or not record.options else record.options
    try:
        settings = settings_from(options.resolve(own, {}))
    except SettingsError:
        # Its jobs were made from other options, or are another version's: they count as one machine a task.
        name = own.get("bucket_name")
        return ExecutorFacts(name if isinstance(name, str) else "")
    shared = tasks_per_node(settings)
    return ExecutorFacts(settings.bucket_name, shared, math.ceil(settings.max_parallel / shared))
