"""`covalent-parallel sweep status`: how far a sweep is, and what failed."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import click

from covalent_parallel_plugin.cli.sweep.arguments import NAME_OR_FOLDER, find_sweep
from covalent_parallel_plugin.cli.sweep.elsewhere import SweepElsewhere, find_elsewhere, place_options
from covalent_parallel_plugin.errors import ParallelError
from covalent_parallel_plugin.sweep.records.journal import State
from covalent_parallel_plugin.sweep.records.out_folder import OutFolder
from covalent_parallel_plugin.sweep.records.pace import Pace
from covalent_parallel_plugin.sweep.records.sweeps_index import UnknownSweepError
from covalent_parallel_plugin.sweep.sweep_status import PaceReport, SweepStatus

if TYPE_CHECKING:
    from covalent_parallel_plugin.sweep.batch.waiting_jobs import WaitingJob

SHOWN_FAILURES = 20
# Its jobs have, and what they delivered is not all here
ENDED_ON_BATCH = "ended on Batch"
PACE = tuple(field.name for field in fields(PaceReport))


@click.command()
@click.argument("sweep", required=False, metavar=NAME_OR_FOLDER)
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every failure.")
@place_options
def status(sweep: str | None, as_json: bool, place: Mapping[str, str | None]) -> None:
    """Show how far a sweep is, how fast, what runs and what failed.

    Of one on Batch, Batch is asked; so it is of one that was run on another machine.
    """
    try:
        out = find_sweep(sweep)
    except UnknownSweepError as unknown:
        document = _document_elsewhere(find_elsewhere(sweep, place, unknown))
    else:
        document = _document_here(out)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        _print(document)


def _document_here(out: OutFolder) -> dict[str, Any]:
    found = SweepStatus.read(out)
    document = found.document()
    if found.jobs and found.state in ("on Batch", "running"):
        try:
            jobs = _reported_jobs(out, found.jobs)
        except ParallelError as error:
            click.echo(f"warning: {error}", err=True)
        else:
            has_run = found.state == "running"
            # A run has yet to make the job that Batch does not know
            document["jobs"] = [job.name if has_run and job.status is None else str(job) for job in jobs]
            if any(job.may_run for job in jobs):
                _add_progress(document, State.read(out.journal_path), jobs)
            elif not has_run:
                document["state"] = ENDED_ON_BATCH
    return document


def _reported_jobs(out: OutFolder, names: Sequence[str]) -> list[WaitingJob]:
    """Return what Batch reports of jobs. Raises CloudError, SettingsError."""
    from covalent_parallel_plugin.sweep.batch.sweep_place import settings_at
    from covalent_parallel_plugin.sweep.batch.waiting_jobs import look_at_jobs

    return look_at_jobs(settings_at(State.read(out.journal_path).place or {}), names)


def _add_progress(document: dict[str, Any], state: State, jobs: Sequence[WaitingJob]) -> None:
    """Add what jobs that may still run show of tasks that were not gathered."""
    from covalent_parallel_plugin.sweep.batch.job_progress import JobProgress

    statuses = {job.name: job.status for job in jobs if job.may_run and job.status is not None}
    rounds = {number: statuses[event["job"]] for number, event in state.rounds.items() if event["job"] in statuses}
    found = JobProgress.of(state, rounds, time.time())
    counts = Counter(document["counts"])
    moved = {"running": found.running, "ended": found.unread}
    counts["waiting"] -= min(sum(moved.values()), counts["waiting"])
    document["counts"] = dict(+Counter({**counts, **moved}))
    # What jobs do not report yet, the tasks that were gathered may
    document.update({name: value for name in PACE if (value := getattr(found, name)) is not None})


def _document_elsewhere(sweep: SweepElsewhere) -> dict[str, Any]:
    """Describe a sweep as far as its jobs and the rows in the bucket report it."""
    from covalent_parallel_plugin.cloud.storage import ObjectStore
    from covalent_parallel_plugin.sweep.batch.found_sweep import find_setup
    from covalent_parallel_plugin.sweep.batch.rows import RowReader
    from covalent_parallel_plugin.sweep.batch.waiting_jobs import WaitingJob

    settings, identity = sweep.settings, sweep.found.identity
    store = ObjectStore.shared(settings.project_id, settings.bucket_name)
    statuses: dict[int, str] = {}
    count, seconds, pace = 0, 0.0, Pace()
    for job in sweep.found.jobs:
        setup = find_setup(store, identity, job.round)
        count = max(count, setup["sweep"]["count"] if setup else 0)
        # Of the last round: between rounds nothing ran
        pace = Pace()
        for row in RowReader(store, identity, job.round).read():
            statuses[row.index] = row.end.status
            seconds += row.end.seconds
            if row.end.status != "cancelled":
                pace.add(row.end.started, row.end.ended)
    counts = Counter(statuses.values())
    counts["waiting"] = max(count - counts.total(), 0)
    runs = any(not job.status.is_terminal for job in sweep.found.jobs)
    running = sum(job.status.counts.get("RUNNING", 0) for job in sweep.found.jobs)
    for note in sweep.found.unused:
        click.echo(f"warning: {note}", err=True)
    return {
        "name": sweep.name,
        "id": identity.sweep_id,
        "folder": f"gs://{settings.bucket_name}/{identity.folder}",
        "state": "on Batch" if runs else "done" if counts["done"] == count else "not done",
        "pid": None,
        "tasks": count,
        "counts": dict(+counts),
        "running": [],
        "failed": [],
        "jobs": [str(WaitingJob(job.status.name, job.status)) for job in sweep.found.jobs],
        **asdict(PaceReport.of(pace, counts["waiting"], seconds / 3600, time.time() if runs else None, running)),
    }


def _print(document: dict[str, Any]) -> None:
    pid, failures = document["pid"], document["failed"]
    click.echo(f"{document['name']}: {document['state']}" + (f", process {pid}" if pid else ""))
    click.echo(f"folder   {document['folder']}")
    counts = ", ".join(f"{count} {name}" for name, count in document["counts"].items())
    click.echo(f"tasks    {document['tasks']}: {counts}")
    if pace := ", ".join(filter(None, PaceReport(**{name: document[name] for name in PACE}).texts())):
        click.echo(f"pace     {pace}")
    for job in document["jobs"]:
        click.echo(f"job      {job}")
    if document["running"]:
        click.echo(f"running  {' '.join(document['running'])}")
    for failure in failures[:SHOWN_FAILURES]:
        click.echo(f"{failure['task']}: {failure['ending']}" + (f": {failure['line']}" if failure["line"] else ""))
    if len(failures) > SHOWN_FAILURES:
        click.echo(f"and {len(failures) - SHOWN_FAILURES} more: --json names them all")
    if document["state"] in ("on Batch", ENDED_ON_BATCH):
        click.echo(f"`covalent-parallel sweep gather {document['name']}` brings what has come")
