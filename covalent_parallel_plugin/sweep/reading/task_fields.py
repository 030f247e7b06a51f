"""Fields that make a task: words of a command, variables, files, inputs, and where its result is."""

from __future__ import annotations

import io
import posixpath
import re
import shlex
import warnings
from pathlib import Path, PurePosixPath

import yaml

from ...programs.result_values import ResultSource
from ...protocol.sweep_machine import SHARED_FOLDER, TASKS_FOLDER
from ...settings.container_rules import secret
from ...settings.validators import readable_bucket_name, truth, variable_problem
from ..mistakes import LocatedText, Location
from ..sweep_file import FileEntry
from ..values import shown
from .node_reader import LONGEST_TEXT, NodeReader, kind_of
from .parameter_rows import PARAMETER
from .yaml_nodes import location_of

RESULT_SUFFIXES = (".json", ".csv", ".jsonl")
# Variables of the sweep itself
_OWN_VARIABLES = "SWEEP_"
# A longer one is not a pattern that anybody wrote; compiling takes time
_LONGEST_PATTERN = 10_000
_BLANKS = re.compile(r"[ \t\r\n]*")
# What separates the parts of the engines' options for mounts
_OUTPUTS = re.compile(r"(/[^/:,]+)+/?")


def read_words(reader: NodeReader, node: yaml.Node, what: str) -> tuple[LocatedText, ...]:
    """Return a command's words: a list, or one line, split as a shell splits it."""
    if not isinstance(node, yaml.ScalarNode):
        return tuple(reader.texts(node, what))
    if len(node.value) > LONGEST_TEXT:
        reader.mistake(node, f"{what} is longer than {LONGEST_TEXT:,} characters: write a list of words")
        return ()
    # A shell takes a backslash at a line's end for nothing
    text = node.value.replace("\\\n", "  ")
    source = io.StringIO(text)
    lexer = shlex.shlex(source, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[LocatedText] = []
    end = 0
    try:
        while (word := lexer.get_token()) is not None:
            blanks = _BLANKS.match(text, end)
            words.append(LocatedText(word, _within(node, blanks.end() if blanks else end)))
            end = source.tell()
    except ValueError as error:
        reader.mistake(
            node, f"{what} cannot be split into words ({str(error).lower()}): close it, or write a list of words"
        )
    return tuple(words)


def _within(node: yaml.ScalarNode, offset: int) -> Location:
    """Where a character of a text is, if the text is in one line as it was written; else where the text begins."""
    location, start, end = location_of(node), node.start_mark, node.end_mark
    quotes = end.column - start.column - len(node.value)
    if not location.line or start.line != end.line or quotes not in (0, 2):
        return location
    return Location(location.line, location.column + offset + quotes // 2, location.file)


def read_environment(reader: NodeReader, node: yaml.Node) -> dict[str, LocatedText]:
    """Return variables and their values as written."""
    found = {}
    for name, value in reader.pairs(node, "environment"):
        text = reader.text(value, f"environment: {name.text}")
        if _is_variable(reader, name, "environment") and text is not None:
            found[name.text] = text
    return found


def read_secrets(reader: NodeReader, node: yaml.Node) -> dict[str, str]:
    """Return variables and the secrets that hold their values."""
    found = {}
    for name, value in reader.pairs(node, "secrets"):
        text = reader.text(value, f"secrets: {name.text}")
        if _is_variable(reader, name, "secrets") and text is not None:
            try:
                found[name.text] = secret(text.text)
            except ValueError as error:
                reader.mistake(value, f"secrets: {name.text!r} {error}")
    return found


def _is_variable(reader: NodeReader, name: LocatedText, what: str) -> bool:
    problem = variable_problem(name.text)
    if name.text.startswith(_OWN_VARIABLES):
        problem = f"{name.text!r} is set by the sweep itself"
    if problem:
        reader.mistake(name.location, f"{what}: {problem}: rename it or leave it out")
    return not problem


def read_files(reader: NodeReader, node: yaml.Node) -> tuple[FileEntry, ...]:
    """Return the entries of `files`, all of them below the file's folder by their names."""
    found = []
    for entry in reader.entries(node, "files"):
        keep = True
        path: LocatedText | None
        if isinstance(entry, yaml.MappingNode):
            fields = reader.fields(entry, "an entry of files", ("path", "keep"))
            if "keep" in fields:
                keep = reader.by_rule(fields["keep"], "keep", truth) is not False
            if "path" not in fields:
                reader.mistake(entry, "an entry of files lacks path: write {path: NAME, keep: false}")
                continue
            path = reader.text(fields["path"], "path")
        else:
            path = reader.text(entry, "an entry of files")
        if path is not None and _is_below(reader, path, "files", "the sweep file's folder"):
            found.append(FileEntry(path, keep))
    return tuple(found)


def _is_below(reader: NodeReader, path: LocatedText, what: str, folder: str) -> bool:
    parts = PurePosixPath(path.text)
    if not path.text:
        reader.mistake(path.location, f"{what}: an empty path: name a file below {folder}")
    elif parts.is_absolute() or ".." in parts.parts:
        reader.mistake(path.location, f"{what}: {shown(path.text)} is outside {folder}: name what is below it")
    else:
        return True
    return False


def read_inputs(reader: NodeReader, node: yaml.Node, folder: Path) -> dict[str, LocatedText]:
    """Return inputs by name: absolute paths of what is on this machine, and gs:// addresses."""
    found = {}
    for name, value in reader.pairs(node, "inputs"):
        text = reader.text(value, f"inputs: {name.text}")
        if not PARAMETER.fullmatch(name.text):
            problem = "is not a valid input name: use letters, digits, _ and -, a letter or _ first"
            reader.mistake(name.location, f"{shown(name.text)} {problem}")
        elif text is not None:
            found[name.text] = LocatedText(_input_source(reader, text, folder), text.location)
    return found


def _input_source(reader: NodeReader, text: LocatedText, folder: Path) -> str:
    scheme, has_scheme, rest = text.text.partition("://")
    if has_scheme:
        if scheme != "gs":
            reader.mistake(
                text.location, f"inputs: {shown(text.text)} is neither a path nor gs://BUCKET/PREFIX: use one"
            )
            return text.text
        try:
            readable_bucket_name(rest.partition("/")[0])
        except ValueError as error:
            reader.mistake(text.location, f"inputs: the bucket of {shown(text.text)} {error}")
        return text.text
    path = folder / text.text
    try:
        is_there = bool(text.text) and path.exists()
    except OSError:
        # A name that is too long, a folder that nobody may look into
        is_there = False
    if not is_there:
        reader.mistake(text.location, f"inputs: there is no file or folder {shown(text.text)}: correct the path")
    return str(path)


def read_outputs(reader: NodeReader, node: yaml.Node) -> str:
    """Return the folder in the container that the program writes to; "" if it is none."""
    text = read_absolute(reader, node, "outputs")
    if text and (not _OUTPUTS.fullmatch(text) or posixpath.normpath(text) == "/"):
        reader.mistake(node, f"outputs = {shown(text)} cannot be a task's folder: use one such as /mnt/data")
        return ""
    for own in (SHARED_FOLDER, TASKS_FOLDER):
        if PurePosixPath(text).is_relative_to(own):
            reader.mistake(node, f"outputs = {shown(text)} is below {own}, the sweep's own folder: use another one")
    return posixpath.normpath(text) if text else ""


def read_absolute(reader: NodeReader, node: yaml.Node, what: str) -> str:
    """Return an absolute path in the container; "" if it is none."""
    text = reader.text(node, what)
    if text is None:
        return ""
    if not text.text.startswith("/") or ".." in text.text.split("/"):
        reader.mistake(
            node, f"{what} = {shown(text.text)} is not an absolute path: use one such as /mnt/data, without '..'"
        )
        return ""
    return text.text


def read_result(reader: NodeReader, node: yaml.Node) -> ResultSource | None:
    """Return where a result is: a file in the task's folder, or a pattern in its standard output."""
    if isinstance(node, yaml.MappingNode):
        fields = reader.fields(node, "result", ("stdout",))
        if "stdout" not in fields:
            reader.mistake(node, "result lacks stdout: write {stdout: 'pi = (?P<pi>\\S+)'}, or a file's name")
            return None
        pattern = _pattern(reader, fields["stdout"])
        return ResultSource(pattern=pattern) if pattern is not None else None
    if not isinstance(node, yaml.ScalarNode):
        reader.mistake(node, f"result is {kind_of(node)}: write a file's name, or {{stdout: PATTERN}}")
        return None
    text = LocatedText(node.value, location_of(node))
    if not _is_below(reader, text, "result", "the task's folder"):
        return None
    if PurePosixPath(text.text).suffix not in RESULT_SUFFIXES:
        kinds = ", ".join(RESULT_SUFFIXES)
        reader.mistake(node, f"result = {shown(text.text)} has an unsupported suffix: use a name that ends in {kinds}")
        return None
    return ResultSource(file=text.text)


def _pattern(reader: NodeReader, node: yaml.Node) -> re.Pattern[str] | None:
    text = reader.text(node, "result: stdout")
    if text is None:
        return None
    if len(text.text) > _LONGEST_PATTERN:
        reader.mistake(node, f"result: the pattern {shown(text.text)} is longer than {_LONGEST_PATTERN:,} characters")
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pattern = re.compile(text.text, re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        reader.mistake(
            node, f"result: the pattern {shown(text.text)} is not a regular expression ({error}): correct it"
        )
        return None
    if not pattern.groupindex:
        reader.mistake(node, f"result: the pattern {shown(text.text)} has no named group: write (?P<name>...) in it")
        return None
    return pattern
