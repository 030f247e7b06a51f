"""`covalent-parallel resume`: continue a dispatch whose server died, with what completed and the jobs that it has."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from covalent_parallel_plugin.cli.exit_statuses import FAILED, INTERRUPTED
from covalent_parallel_plugin.errors import DispatchError, ParallelError, UnavailableError

if TYPE_CHECKING:
    from covalent_parallel_plugin.covalent_api.server_client import DispatchRecord, ServerClient
    from covalent_parallel_plugin.results.resumable import Resumable

T = TypeVar("T")

# Raised when a field changes its meaning or goes away; new ones may come without
JSON_VERSION = 1
LISTED_AT_ONCE = 100
MOST_LISTED = 10_000
ASKED = "stopped; the server may have been asked to resume dispatch {0}: `covalent-parallel resume {0}` says whether"


@click.command()
@click.argument("dispatch_id", required=False)
@click.option("--all", "is_all", is_flag=True, help="All dispatches that a server which died left RUNNING.")
@click.option("--yes", is_flag=True, help="Do not ask whether to.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of lines; asks nothing.")
@click.option("--project-id", help="Else those of the executors, or of the configuration file; so for the next two.")
@click.option("--region", help="Of the jobs; else as for --project-id.")
@click.option("--bucket-name", help="With the objects; else as for --project-id.")
def resume(
    dispatch_id: str | None,
    is_all: bool,
    yes: bool,
    as_json: bool,
    project_id: str | None,
    region: str | None,
    bucket_name: str | None,
) -> None:
    """Continue a dispatch whose server died, or that failed or was cancelled, as a new dispatch.

    The new one has the values of the electrons that completed, takes up the jobs that still run or have returned, and
    runs the rest. The old one ends as FAILED, where it had not ended. Covalent's server has to be started again before.
    A dispatch that the server's own process runs is left alone. Without --yes, and without a terminal on which to ask,
    it is only said what would be done.
    """
    if (dispatch_id is None) != is_all:
        raise click.UsageError("give a DISPATCH_ID, or --all" if dispatch_id is None else "give --all or a DISPATCH_ID")
    # Here, so that `--help` does not wait for Covalent.
    from covalent_parallel_plugin.batch.job_names import is_plain_id

    if dispatch_id is not None and not is_plain_id(dispatch_id):
        raise click.UsageError(f"{dispatch_id!r} is not a valid dispatch id")
    from covalent_parallel_plugin.covalent_api.config_file import import_configured_options

    # Before the others: this says what is wrong with a file that Covalent cannot be imported with
    configured = import_configured_options(os.environ)
    from covalent_parallel_plugin.covalent_api.server_client import UNANSWERED, ServerClient
    from covalent_parallel_plugin.results.dispatch_end import unavailable

    given = {"project_id": project_id, "region": region, "bucket_name": bucket_name}
    server = ServerClient.configured()
    resumer = Resumer(server, given, configured, _silent if as_json else click.echo)
    try:
        ends = list(_ends(resumer, dispatch_id, yes, as_json))
    except UNANSWERED as error:
        raise unavailable(server, error) from error
    if as_json:
        click.echo(json.dumps({"version": JSON_VERSION, "dispatches": [end.document() for end in ends]}, indent=2))
    problems = resumer.problems + [end.problem for end in ends if end.problem]
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        raise SystemExit(FAILED)


@dataclass(frozen=True)
class ResumeEnd:
    """What became of one dispatch: which one continues it, "" if none does, and what went wrong, "" if nothing did."""

    found: Resumable
    new_dispatch: str = ""
    is_resumed: bool = False
    problem: str = ""

    def document(self) -> dict[str, Any]:
        """Return it for programs: names of fields are stable."""
        return {
            "dispatch": self.found.dispatch_id,
            "state": self.found.record.state,
            "completed": self.found.completed,
            "in_flight": dict(self.found.in_flight),
            "to_run": self.found.to_run,
            "new_dispatch": self.new_dispatch or None,
            "resumed": self.is_resumed,
            "problem": self.problem,
        }


class Resumer:
    """Looks at dispatches and has them resumed, and says so."""

    def __init__(
        self,
        server: ServerClient,
        given: Mapping[str, object],
        configured: Mapping[str, object],
        say: Callable[[str], object],
    ) -> None:
        self._server, self._given, self._configured, self.say = server, given, configured, say
        # Of dispatches that could not be looked at
        self.problems: list[str] = []

    def left_running(self) -> Iterator[Resumable]:
        """Find the dispatches that run by the server's record, and in no process."""
        ids: list[str] = []
        for offset in range(0, MOST_LISTED, LISTED_AT_ONCE):
            page = self._server.unfinished_dispatches(LISTED_AT_ONCE, offset)
            ids += page
            if not page:
                break
        found = [
            each
            for dispatch_id in ids
            if (each := self._noting(dispatch_id, partial(self.find, dispatch_id))) is not None
        ]
        inner = {part for each in found for part in each.parts if part != each.dispatch_id}
        for each in found:
            # One without an electron of this package's cannot be asked for, nor resumed
            if each.address is None or each.dispatch_id in inner:
                continue
            if newer := each.record.resumed_as:
                self._already(each, newer)
            elif self._noting(each.dispatch_id, partial(self._runs, each)) is False:
                yield each

    def _noting(self, dispatch_id: str, look: Callable[[], T]) -> T | None:
        """Look at one of several dispatches; note a problem, and return None, where it cannot be looked at."""
        try:
            return look()
        except UnavailableError:
            raise
        except ParallelError as error:
            self.problems.append(f"dispatch {dispatch_id} is left alone: {error}")
            return None

    def find(self, dispatch_id: str) -> Resumable:
        """Look at a dispatch; see `find_resumable`."""
        from covalent_parallel_plugin.results.resumable import find_resumable

        return find_resumable(self._server, dispatch_id, self._given, self._configured)

    def settled(self, found: Resumable) -> ResumeEnd | None:
        """Say why a dispatch is not to be resumed; None if it is. Raises ParallelError."""
        name = f"dispatch {found.dispatch_id}"
        if found.record.resumed_as:
            return self._already(found, found.record.resumed_as)
        if found.record.state == "COMPLETED":
            self.say(f"{name} completed: there is nothing to resume.")
            return ResumeEnd(found)
        if found.record.state == "NEW_OBJECT":
            raise DispatchError(f"{name} was registered and never started: there is nothing to resume")
        self._ask(found, is_look=True)
        return None

    def resume(self, found: Resumable) -> ResumeEnd:
        """Have a dispatch resumed, and delete what its completed electrons have left. Raises ParallelError."""
        from covalent_parallel_plugin.results.resumable import delete_completed

        try:
            new_id = self._ask(found).resumed_as
        except KeyboardInterrupt:
            click.echo(ASKED.format(found.dispatch_id), err=True)
            sys.exit(INTERRUPTED)
        if not new_id:
            raise DispatchError(f"dispatch {found.dispatch_id} has completed meanwhile: there is nothing to resume")
        self.say(f"{found}. New dispatch {new_id}.")
        try:
            delete_completed(found, self._given, self._configured)
        except ParallelError as error:
            click.echo(f"what completed electrons left in the bucket is still there: {error}", err=True)
        return ResumeEnd(found, new_id, is_resumed=True)

    def _already(self, found: Resumable, new_id: str) -> ResumeEnd:
        from covalent_parallel_plugin.covalent_api.server_client import OVER

        state = self._server.dispatch_state(new_id)
        # The server died between the two
        if found.record.state not in OVER:
            self._ask(found)
        elif state == "NEW_OBJECT":
            self._server.start(new_id)
        self.say(f"dispatch {found.dispatch_id} was already resumed as dispatch {new_id} ({state or 'deleted'}).")
        return ResumeEnd(found, new_id)

    def _runs(self, found: Resumable) -> bool:
        """Whether the server's own process runs a dispatch. Raises ParallelError."""
        from covalent_parallel_plugin.covalent_api.resume_request import DispatchRunsError

        try:
            self._ask(found, is_look=True)
        except DispatchRunsError:
            return True
        return False

    def _ask(self, found: Resumable, is_look: bool = False) -> DispatchRecord:
        from covalent_parallel_plugin.covalent_api.resume_request import ask_server

        if found.address is None:
            raise DispatchError(
                f"no electron of dispatch {found.dispatch_id} has this package's executor, which resumes: dispatch"
                " its workflow again"
            )
        return ask_server(self._server, found.dispatch_id, found.address, is_look)


def _ends(resumer: Resumer, dispatch_id: str | None, yes: bool, as_json: bool) -> Iterator[ResumeEnd]:
    """Resume one dispatch, or all that a server left; a problem of one of several does not stop the others."""
    if dispatch_id is None:
        wanted = list(resumer.left_running())
        if not wanted and not resumer.problems:
            resumer.say("No dispatch is RUNNING whose server died.")
    else:
        wanted = [resumer.find(dispatch_id)]
        end = resumer.settled(wanted[0])
        if end is not None:
            yield end
            return
    if not wanted:
        return
    if not yes:
        for found in wanted:
            resumer.say(f"{found}.")
        if as_json or not sys.stdin.isatty():
            resumer.say(
                "Nothing was done. With --yes it is resumed as a new dispatch." if len(wanted) == 1 else NOT_DONE
            )
            yield from map(ResumeEnd, wanted)
            return
        if not _is_wanted("Resume it?" if len(wanted) == 1 else f"Resume these {len(wanted)}?"):
            raise click.ClickException("nothing was resumed")
    for found in wanted:
        try:
            yield resumer.resume(found)
        except ParallelError as error:
            if dispatch_id is not None:
                raise
            yield ResumeEnd(found, problem=str(error))


def _is_wanted(question: str) -> bool:
    try:
        return click.confirm(question, default=True)
    except click.Abort:
        # Of click's for Ctrl-C
        raise KeyboardInterrupt from None


NOT_DONE = "Nothing was done. With --yes each is resumed as a new dispatch."


def _silent(_: str) -> None:
    """Say nothing: the document has it."""
