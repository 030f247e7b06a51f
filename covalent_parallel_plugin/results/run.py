"""A dispatch as it is at one moment: its electrons, items of maps, output, and what its trace sums up."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..covalent_api.server_client import OVER, DispatchRecord, ElectronRecord
from ..protocol.ending_event import RETURNED
from ..sweep.display.printable import printable
from .run_table import run_html, run_text
from .status.item_counts import ItemCounts
from .status.snapshot import JobView, Snapshot
from .status.words import job_state
from .trace_facts import ends_of_trace, items_of_trace
from .wanted_output import is_users, name_of

if TYPE_CHECKING:
    from .run_report import RunReport

# What Batch calls a job that Covalent calls RUNNING
WAITING = frozenset({"QUEUED", "SCHEDULED"})


@dataclass(frozen=True)
class RunElectron:
    """An electron of a dispatch.

    Attributes:
        name, node: which one.
        state: Covalent's: COMPLETED, FAILED, RUNNING ...; QUEUED or SCHEDULED while its job waits for a machine.
        seconds: how long it has taken so far, or took; None before it began.
        executor: the executor's name.
        ending: how it ended, such as "raised ValueError: no data"; "" before that, or if it is not known.
        sub_dispatch_id: the dispatch of a sublattice's electrons, for another `show`; else "".
    """

    name: str
    node: int
    state: str
    seconds: float | None
    executor: str
    ending: str = ""
    sub_dispatch_id: str = ""


@dataclass(frozen=True)
class RunItems:
    """The items of a map, as `covalent-parallel watch` counts them.

    Attributes:
        name, node: those of the map's electron.
        total: None where it is not known.
        done: those that ended, whether they returned or raised; `failed` of them raised.
        running, waiting, lost: lost are those of tasks that failed, which may run again.
        per_second, left_seconds: how many end in a second, and the time until the last one does; None where that is
            not known.
    """

    name: str
    node: int
    total: int | None
    done: int
    failed: int
    running: int
    waiting: int
    lost: int
    per_second: float | None
    left_seconds: float | None


class Run:
    """A dispatch as `show` saw it; it does not change by itself.

    Attributes:
        dispatch_id, name, state: the dispatch's; `name` is its lattice's.
        electrons: a `RunElectron` for each electron, in order of their nodes.
        items: a `RunItems` for each map on GCPBatchExecutor of which something is known.
        note: what else there is to know, such as why nothing is known of its jobs; "" for nothing.
    """

    def __init__(
        self,
        dispatch_id: str,
        record: DispatchRecord,
        snapshot: Snapshot | None = None,
        problem: str = "",
        trace: Sequence[Mapping[str, Any]] = (),
        now: float | None = None,
    ) -> None:
        now, ends = time.time() if now is None else now, ends_of_trace(trace)
        self.dispatch_id, self.name, self.state = dispatch_id, record.lattice, record.state
        self._snapshot = snapshot or Snapshot(dispatch_id, record.state, [], problem)
        jobs = {int(job.node): job for job in self._snapshot.jobs if not job.dispatch_id and job.node.isdecimal()}
        self.electrons = [
            _electron(int(node), electron, jobs.get(int(node)), ends.get(int(node), ""), now)
            for node, electron in sorted(record.electrons.items(), key=lambda one: int(one[0]))
            if is_users(electron.name)
        ]
        traced = items_of_trace(trace)
        over = {electron.node for electron in self.electrons if electron.state in OVER}
        counts = {node: traced.get(node) if node in over else None for node in jobs}
        maps = [(node, job, counts[node] or job.items) for node, job in sorted(jobs.items()) if job.is_map]
        # Of one that was over before anything was counted nothing is known without a trace
        self.items = [
            _items(node, job, found)
            for node, job, found in maps
            if found is not None and (found.done or node not in over or found.total is not None)
        ]
        self.note = problem or self._snapshot.note
        # The cell of a notebook in which it is on display already
        self._cell: int | None = None

    @property
    def is_over(self) -> bool:
        """Whether the dispatch has ended."""
        return self.state in OVER

    @property
    def logs(self) -> dict[int, str]:
        """What each electron has printed so far, stdout and stderr, by node; read when it is asked for.

        What could not be read is said in a warning.
        """
        from .dispatch_texts import dispatch_texts

        return dispatch_texts(self.dispatch_id)

    def report(self) -> RunReport:
        """Return where the dispatch's time, machines and memory went, as far as it has come by now.

        It is made from the trace, which is on the machine of Covalent's server; elsewhere it has what Covalent and
        Batch know, and says what is missing.
        """
        from .report.complete import completed
        from .report.read import dispatch_report
        from .run_report import RunReport

        return RunReport(completed(dispatch_report(self.dispatch_id)))

    @property
    def data(self) -> dict[str, Any]:
        """All of it as JSON has it: the fields of `covalent-parallel watch --json`, and `electrons`."""
        found: dict[str, Any] = json.loads(self._snapshot.json())
        electrons = [asdict(electron) for electron in self.electrons]
        return {**found, "state": self.state, "lattice": self.name, "note": self.note, "electrons": electrons}

    @property
    def title(self) -> str:
        """One line on the dispatch as a whole."""
        done = sum(electron.state in OVER for electron in self.electrons)
        failed = sum(electron.state == "FAILED" for electron in self.electrons)
        ended = f"{done} of {len(self.electrons)} electrons done" + (f", {failed} failed" if failed else "")
        name = f" ({self.name})" if self.name else ""
        return printable(f"dispatch {self.dispatch_id}{name}: {self.state}, {ended}")

    def __repr__(self) -> str:
        return run_text(self.title, self.electrons, self.items, self.note)

    def _repr_html_(self) -> str:
        return run_html(self.title, self.electrons, self.items, self.note)

    def _ipython_display_(self) -> None:
        """Show it as the result of a cell, unless that cell shows it already."""
        from .notebook import current_cell, show_bundle

        if self._cell is None or self._cell != current_cell():
            show_bundle(self.bundle())

    def note_on_display(self, cell: int | None) -> None:
        """Note that the output of this cell shows it: as the cell's result it is not shown again."""
        self._cell = cell

    def bundle(self) -> dict[str, str]:
        """Return it in the types that a notebook shows: MIME type -> text."""
        return {"text/html": self._repr_html_(), "text/plain": repr(self)}


def _electron(node: int, record: ElectronRecord, job: JobView | None, traced: str, now: float) -> RunElectron:
    ended = record.ended_seconds if record.status in OVER else now
    seconds = None if record.began_seconds is None or ended is None else round(max(ended - record.began_seconds, 0), 1)
    state, ending = record.status, ""
    if job is not None and record.status == "RUNNING" and job.state in WAITING:
        state = job.state
    if record.status in OVER:
        of_job = printable(job.ending) if job is not None else ""
        ending = of_job or printable(traced) or (RETURNED if record.status == "COMPLETED" else "")
        if job is not None and not ending:
            ending = job_state(job)
    name = printable(name_of(record.name))
    return RunElectron(name, node, state, seconds, record.executor, ending, record.sub_dispatch_id)


def _items(node: int, job: JobView, counts: ItemCounts) -> RunItems:
    return RunItems(
        printable(job.electron), node, counts.total, counts.done, counts.failed, counts.running, counts.waiting,
        counts.lost, counts.per_second, counts.left_seconds,
    )  # fmt: skip
