"""How an ending is put: the electron, what happened, what to do, Batch's words, the output's end, where to look."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..protocol.environment import BATCH_EMULATOR_HOST, is_on_emulator
from ..settings import Settings

if TYPE_CHECKING:
    from ..cloud.batch import JobStatus, TaskStatus

TAIL_LINES = 20
# One line may be megabytes long (a progress bar, a table): its start says enough
LINE_CHARACTERS = 1000


@dataclass(frozen=True)
class FailureContext:
    """What a message is about: the electron and its job, and whether Batch's own words belong there."""

    owner: str
    settings: Settings
    job_name: str
    job: JobStatus | None = None
    task: TaskStatus | None = None
    quotes_batch: bool = True

    @property
    def last_event(self) -> str:
        """The latest event's text, "" if there is none: the task's own first, which is the more precise."""
        for events in (self.task.events if self.task else (), self.job.events if self.job else ()):
            if events:
                return events[-1].description
        return ""

    def addresses(self) -> str:
        """Where to look further, one line each."""
        lines = [f"Job: {job_address(self.settings, self.job_name)}"]
        logs = logs_address(self.settings, self.job.uid) if self.job is not None and self.job.uid else ""
        if logs:
            lines.append(f"Logs: {logs}")
        return "\n".join(lines)


def format_failure(
    context: FailureContext, what: str, remedy: str = "", output: str = "", lines: Sequence[str] = ()
) -> str:
    """The whole text of an ending.

    Args:
        what: what happened, continuing "electron 'f' (node 1 of dispatch d) ...".
        remedy: what to do, a sentence or more.
        output: the electron's, of which the last lines are shown; or `lines`, those of the log.
    """
    shown = output.splitlines() or list(lines)
    parts = [f"{context.owner} {what}" + (f" {remedy}" if remedy else "")]
    if context.quotes_batch and context.last_event:
        parts.append(f'Batch says: "{context.last_event}"')
    if shown:
        parts += ["Last lines of its output:", *(f"  {line:.{LINE_CHARACTERS}}" for line in shown[-TAIL_LINES:])]
    parts.append(context.addresses())
    return "\n".join(parts)


def job_address(settings: Settings, job_name: str) -> str:
    """The job's page in Google's console; on an emulator, which has none, its name and where that is."""
    if is_on_emulator():
        return f"{job_name} on the emulator at {os.environ[BATCH_EMULATOR_HOST]}"
    name = job_name.rsplit("/", 1)[-1]
    return console_page(f"projects/{settings.project_id}/locations/{settings.region}/jobs/{name}")


def console_page(job: str) -> str:
    """The page in Google's console of a job by its whole name; "" on an emulator, and for another name."""
    parts = job.split("/")
    if is_on_emulator() or [*parts[::2]] != ["projects", "locations", "jobs"] or len(parts) != 6:
        return ""
    _, project, _, region, _, name = parts
    return (
        f"https://console.cloud.google.com/batch/jobsDetail/regions/{region}/jobs/{quote(name)}/details"
        f"?project={project}"
    )


def logs_address(settings: Settings, job_uid: str) -> str:
    """The job's logs in Google's console; "" on an emulator, which has none."""
    if is_on_emulator():
        return ""
    query = quote(f'labels.job_uid="{job_uid}"', safe="")
    return f"https://console.cloud.google.com/logs/query;query={query}?project={settings.project_id}"
