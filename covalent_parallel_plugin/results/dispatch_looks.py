"""Looks at a dispatch while it runs: its electrons from Covalent's server, its jobs from Google Batch."""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import Any

from ..batch.trace import dispatch_traces, read_trace, trace_path
from ..covalent_api.server_client import UNANSWERED, DispatchRecord, ServerClient
from .job_looks import JobLooks
from .run import Run
from .status.snapshot import Snapshot
from .wanted_output import is_sublattice

# Covalent's server gives the electrons so often at most, and the less often the longer that takes it
LEAST_SECONDS, SPARED = 1.0, 5.0


class DispatchLooks:
    """Looks at a dispatch; its jobs are looked at in a thread while this is entered, once an electron may have one."""

    def __init__(self, server: ServerClient, dispatch_id: str) -> None:
        self._server, self._dispatch_id = server, dispatch_id
        self._jobs: JobLooks | None = None
        self._due = 0.0

    def __enter__(self) -> DispatchLooks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._jobs is not None:
            self._jobs.stop()

    def look(self) -> Run | None:
        """Return a new look; None if it is not time, or Covalent's server does not answer."""
        begun = time.monotonic()
        if begun < self._due:
            return None
        record = self._record()
        self._due = time.monotonic() + max(LEAST_SECONDS, SPARED * (time.monotonic() - begun))
        if record is None:
            return None
        self._start_jobs(record)
        return self._run(record)

    def last(self, has_jobs: bool) -> Run | None:
        """Return the look at a dispatch that has ended; `has_jobs` says that its jobs are looked at once more."""
        record = self._record()
        if record is None:
            return None
        if has_jobs:
            self._start_jobs(record)
        if has_jobs and self._jobs is not None:
            self._jobs.finish()
        return self._run(record)

    def _record(self) -> DispatchRecord | None:
        try:
            return self._server.dispatch(self._dispatch_id)
        except UNANSWERED:
            return None

    def _start_jobs(self, record: DispatchRecord) -> None:
        if self._jobs is None and may_have_jobs(record):
            self._jobs = JobLooks(self._server, self._dispatch_id)
            self._jobs.start()

    def _run(self, record: DispatchRecord) -> Run:
        jobs = self._jobs
        snapshot, problem = (jobs.latest, jobs.problem) if jobs is not None else (None, "")
        return run_of(self._dispatch_id, record, snapshot, problem)


def run_of(dispatch_id: str, record: DispatchRecord, snapshot: Snapshot | None, problem: str) -> Run:
    """Return a look, given what is known of the dispatch's jobs, and why nothing more is; reads its trace."""
    has_ended = any(electron.ended_seconds is not None for electron in record.electrons.values())
    trace = _trace_records(dispatch_id) if has_ended else []
    return Run(dispatch_id, record, snapshot, problem, trace)


def _trace_records(dispatch_id: str) -> list[dict[str, Any]]:
    """Return the records of a dispatch's trace on this machine; none where there is no trace."""
    folder = dispatch_traces(os.environ)
    try:
        return [] if folder is None else read_trace(trace_path(folder, dispatch_id)).records
    except OSError:
        return []


def may_have_jobs(record: DispatchRecord) -> bool:
    """Whether electrons of a dispatch, or of its sublattices, may run on Batch."""
    return any(electron.is_on_batch or is_sublattice(electron.name) for electron in record.electrons.values())
