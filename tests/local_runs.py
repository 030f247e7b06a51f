"""Local runs without a file: tasks of one parameter, a folder, a journal that is a list, an observer that remembers."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from covalent_parallel_plugin.programs.core_schema import ParameterValue
from covalent_parallel_plugin.programs.kept_output import StreamName
from covalent_parallel_plugin.programs.task_folder import LaidFile
from covalent_parallel_plugin.programs.verdict import TaskEnd
from covalent_parallel_plugin.settings import Settings
from covalent_parallel_plugin.sweep.combinations import Combination
from covalent_parallel_plugin.sweep.local.interfaces import Backend
from covalent_parallel_plugin.sweep.local.plain_command import PlainCommands
from covalent_parallel_plugin.sweep.local.run import LocalRun, RunEnd
from covalent_parallel_plugin.sweep.mistakes import LocatedText, Location
from covalent_parallel_plugin.sweep.sweep_file import SweepFile
from covalent_parallel_plugin.sweep.tasks import Launch, LocalPaths, SweepTask

SWEEP_ID = "0123456789ab"


def sweep_file(*, options: Mapping[str, Any] | None = None, **fields: Any) -> SweepFile:
    """A sweep's file with these fields, and these options of the executor."""
    defaults: dict[str, Any] = {
        "path": Path("/nowhere/sweep.yaml"),
        "text": b"",
        "name": "test",
        "image": "",
        "command": (),
        "entrypoint": None,
        "workdir": "",
        "flags": "",
        "grids": (),
        "environment": {},
        "secrets": {},
        "files": (),
        "inputs": {},
        "config": "",
        "outputs": "",
        "result": None,
        "settings": Settings(**{"vcpus": 1, "retries": 0, "time_limit": 60, "memory": 256, **(options or {})}),
        "given_options": frozenset(options or ()),
        "max_parallel": 2,
        "idle_limit_seconds": None,
        "log_limit_bytes": 1 << 20,
        "retry_on": frozenset(),
        "stop_after": None,
        "max_machine_hours": None,
        "pull": "missing",
        "tasks_per_machine": None,
        "bundle": None,
        "after": (),
        "locations": {},
    }
    return SweepFile(**{**defaults, **fields})


def some_tasks(count: int) -> list[SweepTask]:
    """Tasks x=0, x=1 and so on."""
    return [
        SweepTask(
            Combination(number, 0, {"x": ParameterValue(str(number), number)}, None), f"x={number}", f"{number:064x}"
        )
        for number in range(count)
    ]


@dataclass
class Folder:
    """The sweep's folder."""

    path: Path

    def task_folder(self, name: str) -> Path:
        return self.path / name


class EventList(list[dict[str, Any]]):
    """A journal in memory."""

    def append(self, event: Mapping[str, Any]) -> None:
        super().append(dict(event))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self if event["event"] == kind]


@dataclass
class Memory:
    """An observer that keeps everything, and the most that ran at a time."""

    ends: dict[str, TaskEnd] = field(default_factory=dict)
    output: dict[tuple[str, StreamName], bytes] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    most: int = 0
    ticks: int = 0

    def started(self, task: SweepTask) -> None:
        self.running.add(task.name)
        self.most = max(self.most, len(self.running))

    def printed(self, task: SweepTask, stream: StreamName, data: bytes) -> None:
        self.output[task.name, stream] = self.output.get((task.name, stream), b"") + data

    def ended(self, task: SweepTask, end: TaskEnd) -> None:
        self.running.remove(task.name)
        self.ends[task.name] = end

    def tick(self) -> None:
        self.ticks += 1


@dataclass(frozen=True)
class Brought:
    """A file that was brought in."""

    path: str
    size: int
    mtime_ns: int
    keep: bool = True


def bring(source: Path, target: Path, *, keep: bool = True) -> Brought:
    """Copy a file into a task's folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)
    status = target.stat()
    return Brought(target.name, status.st_size, status.st_mtime_ns, keep)


class Sweep:
    """A sweep whose command is words in which {x}, {folder}, {attempt} and {inputs.NAME} are replaced."""

    def __init__(self, out: Path, *words: str, tasks: int = 1, backend: Backend | None = None, **fields: Any) -> None:
        self.file = sweep_file(**fields)
        self.words = words
        self.tasks = some_tasks(tasks)
        self.out = Folder(out)
        self.journal: EventList = EventList()
        self.memory = Memory()
        self.backend = backend or PlainCommands({}, self.file.config, self.file.result.file if self.file.result else "")
        self.secrets: dict[str, str] = {}
        self.entrypoint: tuple[str, ...] | None = None

    def launch(self, task: SweepTask, paths: LocalPaths, attempt: int) -> Launch:
        values = {"x": task.combination.values["x"].text, "folder": paths.folder, "attempt": str(attempt)}
        values |= {f"inputs.{name}": path for name, path in paths.inputs.items()}

        def fill(text: str) -> str:
            for name, value in values.items():
                text = text.replace("{" + name + "}", value)
            return text

        environment = {"SWEEP_ID": SWEEP_ID, "SWEEP_ATTEMPT": str(attempt)}
        environment |= {name: fill(str(text)) for name, text in self.file.environment.items()}
        return Launch(tuple(fill(word) for word in self.words), self.entrypoint, environment, values)

    def lay_out(self, task: SweepTask, launch: Launch, files: Path) -> Iterable[LaidFile]:
        return ()

    def make(self, **more: Any) -> LocalRun:
        return LocalRun(
            self.file, self.tasks, self.launch, self.lay_out, self.out, self.journal, self.backend, self.memory,
            self.secrets, **more,
        )  # fmt: skip

    def run(self, **more: Any) -> RunEnd:
        return self.make(**more).run()

    @property
    def end(self) -> TaskEnd:
        """How the only task ended."""
        (end,) = self.memory.ends.values()
        return end

    def text(self, name: str, task: str = "x=0") -> str:
        return (self.out.path / task / name).read_text()


def located(texts: Mapping[str, str]) -> dict[str, LocatedText]:
    return {name: LocatedText(text, Location(1, 1)) for name, text in texts.items()}


def python(code: str) -> Sequence[str]:
    import sys

    return (sys.executable, "-c", code)
