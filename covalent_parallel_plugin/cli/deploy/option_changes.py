"""The executor's section of Covalent's configuration: what a deployment's outputs change there."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...covalent_api.config_file import write_options
from ...errors import DeployError
from ...settings import OPTIONS, SECTION, is_given, mistakes_in, plain
from ...settings.config_file import config_path

# What nobody takes away when the infrastructure goes: the user chose them
KEPT = frozenset({"project_id", "region"})


@dataclass(frozen=True)
class OptionChange:
    """An option's value before and after; "" is none. What only Terraform will know is not known yet."""

    option: str
    before: object
    after: object
    is_known: bool = True

    def __str__(self) -> str:
        before, after = (repr(value) if is_given(value) else "(none)" for value in (self.before, self.after))
        return f"{self.option}: {before} -> {after if self.is_known else '(known afterwards)'}"


def check(outputs: Mapping[str, object], folder: Path) -> None:
    """Have the outputs of a deployment's folder judged by the rules of the options whose names they have.

    Raises:
        DeployError: a rule refuses one; written into the configuration, it would stop every dispatch.
    """
    mistakes = mistakes_in({name: value for name, value in outputs.items() if name in OPTIONS})
    if mistakes:
        raise DeployError(
            "\n".join(
                [
                    "Terraform gives what Covalent's configuration cannot hold, and nothing is written there:",
                    *(f"  - {mistake}" for mistake in mistakes),
                    f"Fix the outputs of the files in {folder}",
                ]
            )
        )


def changes(
    outputs: Mapping[str, object],
    earlier: Mapping[str, object],
    configured: Mapping[str, object],
    unknown: Iterable[str] = (),
) -> list[OptionChange]:
    """What the section lacks to agree with a deployment.

    Args:
        outputs: what stands, by name; those that are not options count for nothing.
        earlier: the outputs of before: an option that had its value from there, and has none now, is emptied.
        configured: the section.
        unknown: outputs whose values Terraform will know afterwards.
    """
    found = []
    late = set(unknown)
    for option in OPTIONS:
        before, after = configured.get(option), outputs.get(option)
        if option in late:
            found.append(OptionChange(option, before, "", is_known=False))
        elif is_given(after):
            if not is_given(before) or plain(option, before) != plain(option, after):
                found.append(OptionChange(option, before, after))
        elif is_given(before) and plain(option, before) == plain(option, earlier.get(option)):
            # Emptied rather than taken out: a running Covalent server would write its own copy of the value back.
            found.append(OptionChange(option, before, ""))
    return found


def emptied(earlier: Mapping[str, object], configured: Mapping[str, object]) -> list[OptionChange]:
    """What goes from the section with the infrastructure that it names."""
    made = {name: value for name, value in earlier.items() if name not in KEPT}
    return changes({}, made, configured)


def write(wanted: Sequence[OptionChange]) -> None:
    """Write the changes into the section, through Covalent: every other key stays.

    Raises:
        DeployError: the file cannot be written; the message holds what to put there.
    """
    try:
        write_options({change.option: change.after for change in wanted})
    except (OSError, ValueError) as error:
        lines = "\n".join(f"  {change.option} = {_toml(change.after)}" for change in wanted)
        raise DeployError(
            f"{config_path(os.environ)} cannot be written: {error}\nThe infrastructure stands. Put this into the file"
            f" under [{SECTION}]:\n{lines}"
        ) from error


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
