"""`covalent-parallel sweep gather`: bring what a sweep on Batch has delivered, and write its tables anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from covalent_parallel_plugin.cli.sweep.arguments import NAME_OR_FOLDER, find_sweep
from covalent_parallel_plugin.cli.sweep.elsewhere import SweepElsewhere, find_elsewhere, place_options
from covalent_parallel_plugin.errors import MistakeError, ParallelError
from covalent_parallel_plugin.settings import is_given, mistakes_in, plain
from covalent_parallel_plugin.settings.config_file import read_config_file
from covalent_parallel_plugin.sweep.opened_sweep import OpenedSweep
from covalent_parallel_plugin.sweep.records.journal import State, is_held, open_event, round_event
from covalent_parallel_plugin.sweep.records.out_folder import COPY, OutFolder
from covalent_parallel_plugin.sweep.records.parquet import require_pyarrow, write_parquet
from covalent_parallel_plugin.sweep.records.sweep_trace import SweepTrace
from covalent_parallel_plugin.sweep.records.sweeps_index import SweepsIndex, UnknownSweepError
from covalent_parallel_plugin.sweep.records.table import CSV_FILE, parameter_names, write_tables
from covalent_parallel_plugin.sweep.stored_records import stored_records

if TYPE_CHECKING:
    from covalent_parallel_plugin.sweep.batch.gathered_sweep import SweepGathering
    from covalent_parallel_plugin.sweep.tasks import SweepTask


@click.command()
@click.argument("sweep", required=False, metavar=NAME_OR_FOLDER)
@click.option(
    "--out",
    "outs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIR|FILE.parquet",
    help="A folder, for a sweep of another machine; else ./NAME. FILE.parquet: the table as Parquet, too.",
)
@place_options
def gather(sweep: str | None, outs: tuple[Path, ...], place: Mapping[str, str | None]) -> None:
    """Write results.csv and results.json anew, of a sweep that runs, too.

    Of a sweep on Batch it first brings what tasks have delivered. One that was run on another machine is found on
    Batch by its name, and gathered into a folder here.
    """
    out, tables = _sorted_outs(outs)
    try:
        found = find_sweep(sweep)
    except UnknownSweepError as unknown:
        found = _gather_elsewhere(find_elsewhere(sweep, place, unknown), out)
    else:
        if out is not None and out.resolve() != found.path.resolve():
            raise click.UsageError(f"--out {out}: the sweep is in {found.path} already: give none, or FILE.parquet")
        _gather_here(found)
    for table in tables:
        write_parquet(table, stored_records(found, os.environ))
    state = State.read(found.journal_path)
    counts = ", ".join(f"{count} {status}" for status, count in state.counts().items() if count)
    click.echo(f"{state.name}: {counts or 'no tasks'}; {' '.join(map(str, (found.path / CSV_FILE, *tables)))}")
    if state.rounds and not is_held(found.journal_path):
        click.echo("More comes: its job on Batch has not ended")


def _sorted_outs(outs: Sequence[Path]) -> tuple[Path | None, list[Path]]:
    """Return the folder among them, None without one, and the tables. Raises UsageError, ParallelError."""
    tables = [path for path in outs if path.suffix.lower() == ".parquet"]
    folders = [path for path in outs if path not in tables]
    wrong = [f"--out {path} is a folder: name a file" for path in tables if path.is_dir()]
    wrong += [f"--out {path}: there is no folder {path.parent}: make it" for path in tables if not path.parent.is_dir()]
    wrong += [f"--out {path} is a file: name a folder, or FILE.parquet" for path in folders if path.is_file()]
    if len(folders) > 1:
        wrong.append(f"--out names {len(folders)} folders, {' and '.join(map(str, folders))}: give one")
    if wrong:
        raise click.UsageError("\n".join(wrong))
    if tables:
        # Before anything is brought
        require_pyarrow()
    return (folders[0] if folders else None), tables


def _gather_here(out: OutFolder) -> None:
    state = State.read(out.journal_path)
    gathering = None
    if state.place is not None and not is_held(out.journal_path):
        gathering = _gather_on_batch(out, state)
    if gathering is not None and not (out.path / COPY).exists():
        _write_tables(out, gathering)
        return
    opened = OpenedSweep.reopen(out, os.environ)
    state = State.read(out.journal_path)
    try:
        write_tables(out, opened.pinned_tasks(state.pinned), parameter_names(opened.file.grids), state)
    except OSError as error:
        raise click.ClickException(f"{error.filename or out.path}: {error.strerror}") from error


def _gather_on_batch(out: OutFolder, state: State) -> SweepGathering:
    """Bring what has come since the last run; of a sweep without its file all rounds, since they are its tasks."""
    from covalent_parallel_plugin.cloud.storage import ObjectStore
    from covalent_parallel_plugin.sweep.batch.gathered_sweep import SweepGathering
    from covalent_parallel_plugin.sweep.batch.sweep_key import kept_identity
    from covalent_parallel_plugin.sweep.batch.sweep_place import settings_at

    assert state.place is not None  # whoever calls has seen it
    identity = kept_identity(out, state.name, state.sweep_id)
    if identity is None:
        raise ParallelError(f"{out.path} has no key of its sweep any more: `run` takes it from its job on Batch")
    settings = settings_at(state.place)
    store = ObjectStore.shared(settings.project_id, settings.bucket_name)
    trace = SweepTrace.of(state.sweep_id, state.run or {}, os.environ)
    with out.hold(state.name) as journal:
        if (out.path / COPY).exists():
            gathering = SweepGathering(out, journal, identity, settings, store, _known_parts(out, state), trace)
            elsewhere = {end.at[0] for end in journal.state.ends.values() if end.at is not None and not end.is_here}
            gathering.gather({*journal.state.rounds, *elsewhere})
        else:
            gathering = SweepGathering(out, journal, identity, settings, store, trace=trace)
            gathering.gather_all()
    _tell(gathering)
    return gathering


def _known_parts(out: OutFolder, state: State) -> Callable[[SweepTask], Mapping[str, str]]:
    """Return what gives the parts of a task's key, as far as the file still makes such tasks."""
    try:
        tasks = OpenedSweep.reopen(out, os.environ).pinned_tasks(state.pinned)
        parts = {task.key: tasks.parts(task) for task in tasks}
    except ParallelError:
        # The tables say what is wrong
        return lambda task: {}
    return lambda task: parts.get(task.key, {})


def _gather_elsewhere(sweep: SweepElsewhere, folder: Path | None) -> OutFolder:
    """Gather a sweep that this machine does not know into a folder."""
    from covalent_parallel_plugin.cloud.storage import ObjectStore
    from covalent_parallel_plugin.sweep.batch.gathered_sweep import SweepGathering

    settings, identity = sweep.settings, sweep.found.identity
    out = OutFolder(folder if folder is not None else Path(sweep.name))
    store = ObjectStore.shared(settings.project_id, settings.bucket_name)
    for note in sweep.found.unused:
        click.echo(f"warning: {note}", err=True)
    with out.hold(sweep.name) as journal:
        if journal.state.run is not None and journal.state.sweep_id != identity.sweep_id:
            raise MistakeError(f"{out.path} has another sweep of this name: give --out another folder")
        out.keep_key(identity.key)
        journal.append(open_event(identity.sweep_id, sweep.name))
        trace = SweepTrace.of(identity.sweep_id, _trace_options(), os.environ)
        gathering = SweepGathering(out, journal, identity, settings, store, trace=trace)
        for job in sweep.found.jobs:
            journal.append(round_event(job.round, job.status.name, job.status.created_seconds))
        gathering.gather_all()
        _write_tables(out, gathering)
    _tell(gathering)
    SweepsIndex.of(os.environ).add(identity.sweep_id, sweep.name, out)
    return out


def _trace_options() -> dict[str, object]:
    """Return what the configuration file says of traces."""
    section = read_config_file(os.environ).section
    given = {name: section[name] for name in ("trace", "trace_days") if is_given(section.get(name))}
    return {name: plain(name, value) for name, value in given.items() if not mistakes_in({name: value})}


def _write_tables(out: OutFolder, gathering: SweepGathering) -> None:
    write_tables(out, gathering.tasks, gathering.parameters, State.read(out.journal_path))


def _tell(gathering: SweepGathering) -> None:
    for note in gathering.notes:
        click.echo(f"warning: {note}", err=True)
