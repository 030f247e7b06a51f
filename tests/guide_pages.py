"""A guide of docs/how-to/other-tools as a test reads it: its files, its commands, and the tables that they make.

What a page has to look like:

- A block whose first line is a comment with a path, as in `# study/Dockerfile`, is that file, with this line. Where a
  format has no comments, the line above the block ends with the path in backquotes and a colon, as in `jobs.jsonl`:
- A block of ```console is commands, each on a line after `$ `; what follows a command is what it prints, where a line
  `...` stands for any lines. Where nothing follows, anything may be printed.
- A table whose first column is `task.name` is what a sweep leaves; above it stands `NAME/results.csv`. Its columns and
  its rows are those of that file, in this order; a row of `…` stands for any rows.
- A table with the first columns `there` and `here` answers each feature of the other tool.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

GUIDES = Path(__file__).parents[1] / "docs" / "how-to" / "other-tools"
PAGES = sorted(path.name for path in GUIDES.glob("*.md") if path.name != "index.md")
# What needs Google, a registry or a user's choice, and is not run here
NOT_HERE = re.compile(r"gcloud |git |pip |docker (push|tag|login) |covalent-parallel deploy |.*--(push|check|run)\b")
ANY = "…"

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PATH = r"([\w-]+(?:[./][\w-]+)*)"
_PATH_COMMENT = re.compile(rf"(?:#|//) {_PATH}\n")
_PATH_ABOVE = re.compile(rf"`{_PATH}`:\n+\Z")
_RESULTS = re.compile(r"`([\w-]+)/results\.csv`")
_TABLE = re.compile(r"^\|.*\|\n\|[-| ]+\|\n(?:^\|.*\|\n)*", re.MULTILINE)
_CELL_END = re.compile(r"(?<!\\)\|")
_ALL_CODE = re.compile(r"\A`([^`]+)`\Z")
_IMAGE = re.compile(r"\blocalhost/[\w-]+:[\w.]+")

Row = Mapping[str, str]


@dataclass(frozen=True)
class Command:
    """One line of a console block: `shown` is what the page says that it prints, "" where it says nothing."""

    line: str
    shown: str

    def renamed(self, names: Mapping[str, str]) -> Command:
        """Return it with other names in place of these."""
        return Command(replaced(self.line, names), replaced(self.shown, names))

    @property
    def is_run_here(self) -> bool:
        """Whether it needs neither Google nor a registry."""
        return NOT_HERE.match(self.line) is None

    def fits(self, printed: str) -> bool:
        """Whether it printed what the page shows."""
        lines = self.shown.splitlines(keepends=True)
        pattern = "".join(r"(?:.*\n)*?" if line == "...\n" else re.escape(line) for line in lines)
        return not lines or re.fullmatch(pattern, printed) is not None


@dataclass(frozen=True)
class GuidePage:
    """The text of a page."""

    text: str

    @classmethod
    def read(cls, name: str) -> GuidePage:
        """Read a page by its file's name."""
        return cls((GUIDES / name).read_text(encoding="utf-8"))

    def files(self) -> dict[str, str]:
        """Return the files that the page shows, by path."""
        found: dict[str, str] = {}
        for block in _BLOCK.finditer(self.text):
            path = _PATH_COMMENT.match(block[2]) or _PATH_ABOVE.search(self.text[: block.start()])
            if path is not None and block[1] != "console":
                assert path[1] not in found, f"{path[1]} is shown twice"
                found[path[1]] = block[2]
        return found

    def commands(self) -> list[Command]:
        """Return the commands of the page, in order."""
        found: list[Command] = []
        for block in _BLOCK.finditer(self.text):
            if block[1] == "console":
                first, *parts = re.split(r"^\$ ", block[2], flags=re.MULTILINE)
                assert not first, f"a console block begins with a command, not with {first!r}"
                found += [Command(*part.split("\n", 1)) for part in parts]
        return found

    def images(self) -> list[str]:
        """Return the names of the images that its commands build."""
        built = [command.line for command in self.commands() if command.line.startswith("docker build ")]
        return sorted({name for line in built for name in _IMAGE.findall(line)})

    def sweep_files(self) -> list[str]:
        """Return the sweeps' files that its commands name."""
        words = [command.line.split() for command in self.commands()]
        return sorted({word for line in words for word in line if word.endswith((".yaml", ".yml"))})

    def results(self) -> dict[str, list[Row]]:
        """Return the rows that the page shows of each sweep's table, by the sweep's folder."""
        found: dict[str, list[Row]] = {}
        for table in _TABLE.finditer(self.text):
            rows = list(table_rows(table[0]))
            if rows and next(iter(rows[0])) == "task.name":
                folders = _RESULTS.findall(self.text[: table.start()])
                assert folders, f"no `NAME/results.csv` stands above the table of {rows[0]}"
                found[folders[-1]] = rows
        return found

    def features(self) -> list[Row]:
        """Return the rows of the tables that say what each feature of the other tool is here."""
        tables = [list(table_rows(table[0])) for table in _TABLE.finditer(self.text)]
        return [row for rows in tables for row in rows if list(row)[:2] == ["there", "here"]]

    def lay_out(self, folder: Path, names: Mapping[str, str]) -> None:
        """Write the page's files below a folder, with other names of its images."""
        for path, text in self.files().items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(replaced(text, names), encoding="utf-8")


def replaced(text: str, names: Mapping[str, str]) -> str:
    """Return a text with other names in place of these."""
    for old, new in names.items():
        text = text.replace(old, new)
    return text


def table_rows(markdown: str) -> Iterator[Row]:
    """Yield a Markdown table's rows, with cells as a reader sees them."""
    header, _, *lines = [_cells(line) for line in markdown.splitlines()]
    for cells in lines:
        assert len(cells) == len(header), f"{cells} does not have {len(header)} cells"
        yield dict(zip(header, cells, strict=True))


def _cells(line: str) -> list[str]:
    cells = [cell.strip().replace(r"\|", "|") for cell in _CELL_END.split(line.strip())[1:-1]]
    return [_ALL_CODE.sub(r"\1", cell) for cell in cells]


def differences(shown: Sequence[Row], found: Sequence[Row]) -> list[str]:
    """Say where a table is not what the page shows of it; nothing where it is."""
    columns = list(shown[0])
    if unknown := [name for name in columns if found and name not in found[0]]:
        return [f"the table has no column {', '.join(unknown)}"]
    lines = ["|".join(row[name] for name in columns) for row in found]
    pattern = "".join(
        r"(?:.*\n)*?" if set(row.values()) == {ANY} else re.escape("|".join(row.values())) + "\n" for row in shown
    )
    text = "".join(f"{line}\n" for line in lines)
    return [] if re.fullmatch(pattern, text) else [f"the page shows {list(shown)}", f"the table is\n{text}"]
