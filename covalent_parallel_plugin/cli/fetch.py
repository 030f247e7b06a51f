"""`covalent-parallel fetch`: write to files what a dispatch left in the bucket, checked and not unpickled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from covalent_parallel_plugin.cli.exit_statuses import FAILED, is_lost_output, shown_error
from covalent_parallel_plugin.settings import options as options

if TYPE_CHECKING:
    from covalent_parallel_plugin.electron.server_secret import ServerSecret

WHERE = "run fetch where the Covalent server of the dispatch ran, as its user and with its COVALENT_CONFIG_DIR"


@click.command()
@click.argument("dispatch_id")
@click.argument("node", type=int, required=False)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="The folder to write to; made if it is not there.",
)
@click.option("--project-id", help="Else from Covalent's configuration file, as the next two.")
@click.option("--region", help="Of the jobs; else as for --project-id.")
@click.option("--bucket-name", help="With the objects; else as for --project-id.")
def fetch(
    dispatch_id: str,
    node: int | None,
    out: Path,
    project_id: str | None,
    region: str | None,
    bucket_name: str | None,
) -> None:
    """Write what the electrons of a dispatch, or one NODE of it, left in the bucket to files.

    That is: outcomes that Covalent never got, as after the server was killed or its disk was full, and the items of a
    map that failed. It runs on the machine of the Covalent server, whose secret has the keys. Values are written as
    pickles, and not loaded; what was printed and raised is written as text. Nothing is deleted.
    """
    # Here, so that `--help` does not wait for Covalent.
    from covalent_parallel_plugin.batch.job_names import is_plain_id
    from covalent_parallel_plugin.cloud.storage import ObjectStore
    from covalent_parallel_plugin.covalent_api.config_file import import_configured_options
    from covalent_parallel_plugin.covalent_api.secret_file import secret_path
    from covalent_parallel_plugin.results.fetch import fetch as fetch_calls
    from covalent_parallel_plugin.results.output_folder import OutputFolder

    if not is_plain_id(dispatch_id):
        raise click.UsageError(f"{dispatch_id!r} is not a valid dispatch id")
    given = {"project_id": project_id, "region": region, "bucket_name": bucket_name}
    folder = OutputFolder(out)
    calls = []
    try:
        resolved = options.resolve(given, import_configured_options(os.environ))
        settings = options.check(resolved, way=lambda name: f"give --{name.replace('_', '-')}")
        store = ObjectStore.shared(settings.project_id, settings.bucket_name)
        for call in fetch_calls(store, _secret(secret_path()), dispatch_id, node, folder):
            click.echo(f"{call.name:<10} {call.found}")
            for problem in call.problems:
                click.echo(problem, err=True)
            calls.append(call)
    except OSError as error:
        if is_lost_output(error):
            raise
        raise shown_error(error) from error
    if not calls:
        which = f"dispatch {dispatch_id}" if node is None else f"node {node} of dispatch {dispatch_id}"
        raise click.ClickException(
            f"gs://{settings.bucket_name} has nothing of {which}: Covalent has its results, or they were deleted, or"
            " the id is another one, or its executor has another bucket (--bucket-name)"
        )
    if any(call.forged for call in calls) and not any(call.opened for call in calls):
        raise click.ClickException(f"nothing of it has a seal of this server, whose secret is {secret_path()}: {WHERE}")
    click.echo(f"{folder.files} files written to {out}")
    for python in sorted(set().union(*(call.pythons for call in calls))):
        click.echo(
            f"Load a pickle with `pickle.load(open(FILE, 'rb'))`, in Python {python} with the packages of the electron."
        )
    click.echo(
        f"Nothing was deleted. `covalent-parallel clean --dispatch {dispatch_id} --yes` cancels what still runs and"
        " deletes the objects."
    )
    if not folder.files or any(call.problems for call in calls):
        raise SystemExit(FAILED)


def _secret(path: Path) -> ServerSecret:
    from covalent_parallel_plugin.covalent_api.secret_file import read_secret

    secret = read_secret(path)
    if secret is None:
        raise click.ClickException(f"there is no secret of a server at {path}, and so no key of a call: {WHERE}")
    return secret
