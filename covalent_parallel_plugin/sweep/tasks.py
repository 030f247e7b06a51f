"""The tasks of a sweep: each combination with its name and its key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

from .combinations import Combination, combine
from .keys import GridKeys, KeyTexts, flag_words, key_texts
from .mistakes import Mistake
from .name_checks import name_mistakes
from .names import name_patterns
from .placeholders import Template
from .staging.preparation import Preparation
from .staging.task_files import BroughtFile, TaskFiles
from .sweep_file import SweepFile
from .task_checks import template_mistakes, text_mistakes, warnings


@dataclass(frozen=True, slots=True)
class SweepTask:
    """One task: its combination, its name, which is its folder's, and its key (64 hex digits)."""

    combination: Combination
    name: str
    key: str

    @property
    def index(self) -> int:
        """Its index in the sweep, from 0 on."""
        return self.combination.index


@dataclass(frozen=True)
class PinnedImage:
    """What an image says of itself, pinned.

    Attributes:
        digest: sha256:…, of the registry where it has one, else the image's own id; its name if it is not known.
        reference: what the engine runs: the image's id on this machine; on Batch what a job names.
        environment: those of its variables that LOADER_VARIABLES names.
    """

    digest: str
    reference: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    workdir: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


# Variables that would change how a task's supervisor is loaded, which on Batch starts within the image
LOADER_VARIABLES = ("LD_PRELOAD", "LD_AUDIT")


def loader_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return those of an image's variables that LOADER_VARIABLES names."""
    return {name: environment[name] for name in LOADER_VARIABLES if name in environment}


@dataclass(frozen=True)
class Pinned:
    """What tasks stand on that can move: the image, and the versions of inputs; found by `run`, kept in the journal.

    Attributes:
        image: None for a plain command, or where no run has found it yet.
        inputs: name -> digest of a local input's content, or generations of a bucket's objects.
    """

    image: PinnedImage | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class LocalPaths:
    """Where a task finds things, as its program sees them (in the container, or on this machine)."""

    folder: str
    inputs: Mapping[str, str]
    prefix: str
    config: str
    config_object: str
    result_object: str


@dataclass(frozen=True)
class Launch:
    """All that is filled in for one start of a task.

    Attributes:
        arguments: the command's words, placeholders filled, flags appended.
        entrypoint: None: the image's own.
        environment: the file's variables and SWEEP_*; secrets not among them.
        values: those of the combination and the placeholders, as texts, for templates.
    """

    arguments: tuple[str, ...]
    entrypoint: tuple[str, ...] | None
    environment: Mapping[str, str]
    values: Mapping[str, str]

    def words(self, image: PinnedImage | None) -> tuple[str, ...]:
        """Return the words that are run, put together as docker does: an entrypoint of the file's hides CMD as well."""
        if self.entrypoint is not None:
            return (*self.entrypoint, *self.arguments)
        return self.arguments if image is None else (*image.entrypoint, *(self.arguments or image.command))


def describe_task(file: SweepFile, task: SweepTask, launch: Launch) -> dict[str, object]:
    """Return what task.json says of a task before it says how it ended."""
    return {
        "index": task.index,
        "name": task.name,
        "key": task.key,
        "parameters": {name: value.data for name, value in task.combination.values.items()},
        "repeat": task.combination.repeat,
        "image": file.image,
        "entrypoint": launch.entrypoint,
        "arguments": launch.arguments,
        "environment": dict(launch.environment),
        "secrets": dict(file.secrets),
    }


class SweepTasks:
    """The tasks of a sweep, one after the other.

    Where `check` finds mistakes, the tasks are not to be used.

    Args:
        file: the sweep's.
        pinned: the image and the versions of inputs that keys are computed with.
        files: what `files` names, if that was found already.
        preparation: what is called for each task once its files are there, where they were not found yet.
    """

    def __init__(
        self,
        file: SweepFile,
        pinned: Pinned,
        files: TaskFiles | None = None,
        preparation: Preparation | None = None,
    ):
        self.file, self.pinned = file, pinned
        self.files = TaskFiles.find(file, preparation) if files is None else files
        self._names = name_patterns(file.grids, file.name)
        self._command = [Template.parse(word.text) for word in file.command]
        self._entrypoint = None if file.entrypoint is None else [Template.parse(word.text) for word in file.entrypoint]
        self._environment = {name: Template.parse(value.text) for name, value in file.environment.items()}

    def __iter__(self) -> Iterator[SweepTask]:
        return map(self.task, combine(self.file.grids))

    def task(self, combination: Combination) -> SweepTask:
        """Return a combination's task."""
        texts = key_texts(combination)
        key = self._key(combination, texts)
        name = self._names[combination.grid].name(texts, combination.index, lambda: key)
        return SweepTask(combination, name, key)

    def parts(self, task: SweepTask) -> Mapping[str, str]:
        """Return 8 hex digits of the digest of each part of a task's key, by the names in `keys.PARTS`."""
        return self._keys[task.combination.grid].parts(task.combination, key_texts(task.combination))

    def check(self, has_all_names: bool = True, has_all_values: bool = True) -> tuple[list[Mistake], list[Mistake]]:
        """Return what is wrong with the tasks, or, if nothing is, what is odd about them.

        Where mistakes of the file itself leave out names of parameters or inputs, placeholders are not checked; where
        they leave out values, what is filled in is not.
        """
        mistakes = [*(text_mistakes(self.file) if has_all_names else ()), *self.files.mistakes]
        if has_all_names and has_all_values:
            mistakes += template_mistakes(self.file, self.files)
        # Names are those of the tasks only where their placeholders stand for something
        if has_all_names and has_all_values and not any(mistake.text.startswith("task_name:") for mistake in mistakes):
            mistakes += name_mistakes(self.file.grids, self._named)
        return mistakes, [] if mistakes else list(warnings(self.file, self.files))

    def lay_out(self, task: SweepTask, launch: Launch, folder: Path) -> tuple[BroughtFile, ...]:
        """Write what the task needs into its folder, which is empty. Raises LayOutError, PreparationError, OSError."""
        return self.files.lay_out(task.combination, launch.values, folder)

    def launch(self, task: SweepTask, paths: LocalPaths, *, sweep_id: str, count: int, attempt: int) -> Launch:
        """Fill in all that one start of a task needs.

        Args:
            paths: as its program sees them.
            sweep_id: the id of this sweep in this folder.
            count: how many tasks the sweep has.
            attempt: which one this is.
        """
        file = self.file
        own = {
            "name": file.name,
            "id": sweep_id,
            "task": task.name,
            "index": str(task.index),
            "count": str(count),
            "folder": paths.folder,
            "config": paths.config,
        }
        objects = {
            "prefix": paths.prefix,
            "config_object": paths.config_object,
            "result_object": paths.result_object,
        }
        values = {f"sweep.{key}": value for key, value in (own | objects).items()}
        values |= {f"inputs.{name}": path for name, path in paths.inputs.items()}
        values |= key_texts(task.combination)
        words = [template.fill(values) for template in self._command]
        environment = {name: template.fill(values) for name, template in self._environment.items()}
        own |= {"attempt": str(attempt)}
        # A variable that names no file would mislead
        environment |= {f"SWEEP_{key.upper()}": value for key, value in own.items() if key != "config" or file.config}
        return Launch(
            arguments=(*words, *flag_words(file.flags, task.combination.values)),
            entrypoint=None if self._entrypoint is None else tuple(word.fill(values) for word in self._entrypoint),
            environment=environment,
            values=values,
        )

    @cached_property
    def _keys(self) -> list[GridKeys]:
        file, image = self.file, self.pinned.image
        digest = self.files.digest
        used = self.files.names_in_templates
        return [
            GridKeys(
                file,
                file.image if image is None else image.digest,
                {name: self.pinned.inputs.get(name, str(path)) for name, path in file.inputs.items()},
                digest,
                [name for name in (*grid.names, *(["repeat"] if grid.repeat else [])) if name in used],
            )
            for grid in file.grids
        ]

    def _named(self) -> Iterator[tuple[Combination, str]]:
        """Each combination with its name; keys are computed for long names only."""
        for combination in combine(self.file.grids):
            texts = key_texts(combination)
            key = partial(self._key, combination, texts)
            yield combination, self._names[combination.grid].name(texts, combination.index, key)

    def _key(self, combination: Combination, texts: KeyTexts) -> str:
        return self._keys[combination.grid].key(combination, texts)
