"""Status of one dispatch, once or until it ends: its jobs from Batch, the rest from Covalent's server."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace

from ...batch.job_names import LABEL_DISPATCH, LABEL_NODE, TAKEN_UP, is_plain_id, label_value
from ...batch.machine_hours import JobUse
from ...cloud.batch import JobStatus
from ...cloud.interfaces import Bucket, JobService
from ...cloud.storage import ObjectStore
from ...covalent_api.builtin_nodes.classify import SUBLATTICE_PREFIX
from ...covalent_api.server_client import EXECUTOR, OVER, UNANSWERED, ElectronRecord, ServerClient, reason_of
from ...errors import MissingResourceError, UnavailableError
from ...protocol.ending_event import RAN_ITEMS, RETURNED
from ...settings import options as options
from .ending import ending_of, joint_ending
from .executor_facts import ExecutorFacts, executor_facts
from .item_counts import is_map
from .job_locations import CONFIGURED, JobLocations, find_locations
from .map_looks import EVENT_TRIES, MapLooks
from .snapshot import JobView, Snapshot, job_view

# How long one request to Batch may take before the next one is due anyway
PATIENCE_SECONDS = 20.0
# A server that did not report the electrons so often is not asked again
TRIES = 3
# A job that has ended, whose electron may still fail: Covalent's server reads its outcome
ENDED = "ENDED"
# Of a dispatch of very many electrons the endings of those beyond are not asked for
MOST_ENDINGS = 1000
WAS_CANCELLED = "was cancelled"
# As by max_machine_hours, or when somebody else has cancelled the job
WAS_STOPPED = "failed, its job was cancelled: the electron's stderr says why"
# Whether a sublattice has its dispatch is asked so often, and of more of these dispatches no jobs are shown
SUBLATTICE_SECONDS = 10.0
MOST_SUBLATTICES = 20
RAISED = "items that raised are named in the electron's stderr"


class DispatchStatus:
    """The status of one dispatch.

    Args:
        batch: where its jobs run.
        server: Covalent's.
        given, configured: where the jobs may be; see `find_locations`.
        open_bucket: a bucket, by the project's id and its own name.
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
        open_bucket: Callable[[str, str], Bucket] = ObjectStore.shared,
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
        # The dispatch, and those that it continues
        self._lineage: tuple[str, ...] = (dispatch_id,)
        self._tries = 0
        self._is_final = False
        self._maps = MapLooks(dispatch_id, batch, open_bucket, clock)
        # By job: the event of its task, "" where there is none yet, and how often it was asked for
        self._events: dict[str, tuple[str, int]] = {}
        self._uses: dict[str, JobUse] = {}
        self._facts: dict[str, ExecutorFacts] = {}
        self._open_bucket = open_bucket
        self._parts: dict[str, DispatchStatus] = {}
        self._sublattices_due = 0.0
        self._is_over = False

    async def fetch(self) -> Snapshot:
        """Fetch the status: a request to Batch for each project and region, and one to Covalent's server.

        The first time, another one asks Covalent's server for the electrons and their executors; so do those at which
        jobs have ended whose electrons had not, and the first one after the dispatch failed. How such an electron ended
        is asked of Batch, as its task reports it. For maps see MapLooks.

        Raises:
            MissingResourceError: neither has anything of such a dispatch, or no project is known.
            CloudError: Batch could not be reached, or refused to report.
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
        listed: list[tuple[str, JobStatus]] = []
        for dispatch_id in self._lineage:
            filter = f'labels."{LABEL_DISPATCH}"="{label_value(dispatch_id)}"'
            own = {_node(job) for _, job in listed}
            for parent in locations.parents:
                found = await self._batch.list(parent, filter, patience_seconds=PATIENCE_SECONDS)
                is_own = dispatch_id == self._dispatch_id
                listed += [(parent, job) for job in found if is_own or self._is_taken_up(job, own)]
        if state and not self._is_final and self._tries < TRIES and any(self._is_open(job) for _, job in listed):
            await asyncio.to_thread(self._fetch_electrons)
        jobs = await self._views(listed, state)
        if not jobs and not state:
            raise MissingResourceError(
                f"no jobs of a dispatch {self._dispatch_id} are under {locations}, and {unknown}: check the id, and"
                " --project-id and --region"
            )
        notes = (unknown or self._note(state, jobs, locations), self._maps.trouble)
        note = "; ".join(note for note in notes if note)
        inner = await self._jobs_of_sublattices(state)
        return Snapshot(self._dispatch_id, state, [*sorted(jobs, key=_order), *inner], note)

    def _is_taken_up(self, job: JobStatus, nodes: Collection[str]) -> bool:
        """Whether a job of a dispatch that this one continues is its own now; these nodes have jobs of their own."""
        node = (self._nodes or {}).get(_node(job))
        return node is not None and not node.is_reused and _node(job) not in nodes and job.state in TAKEN_UP

    async def _jobs_of_sublattices(self, state: str) -> list[JobView]:
        """The jobs of the dispatches of sublattices, at any depth: requests that only their parents cost."""
        nodes = [node for node in (self._nodes or {}).values() if node.name.startswith(SUBLATTICE_PREFIX)]
        is_due = self._clock() >= self._sublattices_due or (state in OVER and not self._is_over)
        if is_due and self._tries < TRIES and not all(node.sub_dispatch_id for node in nodes):
            self._sublattices_due, self._is_over = self._clock() + SUBLATTICE_SECONDS, state in OVER
            await asyncio.to_thread(self._fetch_electrons)
        found = []
        for node in (self._nodes or {}).values():
            part = self._parts.get(node.sub_dispatch_id)
            if part is None and is_plain_id(node.sub_dispatch_id) and len(self._parts) < MOST_SUBLATTICES:
                part = self._parts[node.sub_dispatch_id] = DispatchStatus(
                    self._batch,
                    self._server,
                    node.sub_dispatch_id,
                    self._given,
                    self._configured,
                    self._open_bucket,
                    self._clock,
                )
            if part is not None:
                with contextlib.suppress(MissingResourceError):  # it has no job yet
                    jobs = (await part.fetch()).jobs
                    found += [replace(job, dispatch_id=job.dispatch_id or node.sub_dispatch_id) for job in jobs]
        return found

    def _status(self, job: JobStatus) -> str:
        """The status of a job's electron as Covalent's server last reported it, "" if it did not."""
        node = (self._nodes or {}).get(_node(job))
        return "" if node is None else node.status

    def _is_open(self, job: JobStatus) -> bool:
        """Whether a job has ended, and its electron, which may fail, had not when Covalent's server was asked."""
        return job.state in ("SUCCEEDED", "CANCELLED") and self._status(job) not in ("", *OVER)

    async def _views(self, listed: Sequence[tuple[str, JobStatus]], state: str) -> list[JobView]:
        """What is shown of each job, given with its project and region; in the order in which they were made."""
        now = self._clock()
        names = {number: node.name for number, node in (self._nodes or {}).items()}
        buckets = {node: self._facts_of(node).bucket_name for node in {_node(job) for _, job in listed}}
        counts = await self._maps.count([job for _, job in listed], buckets)
        in_order = sorted(listed, key=lambda one: one[1].created_seconds)
        latest = {_node(job): job.name for _, job in in_order}
        found = []
        for parent, job in in_order:
            view = job_view(job, now, names, parent)
            hours = round(self._used(job, now) / 3600, 4)
            view = replace(view, items=counts.get(job.name, view.items), machine_hours=hours)
            found.append(await self._with_ending(job, view, state, latest[_node(job)] == job.name))
        return found

    def _used(self, job: JobStatus, now: float) -> float:
        """A job's machine-seconds so far, as far as the looks show."""
        shared = job.tasks_per_machine()
        at_once = self._facts_of(_node(job)).max_parallel
        most = None if at_once is None else math.ceil(at_once / shared)
        self._uses[job.name] = self._uses.get(job.name, JobUse()).seen(job, shared, now, most)
        return self._uses[job.name].seconds

    def _facts_of(self, node: str) -> ExecutorFacts:
        record = (self._nodes or {}).get(node)
        if record is None:
            return executor_facts(None, self._configured)
        if node not in self._facts:
            self._facts[node] = executor_facts(record, self._configured)
        return self._facts[node]

    async def _with_ending(self, job: JobStatus, view: JobView, state: str, is_latest: bool) -> JobView:
        """What is shown of a job, with how its electron ended.

        Batch calls a job SUCCEEDED also where its electron failed, or may still fail.
        """
        status = self._status(job)
        if job.state == "CANCELLED":
            has_failed = is_latest and status == "FAILED"
            return (
                replace(view, state="FAILED", ending=WAS_STOPPED) if has_failed else replace(view, ending=WAS_CANCELLED)
            )
        if job.state != "SUCCEEDED":
            return view
        if is_latest and "COMPLETED" in (status, state):
            return replace(view, ending=RAN_ITEMS if view.is_map else RETURNED)
        events = await self._events_of(job)
        ending, has_failed = joint_ending(events)
        if status == "FAILED" or has_failed:
            # Of a map the tasks that have reported may not be the ones whose items raised.
            return replace(view, state="FAILED", ending=ending if has_failed else "")
        # Without Covalent's server, or before it has read an outcome, all tasks have to have reported.
        is_known = status == "" or bool(ending)
        has_all = not view.is_map or not events or len(events) >= sum(job.counts.values())
        return replace(view, ending=ending) if is_known and has_all else replace(view, state=ENDED)

    async def _events_of(self, job: JobStatus) -> Sequence[str]:
        """The events by which a job's tasks have reported how they ended, as far as they are known."""
        if is_map(job):
            return list(self._maps.events(job).values())
        found, tries = self._events.get(job.name, ("", 0))
        if not found and tries < EVENT_TRIES and (tries or len(self._events) < MOST_ENDINGS):
            task = await self._batch.task(job.name, patience_seconds=PATIENCE_SECONDS)
            texts = [event.description for event in task.events] if task is not None else []
            found = next((text for text in reversed(texts) if ending_of(text)), "")
            self._events[job.name] = found, tries + 1
        return [found] if found else []

    def _note(self, state: str, jobs: Sequence[JobView], locations: JobLocations) -> str:
        if state == "FAILED":
            nodes = self._nodes or {}
            maps = {job.node for job in jobs if job.is_map and not job.ending}
            failed = [node for node in sorted(maps & nodes.keys()) if nodes[node].status == "FAILED"]
            if failed:
                named = ", ".join(f"{nodes[node].name} (node {node})" for node in failed)
                return f"{named} failed: {RAISED}"
        if jobs:
            return ""
        note = f"no jobs of it are under {locations}" + ("" if state in OVER else " yet")
        if self._nodes is not None and not any(node.is_on_batch for node in self._nodes.values()):
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
            record = self._server.dispatch(self._dispatch_id)
            if record is not None:
                self._nodes, self._tries = record.electrons, 0
                self._lineage = self._maps.lineage = (self._dispatch_id, *record.ancestors)
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


def _node(job: JobStatus) -> str:
    return job.labels.get(LABEL_NODE, "")


def _order(job: JobView) -> int:
    return int(job.node) if job.node.lstrip("-").isdecimal() else -1
