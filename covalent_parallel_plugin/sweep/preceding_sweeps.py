"""The sweeps that `after` names: they must have succeeded."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import ParallelError
from .mistakes import Mistake
from .records.sweeps_index import SweepsIndex
from .sweep_file import SweepFile
from .sweep_status import SweepStatus


def unfinished_sweeps(file: SweepFile, index: SweepsIndex) -> Iterator[Mistake]:
    """Yield the sweeps that a file comes after and that have not succeeded, or are not there."""
    for entry in file.after:
        try:
            status = SweepStatus.read(index.find(entry.text, file.path.parent))
        except ParallelError as error:
            yield Mistake(f"after: {error}", entry.location)
            continue
        if status.state != "done":
            counts = ", ".join(f"{count} {name}" for name, count in status.counts.items())
            yield Mistake(
                f"after: the sweep {entry.text!r} is {status.state} ({counts or 'no tasks'}): run it to its end first",
                entry.location,
            )
