"""The reference's tables and lists of names, each made of what defines it."""

from __future__ import annotations

import inspect
import re

import covalent_parallel_plugin as package
from covalent_parallel_plugin import emulator
from covalent_parallel_plugin import errors as error_classes
from covalent_parallel_plugin.electron.map.report import MOST_ITEMS
from covalent_parallel_plugin.programs.result_values import MOST_BYTES
from covalent_parallel_plugin.protocol import exit_codes
from covalent_parallel_plugin.protocol.limits import KEPT_BYTES
from covalent_parallel_plugin.settings import OPTIONS, validators
from covalent_parallel_plugin.settings.machine_sizes import MAX_TASKS_PER_MACHINE
from covalent_parallel_plugin.sweep.reading.sweep_schema import MAX_BUNDLED_COMBINATIONS, MAX_COMBINATIONS

_CODE = re.compile(r"^EXIT_\w+ = (\d+)  # (?:EX_\w+: )?(.*)$", re.MULTILINE)


def options() -> str:
    """Return the table of the executor's options."""
    rows = ["| option | unit | default | what it is | values |", "|---|---|---|---|---|"]
    for option in OPTIONS.values():
        default = "required" if option.required else "" if option.default in ("", None) else f"`{option.default!r}`"
        rows.append(f"| `{option.name}` | {option.unit} | {default} | {option.help} | {option.rule.__doc__ or ''} |")
    return "\n".join(rows)


def exit_statuses() -> str:
    """Return the table of the runner's exit statuses."""
    rows = [f"| {code} | {text} |" for code, text in _CODE.findall(inspect.getsource(exit_codes))]
    assert len(rows) == len([name for name in vars(exit_codes) if name.startswith("EXIT_")])
    return "\n".join(["| status | why no outcome came |", "|---|---|", *rows])


def limits() -> str:
    """Return the table of this package's limits."""
    mib = 1024 * 1024
    rows = [
        ("items of a map", f"{MOST_ITEMS:,}"),
        ("tasks of a job that run at a time, `max_parallel`", f"{validators.MAX_PARALLEL:,}"),
        ("tasks that share a machine", f"{MAX_TASKS_PER_MACHINE}"),
        ("`retries`", f"{validators.MAX_RETRIES}"),
        (
            "`time_limit`",
            f"{validators.MAX_TIME_LIMIT_SECONDS:,} s: 14 days less a minute",
        ),
        ("`queue_limit`", f"{validators.MAX_QUEUE_SECONDS:,} s: two days"),
        ("`labels`", f"{validators.MAX_LABELS}, of {validators.MAX_LABEL_CHARACTERS} characters"),
        ("printed text that Covalent gets, of each stream", f"the first and the last {KEPT_BYTES // mib} MiB"),
        ("combinations of a sweep", f"{MAX_COMBINATIONS:,}; {MAX_BUNDLED_COMBINATIONS:,} with `bundle`"),
        ("a result file of a sweep's task", f"{MOST_BYTES // mib} MiB"),
    ]
    return "\n".join(["| what | at most |", "|---|---|", *(f"| {what} | {most} |" for what, most in rows)])


def api() -> str:
    """Return what mkdocstrings is to show of the package's public names."""
    homes = {name: f"covalent_parallel_plugin.{home}.{name}" for name, home in package._HOME_OF.items()}
    return _directives(sorted(home for name, home in homes.items() if not name.endswith("Error")))


def errors() -> str:
    """Return the same of its errors, in the order of their definition."""
    found = [cls for cls in vars(error_classes).values() if inspect.isclass(cls) and issubclass(cls, Exception)]
    own = [cls for cls in found if cls.__module__ == error_classes.__name__]
    return _directives([f"{cls.__module__}.{cls.__name__}" for cls in own])


def emulator_api() -> str:
    """Return the same of the emulator's public names."""
    return _directives([f"{emulator.__name__}.{home}.{name}" for name, home in sorted(emulator._ROOM_OF.items())])


def _directives(names: list[str]) -> str:
    return "\n\n".join(f"::: {name}" for name in names)
