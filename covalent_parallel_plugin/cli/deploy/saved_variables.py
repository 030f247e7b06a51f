"""The variables chosen for a deployment so far, in its folder: a later `up` that does not name one leaves it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ...errors import DeployError
from ...settings.infrastructure_variables import VARIABLES, checked

FILE_NAME = "variables.tfvars.json"


def read_saved_variables(folder: Path) -> dict[str, object]:
    """Read the values by name; none where nothing was done yet.

    Raises:
        DeployError: they cannot be read or used; the message names the file.
    """
    path = folder / FILE_NAME
    try:
        return _values_in(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DeployError(f"{path}, the values chosen so far, cannot be read: {error}: fix or delete it") from error


def write_variables(path: Path, values: Mapping[str, object]) -> None:
    """Write all at once: who is interrupted leaves the old file or the new one."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    partial.replace(path)


def _values_in(text: str) -> dict[str, object]:
    """The values in a JSON object, by name, each as its rule writes it; of unknown names, which the user's own files
    may have, as they are.

    Raises:
        ValueError: text of another form, and values that their rules refuse, all of them in one message.
    """
    values: dict[str, object] = {}
    mistakes = []
    try:
        loaded = json.loads(text)
        # It will be written again, and what can be read may be too deep for that
        json.dumps(loaded, indent=2)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(loaded, dict):
        raise ValueError("it holds no JSON object")
    for name, value in loaded.items():
        try:
            values[name] = checked(name, value) if name in VARIABLES else value
        except ValueError as error:
            mistakes.append(f"{name} {error}")
        except RecursionError:
            mistakes.append(f"{name} is nested too deeply")
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return values
