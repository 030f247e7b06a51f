"""A sweep's file, read and checked: every key it may have, and all that is wrong with it at once."""

from __future__ import annotations

import gc
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml

from ...settings import OPTIONS
from ...settings.machine_sizes import MAX_TASKS_PER_MACHINE
from ...settings.quantities import seconds
from ...settings.validators import MAX_TIME_LIMIT_SECONDS, Rule, number, whole_number
from ..combinations import Grid, count, size_text, unmatched
from ..mistakes import LocatedText, Mistake, SweepFileError
from ..sweep_file import StopAfter, SweepFile
from ..values import shown
from .grid_reader import GRID_KEYS, GridDraft, ParameterFiles, lengths_text, read_grid
from .node_reader import NodeReader, is_null, kind_of
from .overrides import apply_overrides
from .resource_options import IN_RESOURCES, TOP_OPTIONS, read_resources
from .task_fields import (
    read_absolute,
    read_environment,
    read_files,
    read_inputs,
    read_outputs,
    read_result,
    read_secrets,
    read_words,
)
from .yaml_nodes import location_of, plain_data, read_nodes

MAX_COMBINATIONS = 100_000
MAX_BUNDLED_COMBINATIONS = 1_000_000
NAME_LENGTH = 40
_NAME = re.compile(rf"[a-z0-9][a-z0-9-]{{0,{NAME_LENGTH - 1}}}")
_SHARE = re.compile(r"([0-9]+(?:\.[0-9]+)?) *%")
_MIB = 2**20
_FLAGS = {"true": "joined", "false": "", "separate": "separate"}
# Without an image there is nothing that these could be about
_IMAGE_ONLY = ("entrypoint", "workdir", "outputs", "pull")
# Numbers with their rule, unit and default
_NUMBERS: dict[str, tuple[Rule, str, int | None]] = {
    "idle_limit": (seconds(above=0, most=MAX_TIME_LIMIT_SECONDS), "s", None),
    "log_limit": (number(above=0, most=1024 * 1024), "MiB", 1024),
    "max_machine_hours": (number(above=0, most=1e9), "h", None),
    "tasks_per_machine": (whole_number(least=1, most=MAX_TASKS_PER_MACHINE), "", None),
    "bundle": (whole_number(least=1, most=MAX_COMBINATIONS), "", None),
}
# With one of them there are parameters
_NAMING = {"parameters", "grids"}
_Read = TypeVar("_Read")
KEYS = (
    "name", "image", "command", "entrypoint", "workdir", "flags", "grids", *GRID_KEYS, "environment", "secrets",
    "files", "inputs", "config", "outputs", "result", "resources", *TOP_OPTIONS, *_NUMBERS, "retry_on",
    "stop_after", "pull", "after",
)  # fmt: skip


def read_sweep_file(
    path: Path | None,
    data: bytes,
    *,
    is_local: bool,
    overrides: Sequence[str] = (),
    configured: Mapping[str, object] | None = None,
    stdin: Callable[[], bytes] = bytes,
) -> SweepFile:
    """Return what a sweep's file says, with `--set key=value` on top of it.

    `path` is None for a file that came from standard input; paths in it start in this folder then. `configured` is the
    section of Covalent's configuration file, `stdin` reads the standard input that `{file: "-"}` names.

    Raises:
        SweepFileError: all mistakes of the file, each with line and column.
    """
    draft = read_draft(path, data, is_local=is_local, overrides=overrides, configured=configured, stdin=stdin)
    if draft.file is None or draft.mistakes:
        raise SweepFileError(os.fspath(Path("-") if path is None else path), draft.mistakes)
    return draft.file


@dataclass(frozen=True)
class SweepDraft:
    """What could be read of a file.

    Attributes:
        file: with defaults in place of what is wrong; None where nothing can be read.
        has_all_names: whether no parameter and no input is missing in it.
        has_all_values: whether no value of a parameter is.
    """

    file: SweepFile | None
    mistakes: Sequence[Mistake]
    has_all_names: bool
    has_all_values: bool


def read_draft(
    path: Path | None,
    data: bytes,
    *,
    is_local: bool,
    overrides: Sequence[str] = (),
    configured: Mapping[str, object] | None = None,
    stdin: Callable[[], bytes] = bytes,
) -> SweepDraft:
    """Return what can be read of a file, as `read_sweep_file` does, so that its tasks can be checked as well."""
    shown_path = Path("-") if path is None else path
    reader = _SweepReader(shown_path, data, is_local, configured or {}, None if path is None else stdin)
    with _without_collections():
        file = reader.read(overrides)
    return SweepDraft(file, reader.mistakes, reader.has_all_names, reader.has_all_values)


@contextmanager
def _without_collections() -> Iterator[None]:
    """Turn garbage collection off: with a hundred thousand nodes in use it takes longer than reading them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _elsewhere(root: yaml.MappingNode) -> dict[str, str]:
    """Return the remedy for an unknown key at the top: where it belongs."""
    parameters = [value for key, value in root.value if key.value == "parameters"][:1]
    names = [key.value for node in parameters if isinstance(node, yaml.MappingNode) for key, _ in node.value]
    remedies = {str(name): f"write it under parameters, with --set as parameters.{name}" for name in names}
    return {**remedies, **dict.fromkeys(IN_RESOURCES, "write it under resources")}


class _SweepReader(NodeReader):
    """Reads one file."""

    def __init__(
        self,
        path: Path,
        data: bytes,
        is_local: bool,
        configured: Mapping[str, object],
        stdin: Callable[[], bytes] | None,
    ):
        super().__init__()
        self._path = path
        self._data = data
        self._is_local = is_local
        self._configured = configured
        self._files = ParameterFiles(path.parent, stdin)
        self.has_all_names = self.has_all_values = False
        self._fields: dict[str, yaml.Node] = {}

    def read(self, overrides: Sequence[str]) -> SweepFile | None:
        """Return the file; None if it is not even a mapping."""
        root = read_nodes(self._data, "", self.mistakes)
        if root is None or not isinstance(root, yaml.MappingNode):
            if not self.mistakes:
                what = "is empty" if root is None or is_null(root) else f"is {kind_of(root)}"
                self.mistake(root, f"{what}: write a mapping, such as command: ..., parameters: {{...}}")
            return None
        root = apply_overrides(root, overrides, self.mistakes)
        before = len(self.mistakes)
        self._fields = self.fields(root, "a sweep", KEYS, _elsewhere(root))
        # A mistyped name may be that of what is missing
        are_unknown = len(self.mistakes) > before
        resources = read_resources(self, self._fields.get("resources"), self._fields, self._configured, self._is_local)
        numbers: dict[str, Any] = {
            key: self.by_rule(self._fields[key], key, rule, unit) if key in self._fields else default
            for key, (rule, unit, default) in _NUMBERS.items()
        }
        environment: dict[str, LocatedText] = self._field("environment", read_environment, {})
        secrets: dict[str, str] = self._field("secrets", read_secrets, {})
        for name in sorted(environment.keys() & secrets.keys()):
            self.mistake(environment[name].location, f"environment and secrets both set {name}: leave it out in one")
        before = len(self.mistakes)
        grids = self._grids(root, bool(numbers["bundle"]))
        self.has_all_values = len(self.mistakes) == before
        # A mistyped key may be one that names parameters or inputs
        if self.meant & {*GRID_KEYS, "grids", "inputs"} or (are_unknown and not self._fields.keys() & _NAMING):
            self.has_all_names = False
        return SweepFile(
            path=Path.cwd() / self._path,
            text=self._data,
            name=self._name(),
            image=self._image(root),
            command=self._command(root, may_lack="image" in self._fields or are_unknown),
            entrypoint=self._field("entrypoint", partial(read_words, what="entrypoint"), None),
            workdir=self._field("workdir", partial(read_absolute, what="workdir"), ""),
            flags=cast(Any, _FLAGS[self._choice("flags", tuple(_FLAGS), "false")]),
            grids=grids,
            environment=environment,
            secrets=secrets,
            files=self._field("files", read_files, ()),
            inputs=self._field("inputs", partial(read_inputs, folder=Path.cwd() / self._path.parent), {}),
            config=cast(Any, self._choice("config", ("json", "yaml"), "")),
            outputs=self._field("outputs", read_outputs, ""),
            result=self._field("result", read_result, None),
            settings=resources.settings,
            given_options=resources.given,
            max_parallel=resources.settings.max_parallel if "max_parallel" in resources.given else None,
            idle_limit_seconds=numbers["idle_limit"],
            log_limit_bytes=int((numbers["log_limit"] or 0) * _MIB),
            retry_on=self._retry_on(),
            stop_after=self._stop_after(),
            max_machine_hours=numbers["max_machine_hours"],
            pull=cast(Any, self._choice("pull", ("always", "missing"), "missing")),
            tasks_per_machine=numbers["tasks_per_machine"],
            bundle=numbers["bundle"],
            after=tuple(self._field("after", lambda reader, node: reader.texts(node, "after"), [])),
            locations={key: location_of(node) for key, node in self._fields.items()},
            is_local=self._is_local,
        )

    def _field(self, key: str, read: Callable[[NodeReader, yaml.Node], _Read], default: _Read) -> _Read:
        return read(self, self._fields[key]) if key in self._fields else default

    def _choice(self, key: str, choices: Sequence[str], default: str) -> str:
        return (self.choice(self._fields[key], key, choices) if key in self._fields else "") or default

    def _name(self) -> str:
        if "name" not in self._fields:
            stem = re.sub(r"[^a-z0-9]+", "-", self._path.stem.lower()).strip("-")[:NAME_LENGTH].rstrip("-")
            return stem or "sweep"
        name = self.text(self._fields["name"], "name")
        if name is not None and not _NAME.fullmatch(name.text):
            self.mistake(
                name.location,
                f"name = {shown(name.text)} is not a valid name: use 1 to {NAME_LENGTH} of a-z, 0-9 and -, no - first",
            )
        return name.text if name is not None else ""

    def _image(self, root: yaml.Node) -> str:
        if "image" in self._fields:
            text = self.text(self._fields["image"], "image")
            if text is None:
                return ""
            try:
                return cast(str, OPTIONS["container_image_uri"].rule(text.text))
            except ValueError as error:
                self.mistake(text.location, f"image = {shown(text.text)} {error}")
                return text.text
        if not self._is_local:
            self.mistake(root, "image is missing: name one, or run the command on this machine with --local")
        for key in _IMAGE_ONLY:
            if key in self._fields:
                self.mistake(
                    self._fields[key], f"{key} has no meaning without image: name an image, or leave {key} out"
                )
        return ""

    def _command(self, root: yaml.Node, may_lack: bool) -> tuple[LocatedText, ...]:
        before = len(self.mistakes)
        words: tuple[LocatedText, ...] = self._field("command", partial(read_words, what="command"), ())
        if not words and not may_lack and len(self.mistakes) == before:
            self.mistake(self._fields.get("command", root), "command is missing: write one, such as command: echo {g}")
        return words

    def _grids(self, root: yaml.Node, is_bundled: bool) -> tuple[Grid, ...]:
        before = len(self.mistakes)
        drafts = self._drafts(root)
        most = MAX_BUNDLED_COMBINATIONS if is_bundled else MAX_COMBINATIONS
        sizes = [draft.size for draft in drafts]
        where = self._fields.get("grids", self._fields.get("parameters", root))
        total = sum(size.total for size in sizes)
        if total > most:
            may_be_bundled = not is_bundled and total <= MAX_BUNDLED_COMBINATIONS
            more = f", or set bundle, which allows {MAX_BUNDLED_COMBINATIONS:,}" if may_be_bundled else ""
            self.mistake(where, f"{size_text(sizes)} combinations are more than {most:,}: take fewer values{more}")
        grids = tuple(draft.build() if draft.is_right and total <= most else draft.outline() for draft in drafts)
        for grid in grids:
            lengths = lengths_text(grid.axes)
            for pattern in unmatched(grid) if grid.exclude else ():
                values = ", ".join(f"{name}: {value.text}" for name, value in pattern.values.items())
                self.mistake(
                    pattern.location,
                    f"exclude {shown(values)} matches no combination of {lengths}: correct it",
                )
        if len(self.mistakes) == before and not count(grids):
            self.mistake(where, f"exclude leaves none of {size_text(sizes)} combinations: take out an entry")
        return grids

    def _drafts(self, root: yaml.Node) -> list[GridDraft]:
        top = {key: node for key, node in self._fields.items() if key in GRID_KEYS}
        if "grids" not in self._fields:
            draft = read_grid(self, top, location_of(top.get("parameters", root)), self._files)
            self.has_all_names = draft.has_names
            return [draft]
        for key, node in top.items():
            self.mistake(node, f"{key} stands beside grids: write it in one of the grids")
        entries = self.entries(self._fields["grids"], "grids")
        if not entries:
            self.mistake(
                self._fields["grids"], "grids is empty: write a list of mappings with parameters, or leave it out"
            )
        drafts = [
            read_grid(self, self.fields(entry, "a grid", GRID_KEYS), location_of(entry), self._files)
            for entry in entries
        ]
        are_mappings = all(isinstance(entry, yaml.MappingNode) for entry in entries)
        self.has_all_names = bool(drafts) and not top and are_mappings and all(draft.has_names for draft in drafts)
        return drafts

    def _retry_on(self) -> frozenset[int]:
        node = self._fields.get("retry_on")
        rule = whole_number(least=1, most=255)
        found = [self.by_rule(entry, "retry_on", rule) for entry in (self.entries(node, "retry_on") if node else [])]
        return frozenset(status for status in found if status is not None)

    def _stop_after(self) -> StopAfter | None:
        node = self._fields.get("stop_after")
        if node is None:
            return None
        share = _SHARE.fullmatch(node.value) if isinstance(node, yaml.ScalarNode) else None
        if share and 0 < float(share[1]) <= 100:
            return StopAfter(share=float(share[1]) / 100)
        try:
            return StopAfter(failures=whole_number(least=1)(plain_data(node)))
        except ValueError:
            problem = "is neither a number of failures nor a share of the tasks: use one such as 3 or 10%"
            self.mistake(node, f"stop_after = {shown(plain_data(node))} {problem}")
            return None
