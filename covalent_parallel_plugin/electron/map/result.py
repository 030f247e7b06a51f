"""How a map ends, for its electron: the list of values, or the error, and in both streams who printed what."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import cloudpickle

from ...batch.failure_message import FailureContext
from ...batch.job_verdict import join_text
from ...cloud.batch import JobStatus
from ...errors import JobError, OutcomeError
from ...protocol.envelope import VALUE
from ...protocol.pickle_list import pickle_of_list
from ...settings import Settings
from ..call import Call
from ..outcome import Outcome
from ..output_sections import section
from ..value_buffer import join_to_buffer
from ..verdict import ElectronEvidence, Failure, verdict
from .item_table import ValueStore
from .output import output_of, totals
from .pickled_values import PickledValues
from .progress import MapProgress, failure_of, named_items, pickle_of_error

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MapResult:
    """Puts what is known of one map into words; `store` holds what its items returned and printed."""

    call: Call
    progress: MapProgress
    store: ValueStore

    def value(self, folder: str) -> Outcome:
        """The list of values, joined in order without loading them; in a file in `folder` where it is large."""
        progress = self.progress
        errors = {index: pickle_of_error(error) for index, error in progress.errors().items()}
        chunks = pickle_of_list(progress.pickles(self.store, errors))
        # Their location comes after what the items printed.
        stdout, stderr = self.output(is_followed=bool(errors))
        return Outcome(
            kind=VALUE,
            stdout=stdout,
            stderr=stderr,
            pickle=join_to_buffer(chunks, self.store.size, folder),
            shown=progress.shown(),
            python=progress.python or self.call.python,
            cloudpickle=progress.cloudpickle or cloudpickle.__version__,
        )

    def items_failed(self, settings: Settings, job_name: str, job: JobStatus | None) -> Failure:
        """All items have ended, and some of them badly."""
        error = failure_of(str(self.call), self.progress)
        context = FailureContext(str(self.call), settings, job_name, job, None)
        raised = self.progress.raised
        first = raised[0].raised.traceback if raised and raised[0].raised is not None else ""
        told = join_text(f"The first one:\n{first}" if first else "", f"{error}\n{context.addresses()}\n")
        stdout, stderr = self.output()
        return Failure(error, stdout, join_text(stderr, told))

    def hook_failed(self, settings: Settings, job_name: str, job: JobStatus | None, ended: Outcome) -> Failure:
        """A task ended badly before its first item or after its last one: in the words for a lone electron."""
        failure, told = self._told(settings, job_name, ElectronEvidence(job, outcome=ended))
        stdout, stderr = self.output()
        return Failure(failure.error, stdout, join_text(stderr, told))

    def lost(self, settings: Settings, job_name: str, found: ElectronEvidence, more: str = "") -> Failure:
        """Items did not end: why, in the words for a lone electron, and how many and which."""
        failure, told = self._told(settings, job_name, found)
        missing = self.progress.missing
        text = f"{len(missing)} of its {self.progress.total} items did not end ({named_items(missing)}).{more}"
        if self.progress.total is None:
            text = f"None of its items ended.{more}"
        stdout, stderr = self.output()
        where = f"task {found.task.index}, which was lost" if found.task is not None else "a task that was lost"
        error = failure.error
        if isinstance(error, JobError | OutcomeError):
            error = type(error)(f"{error}\n{text}")
        return Failure(
            error,
            join_text(section(where, found.stdout), stdout),
            join_text(join_text(section(where, found.stderr), stderr), join_text(told, f"{text}\n")),
        )

    def values(self) -> PickledValues:
        """What items returned, read from the store as long as that is open."""
        progress, store = self.progress, self.store
        raised = {item.index for item in progress.raised}

        def read(index: int) -> bytes:
            item = progress.item(index)
            return b"".join(store.read(item.offset, item.size))

        return PickledValues(lambda: sorted(progress.places.keys() - raised), read)

    def stopped(self, error: Exception) -> Failure:
        """Google, or this machine's disk, ended the map: the error, and what is known of the items."""
        try:
            stdout, stderr = self.output()
        except Exception as unreadable:
            logger.debug("%s: what its items printed cannot be shown: %s", self.call, unreadable)
            stdout, stderr = totals(self.progress), ""
        return Failure(error, stdout, join_text(stderr, f"{error}\n"))

    def output(self, is_followed: bool = True) -> tuple[str, str]:
        """What the electron's streams show; a line of totals comes last in stdout.

        `is_followed` says that something may come after it in stderr.
        """
        stdout = output_of(self.progress, self.store, "stdout")
        return join_text(stdout, totals(self.progress)), output_of(self.progress, self.store, "stderr", is_followed)

    def _told(self, settings: Settings, job_name: str, found: ElectronEvidence) -> tuple[Failure, str]:
        """The report of an electron, and the same without the task's output, which is shown by item."""
        outcome = found.outcome
        if isinstance(outcome, Outcome):
            outcome = replace(outcome, stdout="", stderr="")
        failure = verdict(self.call, settings, job_name, found)
        silent = verdict(self.call, settings, job_name, replace(found, outcome=outcome, stdout="", stderr=""))
        assert isinstance(failure, Failure) and isinstance(silent, Failure)  # no outcome with a value comes here
        return failure, silent.stderr
