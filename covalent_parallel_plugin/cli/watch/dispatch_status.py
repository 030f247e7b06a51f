"""Status of one dispatch, once or until it ends: its jobs from Batch, the rest from Covalent's server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from ...batch.job_names import LABEL_DISPATCH, LABEL_NODE, is_plain_id, label_value
from ...cloud.batch import JobStatus
from ...cloud.interfaces import JobService
from ...covalent_api.server_client import UNANSWERED, ElectronRecord, ServerClient, reason_of
from ...errors import MissingResourceError, UnavailableError
from ...protocol.ending_event import reports_failure, reports_success
from ...settings import options as options
from .job_locations import CONFIGURED, EXECUTOR, JobLocations, find_locations, is_on_batch
from .snapshot import OVER, JobView, Snapshot, job_view

# How long one request to Batch may take before the next one is due anyway
PATIENCE_SECONDS = 20.0
# A server that did not tell the electrons so often is not asked again
TRIES = 3
# A job that has ended, whose electron may still fail: Covalent's server reads its outcome
ENDED = "ENDED"
# Of a dispatch of very many electrons the endings of those beyond are not asked for
MOST_ENDINGS = 1000
# Nor of a map of very many tasks those of the tasks beyond
MOST_TASKS = 20
RAISED = "items that raised are named in the electron's stderr"


class DispatchStatus:
    """The status of one dispatch.

    Args:
        batch: where its jobs run.
        server: Covalent's.
        given, configured: where the jobs may be; see `find_locations`.
        clock: seconds since 1970.

    Raises:
        ValueError: an id that no dispatch has.
    """

    def __init__(
        self,
        batch: JobService,
        server: ServerClient,
        dispatch_id: str,
        given: Mapping[str, object],
        configured: Mapping[str, object],
        clock: Callable[[], float] = time.time,
    ):
        if not is_plain_id(dispatch_id):
            raise ValueError(f"{dispatch_id!r} is not a valid dispatch id")
        self._batch = batch
        self._server = server
        self._dispatch_id = dispatch_id
        self._given = given
        self._configured = configured
        self._clock = clock
        self._nodes: Mapping[str, ElectronRecord] | None = None
        self._tries = 0
        self._is_final = False
        self._endings: dict[str, str] = {}

    async def fetch(self) -> Snapshot:
        """Fetch the status: a request to Batch for each project and region, and one to Covalent's server.

        The first time, another one asks Covalent's server for the electrons and their executors; so do those at which
        jobs have ended whose electrons had not, and the first one after the dispatch failed. How such an electron ended
        is asked of Batch once, as its task reports it.

        Raises:
            MissingResourceError: neither has anything of such a dispatch, or no project is known.
            CloudError: Batch could not be reached, or refused to tell.
        """
        # In this order: a job that was made before the dispatch ended is in the list.
        state, unknown = await asyncio.to_thread(self._state)
        has_failed = state == "FAILED"
        if state and (self._nodes is None or (has_failed and not self._is_final)) and self._tries < TRIES:
            await asyncio.to_thread(self._fetch_electrons)
            self._is_final = has_failed
        locations = find_locations(None if self._nodes is None else self._nodes.values(), self._given, self._configured)
        if locations is None:
            raise MissingResourceError(
                f"project_id is not known: give --project-id, or set it under [{options.SECTION}] in Covalent's"
                " configuration file"
            )
        filter = f'labels."{LABEL_DISPATCH}"="{label_value(self._dispatch_id)}"'
        listed: list[tuple[str, JobStatus]] = []
        for parent in locations.parents:
            found = await self._batch.list(parent, filter, patience_seconds=PATIENCE_SECONDS)
            listed += [(parent, job) for job in found]
        if state and not self._is_final and self._tries < TRIES and any(self._is_open(job) for _, job in listed):
            await asyncio.to_thread(self._fetch_electrons)
        now = self._clock()
        names = {number: node.name for number, node in (self._nodes or {}).items()}
        jobs = [await self._view(job, job_view(job, now, names, parent), state) for parent, job in listed]
        if not jobs and not state:
            raise MissingResourceError(
                f"no jobs of a dispatch {self._dispatch_id} are under {locations}, and {unknown}: check the id, and"
                " --project-id and --region"
            )
        return Snapshot(
            self._dispatch_id, state, sorted(jobs, key=_order), unknown or self._note(state, jobs, locations)
        )

    def _status(self, job: JobStatus) -> str:
        """The status of a job's electron as Covalent's server last told it, "" if it did not."""
        node = (self._nodes or {}).get(job.labels.get(LABEL_NODE, ""))
        return "" if node is None else node.status

    def _is_open(self, job: JobStatus) -> bool:
        """Whether a job has succeeded whose electron had not ended when Covalent's server was asked."""
        return job.state == "SUCCEEDED" and self._status(job) not in ("", *OVER)

    async def _view(self, job: JobStatus, view: JobView, state: str) -> JobView:
        """What is shown of a job: Batch calls it SUCCEEDED also where its electron failed, or may still fail."""
        status = self._status(job)
        if job.state != "SUCCEEDED" or status == "COMPLETED" or state == "COMPLETED":
            return view
        ending = await self._ending(job)
        if status == "FAILED" or reports_failure(ending):
            # Of a map the tasks that were asked may not be the ones whose items raised.
            return replace(view, state="FAILED", event=ending if reports_failure(ending) else "")
        is_asked = sum(job.counts.values()) <= MOST_TASKS
        is_known = status == "" or reports_success(ending)
        return view if is_known and (is_asked or not view.is_map) else replace(view, state=ENDED)

    async def _ending(self, job: JobStatus) -> str:
        """How a job's electron ended, as its tasks report it, the first that failed before others; "" where none does.

        Asked once, of so many tasks only.
        """
        if job.name not in self._endings and len(self._endings) < MOST_ENDINGS:
            found = ""
            for index in range(min(max(sum(job.counts.values()), 1), MOST_TASKS)):
                task = await self._batch.task(job.name, index, patience_seconds=PATIENCE_SECONDS)
                texts = [event.description for event in task.events] if task is not None else []
                ending = next((text for text in reversed(texts) if text.startswith("electron ")), "")
                found = found or ending
                if reports_failure(ending):
                    found = ending
                    break
            self._endings[job.name] = found
        return self._endings.get(job.name, "")

    def _note(self, state: str, jobs: Sequence[JobView], locations: JobLocations) -> str:
        if state == "FAILED":
            nodes = self._nodes or {}
            maps = {job.node for job in jobs if job.is_map and not job.event}
            failed = [node for node in sorted(maps & nodes.keys()) if nodes[node].status == "FAILED"]
            if failed:
                named = ", ".join(f"{nodes[node].name} (node {node})" for node in failed)
                return f"{named} failed: {RAISED}"
        if jobs:
            return ""
        note = f"no jobs of it are under {locations}" + ("" if state in OVER else " yet")
        if self._nodes is not None and not any(map(is_on_batch, self._nodes.values())):
            return f"{note}, and no electron of it has the executor {EXECUTOR}"
        if locations.origin == CONFIGURED:
            note += ". If its executor names another project or region, give --project-id and --region."
        return note

    def _state(self) -> tuple[str, str]:
        """The dispatch's state, or why it is not known."""
        try:
            state = self._server.dispatch_state(self._dispatch_id)
        except UNANSWERED as error:
            return "", f"Covalent's server at {self._server.address} cannot be asked ({reason_of(error)})"
        return state, "" if state else f"Covalent's server at {self._server.address} does not know it"

    def _fetch_electrons(self) -> None:
        self._tries += 1
        try:
            self._nodes = self._server.electrons(self._dispatch_id)
            self._tries = 0
        except UNANSWERED:
            # The nodes' numbers say enough, and the configuration file mostly names the place.
            return


async def follow(
    status: DispatchStatus,
    show: Callable[[Snapshot], None],
    every_seconds: float,
    outage_seconds: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Snapshot:
    """Fetch and show the status again and again until the dispatch is over; return the last one.

    Raises:
        MissingResourceError, CloudError: as `DispatchStatus.fetch`; once Batch has answered, it may be out of reach for
            `outage_seconds`.
    """
    last: Snapshot | None = None
    answered = time.monotonic()
    # Bounded by the dispatch's own end, or the user's Ctrl-C.
    while True:
        try:
            last = await status.fetch()
            answered = time.monotonic()
            show(last)
        except UnavailableError as error:
            if last is None or time.monotonic() - answered > outage_seconds:
                raise
            show(Snapshot(last.dispatch_id, last.state, last.jobs, str(error).split("\n", 1)[0]))
        else:
            if last.is_over:
                return last
        await sleep(every_seconds)


def _order(job: JobView) -> tuple[int, float]:
    return int(job.node) if job.node.lstrip("-").isdecimal() else -1, -job.seconds
