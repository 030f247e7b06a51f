"""The command: measures the rows that are asked for and prints their tables."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from .contenders import OURS, OURS_INSTALLED, POLL_SECONDS, contenders, images
from .electrons import electrons_table
from .emulator_load import ARRAY_TASKS, JOBS, TASKS, calls_table, tasks_table
from .environments import REPLACED_PLUGIN, Environments, prepare
from .image import image_table
from .in_flight import in_flight_table
from .inside_covalent import inside_covalent_table
from .memory import memory_table
from .payload import payload_table
from .pmap_scale import pmap_table
from .runner import runner_table
from .services import Services, running_services
from .tables import Table
from .vm_model import vm_model_table

ROUNDS = 3
# A round of these takes minutes
IN_FLIGHT_ROUNDS = 1
INSIDE_COVALENT_ROUNDS = 2
TERMINATED_STATUS = 143  # what shells report for a program ended by SIGTERM


def tell(text: str) -> None:
    """Show progress where it does not mix with the tables."""
    print(text, file=sys.stderr, flush=True)


def electrons_row(arguments: argparse.Namespace, environments: Environments, services: Services) -> Table:
    return electrons_table(
        contenders(environments), services, arguments.electrons, arguments.rounds or ROUNDS, arguments.poll, tell
    )


def runner_row(arguments: argparse.Namespace, environments: Environments, services: Services) -> Table:
    return runner_table(environments, services, tell)


def memory_row(arguments: argparse.Namespace, environments: Environments, services: Services) -> Table:
    # the image makes no difference to the dispatcher's memory
    compared = [contender for contender in contenders(environments) if contender.name != OURS_INSTALLED]
    return memory_table(compared, services, arguments.rounds or ROUNDS, tell)


def image_row(arguments: argparse.Namespace, environments: Environments, services: Services) -> Table:
    return image_table(environments, tell)


def emulator_tasks_row(arguments: argparse.Namespace, environments: Environments, services: Services) -> Table:
    return tasks_table(TASKS, ARRAY_TASKS, arguments.rounds or ROUNDS, tell)


def emulator_calls_row(arguments: argparse.Namespace, environments: Environments, services: Services) -> Table:
    return calls_table(JOBS, arguments.rounds or ROUNDS, tell)


def pmap_row(arguments: argparse.Namespace, environments: Environments, services: Services) -> Table:
    # the replaced plugin has no map
    (ours,) = [contender for contender in contenders(environments) if contender.name == OURS]
    return pmap_table(ours, services, tell)


def vm_model_row(arguments: argparse.Namespace, environments: Environments, services: Services) -> Table:
    return vm_model_table(contenders(environments), images(environments), tell)


def in_flight_row(arguments: argparse.Namespace, environments: Environments, services: Services) -> Table:
    return in_flight_table(environments, arguments.rounds or IN_FLIGHT_ROUNDS, tell)


def payload_row(arguments: argparse.Namespace, environments: Environments, services: Services) -> Table:
    return payload_table(contenders(environments), services, arguments.rounds or ROUNDS, tell)


def inside_covalent_row(arguments: argparse.Namespace, environments: Environments, services: Services) -> Table:
    return inside_covalent_table(environments, arguments.rounds or INSIDE_COVALENT_ROUNDS, tell)


ROWS: dict[str, Callable[[argparse.Namespace, Environments, Services], Table]] = {
    "electrons": electrons_row,
    "runner": runner_row,
    "memory": memory_row,
    "image": image_row,
    "pmap": pmap_row,
    "payload": payload_row,
    "in-flight": in_flight_row,
    "vm-model": vm_model_row,
    "inside-covalent": inside_covalent_row,
    "emulator-tasks": emulator_tasks_row,
    "emulator-calls": emulator_calls_row,
}


def parse(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line (default: this process's). Exits with status 2 where it is wrong."""
    parser = argparse.ArgumentParser("python -m benchmarks", description="This plugin beside the one that it replaces.")
    parser.add_argument("--electrons", type=_positive, default=40, metavar="N", help="electrons at once [40]")
    parser.add_argument(
        "--rounds", type=_positive, metavar="R", help="rounds, of which medians are shown [3; of long rows fewer]"
    )
    parser.add_argument("--poll", type=_positive, default=POLL_SECONDS, metavar="S", help="poll_freq of both, in s [1]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every value there")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"what to measure: {', '.join(ROWS)} [all]")
    arguments = parser.parse_args(words)
    wrong = [row for row in arguments.rows if row not in ROWS]
    if wrong:
        parser.error(f"there is no row {wrong[0]!r}; there are {', '.join(ROWS)}")
    arguments.rows = arguments.rows or list(ROWS)
    return arguments


def main(words: Sequence[str] | None = None) -> None:
    """Measure, print, and leave no process behind, on SIGTERM neither."""
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(TERMINATED_STATUS))
    arguments = parse(words)
    environments = prepare()
    tables = []
    print(f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {platform.system()}; against {REPLACED_PLUGIN}")
    with running_services(images(environments)) as services:
        for row in arguments.rows:
            tables.append(ROWS[row](arguments, environments, services))
            print(f"\n{tables[-1].markdown()}", flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([table.record() for table in tables], indent=1) + "\n")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


if __name__ == "__main__":
    main()
