"""What a dispatch does on Batch: its jobs, all from one list, and its state as Covalent's server tells it."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from urllib.parse import quote

from .cloud.batch import BatchApi, JobStatus
from .dispatch import jobspec
from .dispatch.call import is_plain_id
from .dispatch.trouble import recognise_last
from .errors import MissingResourceError, UnavailableError

# Covalent's states that a dispatch ends with (covalent._shared_files.util_classes.Status)
OVER = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
WAITING_STATES = frozenset({"STATE_UNSPECIFIED", "QUEUED", "SCHEDULED"})
SERVER_SECONDS = 5.0
# How long one look at Batch may take before the next one is due anyway
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Items:
    """A map's items, reckoned from its tasks: an item is done with its task, whether it returned or raised.

    The tasks take turns with the items, so each has as many as any other, or one more; `is_exact` says whether that
    makes no difference.
    """

    total: int
    done: int
    running: int
    failed: int
    is_exact: bool


@dataclass(frozen=True)
class JobView:
    """One Batch job of a dispatch; `seconds` is how long it has taken so far, or took.

    Attributes:
        tasks: how many there are in each state.
        items: of a map, where the job tells how many there are.
        event: of a job that waits or has failed, the last event's text; `meaning` is what that means and what to do.
    """

    name: str
    node: str
    electron: str
    lattice: str
    state: str
    seconds: float
    has_ended: bool
    tasks: Mapping[str, int] = field(default_factory=dict)
    items: Items | None = None
    event: str = ""
    meaning: str = ""


@dataclass(frozen=True)
class Snapshot:
    """A dispatch at one moment; `state` is "" where Covalent's server could not tell it, and `note` says why."""

    dispatch_id: str
    state: str
    jobs: Sequence[JobView]
    note: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be seen of it."""
        return all(job.has_ended for job in self.jobs) and (self.state in OVER or (not self.state and bool(self.jobs)))

    def json(self) -> str:
        """All of it as one line of JSON."""
        return json.dumps(asdict(self))


class CovalentServer:
    """What Covalent's server at `address` (http://host:port) tells of a dispatch."""

    def __init__(self, address: str):
        self.address = address.rstrip("/")

    def state(self, dispatch_id: str) -> str:
        """The dispatch's state, "" where the server knows no such dispatch. Raises OSError, ValueError."""
        found = self._get(f"/api/v2/dispatches?status_only=true&dispatch_id={quote(dispatch_id)}")["dispatches"]
        return str(found[0]["status"]) if isinstance(found, list) and found else ""

    def names(self, dispatch_id: str) -> dict[str, str]:
        """The electrons' names by node. Raises OSError, ValueError."""
        graph = self._get(f"/api/v1/dispatches/{quote(dispatch_id)}/graph")["graph"]
        nodes = graph["nodes"] if isinstance(graph, dict) else []
        return {str(node["node_id"]): str(node["name"]) for node in nodes}

    def _get(self, path: str) -> dict[str, object]:
        # The server is on this machine or near it: no proxy leads there.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.address + path, timeout=SERVER_SECONDS) as answer:
            read: dict[str, object] = json.load(answer)
            return read


class Watch:
    """The looks at one dispatch.

    Args:
        batch: where its jobs run; parent: projects/PROJECT/locations/REGION.
        server: Covalent's.
        clock: seconds since 1970.

    Raises:
        ValueError: an id that no dispatch has.
    """

    def __init__(
        self,
        batch: BatchApi,
        parent: str,
        server: CovalentServer,
        dispatch_id: str,
        clock: Callable[[], float] = time.time,
    ):
        if not is_plain_id(dispatch_id):
            raise ValueError(f"{dispatch_id!r} is no dispatch id")
        self._batch = batch
        self._parent = parent
        self._server = server
        self._dispatch_id = dispatch_id
        self._clock = clock
        self._names: dict[str, str] = {}

    async def look(self) -> Snapshot:
        """The dispatch now: one request to Batch, one or two to Covalent's server.

        Raises:
            MissingResourceError: neither has anything of such a dispatch.
            CloudError: Batch could not be reached, or refused to tell.
        """
        # In this order: a job that was made before the dispatch ended is in the list.
        state, note = await asyncio.to_thread(self._state)
        filter = f'labels."{jobspec.LABEL_DISPATCH}"="{jobspec.label(self._dispatch_id)}"'
        listed = await self._batch.list(self._parent, filter, patience_seconds=PATIENCE_SECONDS)
        if not listed and not state:
            raise MissingResourceError(
                f"no jobs of a dispatch {self._dispatch_id} are under {self._parent}, and {note}"
            )
        if state and any(job.labels.get(jobspec.LABEL_NODE) not in self._names for job in listed):
            await asyncio.to_thread(self._learn_names)
        now = self._clock()
        jobs = [view_of(job, now, self._names) for job in listed]
        return Snapshot(self._dispatch_id, state, sorted(jobs, key=_order), note)

    def _state(self) -> tuple[str, str]:
        try:
            state = self._server.state(self._dispatch_id)
        except (OSError, ValueError, KeyError, TypeError) as error:
            return "", f"Covalent's server at {self._server.address} cannot be asked ({_reason(error)})"
        return state, "" if state else f"Covalent's server at {self._server.address} does not know it"

    def _learn_names(self) -> None:
        try:
            self._names = self._server.names(self._dispatch_id)
        except (OSError, ValueError, KeyError, TypeError):
            # The nodes' numbers say enough.
            return


async def follow(
    watch: Watch,
    show: Callable[[Snapshot], None],
    every_seconds: float,
    outage_seconds: float,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Snapshot:
    """Look and show, again and again, until nothing more is to be seen; returns the last look.

    Raises:
        MissingResourceError, CloudError: as `Watch.look`; Batch may be out of reach for so long once it has answered.
    """
    last: Snapshot | None = None
    answered = time.monotonic()
    # Bounded by the dispatch's own end, or the user's Ctrl-C.
    while True:
        try:
            last = await watch.look()
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


def view_of(job: JobStatus, now: float, names: Mapping[str, str]) -> JobView:
    """A job as it is shown; `names` are the electrons' by node."""
    node = job.labels.get(jobspec.LABEL_NODE, "")
    # Batch tells no end; its last event is that.
    end = job.events[-1].seconds if job.is_terminal and job.events else now
    event, meaning = "", ""
    if (job.state in WAITING_STATES or job.state == "FAILED") and job.events:
        texts = [entry.description for entry in job.events]
        known = recognise_last(texts)
        event = texts[-1] if known is None else known[1]
        meaning = "" if known is None else f"{known[0].meaning}: {known[0].remedy}"
    return JobView(
        name=job.name.rsplit("/", 1)[-1],
        node=node,
        electron=names.get(node, ""),
        lattice=job.labels.get(jobspec.LABEL_LATTICE, ""),
        state=job.state,
        seconds=round(max(end - job.created_seconds, 0.0), 1),
        has_ended=job.is_terminal,
        tasks={state: count for state, count in job.counts.items() if count},
        items=_items(job),
        event=event,
        meaning=meaning,
    )


def _items(job: JobStatus) -> Items | None:
    text = job.labels.get(jobspec.LABEL_ITEMS, "")
    tasks = sum(job.counts.values())
    if not text.isdecimal():
        return None
    total = int(text)

    def share(*states: str) -> int:
        count = sum(job.counts.get(state, 0) for state in states)
        return total * count // tasks if tasks else 0

    is_exact = not tasks or total % tasks == 0 or tasks in job.counts.values()
    return Items(total, share("SUCCEEDED"), share("RUNNING"), share("FAILED", "UNEXECUTED"), is_exact)


def _order(job: JobView) -> tuple[int, float]:
    return int(job.node) if job.node.lstrip("-").isdecimal() else -1, -job.seconds


def _reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(reason).split("\n", 1)[0] or type(error).__name__
