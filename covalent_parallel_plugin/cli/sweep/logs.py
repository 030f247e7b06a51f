"""`covalent-parallel sweep logs`: what a task has written, as it wrote it, also while it runs on Batch."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

import click

from covalent_parallel_plugin.cli.exit_statuses import INTERRUPTED, TERMINATED
from covalent_parallel_plugin.cli.sweep.arguments import NAME_OR_FOLDER, find_sweep_and_task
from covalent_parallel_plugin.cli.sweep.elsewhere import place_options
from covalent_parallel_plugin.programs.kept_output import StreamName
from covalent_parallel_plugin.sweep.records.out_folder import OutFolder
from covalent_parallel_plugin.sweep.records.sweeps_index import UnknownSweepError

if TYPE_CHECKING:
    from covalent_parallel_plugin.cli.sweep.task_on_batch import FollowedTask
    from covalent_parallel_plugin.cli.sweep.task_printer import TaskPrinter
    from covalent_parallel_plugin.cli.sweep.task_search import NotBegun, TaskFolder

# Without --follow the command ends within ten seconds, of which it takes some to begin
LOOK_SECONDS = 6.5
LEAST_SECONDS, FOLLOWED_LOOK_SECONDS = 3.0, 300.0
WAIT_SECONDS = 1.0
STOPPED = "stopped following; the sweep goes on (`covalent-parallel sweep cancel` ends it)"


@click.command()
@click.argument("words", nargs=-1, required=True, metavar=f"{NAME_OR_FOLDER} TASK")
@click.option("--stderr", "is_stderr", is_flag=True, help="Its standard error; else its standard output.")
@click.option("--both", is_flag=True, help="Both, each to its own.")
@click.option("--follow", "-f", is_flag=True, help="Go on until the task has ended.")
@click.option("--tail", type=click.IntRange(min=0), help="The last lines of each stream, so many of what is there.")
@click.option("--timestamps", is_flag=True, help="Begin each line with when it was printed, where that is known.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each line.")
@place_options
def logs(
    words: tuple[str, ...],
    is_stderr: bool,
    both: bool,
    follow: bool,
    tail: int | None,
    timestamps: bool,
    as_json: bool,
    place: Mapping[str, str | None],
) -> None:
    """Print what a task has written.

    Of one that runs on Batch that is what it has delivered so far; it need not be a sweep of this machine. Standard
    error says what a task waits for. Ctrl-C ends this with 130, and cancels nothing.
    """
    if is_stderr and both:
        raise click.UsageError("--both has --stderr in it: give one of them")
    if as_json and timestamps:
        raise click.UsageError("--json has all times: leave out --timestamps")
    streams: tuple[StreamName, ...] = ("stdout", "stderr") if both else ("stderr",) if is_stderr else ("stdout",)
    from covalent_parallel_plugin.cli.sweep.task_printer import TaskPrinter

    # So that nothing is left in the bucket then either
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    make = partial(
        TaskPrinter,
        streams=streams,
        stdout=sys.stdout,
        stderr=sys.stderr,
        is_json=as_json,
        has_times=timestamps,
        tail=tail,
    )
    try:
        _logs(words, place, follow, make)
    except KeyboardInterrupt:
        click.echo(STOPPED, err=True)
        sys.exit(INTERRUPTED)


def _logs(
    words: tuple[str, ...], place: Mapping[str, str | None], follow: bool, make: Callable[[str, str], TaskPrinter]
) -> None:
    from covalent_parallel_plugin.cli.sweep.task_here import TaskHere
    from covalent_parallel_plugin.cli.sweep.task_search import NotBegun, TaskFolder, search_elsewhere

    seconds = _Seconds(follow)
    try:
        out, task = find_sweep_and_task(words)
    except UnknownSweepError as unknown:
        if len(words) < 2:
            raise
        name, task = words[0], words[1].rstrip("/")
        _show_on_batch(search_elsewhere(name, task, place, unknown, seconds.left()), make(name, task), follow, seconds)
        return
    printer = make(out.path.name, task)
    found = _found(out, task, printer, follow, seconds)
    if isinstance(found, TaskFolder):
        TaskHere(out, task, printer).show(follow)
        if found.lost:
            printer.tell(f"lost: {found.lost}")
    elif not isinstance(found, NotBegun):
        _show_on_batch(found, printer, follow, seconds)


class _Seconds:
    """How long a look may take; where nothing is followed, all of them together."""

    def __init__(self, follow: bool) -> None:
        self._follow, self._began = follow, time.monotonic()

    def left(self) -> float:
        """Seconds from now."""
        return (
            FOLLOWED_LOOK_SECONDS if self._follow else max(self._began + LOOK_SECONDS - time.monotonic(), LEAST_SECONDS)
        )


def _found(
    out: OutFolder, task: str, printer: TaskPrinter, follow: bool, seconds: _Seconds
) -> TaskFolder | FollowedTask | NotBegun:
    """Look for a task; one that is followed is waited for, as long as a run may begin it."""
    from covalent_parallel_plugin.cli.sweep.task_search import NotBegun, search_here

    told = ""
    while True:
        found = search_here(out, task, seconds.left())
        if not isinstance(found, NotBegun):
            return found
        if found.reason != told:
            told = found.reason
            printer.tell(told)
        if not (follow and found.may_begin):
            return found
        time.sleep(WAIT_SECONDS)


def _show_on_batch(found: FollowedTask, printer: TaskPrinter, follow: bool, seconds: _Seconds) -> None:
    from covalent_parallel_plugin.cli.sweep.task_on_batch import TaskOnBatch
    from covalent_parallel_plugin.cloud.timed_calls import Deadline

    shown = TaskOnBatch(found, printer)
    if follow:
        shown.follow()
    else:
        shown.show(Deadline(seconds.left()))
