"""What a report shows: values that no other part changes; times in seconds since 1970, memory in bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

# The phases of an attempt, in the order in which they come; docs/reference/report.md explains them.
# `UPLOAD` is the way of the call to the bucket, `IMAGE` the pull and the start of container and runner, `DELIVERY`
# the way of the result. `LOST` is all that an attempt did on its machine whose work was lost and had to be done again.
UPLOAD = "upload"
WAITING = "waiting"
BOOT = "boot"
IMAGE = "image"
PIP = "pip"
CODE = "code"
LOST = "lost"
DELIVERY = "delivery"
PHASES = (UPLOAD, WAITING, BOOT, IMAGE, PIP, CODE, LOST, DELIVERY)

# What an electron is: one call, a map, what ran beside Covalent's server, on another executor, a sublattice's builder
LONE, MAP, SERVICE, ELSEWHERE, SUBLATTICE, SWEEP = "lone", "map", "service", "elsewhere", "sublattice", "sweep"
# How an electron stands
COMPLETED, FAILED, CANCELLED, RUNNING, WAITS, NOT_RUN = (
    "completed", "failed", "cancelled", "running", "waits", "not run",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """A phase of an attempt; those of one attempt follow each other without gaps, and a phase may come twice."""

    phase: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class UsedMachine:
    """A machine, as far as it is known: "" and None where it is not."""

    type: str = ""
    spot: bool | None = None
    zone: str = ""
    instance: str = ""


@dataclass(frozen=True, slots=True)
class TaskAttempt:
    """One attempt of one task.

    Attributes:
        round, task, number: which one; rounds are the jobs of one call, `number` is from 0 in each task of each job.
        end: how it ended, in the trace's words; "" while it runs.
        spans: its phases. The first one begins where the task's attempt before it ended, else where the call began.
        on_machine: from when to when it had a machine, which is what is billed; None if it never had one.
        share: its part of a machine that several attempts ran on: together they have the machine's time, from the
            first one's begin to the last one's end.
        name: a sweep's task's.
    """

    round: int
    task: int
    number: int
    end: str
    spans: tuple[Span, ...]
    on_machine: tuple[float, float] | None = None
    machine: UsedMachine = UsedMachine()
    exit_code: int | None = None
    peak_bytes: int | None = None
    cpu_seconds: float | None = None
    name: str = ""
    share: float = 1.0

    @property
    def machine_seconds(self) -> float:
        """How long it had a machine, or its share of that."""
        return 0.0 if self.on_machine is None else (self.on_machine[1] - self.on_machine[0]) * self.share

    def seconds(self, phase: str) -> float:
        """How long it was in a phase."""
        return sum(span.seconds for span in self.spans if span.phase == phase)


def peak_of(attempts: Iterable[TaskAttempt]) -> int | None:
    """Return the most memory that one of them used, in bytes; None where none was measured."""
    return max((attempt.peak_bytes for attempt in attempts if attempt.peak_bytes is not None), default=None)


@dataclass(frozen=True, slots=True)
class Items:
    """The items of a map, in columns of one length; an item that ran twice is there twice.

    Attributes:
        total: how many the map has; None if it is not known.
        begin, took: seconds since 1970, and seconds.
        end: in the trace's words.
    """

    total: int | None
    index: Sequence[int]
    round: Sequence[int]
    task: Sequence[int]
    begin: Sequence[float]
    took: Sequence[float]
    end: Sequence[str]

    @property
    def returned(self) -> set[int]:
        """The indexes of the items that returned a value, whichever of their runs did."""
        return {index for index, end in zip(self.index, self.end, strict=True) if end == "value"}


@dataclass(frozen=True, slots=True)
class Asked:
    """What an electron's jobs asked for; a task's share of the machine. None and "" where it is not known.

    `max_parallel` is how many of a job's tasks may run at a time, `provisioning` is in Batch's words.
    """

    vcpus: float | None = None
    memory_bytes: int | None = None
    machine_type: str = ""
    spot: bool | None = None
    image: str = ""
    gpu_type: str = ""
    gpu_count: int = 0
    region: str = ""
    zones: tuple[str, ...] = ()
    max_parallel: int | None = None
    tasks_per_machine: int | None = None
    has_requirements: bool | None = None
    provisioning: str = ""


@dataclass(frozen=True, slots=True)
class ElectronFailure:
    """Why an electron failed: its error's class and message, and the last lines of its output where they are known."""

    error: str
    message: str
    last_lines: str = ""


@dataclass(frozen=True, slots=True)
class Electron:
    """An electron, or all the tasks of a sweep.

    Attributes:
        node: Covalent's; 0 for a sweep.
        kind: LONE, MAP, SERVICE ...
        state: COMPLETED, FAILED ...
        parents: the nodes whose values it takes; known only where Covalent reports the graph.
        entered, ended: when it was submitted, and when its result was here; None if not known or not yet.
        machine_wait: what Batch said of a job that waited for machines, such as a quota; "" for nothing.
        job: the latest one: projects/P/locations/R/jobs/J.
        cached_from: the dispatch and node whose value it has, from the cache or an earlier dispatch; "" if it ran.
        sub_dispatch_id: a sublattice's dispatch, which has a report of its own.
    """

    node: int
    name: str
    kind: str
    state: str
    parents: tuple[int, ...] = ()
    entered: float | None = None
    ended: float | None = None
    attempts: tuple[TaskAttempt, ...] = ()
    items: Items | None = None
    asked: Asked = Asked()
    failure: ElectronFailure | None = None
    machine_wait: str = ""
    job: str = ""
    cached_from: str = ""
    sub_dispatch_id: str = ""

    @property
    def machine_seconds(self) -> float:
        """How long its attempts had machines, added up."""
        return sum(attempt.machine_seconds for attempt in self.attempts)

    @property
    def title(self) -> str:
        """Its name and node, such as train[3]."""
        return self.name if self.kind == SWEEP else f"{self.name}[{self.node}]"


@dataclass(frozen=True, slots=True)
class ResultTable:
    """A sweep's tasks with their parameters and results: a row each, in order; None where a task has no value.

    Attributes:
        names, statuses: the tasks', in the same order: done, failed, waiting ...
        folder: where the whole table is, in results.csv and results.json; "" if it is nowhere.
    """

    parameters: tuple[str, ...]
    results: tuple[str, ...]
    rows: tuple[Mapping[str, object], ...]
    names: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    folder: str = ""


@dataclass(frozen=True, slots=True)
class FailedTask:
    """A task of a sweep that is not done: how it ended, its reason or last line, and the command that shows more.

    `alike` is how many more ended so, with the same message.
    """

    name: str
    ending: str
    message: str
    command: str
    last_lines: str = ""
    alike: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """What one machine costs in an hour: `source` is who says so, `date` when (YYYY-MM-DD)."""

    dollars_per_hour: float
    date: str
    source: str


@dataclass(frozen=True, slots=True)
class MachineHours:
    """The machines of one type that were used; `price` is None where the user has given none for it.

    Machines with GPUs attached (`gpu_type`) are apart from those without; GPUs of a machine type are not named here.
    `other_price` is that of a Spot machine of the kind, or of a standard one where this is Spot.
    """

    type: str
    spot: bool | None
    region: str
    attempts: int
    seconds: float
    lost_seconds: float
    price: Price | None = None
    gpu_type: str = ""
    gpu_count: int = 0
    other_price: Price | None = None

    @property
    def dollars(self) -> float | None:
        """What they cost, None without a price: never 0."""
        return None if self.price is None else self.seconds / 3600 * self.price.dollars_per_hour


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Something to change, with what that would gain.

    Attributes:
        rule: which rule found it, such as "memory-unused".
        title, text: one sentence each, or two.
        remedy: code or a command, as it is typed.
        gain: in words, such as "0.5 machine-hours a run".
        seconds, machine_seconds: the gain in time until the end, and in time of machines; the ranking is by them.
        nodes: the electrons that it is about.
        is_failure: it keeps an electron from failing, and comes first.
    """

    rule: str
    title: str
    text: str
    remedy: str
    gain: str
    seconds: float = 0.0
    machine_seconds: float = 0.0
    nodes: tuple[int, ...] = ()
    is_failure: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """All that a report shows.

    Attributes:
        kind: "dispatch" or "sweep".
        state: COMPLETED, FAILED, CANCELLED or RUNNING; "" if it is not known.
        began, ended: of the whole; `ended` is None while it runs or where it is not known.
        made: when the report was made.
        chain: the nodes that the end waited for, in order.
        missing: sentences on what is not known, and why.
        failed_tasks: a sweep's, those of which there is more to say than that there are more of them.
    """

    kind: str
    id: str
    name: str
    state: str
    made: float
    began: float | None = None
    ended: float | None = None
    electrons: tuple[Electron, ...] = ()
    chain: tuple[int, ...] = ()
    machines: tuple[MachineHours, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    results: ResultTable | None = None
    missing: tuple[str, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)
    failed_tasks: tuple[FailedTask, ...] = ()

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.state == RUNNING

    @property
    def seconds(self) -> float | None:
        """From its begin to its end, or until now."""
        end = self.made if self.is_running else self.ended
        return None if self.began is None or end is None else end - self.began
