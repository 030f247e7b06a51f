"""What a run of a sweep would do, with all that is odd about it; nothing is started, and nobody is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .mistakes import SweepFileError, mistake_line
from .opened_sweep import FileRequest, OpenedSweep, SavedInput
from .plan import HoursBound, Plan, Planner, RunRequest
from .plan_document import plan_document, plan_lines
from .preceding_sweeps import unfinished_sweeps
from .records.sweeps_index import SweepsIndex
from .result_changes import has_changed
from .run_base import check_bound
from .run_sweep import missing_secrets
from .sweep_status import is_running
from .tasks import PinnedImage


def open_for_plan(
    request: FileRequest, environment: Mapping[str, str], stdin: SavedInput, may_be_local: bool = True
) -> tuple[OpenedSweep, list[str]]:
    """Read the file; one that lacks what Batch needs is planned as for this machine, with what it lacks as warnings.

    Raises:
        SweepFileError: its mistakes.
    """
    try:
        return OpenedSweep.open(request, environment, stdin), []
    except SweepFileError as error:
        if request.is_local or not may_be_local:
            raise
        opened = OpenedSweep.open(replace(request, is_local=True), environment, stdin)
        # Without an image there is no other way
        return opened, str(error).splitlines() if opened.file.image else []


@dataclass(frozen=True)
class PlannedSweep:
    """A plan; as a text it is what `sweep plan` prints.

    Attributes:
        plan: which tasks run, and why.
        bound: on its machine-hours.
        image: as the last run found it; None where none has.
        warnings: about the file, its tasks, and what is missing for a run.
        document: all of it for JSON.
    """

    plan: Plan
    bound: HoursBound
    image: PinnedImage | None
    warnings: tuple[str, ...]
    document: Mapping[str, Any]

    @classmethod
    def of(
        cls, opened: OpenedSweep, request: RunRequest, environment: Mapping[str, str], found: list[str]
    ) -> PlannedSweep:
        """Plan a sweep; `found` are warnings that there are already.

        Raises:
            ParallelError: its folder cannot be read, no task is asked for, or it is above `max_machine_hours`.
        """
        state = opened.out.state(opened.file.name)
        missing = [*unfinished_sweeps(opened.file, SweepsIndex.of(environment))]
        if opened.file.is_local:
            missing[:0] = missing_secrets(opened.file, environment)
        warnings = [*found, *opened.warnings, *(mistake_line(opened.shown_path, mistake) for mistake in missing)]
        if has_changed(opened.file, state):
            warnings.append("result has changed: a run reads the results of finished tasks again")
        if state.run and is_running(opened.out):
            warnings.append("a run is under way: tasks that it has started count as interrupted here")
        tasks = opened.tasks_as_of(state)
        plan = Planner(opened.out, state, request, tasks.parts).plan(tasks)
        bound = check_bound(opened, plan, state.used_hours)
        document = plan_document(opened, tasks, plan, state, bound, warnings)
        return cls(plan, bound, tasks.pinned.image, tuple(warnings), document)

    def __str__(self) -> str:
        warnings = [f"warning: {warning}" for warning in self.warnings]
        return "\n".join([*warnings, *plan_lines(self.document, self.plan, self.bound)])

    # Shown by itself at the end of a notebook's cell
    __repr__ = __str__
