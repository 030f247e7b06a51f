"""Keys of tasks: what a task is, as a SHA-256; machines, limits, retries, the result and the name are no part of it.

A key is the SHA-256 of the SHA-256s of its parts. Of these a few digits are kept too, which say later what changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence

from ..programs.core_schema import ParameterValue
from .combinations import Combination
from .placeholders import Template
from .sweep_file import SweepFile

PARTS = ("image", "command", "environment", "files", "inputs", "config")
PART_DIGITS = 8
# After each word; no word contains the first of the two
END = "\0\n"
# `json.dumps` with options makes an encoder each time
_encode = json.JSONEncoder(sort_keys=True).encode


class KeyTexts(dict[str, str]):
    """The texts of a combination by name; `{sweep.…}` and `{inputs.…}` count unfilled, which no value looks like."""

    def __missing__(self, name: str) -> str:
        return f"\0{name}\0"


def key_texts(combination: Combination) -> KeyTexts:
    """Return a combination's texts."""
    texts = KeyTexts({name: value.text for name, value in combination.values.items()})
    if combination.repeat is not None:
        texts["repeat"] = str(combination.repeat)
    return texts


def flag_words(flags: str, values: Mapping[str, ParameterValue]) -> list[str]:
    """Return what `flags` appends to a command: every parameter, in the file's order; false and null are left out."""
    words: list[str] = []
    for name, value in values.items() if flags else ():
        if value.data is True:
            words.append(f"--{name}")
        elif value.data is not False and value.data is not None:
            words += [f"--{name}={value.text}"] if flags == "joined" else [f"--{name}", value.text]
    return words


def sha256(text: str) -> bytes:
    """Return a text's digest; also of one that is not Unicode, which is a mistake elsewhere."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


# Of a part: the same for all tasks of a grid, or computed for each
Digest = bytes | Callable[[Combination, KeyTexts], bytes]


class GridKeys:
    """The keys of one grid's tasks: what is the same in all of them is hashed once.

    Args:
        file: the sweep's.
        image: the image's digest, or what stands for it where it is not known; "" for a plain command.
        inputs: the versions of the inputs by name.
        files: the digest of the bytes of `files`.
        template_names: names of the grid's parameters that templates among `files` use.
    """

    def __init__(
        self, file: SweepFile, image: str, inputs: Mapping[str, str], files: str, template_names: Sequence[str]
    ):
        self._flags, self._config = file.flags, file.config
        entrypoint = [] if file.entrypoint is None else [str(len(file.entrypoint)), *map(str, file.entrypoint)]
        command = Template.parse(_joined([*(entrypoint or ["image's"]), *map(str, file.command)]))
        variables = [f"{name}={file.environment[name]}" for name in sorted(file.environment)]
        secrets = [f"{name}={file.secrets[name]}" for name in sorted(file.secrets)]
        environment = Template.parse(_joined([*variables, "secrets", *secrets]))
        templates = Template.parse(_joined([files, *(f"{name}={{{name}}}" for name in template_names)]))
        self._digests: list[Digest] = [
            sha256(image),
            self._command_digest(command),
            _filled_digest(environment),
            _filled_digest(templates),
            sha256(_joined(f"{name}={inputs[name]}" for name in sorted(inputs))),
            self._config_digest if file.config else sha256(""),
        ]

    def digests(self, combination: Combination, texts: KeyTexts) -> list[bytes]:
        """Return the digests of a task's parts, in the order of `PARTS`."""
        return [digest if isinstance(digest, bytes) else digest(combination, texts) for digest in self._digests]

    def key(self, combination: Combination, texts: KeyTexts) -> str:
        """Return a task's key, 64 hex digits."""
        return hashlib.sha256(b"".join(self.digests(combination, texts))).hexdigest()

    def parts(self, combination: Combination, texts: KeyTexts) -> dict[str, str]:
        """Return the first hex digits of the digests of a task's parts, by their names."""
        digests = self.digests(combination, texts)
        return {part: digest.hex()[:PART_DIGITS] for part, digest in zip(PARTS, digests, strict=True)}

    def _command_digest(self, command: Template) -> Digest:
        if not self._flags:
            return _filled_digest(command)
        return lambda combination, texts: sha256(
            command.fill(texts) + _joined(flag_words(self._flags, combination.values))
        )

    def _config_digest(self, combination: Combination, texts: KeyTexts) -> bytes:
        data = {name: value.data for name, value in combination.values.items()}
        return sha256(f"{self._config} {_encode(data)}")


def _joined(words: Iterable[str]) -> str:
    return "".join(f"{word}{END}" for word in words)


def _filled_digest(template: Template) -> Digest:
    """Return the digest of a template's text, or, where parameters are filled in, what computes it."""
    if all("." in name for name in template.names):
        return sha256(template.fill(KeyTexts()))
    return lambda combination, texts: sha256(template.fill(texts))
