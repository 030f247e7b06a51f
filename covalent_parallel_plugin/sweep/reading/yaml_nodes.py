"""YAML as nodes: text, tag, line and column of everything, within limits; nothing is resolved or constructed."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import yaml

from ...programs.core_schema import ParameterValue, Plain, core_value
from ..mistakes import Location, Mistake
from ..values import shown

MAX_BYTES = 10_000_000
MAX_NODES = 100_000
MAX_DEPTH = 50
# Of YAML 1.1; to YAML 1.2 it is a key like any other
MERGE = "<<"

TUPLE = "tag:yaml.org,2002:python/tuple"
_YAML = "tag:yaml.org,2002:"
_TEXT = f"{_YAML}str"
# The tags of YAML 1.2's core schema, each with the types that its values have
_SCALAR_TAGS: dict[str, tuple[type, ...]] = {
    f"{_YAML}null": (type(None),),
    f"{_YAML}bool": (bool,),
    f"{_YAML}int": (int,),
    f"{_YAML}float": (float, int),
    _TEXT: (str,),
}
_NODE_TAGS = {
    yaml.ScalarNode: ("", *_SCALAR_TAGS),
    yaml.SequenceNode: ("", f"{_YAML}seq", TUPLE),
    yaml.MappingNode: ("", f"{_YAML}map"),
}
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What an argument, a variable or a file in UTF-8 cannot hold
UNUSABLE = re.compile("[\0\ud800-\udfff]")

# https://yaml.org/spec/1.2.2/#51-character-set
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _TooLargeError(yaml.MarkedYAMLError):
    """Nodes or levels beyond the limit."""


class _NodeLoader(_Loader):  # type: ignore[misc,valid-type]  # one of two classes
    """Composes nodes, counted on the way, whose tag is "" unless the file has one, or quotes."""

    nodes = 0
    depth = 0

    def resolve(self, kind: type[yaml.Node], value: str, implicit: object) -> str:
        """Return text's tag for what stands in quotes, "" for all else."""
        return _TEXT if kind is yaml.ScalarNode and implicit == (False, True) else ""

    def descend_resolver(self, current_node: yaml.Node | None, current_index: object) -> None:
        """Count a node."""
        self.nodes += 1
        self.depth += 1
        if self.nodes > MAX_NODES:
            problem = f"has more than {MAX_NODES:,} nodes: take the values from a file, parameters: {{file: rows.csv}}"
        elif self.depth > MAX_DEPTH:
            problem = f"has more than {MAX_DEPTH} levels: write it flat"
        else:
            return
        raise _TooLargeError(problem=problem, problem_mark=current_node.start_mark if current_node else None)

    def ascend_resolver(self) -> None:
        """Leave a node."""
        self.depth -= 1


class _NamedText(io.StringIO):
    """Text with the name of its file, which each of its nodes then knows."""

    def __init__(self, text: str, name: str):
        super().__init__(text)
        self.name = name


def read_nodes(data: bytes, file: str, mistakes: list[Mistake]) -> yaml.Node | None:
    """Return the file's nodes, and add what is wrong with them to `mistakes`; None if there is nothing to be read.

    `file` is the name in mistakes' locations, empty for the sweep's own file.
    """
    if len(data) > MAX_BYTES:
        mistakes.append(Mistake(f"has {len(data):,} bytes: at most {MAX_BYTES:,} are read", _whole(file)))
        return None
    text = decode(data, file, mistakes)
    if text is None:
        return None
    loader = _NodeLoader(_NamedText(text, file))
    try:
        root: yaml.Node | None = loader.get_single_node()
        if root is not None:
            _Inspection(mistakes).look_at(root)
    except yaml.YAMLError as error:
        mistakes.append(_syntax_mistake(error, text, file))
        return None
    finally:
        loader.dispose()
    return root


def decode(data: bytes, file: str, mistakes: list[Mistake]) -> str | None:
    """Return the text of a file in UTF-8, with or without a byte order mark; None if it is in another encoding."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode("utf-8", "replace")
        problem = f"the byte 0x{error.object[error.start]:02x} is not UTF-8: save the file in this encoding"
        mistakes.append(Mistake(problem, _location_after(before, file)))
        return None


def location_of(node: yaml.Node) -> Location:
    """Return where a node begins."""
    return _location_at(node.start_mark)


def _location_at(mark: yaml.Mark) -> Location:
    return _location(mark.line + 1, mark.column + 1, mark.name)


def _location(line: int, column: int, file: str) -> Location:
    # What an option of the command line sets has no line
    return Location(0, 0, file) if file.startswith("--") else Location(line, column, file)


def _whole(file: str) -> Location | None:
    return Location(0, 0, file) if file else None


def value_of(node: yaml.ScalarNode) -> ParameterValue:
    """Return a scalar's value: by its tag, else by the core schema."""
    return core_value(node.value, is_plain=node.tag != _TEXT)


def plain_data(node: yaml.Node) -> Plain | list[object] | dict[str, object]:
    """Return what a node holds as plain Python data; keys are text."""
    if isinstance(node, yaml.ScalarNode):
        return value_of(node).data
    if isinstance(node, yaml.SequenceNode):
        return [plain_data(entry) for entry in node.value]
    return {key.value: plain_data(value) for key, value in node.value if isinstance(key, yaml.ScalarNode)}


def _location_after(before: str, file: str) -> Location:
    return _location(before.count("\n") + 1, len(before) - before.rfind("\n"), file)


def _syntax_mistake(error: yaml.YAMLError, text: str, file: str) -> Mistake:
    if isinstance(error, yaml.reader.ReaderError):
        found = _UNPRINTABLE.search(text)
        where = _location_after(text[: found.start()], file) if found else _whole(file)
        return Mistake(f"is not YAML: holds the character {shown(chr(error.character))}: leave it out", where)
    assert isinstance(error, yaml.MarkedYAMLError)  # there are no others
    mark = error.problem_mark or error.context_mark
    location = _location_at(mark) if mark else _whole(file)
    if isinstance(error, _TooLargeError):
        return Mistake(str(error.problem), location)
    if "maximum nesting depth" in str(error):
        return Mistake(f"has more than {MAX_DEPTH} levels: write it flat", location)
    if "single document" in str(error.context):
        return Mistake("a second document begins here: keep one in a file", location)
    tab = _indenting_tab(text, mark.line + 1, file) if mark else None
    if tab:
        return Mistake("a tab indents this line: use spaces, which YAML asks for", tab)
    details = ", ".join(words for words in (error.context, error.problem) if words)
    return Mistake(f"is not YAML: {details}", location)


def _indenting_tab(text: str, line: int, file: str) -> Location | None:
    """Return the first tab before anything else in a line near one that cannot be read."""
    lines = text.splitlines()[:line]
    for number in range(max(1, line - 1), len(lines) + 1):
        found = re.match(r" *\t", lines[number - 1])
        if found:
            return _location(number, found.end(), file)
    return None


class _Inspection:
    """What is wrong with nodes that could be read."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        # Nodes and levels of what has been seen, and None of what is being looked at
        self._sizes: dict[int, tuple[int, int] | None] = {}

    def look_at(self, node: yaml.Node) -> tuple[int, int]:
        """Return how many nodes and levels there are, an alias counted as what it stands for.

        Raises:
            _TooLargeError: more than the limits, or an alias within what it stands for.
        """
        key = id(node)
        if key in self._sizes:
            size = self._sizes[key]
            if size is None:
                problem = "an alias of this stands within it: write it out"
                raise _TooLargeError(problem=problem, problem_mark=node.start_mark)
            return size
        if type(node) is yaml.ScalarNode:
            if node.tag or UNUSABLE.search(node.value):
                self.mistakes += _scalar_mistakes(node)
            self._sizes[key] = (1, 1)
            return 1, 1
        self._sizes[key] = None
        self.mistakes += _tag_mistakes(node)
        children = node.value
        if type(node) is yaml.MappingNode:
            self.mistakes += _key_mistakes(node)
            children = [child for pair in node.value for child in pair]
        nodes = levels = 0
        for child in children:
            more, deeper = self.look_at(child)
            nodes += more
            levels = max(levels, deeper)
            if nodes > MAX_NODES or levels >= MAX_DEPTH:
                limit = f"{MAX_NODES:,} nodes" if nodes > MAX_NODES else f"{MAX_DEPTH} levels"
                problem = f"has more than {limit}, an alias counted as what it stands for: write less"
                raise _TooLargeError(problem=problem, problem_mark=node.start_mark)
        self._sizes[key] = nodes + 1, levels + 1
        return nodes + 1, levels + 1


def _scalar_mistakes(node: yaml.ScalarNode) -> Iterator[Mistake]:
    yield from _tag_mistakes(node)
    types = _SCALAR_TAGS.get(node.tag)
    if types and type(value_of(node).data) not in types:
        yield Mistake(f"{shown(node.value)} is not a valid {_short(node.tag)}: leave the tag out", location_of(node))
    if UNUSABLE.search(node.value):
        yield Mistake(f"{shown(node.value)} holds a character that no program accepts", location_of(node))


def _tag_mistakes(node: yaml.Node) -> Iterator[Mistake]:
    if node.tag not in _NODE_TAGS[type(node)]:
        yield Mistake(
            f"the tag {_short(node.tag)} has no meaning here: leave it out (known are YAML's, and !!python/tuple for"
            " a list of numbers)",
            location_of(node),
        )


def _short(tag: str) -> str:
    return tag.replace(_YAML, "!!")


def _key_mistakes(node: yaml.MappingNode) -> Iterator[Mistake]:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            yield Mistake("a list or mapping cannot be a key: write text", location_of(key))
        elif key.value == MERGE and not key.tag:
            yield Mistake("merge keys (<<) are not read: write the keys out", location_of(key))
        elif key.value in lines:
            yield Mistake(
                f"the key {shown(key.value)} occurs twice, in lines {lines[key.value]} and {line}: keep one",
                location_of(key),
            )
        else:
            lines[key.value] = line
