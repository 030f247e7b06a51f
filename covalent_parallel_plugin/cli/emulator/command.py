"""`covalent-parallel emulator`: the emulated services in the foreground, until Ctrl-C."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

import click

from ...settings.container_rules import stock_image
from .. import missing_package
from ..exit_statuses import is_lost_output, shown_error
from .options import FILE_ERRORS, read_exports, read_faults, read_images, read_known_file, read_secrets

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator
    from covalent_parallel_plugin.emulator.model.job_summary import JobSummary

PROJECT = "local-project"
REGION = "us-east1"
# How long a full pipe is waited for at the end
READ_SECONDS = 2.0
# The system may hand a signal to any thread, which does not wake this one: its handler runs when a wait ends
TURN_SECONDS = 0.5
_PORT = click.IntRange(0, 65535)


@click.command()
@click.option("--storage-port", type=_PORT, default=0, help="Port of Cloud Storage; 0, the default, takes a free one.")
@click.option("--batch-port", type=_PORT, default=0, help="Port of Batch; 0, the default, takes a free one.")
@click.option("--logging-port", type=_PORT, default=0, help="Port of Cloud Logging; 0, the default, takes a free one.")
@click.option("--bucket", "buckets", multiple=True, metavar="NAME", help="Bucket to make, may be repeated [covalent].")
@click.option(
    "--python", type=click.Path(path_type=Path), help="Python that tasks run on [the one that runs this command]."
)
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="URI=COMMAND",
    callback=read_images,
    help="Interpreter and default command that an image stands for, may be repeated.",
)
@click.option(
    "--runtime",
    "runtime_asked",
    # Emulator's own list is not imported for the help
    type=click.Choice(("auto", "podman", "docker", "process")),
    default="auto",
    help="What tasks run as: containers of podman or docker, or processes [auto: the first of these that works].",
)
@click.option(
    "--nfs",
    "exports",
    multiple=True,
    metavar="SERVER:/PATH=FOLDER",
    callback=read_exports,
    help="Folder that stands for an NFS export that tasks mount, may be repeated; for containers.",
)
@click.option(
    "--secrets-file",
    type=click.Path(path_type=Path),
    help="File of secrets, in lines projects/P/secrets/S/versions/V=VALUE.",
)
@click.option(
    "--secret",
    "secrets",
    multiple=True,
    metavar="NAME=VALUE",
    help="One secret, projects/P/secrets/S/versions/V=VALUE, may be repeated; others can see it.",
)
@click.option("--tasks", type=click.IntRange(1), help="Tasks that run at a time [the number of CPUs, at least 2].")
@click.option("--vms", type=click.IntRange(1), help="Model VMs: at most so many at a time, later jobs wait [no model].")
@click.option("--boot", type=click.FloatRange(0), help="Model VMs: seconds that one takes to boot.")
@click.option("--pull", type=click.FloatRange(0), help="Model VMs: seconds that each takes to pull the image.")
@click.option(
    "--faults", "faults_file", type=click.Path(path_type=Path), help="JSON file of what is to go wrong, see the docs."
)
@click.option(
    "--fault",
    "fault_rules",
    multiple=True,
    metavar="RULE",
    help="One thing that is to go wrong, such as rpc:GetJob:UNAVAILABLE:rate=0.1; may be repeated.",
)
@click.option("--fault-seed", type=int, help="Seed of the faults' random numbers [the file's, else 0].")
@click.option(
    "--known",
    "known_file",
    type=click.Path(path_type=Path),
    help="TOML file of what exists in the project, see the docs [what a well-made project has].",
)
@click.option("--log-reads-per-minute", type=click.IntRange(0), help="Limit of Cloud Logging [none; Google's is 60].")
@click.option(
    "--env-file",
    type=click.Path(path_type=Path),
    help="Also write the three variables to this file, as NAME=value lines: set -a; . FILE; set +a",
)
@click.option("--quiet", is_flag=True, help="Print no line for each job that ends.")
def emulator(
    storage_port: int,
    batch_port: int,
    logging_port: int,
    buckets: tuple[str, ...],
    python: Path | None,
    images: dict[str, list[str]],
    runtime_asked: str,
    exports: dict[str, Path],
    secrets_file: Path | None,
    secrets: tuple[str, ...],
    tasks: int | None,
    vms: int | None,
    boot: float | None,
    pull: float | None,
    faults_file: Path | None,
    fault_rules: tuple[str, ...],
    fault_seed: int | None,
    known_file: Path | None,
    log_reads_per_minute: int | None,
    env_file: Path | None,
    quiet: bool,
) -> None:
    """Stand in for Batch, Cloud Storage and Cloud Logging on this machine.

    Listens on 127.0.0.1 only. Tasks are containers where podman or docker works (on Linux; elsewhere only if asked
    for, since the loopback of containers is not the machine's there), else processes. Prints which it is, the variables
    that point clients here and a configuration section for Covalent, then the line "ready", then a line for each job
    that ends. Its counters can be read at any time, at the address that it prints. Ctrl-C or SIGTERM ends it and every
    task, and prints them.
    """
    # before anything starts: a signal that comes early must end it cleanly too
    news: SimpleQueue[JobSummary | None] = SimpleQueue()  # None: a signal, which may put things into such a queue
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # what nohup has it ignore stays ignored
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: news.put(None))
    try:
        from covalent_parallel_plugin.emulator import Emulator
        from covalent_parallel_plugin.emulator.emulator import PortTaken
        from covalent_parallel_plugin.emulator.execution.vm_pool import VmModel
        from covalent_parallel_plugin.emulator.runtimes.choose import RuntimeRequest, choose_runtime, create_runtime

        faults = read_faults(faults_file, fault_rules, fault_seed)
        known_secrets = read_secrets(secrets_file, secrets)
        known = None if known_file is None else read_known_file(known_file)
        wish = RuntimeRequest(runtime_asked, python, images, exports)
        runtime = choose_runtime(wish)
        services = Emulator(
            storage_port,
            batch_port,
            logging_port,
            buckets=buckets or ("covalent",),
            runtime=create_runtime(wish, runtime),
            tasks_at_once=tasks,
            faults=faults,
            log_reads_per_minute=log_reads_per_minute,
            known=known,
            secrets=known_secrets,
            machines=None if vms is boot is pull is None else VmModel(vms, boot or 0.0, pull or 0.0),
            on_job_end=_nothing if quiet else news.put,
        )
        services.start()
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    except PortTaken as error:
        raise click.ClickException(f"{error}: give --{error.service}-port another one, or 0") from error
    except (ValueError, OSError) as error:
        raise shown_error(error) from error
    try:
        _announce(services, runtime, (buckets or ("covalent",))[0], env_file)
        while (ended := _next_of(news)) is not None:
            _say(f"{time.strftime('%H:%M:%S')} {ended}")
    except OSError as error:
        if is_lost_output(error):
            raise
        raise click.ClickException(str(error)) from error
    finally:
        services.stop()
    _print_counts(services)


def _announce(services: Emulator, runtime: str, bucket: str, env_file: Path | None) -> None:
    for name, value in services.environment.items():
        click.echo(f"export {name}={value}")
    click.echo(
        f"\n# Tasks run as {'processes of this machine' if runtime == 'process' else f'containers of {runtime}'}."
    )
    click.echo(f"\n{_section(bucket)}")
    click.echo(f"# Counters so far: curl -s {services.environment['STORAGE_EMULATOR_HOST']}/_emulator/counts\n")
    if env_file is not None:
        try:
            _write_variables(env_file, services.environment)
        except OSError as error:
            raise click.ClickException(FILE_ERRORS["--env-file"].format(path=env_file, error=error.strerror)) from error
    click.echo("ready")
    sys.stdout.flush()


def _section(bucket: str) -> str:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = Path(os.environ.get("COVALENT_CONFIG_DIR") or Path.home() / ".config" / "covalent")
    return (
        f"# For {folder / 'covalent.conf'}: if it has a line [executors.gcpbatch] already, put these under that one.\n"
        "[executors.gcpbatch]\n"
        f'project_id = "{PROJECT}"\n'
        f'region = "{REGION}"\n'
        f'bucket_name = "{bucket}"\n'
        f'container_image_uri = "{stock_image(version)}"\n'
        "poll_freq = 1\n"
    )


def _write_variables(path: Path, variables: Mapping[str, str]) -> None:
    """Write NAME=value lines, all at once: who waits for the file never reads half of it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    partial.replace(path)


def _next_of(news: SimpleQueue[JobSummary | None]) -> JobSummary | None:
    while True:
        try:
            return news.get(timeout=TURN_SECONDS)
        except Empty:
            continue


def _nothing(ended: JobSummary) -> None:
    return


def _say(line: str) -> None:
    """Print a line, unless standard output is a pipe that is full: who started this may never read it."""
    if _is_read(0.0):
        click.echo(line)
        sys.stdout.flush()


def _is_read(seconds: float) -> bool:
    """Whether standard output takes a few lines, now or within so many seconds."""
    return bool(select.select([], [sys.stdout], [], seconds)[1])


def _print_counts(services: Emulator) -> None:
    if not _is_read(READ_SECONDS):
        return
    groups = (
        ("tasks", services.counts),
        ("Batch calls", services.rpc_counts),
        ("HTTP requests", services.request_counts),
    )
    for title, counts in groups:
        listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if count) or "none"
        click.echo(f"{title}: {listed}")
    # those that never took place too: a fault that was asked for and did not strike is worth knowing
    for fault, count in services.faults.consumed.items():
        click.echo(f"fault {fault}: {count}")
