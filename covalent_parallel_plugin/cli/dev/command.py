"""`covalent-parallel dev`: a program, or a shell, with an emulator and a Covalent server of its own."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import click
from click.core import ParameterSource

from covalent_parallel_plugin.containers.ownership import is_dead, new_owner
from covalent_parallel_plugin.results.dev_program import OWNER_VARIABLE

from ..emulator.option_list import EmulatorOptions, emulator_options
from ..exit_statuses import INTERRUPTED
from .host import END_SECONDS, HostRequest
from .host_process import HostProcess
from .kept_session import KeptSession, kept_file
from .program import find_program
from .program_session import ProgramSession
from .running_session import RunningSession, search_path, tell
from .signals import Signals, Terminated


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--keep", is_flag=True, help="Leave both running at the end, for the next `dev` to use.")
@click.option("--stop", is_flag=True, help="End what --keep has left running.")
@click.option("--quiet", is_flag=True, help="Print no line for each change of an electron.")
@emulator_options
@click.argument("program", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def dev(context: click.Context, /, keep: bool, stop: bool, quiet: bool, program: tuple[str, ...], **given: Any) -> None:
    """Run a program with an emulator and a Covalent server of its own, and end both; without PROGRAM, your shell.

    PROGRAM is such as `python workflow.py`, after `--`. Python is the one that covalent-parallel runs on. The program
    finds both through its environment, and nothing of your own Covalent. Each change of an electron is a line on
    standard error; of what is run in a shell there is none. When the program has ended, `dev` waits for dispatches that
    it has left running, and prints why electrons failed.

    The exit status is the program's: 127 where it is not found, 128 + N where signal N ended it. It is 1 where the
    program's is 0, and a dispatch that was waited for at the end did not complete.

    Ctrl-C goes to the program. When that has ended by it, its jobs are cancelled.
    """
    kept = KeptSession(kept_file(os.environ))
    chosen = _chosen(context, given)
    if stop:
        if chosen or keep or program:
            raise click.UsageError("--stop ends what is kept, and nothing else: give it alone")
        tell("the kept session has ended" if kept.stop() else "no session is kept")
        return
    _refuse_inner(os.environ, program)
    words = find_program(program or _shell(os.environ), search_path(os.environ))
    _refuse_temporary_folder(tempfile.gettempdir())
    owner = new_owner()
    session: RunningSession | None = None
    is_joined = False
    with Signals(END_SECONDS) as signals, contextlib.ExitStack() as stack:
        try:
            session = kept.read()
            if session is None:
                host = HostProcess(
                    HostRequest(EmulatorOptions(**given), owner, kept_file(os.environ) if keep else None)
                )
                stack.enter_context(host)
                tell("starting an emulator and a Covalent server")
                session = host.start()
                is_alive = host.is_running
            else:
                _check_kept(session, chosen)
                is_alive, is_joined = session.is_running, True
            _announce(session, words, is_shell=not program, is_joined=is_joined)
            run = ProgramSession(session, owner, words, not program, keep or is_joined, quiet, is_alive)
            status = run.run(signals)
        except KeyboardInterrupt:
            # Which takes some seconds
            if not keep and not is_joined:
                tell("interrupted: ending what runs, the emulator and the server")
            status = INTERRUPTED
        except Terminated as ended:
            status = ended.status
    if keep and session is not None:
        tell(f"kept: Covalent's UI is at {session.address}")
        tell("`covalent-parallel dev -- PROGRAM` uses it again, `covalent-parallel dev --stop` ends it")
    context.exit(status)


def _chosen(context: click.Context, given: Mapping[str, Any]) -> list[str]:
    """Return the options of the emulator that were given."""
    return [
        option.opts[0]
        for option in context.command.params
        if option.name in given and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    ]


def _shell(environment: Mapping[str, str]) -> tuple[str, ...]:
    return (environment.get("SHELL") or "/bin/sh",)


def _refuse_inner(environment: Mapping[str, str], program: Sequence[str]) -> None:
    """Raise UsageError in a shell of `dev`."""
    owner = environment.get(OWNER_VARIABLE, "")
    if owner and not is_dead(owner):
        remedy = f"run {shlex.join(program)} itself" if program else "leave it first"
        raise click.UsageError(f"this is run by another `dev`, whose emulator and server are there already: {remedy}")


def _refuse_temporary_folder(folder: str) -> None:
    """Raise ClickException where Covalent loses its files.

    It opens what the path of a file's URL says without decoding it (covalent._file_transfer, 0.240).
    """
    if quote(folder) != folder:
        raise click.ClickException(
            f"Covalent cannot work in the folder for temporary files, {folder}: its path may have letters of ASCII,"
            " digits and _.-~ only; name another one: TMPDIR=/tmp covalent-parallel dev"
        )


def _check_kept(session: RunningSession, chosen: Sequence[str]) -> None:
    """Raise ClickException where the kept session is not what was asked for."""
    stop = "end the kept session with `covalent-parallel dev --stop`"
    if chosen:
        raise click.UsageError(
            f"{', '.join(chosen)}: a session is kept, whose emulator runs already: leave that out, or {stop}"
        )
    if session.python != sys.executable:
        raise click.ClickException(
            f"the session that is kept runs on {session.python}, and this is {sys.executable}: {stop}, or use that one"
        )


def _announce(session: RunningSession, words: Sequence[str], *, is_shell: bool, is_joined: bool) -> None:
    runtime = "processes of this machine" if session.runtime == "process" else f"containers of {session.runtime}"
    joined = "in the session that is kept: " if is_joined else ""
    tell(f"{joined}Covalent's UI is at {session.address}; tasks run as {runtime}")
    if is_shell:
        tell(f"this is {words[0]} with both of them; python is {sys.executable}; `exit` leaves it")
