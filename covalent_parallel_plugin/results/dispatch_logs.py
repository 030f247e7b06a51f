"""The output of a dispatch's electrons, look by look: from Covalent what has ended, from the bucket what runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..batch.job_names import LABEL_ITEMS
from ..cloud.batch import JobStatus
from ..cloud.storage import StoredObject
from ..cloud.timed_calls import Deadline
from ..covalent_api.server_client import OVER, UNANSWERED, reason_of
from ..electron.server_secret import ServerSecret
from ..errors import CloudError, MissingResourceError
from ..protocol.map_marker import read_marker
from ..protocol.object_names import STREAMS
from .electron_log import ElectronLog, LogLine, MissingOutput
from .known_dispatch import KnownDispatch
from .live_reader import LiveLook, LiveReader
from .printed_texts import items_in_totals, left_out_items
from .running_jobs import RunningJobs, log_refusal, waiting_for
from .stores import Stores
from .wanted_output import Place, Wanted

# Before its executor was called
NEW = frozenset({"NEW_OBJECT", "PENDING_BUILD", "PENDING_REUSE"})
# An electron that continues after its dispatch has ended, as after a crash of the server, is not waited for any longer;
# nor is a server that has not answered so many times
LOOKS_AFTER_END = 20
NAMED = 5
# Covalent's server is asked which of so many running electrons are maps
MOST_ASKED = 50


@dataclass
class Look:
    """What one look brought.

    Attributes:
        lines: in order.
        notices: what else to report, in order.
        is_over: whether nothing more is to come; is_behind: whether there is more to be read at once.
        has_several: whether the lines are of several electrons.
        running: what is in the buckets of electrons that have not ended.
    """

    lines: list[LogLine | MissingOutput] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    is_over: bool = False
    is_behind: bool = False
    has_several: bool = True
    running: dict[Place, LiveLook] = field(default_factory=dict)


class DispatchLogs:
    """Reads the output of one dispatch, each line once; for one thread.

    Args:
        dispatch: as far as it is known.
        wanted: what is to be read.
        secret: the server's; None where it is not on this machine, which `no_secret` explains.
    """

    def __init__(
        self, dispatch: KnownDispatch, wanted: Wanted, secret: ServerSecret | None, no_secret: str, stores: Stores
    ):
        self._dispatch, self._wanted = dispatch, wanted
        self._secret, self._no_secret = secret, no_secret
        self._stores = stores
        self._jobs = RunningJobs(dispatch.lineage)
        self._readers: dict[Place, LiveReader] = {}
        self._logs: dict[int, ElectronLog] = {}
        # Of which it is known whether they are maps
        self._classified: set[int] = set()
        self._ended: set[int] = set()
        self._printed: set[int] = set()
        self._told: dict[object, str] = {}
        self._looks_after_end = 0

    def look(self, deadline: Deadline, is_only: bool = False) -> Look:
        """Read what is new.

        Args:
            deadline: nothing is waited for any longer.
            is_only: whether no other look follows: lines are given too whose end has not come, and Google's logs are
                read where nothing else is there.

        Raises:
            MissingResourceError: no such dispatch, electron, item or attempt.
        """
        look, dispatch = Look(), self._dispatch
        dispatch.ask(deadline)
        nodes = dispatch.nodes(self._wanted, deadline)
        if dispatch.problem:
            self._tell(look, "server", f"{dispatch.problem}: what has ended, and what is waited for, is not known here")
        look.has_several = len(nodes) > 1
        over = [node for node in nodes if dispatch.electron(node).status in OVER]
        running = [node for node in nodes if node not in over]
        self._read_ended([node for node in over if node not in self._ended], look, deadline)
        sublattices = [node for node in running if dispatch.is_sublattice(node)]
        self._tell_sublattices(sublattices, look)
        itself = [node for node in running if node not in sublattices]
        self._find_maps(itself, look, deadline)
        self._read_running(itself, look, deadline, is_only)
        look.is_over = self._is_over(over, running) or self._is_abandoned(running, look, deadline)
        if is_only or look.is_over:
            for log in self._logs.values():
                look.lines += log.finish()
        look.lines = [line for line in look.lines if self._has(line)]
        self._check(nodes, running, look, is_only, deadline)
        return look

    def _is_over(self, over: Sequence[int], running: Sequence[int]) -> bool:
        if self._dispatch.is_gone:
            return True
        if self._dispatch.state in OVER:
            # Those that were never run stay as they are.
            running = [node for node in running if self._dispatch.electron(node).status not in NEW]
            self._looks_after_end += 1
        return self._ended.issuperset(over) and (not running or self._looks_after_end > LOOKS_AFTER_END)

    def _is_abandoned(self, nodes: Sequence[int], look: Look, deadline: Deadline) -> bool:
        """Whether Covalent's server is away, and none of these has a job any more that runs: then it says so."""
        if self._dispatch.failures <= LOOKS_AFTER_END or not nodes or look.is_behind:
            return False
        if not all(self._has_stopped(node, look, deadline) for node in nodes):
            return False
        look.notices.append("no job runs any more: run this again when Covalent's server, which has the rest, is there")
        return True

    def _has_stopped(self, node: int, look: Look, deadline: Deadline) -> bool:
        """Whether all is read of an electron, and it has no job that runs."""
        place = self._dispatch.place(node)
        if place is None:
            return True
        if place not in look.running:
            return False
        try:
            job = self._jobs.by_node(place, deadline).get(node)
        except CloudError:
            return False
        # It is the server that makes them.
        return job is None or job.is_terminal

    def _has(self, line: LogLine | MissingOutput) -> bool:
        if isinstance(line, MissingOutput):
            return self._wanted.item is None and line.stream in self._wanted.streams
        return self._wanted.has(line)

    def _tell(self, look: Look, key: object, text: str) -> None:
        """Report it, unless it was reported last time."""
        if self._told.get(key) != text:
            self._told[key] = text
            look.notices.append(text)

    def _log(self, node: int) -> ElectronLog:
        return self._logs.setdefault(node, ElectronLog(node, self._dispatch.name(node)))

    # --- electrons that have ended

    def _read_ended(self, nodes: Sequence[int], look: Look, deadline: Deadline) -> None:
        """Bring what electrons that have ended printed, from Covalent's server alone."""
        if not nodes:
            return
        # A map's stdout says how many items it has.
        streams = STREAMS if self._wanted.item is not None else self._wanted.streams
        try:
            texts = self._dispatch.texts(nodes, ("function", *streams), deadline)
        except UNANSWERED as error:
            self._tell(look, "texts", f"Covalent's server does not give what was printed ({reason_of(error)})")
            return
        if len(texts) < len(nodes):
            self._tell(look, "late", f"the output of {len(nodes) - len(texts)} electrons was not read in time")
        for node, found in texts.items():
            self._end(node, found, look)

    def _end(self, node: int, texts: Mapping[str, str], look: Look) -> None:
        """Give what is left of an electron that has ended."""
        self._ended.add(node)
        log, electron, since = self._log(node), self._dispatch.electron(node), self._wanted.since_seconds
        log.is_map = log.is_map or read_marker(texts.get("function")) is not None
        title, before = self._dispatch.title(node), len(look.lines)
        self._tell_sublattices([node], look)
        for stream in STREAMS:
            look.lines += log.add_ended(stream, texts.get(stream, ""))
        if since is not None and electron.ended_seconds is not None and electron.ended_seconds < since:
            del look.lines[before:]
        elif since is not None and len(look.lines) > before:
            self._tell(look, ("since", node), f"{title} has ended, and its lines have no times: all of them are shown")
        if self._wanted.item is not None and log.is_map:
            self._check_item(log, title, texts, any(map(self._has, look.lines[before:])), look)

    def _tell_sublattices(self, nodes: Sequence[int], look: Look) -> None:
        """Report where the output of a sublattice's electrons is, once its dispatch exists."""
        for node in nodes:
            inner = self._dispatch.electron(node).sub_dispatch_id
            if inner:
                what = f"is a sublattice: for its electrons run covalent-parallel logs {inner}"
                self._tell(look, ("sub", node), f"{self._dispatch.title(node)} {what}")
        self._tell_new([node for node in nodes if self._dispatch.electron(node).status in NEW], look)

    def _check_item(self, log: ElectronLog, title: str, texts: Mapping[str, str], is_there: bool, look: Look) -> None:
        """Say why an item of a map that has ended has no output. Raises MissingResourceError."""
        item, total = self._wanted.item, items_in_totals(texts.get("stdout", ""))
        if total is not None and item is not None and item >= total:
            raise MissingResourceError(_no_item(title, item, total))
        if is_there or item in log.items:
            return
        left_out = sum(left_out_items(texts.get(stream, "")) for stream in self._wanted.streams)
        more = f", or it is one of {left_out} whose output was left out, since the map printed too much"
        printed = f"item {item} of {title} printed nothing to {' or '.join(self._wanted.streams)}"
        self._tell(look, ("item", title), printed + (more if left_out else ""))

    # --- electrons that run

    def _find_maps(self, nodes: Sequence[int], look: Look, deadline: Deadline) -> None:
        """Ask Covalent's server, once, which of these electrons are maps; for very many their output shows it."""
        unknown = [node for node in nodes if node not in self._logs][:MOST_ASKED]
        if not unknown:
            return
        try:
            for node, found in self._dispatch.texts(unknown, ("function",), deadline).items():
                self._log(node).is_map = read_marker(found.get("function")) is not None
                if "function" in found:
                    self._classified.add(node)
        except UNANSWERED as error:
            self._tell(look, "maps", f"Covalent's server does not report which electrons are maps ({reason_of(error)})")

    def _read_running(self, nodes: Sequence[int], look: Look, deadline: Deadline, is_only: bool) -> None:
        places: dict[Place, list[int]] = {}
        new = [node for node in nodes if self._dispatch.electron(node).status in NEW]
        for node in nodes:
            place = self._dispatch.place(node) if node not in new else None
            if place is not None:
                places.setdefault(place, []).append(node)
            elif node not in new:
                executor = self._dispatch.electron(node).executor
                what = f"runs on the executor {executor}: what it prints comes when it has ended"
                self._tell(look, ("waits", node), f"{self._dispatch.title(node)} {what}")
        for place, there in places.items():
            try:
                self._read_parts(place, there, look, deadline, is_only)
                self._told.pop(place, None)
            except CloudError as error:
                self._tell(look, place, str(error).split("\n", 1)[0])
            self._tell_waiting(place, there, look, deadline, is_only)
        self._tell_new(new, look)

    def _tell_new(self, nodes: Sequence[int], look: Look) -> None:
        """Report the electrons whose turn has not come, each one once."""
        untold = [node for node in nodes if ("waits", node) not in self._told and self._dispatch.state not in OVER]
        self._told.update({("waits", node): "for others" for node in untold})
        if untold:
            named = ", ".join(map(self._dispatch.title, untold[:NAMED]))
            more = f" and {len(untold) - NAMED} more" if len(untold) > NAMED else ""
            look.notices.append(f"{named}{more} {'waits' if len(untold) == 1 else 'wait'} for other electrons")

    def _read_parts(self, place: Place, nodes: Sequence[int], look: Look, deadline: Deadline, is_only: bool) -> None:
        if self._secret is None:
            self._tell(look, "secret", self._no_secret)
            return
        if place not in self._readers:
            store = self._stores.at(place, deadline)
            self._readers[place] = LiveReader(store, self._secret, self._dispatch.lineage())
        since = self._wanted.since_seconds

        def is_wanted(stored: StoredObject) -> bool:
            return since is None or stored.created_seconds >= since

        maps = {node for node in nodes if self._log(node).is_map}
        found = look.running[place] = self._readers[place].look(nodes, deadline, is_wanted, maps, is_only)
        look.notices += found.warnings
        if found.unread and is_only:
            look.notices.append(f"{found.unread} parts of the output were not read in time: -f reads all of it")
        look.is_behind = look.is_behind or found.unread > 0
        self._printed |= found.passed_over
        before = len(look.lines)
        for name, part in found.parts:
            self._printed.add(name.node_id)
            is_first = since is not None and (name.node_id, name.round, name.task) not in self._told
            self._told[name.node_id, name.round, name.task] = ""
            look.lines += self._log(name.node_id).add_part(name, part, is_taken_up=is_first)
        look.lines[before:] = in_order_of_time(look.lines[before:])
        for name, printed in found.ended:
            self._printed.add(name.node_id)
            look.lines += self._log(name.node_id).add_ended_task(name, printed)

    def _tell_waiting(self, place: Place, nodes: Sequence[int], look: Look, deadline: Deadline, is_only: bool) -> None:
        """Report what silent electrons wait for; at the last time from Google's log, if it has more."""
        silent = [node for node in nodes if node not in self._printed]
        if not silent:
            return
        try:
            jobs = self._jobs.by_node(place, deadline)
        except CloudError as error:
            self._tell(look, ("jobs", place), str(error).split("\n", 1)[0])
            return
        calls = look.running[place].calls if place in look.running else {}
        for node in silent:
            job, delivers = jobs.get(node), self._dispatch.electron(node).options.get("live_output") is not False
            if (
                is_only
                and job is not None
                and job.state == "RUNNING"
                and self._add_logged(place, node, job, look, deadline)
            ):
                continue
            text = f"{self._dispatch.title(node)} {waiting_for(job, node in calls, delivers, place in look.running)}"
            self._tell(look, ("waits", node), text)

    def _add_logged(self, place: Place, node: int, job: JobStatus, look: Look, deadline: Deadline) -> bool:
        """Add the last lines of Google's log; whether there are any."""
        try:
            lines = self._jobs.logged(place, node, self._dispatch.name(node), job, deadline)
        except CloudError as error:
            self._tell(look, ("log", place), log_refusal(error))
            return False
        look.lines += lines
        if lines:
            look.notices.append(f"{self._dispatch.title(node)}: the last {len(lines)} lines in Cloud Logging")
        return bool(lines)

    # --- what is not there

    def _check(
        self, nodes: Sequence[int], running: Sequence[int], look: Look, is_only: bool, deadline: Deadline
    ) -> None:
        """Refuse an item or an attempt that none of these electrons has. Raises MissingResourceError."""
        item, attempt = self._wanted.item, self._wanted.attempt
        logs = [self._logs[node] for node in nodes if node in self._logs]
        titles = ", ".join(map(self._dispatch.title, nodes[:NAMED]))
        unknown = [n for n in running if n not in self._classified and not self._dispatch.is_sublattice(n)]
        if item is not None and not unknown and nodes and not any(log.is_map for log in logs):
            reason = "none of them is a map" if len(nodes) > 1 else "it is not a map"
            raise MissingResourceError(f"{titles}: no item {item}, since {reason}")
        if attempt is not None and (is_only or not running) and nodes:
            known = sorted({each for log in logs for each in log.attempts})
            if attempt not in known:
                there = ", ".join(map(str, known)) or "none"
                raise MissingResourceError(
                    f"{titles}: there is no output of an attempt {attempt}. Attempts with output of their own: {there}"
                    " (a map that has ended keeps its output by item)"
                )
        if item is not None and is_only and running and not any(isinstance(line, LogLine) for line in look.lines):
            self._check_running_item(running, item, look, deadline)

    def _check_running_item(self, running: Sequence[int], item: int, look: Look, deadline: Deadline) -> None:
        for node in running:
            place = self._dispatch.place(node)
            try:
                job = self._jobs.by_node(place, deadline).get(node) if place is not None else None
            except CloudError:
                continue
            total = (job.labels if job is not None else {}).get(LABEL_ITEMS, "")
            if total.isdecimal() and len(running) == 1 and item >= int(total):
                raise MissingResourceError(_no_item(self._dispatch.title(node), item, int(total)))
            self._tell(look, ("item", node), f"item {item} of {self._dispatch.title(node)} has delivered nothing yet")


def _no_item(title: str, item: int, total: int) -> str:
    return f"{title} has no item {item}: it has {f'the items 0 to {total - 1}' if total else 'none'}"


def in_order_of_time(lines: Sequence[LogLine | MissingOutput]) -> list[LogLine | MissingOutput]:
    """Lines of several sources by their times; those of one source stay in their order."""
    latest: dict[object, float] = {}
    keyed: list[tuple[float, LogLine | MissingOutput]] = []
    for line in lines:
        source = (line.node, line.task, line.stream)
        seconds = line.seconds if isinstance(line, LogLine) else None
        latest[source] = max(latest.get(source, 0.0), seconds or 0.0)
        keyed.append((latest[source], line))
    return [line for _, line in sorted(keyed, key=lambda each: each[0])]
