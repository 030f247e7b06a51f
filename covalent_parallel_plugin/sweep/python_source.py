"""Where a sweep that Python runs comes from: a file, or arguments and rows; opened again for each of its rounds."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import MistakeError, ParallelError
from ..protocol.value_text import shortened
from .mistakes import Mistake, SweepFileError
from .opened_sweep import FileRequest, OpenedSweep, SavedInput
from .planned_sweep import open_for_plan
from .python_file import STANDARD_INPUT, TITLE, PythonFile, default_name, options_in_python, plain_fields, row_lines
from .reading.sweep_schema import read_draft
from .records.out_folder import STANDARD_INPUT_COPY, OutFolder
from .records.record import Record
from .staging.preparation import Preparation, Prepare

NextRows = Callable[[list[Record]], Iterable[Mapping[str, Any]] | None]
# No such file is there: paths in it start in the folder
PLACE = "sweep-from-python.yaml"


@dataclass(frozen=True)
class SweepView:
    """A sweep that is opened to read what has run."""

    opened: OpenedSweep

    @cached_property
    def names(self) -> list[str]:
        """The names of its tasks."""
        return [task.name for task in self.opened.tasks]


class SweepSource:
    """A sweep's file."""

    def __init__(self, request: FileRequest) -> None:
        self._request = request
        self._stdin = SavedInput()

    def request(self, is_local: bool) -> tuple[FileRequest, SavedInput]:
        """Return what to open, and the standard input that it reads."""
        return replace(self._request, is_local=is_local), self._stdin

    def open(self, is_local: bool) -> OpenedSweep:
        """Open the sweep with the rows that there are. Raises SweepFileError, ParallelError."""
        request, stdin = self.request(is_local)
        return OpenedSweep.open(request, os.environ, stdin)

    def look(self) -> SweepView:
        """Open the sweep to read it. Raises SweepFileError, ParallelError."""
        return SweepView(self.open(True))

    def open_for_plan(self, is_local: bool) -> tuple[OpenedSweep, list[str]]:
        """Open it for a plan, which may be one for this machine all the same; with warnings. Raises SweepFileError."""
        request, stdin = self.request(is_local)
        return open_for_plan(request, os.environ, stdin)

    def place(self) -> tuple[OutFolder, str]:
        """Return the folder that it writes to, and its name. Raises SweepFileError, ParallelError."""
        with self.in_python():
            opened = self.look().opened
        return opened.out, opened.file.name

    def take_up(self, begins: bool) -> bool:
        """Take the rows that an earlier run has left; with `begins` the first ones where there are none.

        Returns whether there are tasks. Raises SweepFileError, ParallelError.
        """
        return True

    def go_on(self, records: list[Record]) -> bool:
        """Ask for the rows of the next round; return whether there are some. Raises SweepFileError."""
        return False

    def warning(self, line: str) -> str:
        """Return a warning as Python has it."""
        return options_in_python(line)

    @contextlib.contextmanager
    def in_python(self) -> Iterator[None]:
        """Raise what is raised in here with what it is about in Python."""
        try:
            yield
        except SweepFileError as error:
            raise self._translated(error) from None
        except ParallelError as error:
            error.args = tuple(options_in_python(arg) if isinstance(arg, str) else arg for arg in error.args)
            raise

    def _translated(self, error: SweepFileError) -> SweepFileError:
        mistakes = [replace(mistake, text=options_in_python(mistake.text)) for mistake in error.mistakes]
        return SweepFileError(error.file, mistakes)


class PythonSource(SweepSource):
    """A sweep whose file is made of arguments.

    Args:
        fields: the file's keys, but for `parameters`.
        parameters: a mapping of axes, rows, or a function that gives the rows of each round.
        prepare: called for each task before it starts.
        out: the folder to write to.

    Raises:
        SweepFileError: values that no file holds, and what else is wrong then.
    """

    def __init__(
        self, fields: Mapping[str, Any], parameters: Any, prepare: Prepare | None, out: str | os.PathLike[str] | None
    ) -> None:
        mistakes: list[Mistake] = []
        name = fields.get("name")
        name = default_name(fields.get("image"), fields.get("command")) if name is None else name
        self._fields = plain_fields({**fields, "name": name}, mistakes)
        self._function: NextRows | None = None
        self._lines: list[str] = []
        self._names: Sequence[str] = ()
        # With the number of its rows
        self._view: tuple[int, SweepView] | None = None
        self._take_parameters(parameters, mistakes)
        self._file = PythonFile.of(self._fields)
        folder = Path(str(self._fields["name"]) if out is None else out)
        preparation = make_preparation(prepare, mistakes)
        super().__init__(FileRequest(Path.cwd() / PLACE, out=Path.cwd() / folder, preparation=preparation))
        if mistakes:
            raise SweepFileError(TITLE, [*mistakes, *self._others()])

    def request(self, is_local: bool) -> tuple[FileRequest, SavedInput]:
        """Return the file that is made of the arguments, and the rows that it takes for its standard input."""
        self._file = PythonFile.of(self._fields | self._names_of_tasks())
        rows = "".join(f"{line}\n" for line in self._lines).encode("utf-8", "surrogatepass")
        return replace(self._request, is_local=is_local, data=self._file.data), SavedInput(lambda: rows)

    def place(self) -> tuple[OutFolder, str]:
        """Return the folder that it writes to, and its name."""
        assert self._request.out is not None
        return OutFolder(self._request.out), str(self._fields["name"])

    def look(self) -> SweepView:
        """Open the sweep to read it, once for the rows that there are, unless they are in a file."""
        parameters = self._fields.get("parameters", {})
        if "grids" in self._fields or parameters.get("file", STANDARD_INPUT) != STANDARD_INPUT:
            return super().look()
        if self._view is None or self._view[0] != len(self._lines):
            self._view = len(self._lines), super().look()
        return self._view[1]

    def take_up(self, begins: bool) -> bool:
        """Take the rows of a function that are in the folder; with `begins` ask it for the first ones."""
        if self._function is None or self._lines:
            return True
        out, name = self.place()
        out.state(name)
        with contextlib.suppress(FileNotFoundError):
            self._read_rows((out.path / STANDARD_INPUT_COPY).read_text("utf-8"), out.path)
        if not self._lines and begins and not self.go_on([]):
            raise SweepFileError(
                TITLE, [Mistake("parameters: the function returned no rows: return some for the first round")]
            )
        return bool(self._lines)

    def go_on(self, records: list[Record]) -> bool:
        """Ask the function, if there is one; rows that are there already do not count."""
        if self._function is None:
            return False
        mistakes: list[Mistake] = []
        rows = self._function(records)
        rows = () if rows is None else rows
        if not isinstance(rows, Iterable):
            text = f"parameters(records) is {shortened(rows)}: return a list of rows, [] for the end"
            raise SweepFileError(TITLE, [Mistake(text)])
        lines, names = row_lines(rows, mistakes, self._names, "parameters(records)")
        if mistakes:
            raise SweepFileError(TITLE, mistakes)
        known = set(self._lines)
        new = [line for line in dict.fromkeys(lines) if line not in known]
        self._lines += new
        self._names = names
        return bool(new)

    def warning(self, line: str) -> str:
        """Return a warning with the argument that it is about."""
        return self._file.line_in_python(line, str(self._request.path))

    def _translated(self, error: SweepFileError) -> SweepFileError:
        return error if error.file == TITLE else self._file.in_python(error)

    def _take_parameters(self, parameters: Any, mistakes: list[Mistake]) -> None:
        if parameters is None:
            return
        if isinstance(parameters, Mapping):
            self._fields |= plain_fields({"parameters": parameters}, mistakes)
            return
        if hasattr(parameters, "columns") and callable(getattr(parameters, "to_dict", None)):
            # A DataFrame
            parameters = parameters.to_dict("records")
        self._fields["parameters"] = {"file": STANDARD_INPUT}
        if callable(parameters) and not isinstance(parameters, Iterable):
            self._function = parameters
        elif isinstance(parameters, Iterable) and not isinstance(parameters, (str, bytes)):
            self._lines, self._names = row_lines(parameters, mistakes)
            if not self._lines and not mistakes:
                mistakes.append(Mistake("parameters has no rows: give at least one, or leave it out"))
        else:
            text = "give rows, as grid(...) makes them, a mapping of lists, or {'file': 'rows.csv'}"
            mistakes.append(Mistake(f"parameters is {shortened(parameters)}: {text}"))

    def _names_of_tasks(self) -> dict[str, str]:
        """Name a function's tasks after all of their parameters: which of them vary may change with each round."""
        if self._function is None or self._fields.get("task_name") is not None:
            return {}
        return {"task_name": ",".join(f"{name}={{{name}}}" for name in self._names)}

    def _read_rows(self, text: str, folder: Path) -> None:
        lines = [line for line in text.split("\n") if line]
        try:
            rows = [json.loads(line) for line in lines]
            self._names = list(rows[0]) if rows else []
        except (ValueError, TypeError) as error:
            raise MistakeError(
                f"{folder} has rows of another sweep, which are not JSON lines: give out= another folder"
            ) from error
        self._lines = lines

    def _others(self) -> Sequence[Mistake]:
        """Return what is wrong beside values that no file holds."""
        if self._fields.get("parameters") == {"file": STANDARD_INPUT}:
            # Which rows are wrong is known
            self._file = PythonFile.of({key: value for key, value in self._fields.items() if key != "parameters"})
        draft = read_draft(self._request.path, self._file.data, is_local=True)
        return self._file.in_python(SweepFileError(TITLE, draft.mistakes)).mistakes


def make_preparation(prepare: Prepare | None, mistakes: list[Mistake]) -> Preparation | None:
    if prepare is not None and not callable(prepare):
        mistakes.append(Mistake(f"prepare is {shortened(prepare)}: give a function of a task and its folder"))
        return None
    return None if prepare is None else Preparation(prepare)
