"""Sweeps on the emulator's Batch, with machines that are threads: as the command runs them, without the command."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage  # type: ignore[attr-defined]  # the package has no types
from machines import Answer, FakeMachines

from covalent_parallel_plugin.cloud.session import LeanSession
from covalent_parallel_plugin.emulator import Emulator
from covalent_parallel_plugin.sweep.batch.batch_run import BatchRunner
from covalent_parallel_plugin.sweep.batch.run_on_batch import BatchSweepRun
from covalent_parallel_plugin.sweep.local.run import RunEnd
from covalent_parallel_plugin.sweep.opened_sweep import FileRequest, OpenedSweep, SavedInput
from covalent_parallel_plugin.sweep.plan import RunRequest
from covalent_parallel_plugin.sweep.tasks import SweepTask

# No registry has it, and so the file says what it begins with
FILE = """\
name: art
image: {image}
entrypoint: [prog]
command: ["-x", "{{x}}"]
parameters: {{x: {{start: 0, stop: {tasks}}}}}
resources: {{project_id: local, bucket_name: covalent, poll_freq: 0.5, vcpus: 1}}
retries: {retries}
{more}
"""
IMAGE = "127.0.0.1:9/art:1"


def write_file(folder: Path, tasks: int = 6, more: str = "", retries: int = 1) -> Path:
    path = folder / "art.yaml"
    path.write_text(FILE.format(image=IMAGE, tasks=tasks, more=more, retries=retries))
    return path


@dataclass
class Ended:
    """An observer that remembers."""

    ends: list[tuple[str, str]] = field(default_factory=list)
    on_tick: Callable[[], None] = lambda: None
    on_end: Callable[[], None] = lambda: None

    def started(self, task: SweepTask) -> None: ...

    def printed(self, task: SweepTask, stream: object, data: bytes) -> None: ...

    def ended(self, task: SweepTask, end: Any) -> None:
        self.ends.append((task.name, end.status))
        self.on_end()

    def tick(self) -> None:
        self.on_tick()


@dataclass
class BatchSweep:
    """One folder's runs of a file."""

    path: Path
    out: Path
    observer: Ended = field(default_factory=Ended)
    download: bool = True

    def run(self, request: RunRequest = RunRequest(), ready: Callable[[BatchRunner], None] = lambda _: None) -> RunEnd:  # noqa: B008 - frozen
        opened = self.opened()
        with opened.out.hold(opened.file.name) as journal:
            sweep = BatchSweepRun(opened, journal, os.environ, self.download)
            sweep.prepare(request, False)
            self.plan, self.moved = sweep.plan, sweep.moved
            sweep.begin()
            end = RunEnd(False, "")
            if sweep.plan.to_run:
                runner = sweep.runner(self.observer)
                ready(runner)
                end = runner.run()
            self.outcome = sweep.finish(end.cancelled, end.stopped, end.detached)
        return end

    def opened(self) -> OpenedSweep:
        return OpenedSweep.open(FileRequest(self.path, out=self.out, is_local=False), os.environ, SavedInput())

    def rows(self) -> list[dict[str, Any]]:
        loaded: list[dict[str, Any]] = json.loads((self.out / "results.json").read_text())
        return loaded

    def statuses(self) -> dict[str, int]:
        found = [row["task.status"] for row in self.rows()]
        return {status: found.count(status) for status in dict.fromkeys(found)}

    def events(self, kind: str) -> list[dict[str, Any]]:
        lines = (self.out / "journal.jsonl").read_text().splitlines()
        return [event for event in map(json.loads, lines) if event["event"] == kind]


@contextlib.contextmanager
def on_emulator(set_variable: Callable[[str, str], None]) -> Iterator[Callable[..., FakeMachines]]:
    """Give a function that starts an emulator with machines that are threads; all are stopped at the end."""
    with contextlib.ExitStack() as stack:

        def start(program: Any = None, **options: Any) -> FakeMachines:
            machines = FakeMachines(program or by_value({}))
            emulator = Emulator(buckets=("covalent",), runtime=machines, **{"tasks_at_once": 8, **options})
            stack.callback(machines.close_client)
            machines.emulator = stack.enter_context(emulator)
            for name, address in emulator.environment.items():
                set_variable(name, address)
            # Google's own session leaves refusals unread, and their connections open
            anonymous = AnonymousCredentials()
            session = LeanSession(anonymous, 64)
            machines.storage = storage.Client(project="local", credentials=anonymous, _http=session)
            return machines

        yield start


def by_value(
    answers: Mapping[str, Answer], default: Answer | None = None
) -> Callable[[Mapping[str, Any], int], Answer]:
    """A program whose end depends on its x."""

    def program(task: Mapping[str, Any], attempt: int) -> Answer:
        x = task["argv"][-1]
        return answers.get(x) or default or Answer(stdout=f"x is {x}\n", result={"x": int(x)})

    return program


__all__ = ["Answer", "BatchSweep", "Ended", "FakeMachines", "by_value", "on_emulator", "write_file"]


def main() -> None:
    """Run a sweep in a process of its own: the file, its folder, and where to note that a task has ended."""
    path, out = map(Path, sys.argv[1:3])
    sweep = BatchSweep(path, out)
    sweep.run()


if __name__ == "__main__":
    main()
