"""What an electron's executor says of its jobs besides where they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...covalent_api.server_client import ElectronRecord
from ...settings import options as options
from ..wanted_output import executor_options


@dataclass(frozen=True)
class ExecutorFacts:
    """An executor's bucket, "" where it is not known, and how many tasks of a map may run at once."""

    bucket_name: str = ""
    max_parallel: int | None = None


def executor_facts(record: ElectronRecord | None, configured: Mapping[str, object]) -> ExecutorFacts:
    """Return what an electron's executor says, or for one that has only a name the configuration file.

    Args:
        record: None of an electron that is not known.
        configured: the section of Covalent's configuration file.
    """
    values = executor_options({} if record is None else record.options, {}, configured)
    name, most = values["bucket_name"], options.plain("max_parallel", values["max_parallel"])
    return ExecutorFacts(name if isinstance(name, str) else "", most if isinstance(most, int) else None)
