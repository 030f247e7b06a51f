"""The reference's tables and lists of names, each made of what defines it."""

from __future__ import annotations

import inspect
import re

import covalent_parallel_plugin as package
from covalent_parallel_plugin import emulator
from covalent_parallel_plugin import errors as error_classes
from covalent_parallel_plugin.protocol import exit_codes
from covalent_parallel_plugin.settings import OPTIONS

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
