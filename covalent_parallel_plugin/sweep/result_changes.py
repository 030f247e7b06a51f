"""Read the results of done tasks again if `result` has changed, which no key depends on."""

from __future__ import annotations

from ..programs.result_values import MissingResult, ResultSource, read_result
from ..programs.task_folder import FILES, STDOUT_FILE
from .records.journal import Journal, State, reading_ends
from .records.out_folder import OutFolder
from .sweep_file import SweepFile

# What ended with status 0
READABLE = ("done", "no-result")


def result_text(source: ResultSource | None) -> str:
    """Return where a result is read, for the journal."""
    if source is None:
        return ""
    return f"stdout: {source.pattern.pattern}" if source.pattern is not None else f"file: {source.file}"


def has_changed(file: SweepFile, state: State) -> bool:
    """Return whether the last run read results elsewhere."""
    return state.run is not None and state.run["result"] != result_text(file.result)


def read_again(file: SweepFile, out: OutFolder, journal: Journal) -> None:
    """Read the results of all tasks that ended with status 0, and note them in the journal. Raises OSError."""
    ends = [(name, end) for name, end in journal.state.ends.items() if end.status in READABLE]
    with reading_ends(out.journal_path) as reader:
        for name, recorded in ends:
            event = reader.event(recorded) | {"status": "done", "reason": "", "result": None, "is_read_again": True}
            folder = out.task_folder(name)
            if file.result is not None and folder.is_dir():
                try:
                    event["result"] = read_result(file.result, folder / FILES, folder / STDOUT_FILE)
                except (MissingResult, FileNotFoundError) as error:
                    event |= {"status": "no-result", "reason": str(error)}
            journal.append(event)
