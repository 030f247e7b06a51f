"""Templates among `files`: `.template` is filled in as a command is, `.j2` goes through Jinja2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from ..placeholders import Template


class FileTemplate(Protocol):
    """A template that was read."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it uses, such as `g` and `sweep.task`."""

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text. Raises ValueError, with a sentence."""


class JinjaTemplate:
    """A template of Jinja2's, sandboxed; what is not defined is an error.

    Raises:
        ValueError: it is none.
    """

    def __init__(self, text: str):
        from jinja2 import StrictUndefined, TemplateError, meta
        from jinja2.sandbox import SandboxedEnvironment

        environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
        try:
            self._template = environment.from_string(text)
            names = meta.find_undeclared_variables(environment.parse(text))
        except TemplateError as error:
            raise ValueError(f"{error} (line {getattr(error, 'lineno', 1)})") from error
        self.names = tuple(sorted(names))

    def fill(self, values: Mapping[str, str]) -> str:
        """Return the text; `sweep` and `inputs` have attributes. Raises ValueError."""
        context: dict[str, Any] = {"sweep": {}, "inputs": {}}
        for name, value in values.items():
            group, _, key = name.rpartition(".")
            if group:
                context[group][key] = value
        context |= {name: value for name, value in values.items() if "." not in name}
        try:
            return self._template.render(context)
        # Whatever an expression of the template raises
        except Exception as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error


# By the suffix, which is dropped
_TEMPLATES: Mapping[str, Callable[[str], FileTemplate]] = {".template": Template.parse, ".j2": JinjaTemplate}


def target_name(name: str) -> str:
    """Return a file's name in the task's folder: without a template's suffix."""
    return name.removesuffix(_suffix(name))


def read_template(path: Path, name: str) -> FileTemplate | None:
    """Read a file as its name says, None if that is no template's. Raises OSError, ValueError."""
    suffix = _suffix(name)
    return _TEMPLATES[suffix](path.read_bytes().decode("utf-8", "surrogateescape")) if suffix else None


def _suffix(name: str) -> str:
    """Return the suffix of a template's name; a name that is nothing else has none."""
    suffix = PurePosixPath(name).suffix
    return suffix if suffix in _TEMPLATES else ""
