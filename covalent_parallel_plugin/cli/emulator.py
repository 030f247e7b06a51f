"""`covalent-parallel emulator`: the stand-in services in the foreground, until Ctrl-C."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import missing_package

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator, Faults

PROJECT = "local-project"
REGION = "us-east1"
_PORT = click.IntRange(0, 65535)


def _read_images(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, list[str]]:
    images = {}
    for value in values:
        uri, equals, command = value.partition("=")
        if not uri or not equals or not command.strip():
            raise click.BadParameter(f"{value!r} must be URI=COMMAND")
        images[uri] = shlex.split(command)
    return images


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
    callback=_read_images,
    help="Interpreter and default command that an image stands for, may be repeated.",
)
@click.option("--tasks", type=click.IntRange(1), help="Tasks that run at a time [the number of CPUs, at least 2].")
@click.option("--vms", type=click.IntRange(1), help="Model VMs: at most so many at a time, later jobs wait [no model].")
@click.option("--boot", type=click.FloatRange(0), help="Model VMs: seconds that one takes to boot.")
@click.option("--pull", type=click.FloatRange(0), help="Model VMs: seconds that each takes to pull the image.")
@click.option("--warm", is_flag=True, help="For load tests: fork tasks from a Python that is there already (Linux).")
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
@click.option("--log-reads-per-minute", type=click.IntRange(0), help="Limit of Cloud Logging [none; Google's is 60].")
@click.option(
    "--env-file",
    type=click.Path(path_type=Path),
    help="Also write the three variables to this file, as NAME=value lines: set -a; . FILE; set +a",
)
def emulator(
    storage_port: int,
    batch_port: int,
    logging_port: int,
    buckets: tuple[str, ...],
    python: Path | None,
    images: dict[str, list[str]],
    tasks: int | None,
    vms: int | None,
    boot: float | None,
    pull: float | None,
    warm: bool,
    faults_file: Path | None,
    fault_rules: tuple[str, ...],
    fault_seed: int | None,
    log_reads_per_minute: int | None,
    env_file: Path | None,
) -> None:
    """Stand in for Batch, Cloud Storage and Cloud Logging on this machine.

    Listens on 127.0.0.1 only and runs tasks as processes. Prints the variables that point clients here and a
    configuration section for Covalent, then the line "ready". Ctrl-C or SIGTERM ends it and every task.
    """
    # before anything starts: a signal that comes early must end it cleanly too
    told_to_end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: told_to_end.set())
    try:
        from covalent_parallel_plugin.emulator import Emulator, ForkRuntime, Machines, PortTaken, ProcessRuntime

        services = Emulator(
            storage_port,
            batch_port,
            logging_port,
            buckets=buckets or ("covalent",),
            runtime=(ForkRuntime if warm else ProcessRuntime)(python, images),
            tasks_at_once=tasks,
            faults=_read_faults(faults_file, fault_rules, fault_seed),
            log_reads_per_minute=log_reads_per_minute,
            machines=None if vms is boot is pull is None else Machines(vms, boot or 0.0, pull or 0.0),
        )
        services.start()
    except ModuleNotFoundError as error:
        raise missing_package(error) from error
    except PortTaken as error:
        raise click.ClickException(f"{error}: give --{error.service}-port another one, or 0") from error
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    try:
        _announce(services, (buckets or ("covalent",))[0], env_file)
        told_to_end.wait()
    except OSError as error:
        raise click.ClickException(str(error)) from error
    finally:
        services.stop()
    _print_counts(services)


def _read_faults(path: Path | None, rules: Sequence[str], seed: int | None) -> Faults:
    """Join the file's rules and the flags', in this order. Raises FaultError, OSError."""
    from covalent_parallel_plugin.emulator import FaultError, Faults, parse_flag

    try:
        given = Faults() if path is None else Faults.from_text(path.read_text())
    except (FaultError, UnicodeDecodeError) as error:
        raise FaultError(f"{path}: {error}") from error
    return Faults((*given.rules, *map(parse_flag, rules)), given.seed if seed is None else seed)


def _announce(services: Emulator, bucket: str, env_file: Path | None) -> None:
    for name, value in services.environment.items():
        click.echo(f"export {name}={value}")
    click.echo(f"\n{_section(bucket)}")
    if env_file is not None:
        _write_variables(env_file, services.environment)
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
        f'container_image_uri = "python:{version}-slim"\n'
        "poll_freq = 1\n"
    )


def _write_variables(path: Path, variables: Mapping[str, str]) -> None:
    """Write NAME=value lines, all at once: who waits for the file never reads half of it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    partial.replace(path)


def _print_counts(services: Emulator) -> None:
    groups = (
        ("tasks", services.counts),
        ("Batch calls", services.rpc_counts),
        ("storage requests", services.request_counts),
    )
    for title, counts in groups:
        listed = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()) if count) or "none"
        click.echo(f"{title}: {listed}")
    # those that never took place too: a fault that was asked for and did not strike is worth knowing
    for fault, count in services.faults.consumed.items():
        click.echo(f"fault {fault}: {count}")
