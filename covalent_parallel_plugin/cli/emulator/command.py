"""`covalent-parallel emulator`: the emulated services in the foreground, until Ctrl-C."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..exit_statuses import is_lost_output
from .covalent_section import configure, section_text
from .option_list import EmulatorOptions, emulator_options
from .options import FILE_ERRORS
from .taken_port import DEFAULT_PORTS

if TYPE_CHECKING:
    from covalent_parallel_plugin.emulator import Emulator
    from covalent_parallel_plugin.emulator.model.job_summary import JobSummary
    from covalent_parallel_plugin.emulator.runtimes.choose import RuntimeChoice

F = TypeVar("F", bound=Callable[..., object])
# How long a full pipe is waited for at the end
READ_SECONDS = 2.0
# The system may hand a signal to any thread, which does not wake this one: its handler runs when a wait ends
TURN_SECONDS = 0.5


def _port_option(service: str, title: str) -> Callable[[F], F]:
    default = DEFAULT_PORTS[service]
    return click.option(
        f"--{service}-port",
        type=click.IntRange(0, 65535),
        default=default,
        help=f"Port of {title}; 0 takes a free one [{default}].",
    )


@click.command()
@_port_option("storage", "Cloud Storage")
@_port_option("batch", "Batch")
@_port_option("logging", "Cloud Logging")
@emulator_options
@click.option(
    "--env-file",
    type=click.Path(path_type=Path),
    help="Also write the three variables to this file, as NAME=value lines: set -a; . FILE; set +a",
)
@click.option(
    "--configure",
    "configures",
    is_flag=True,
    help="Write the section into Covalent's file; keeps a copy.",
)
@click.option("--quiet", is_flag=True, help="Print no line for each job that ends.")
def emulator(
    storage_port: int,
    batch_port: int,
    logging_port: int,
    env_file: Path | None,
    configures: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Stand in for Batch, Cloud Storage and Cloud Logging on this machine.

    Listens on 127.0.0.1 only. Tasks are containers where podman or docker works (on Linux; elsewhere only if asked
    for, since the loopback of containers is not the machine's there), else processes. Prints which it is and why, the
    variables that point clients here and a configuration section for Covalent, then the line "ready", then a line for
    each job that ends. Its counters can be read at any time, at the address that it prints. Ctrl-C or SIGTERM ends it
    and every task, and prints them.
    """
    # before anything starts: a signal that comes early must end it cleanly too
    news: SimpleQueue[JobSummary | None] = SimpleQueue()  # None: a signal, which may put things into such a queue
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # what nohup has it ignore stays ignored
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: news.put(None))
    options = EmulatorOptions(**given)
    services, runtime = options.start(_nothing if quiet else news.put, storage_port, batch_port, logging_port)
    try:
        section = (configure if configures else section_text)(options.bucket, os.environ)
        _announce(services, runtime, section, env_file)
        while (ended := _next_of(news)) is not None:
            _say(f"{time.strftime('%H:%M:%S')} {ended}")
    except OSError as error:
        if is_lost_output(error):
            raise
        raise click.ClickException(str(error)) from error
    finally:
        services.stop()
    _print_counts(services)


def _announce(services: Emulator, runtime: RuntimeChoice, section: str, env_file: Path | None) -> None:
    for name, value in services.environment.items():
        click.echo(f"export {name}={value}")
    click.echo(f"\n# Tasks run as {_shown(runtime)}")
    click.echo(f"\n{section}")
    click.echo(f"# Counters so far: curl -s {services.environment['STORAGE_EMULATOR_HOST']}/_emulator/counts\n")
    if env_file is not None:
        try:
            _write_variables(env_file, services.environment)
        except OSError as error:
            raise click.ClickException(FILE_ERRORS["--env-file"].format(path=env_file, error=error.strerror)) from error
    click.echo("ready")
    sys.stdout.flush()


def _shown(runtime: RuntimeChoice) -> str:
    if runtime.name != "process":
        return f"containers of {runtime.name}"
    return "\n#   no containers, since ".join(["processes of this machine", *runtime.why_no_containers])


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
