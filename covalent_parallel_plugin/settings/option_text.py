"""An executor's options as people see them: those that differ from the defaults, without secrets."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import without_passwords
from ..protocol.value_text import shortened
from .options import OPTIONS, is_given

HIDDEN = "****"


def option_texts(values: Mapping[str, object]) -> dict[str, str]:
    """Return the options that were given or configured, by name, each as Python writes it; secrets are hidden."""
    return {
        name: _text(name, values[name])
        for name, option in OPTIONS.items()
        if is_given(values.get(name)) and values[name] != option.default
    }


def _text(name: str, value: object) -> str:
    if name == "registry_password":
        return repr(HIDDEN)
    if name == "secrets" and isinstance(value, Mapping):
        return repr(dict.fromkeys(value, HIDDEN))
    return without_passwords(shortened(value))
