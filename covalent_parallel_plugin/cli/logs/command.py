"""`covalent-parallel logs`: what electrons print, as it comes or as it is."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import click

from covalent_parallel_plugin.cli.age import Age
from covalent_parallel_plugin.cli.exit_statuses import INTERRUPTED, TERMINATED, shown_error
from covalent_parallel_plugin.cli.printed_lines import tell
from covalent_parallel_plugin.errors import ParallelError

if TYPE_CHECKING:
    from covalent_parallel_plugin.results.dispatch_logs import DispatchLogs
    from covalent_parallel_plugin.results.stores import Stores

# Without --follow the command ends within ten seconds, of which loading Covalent and Google's clients takes some
ALL_SECONDS, LEAST_SECONDS = 7.0, 2.0
FOLLOWED_LOOK_SECONDS = 60.0
LEAST_PAUSE_SECONDS = 0.5
STOPPED = "stopped following; the dispatch goes on (ct.cancel ends it)"


@click.command()
@click.argument("dispatch_id")
@click.argument("electrons", nargs=-1, metavar="[ELECTRON|NODE]...")
@click.option("--item", type=click.IntRange(min=0), help="Of a map this item's alone.")
@click.option("--attempt", type=click.IntRange(min=0), help="This attempt's alone; the first one is 0.")
@click.option("--follow", "-f", is_flag=True, help="Go on until the electrons have ended.")
@click.option("--stderr", "is_stderr", is_flag=True, help="Standard error; else it is standard output.")
@click.option("--both", is_flag=True, help="Both, each to its own.")
@click.option(
    "--since", type=Age(), help="Leave out what was printed longer ago than this, such as 90s, 10m, 2h or 1d."
)
@click.option("--tail", type=click.IntRange(min=0), help="The last lines of each electron and item, so many.")
@click.option("--timestamps", is_flag=True, help="Begin each line with when it was printed, where that is known.")
@click.option("--no-prefix", is_flag=True, help="Do not begin lines with whose they are.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON for each line.")
@click.option("--project-id", help="Else those of the executors, or of the configuration file; so for the next two.")
@click.option("--region", help="Of the jobs; else as for --project-id.")
@click.option("--bucket-name", help="With the objects; else as for --project-id.")
def logs(
    dispatch_id: str,
    electrons: tuple[str, ...],
    item: int | None,
    attempt: int | None,
    follow: bool,
    is_stderr: bool,
    both: bool,
    since: float | None,
    tail: int | None,
    timestamps: bool,
    no_prefix: bool,
    as_json: bool,
    project_id: str | None,
    region: str | None,
    bucket_name: str | None,
) -> None:
    """Print what the electrons of a dispatch print, all of them or those with these names or nodes.

    Of an electron that runs that is what it has delivered; of one that has ended Covalent's server has it. Standard
    error says what the others wait for. Ctrl-C ends this with 130, and cancels nothing.
    """
    begun = time.monotonic()
    _refuse_mistakes(dispatch_id, is_stderr and both, as_json and (no_prefix or timestamps))
    try:
        # Here, so that `--help` does not wait for Covalent.
        from covalent_parallel_plugin.covalent_api.config_file import import_configured_options

        # Before the others: this says what is wrong with a file that Covalent cannot be imported with
        configured = import_configured_options(os.environ)
        from covalent_parallel_plugin.cli.logs.line_printer import LinePrinter
        from covalent_parallel_plugin.covalent_api.secret_file import read_secret, secret_path
        from covalent_parallel_plugin.covalent_api.server_client import ServerClient
        from covalent_parallel_plugin.results.dispatch_logs import DispatchLogs
        from covalent_parallel_plugin.results.known_dispatch import KnownDispatch
        from covalent_parallel_plugin.results.stores import Stores
        from covalent_parallel_plugin.results.wanted_output import Wanted

        streams = ("stdout", "stderr") if both else ("stderr",) if is_stderr else ("stdout",)
        wanted = Wanted(electrons, item, attempt, streams, None if since is None else time.time() - since)
        given = {"project_id": project_id, "region": region, "bucket_name": bucket_name}
        stores, server = Stores(), ServerClient.configured()
        known = KnownDispatch(dispatch_id, server, given, configured, stores.at)
        no_secret = (
            f"what runs cannot be read: there is no secret of a server at {secret_path()}, and so no key of a call. Run"
            " this where the Covalent server of the dispatch runs, as its user and with its COVALENT_CONFIG_DIR"
        )
        found = DispatchLogs(known, wanted, read_secret(secret_path()), no_secret, stores)
        printer = LinePrinter(
            dispatch_id, sys.stdout, sys.stderr, as_json, both and not as_json, not no_prefix, timestamps, tail
        )
        _show(found, stores, printer, begun, follow, item is not None)
    except KeyboardInterrupt:
        tell(sys.stderr, STOPPED)
        sys.exit(INTERRUPTED)
    except ParallelError as error:
        from covalent_parallel_plugin.sweep.display.printable import printable

        raise shown_error(error, printable) from error


def _refuse_mistakes(dispatch_id: str, is_stream_given_twice: bool, is_form_given_twice: bool) -> None:
    """Refuse what cannot stand together, all of it at once. Raises UsageError."""
    from covalent_parallel_plugin.batch.job_names import is_plain_id

    mistakes = []
    if not is_plain_id(dispatch_id):
        mistakes.append(f"{dispatch_id!r} is not a valid dispatch id")
    if is_stream_given_twice:
        mistakes.append("--both has --stderr in it: give one of them")
    if is_form_given_twice:
        mistakes.append("--json has no prefixes, and all times: leave out --no-prefix and --timestamps")
    if mistakes:
        raise click.UsageError("\n".join(mistakes))


def _show(
    found: DispatchLogs, stores: Stores, printer: LinePrinter, begun: float, is_followed: bool, is_one_item: bool
) -> None:
    from covalent_parallel_plugin.cloud.timed_calls import Deadline

    if not is_followed:
        left = ALL_SECONDS - (time.monotonic() - begun)
        printer.show(found.look(Deadline(max(left, LEAST_SECONDS)), is_only=True), is_one_item)
        return
    from covalent_parallel_plugin.results.followed_calls import FollowedCalls

    # So that the requests are deleted then too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    with FollowedCalls(stores) as followed:
        # Bounded by the electrons' own ends, or the user's Ctrl-C.
        while True:
            looked = time.monotonic()
            look = found.look(Deadline(FOLLOWED_LOOK_SECONDS))
            printer.show(look, is_one_item)
            if look.is_over:
                return
            for problem in followed.renew(look.running, Deadline(FOLLOWED_LOOK_SECONDS)):
                printer.tell(problem)
            if not look.is_behind:
                time.sleep(max(looked + followed.pause_seconds - time.monotonic(), LEAST_PAUSE_SECONDS))


if TYPE_CHECKING:
    from covalent_parallel_plugin.cli.logs.line_printer import LinePrinter
