"""Fields of a YAML mapping, each checked as it is read; a mistake is noted, and reading continues."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any

import yaml

from ...settings.validators import Rule
from ..mistakes import LocatedText, Location, Mistake
from ..near_names import NearNames
from ..values import shown
from .yaml_nodes import MERGE, location_of, plain_data, value_of

_NAMES_SHOWN = 60
# https://man7.org/linux/man-pages/man2/execve.2.html: no argument is longer on Linux
LONGEST_TEXT = 131_071
# To YAML a text that begins with a brace is a mapping
IN_QUOTES = 'a text that begins with a placeholder stands in quotes, "{name}"'


class NodeReader:
    """Reads nodes and collects what is wrong with them."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []
        # What mistyped names most likely mean
        self.meant: set[str] = set()
        self._names = NearNames()

    def mistake(self, where: yaml.Node | Location | None, text: str) -> None:
        """Record a mistake at a node."""
        self.mistakes.append(Mistake(text, location_of(where) if isinstance(where, yaml.Node) else where))

    def hint(self, name: str, names: Collection[str]) -> str:
        """Return which name a mistyped one most likely means; else all of them."""
        near = self._names.near(name, names)
        if self._names.is_spent:
            return ""
        if near:
            self.meant.add(near)
        return f" (did you mean {near!r}?)" if near else f": use one of {', '.join(islice(names, _NAMES_SHOWN))}"

    def fields(
        self, node: yaml.Node, what: str, known: Collection[str], elsewhere: Mapping[str, str] = MappingProxyType({})
    ) -> dict[str, yaml.Node]:
        """Return the fields of a mapping that are known and not null; `elsewhere` says where others belong."""
        found = {}
        for key, value in self.pairs(node, what):
            if key.text not in known:
                remedy = f": {elsewhere[key.text]}" if key.text in elsewhere else self.hint(key.text, known)
                self.mistake(key.location, f"{shown(key.text)} is not a key of {what}{remedy}")
            elif not is_null(value):
                found[key.text] = value
        return found

    def pairs(self, node: yaml.Node, what: str) -> list[tuple[LocatedText, yaml.Node]]:
        """Return the keys and values of a mapping."""
        if not isinstance(node, yaml.MappingNode):
            self.mistake(node, f"{what} is {kind_of(node)}: write a mapping, such as {{name: value}}")
            return []
        return [
            (LocatedText(key.value, location_of(key)), value)
            for key, value in node.value
            if isinstance(key, yaml.ScalarNode) and (key.tag or key.value != MERGE)
        ]

    def entries(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        """Return the entries of a list; a text alone is a list of one."""
        if isinstance(node, yaml.MappingNode):
            self.mistake(node, f"{what} is {kind_of(node)}: write a list, such as [a, b]; {IN_QUOTES}")
            return []
        return list(node.value) if isinstance(node, yaml.SequenceNode) else [node]

    def text(self, node: yaml.Node, what: str) -> LocatedText | None:
        """Return a text as written."""
        if isinstance(node, yaml.ScalarNode):
            if len(node.value) > LONGEST_TEXT:
                self.mistake(node, f"{what} is longer than {LONGEST_TEXT:,} characters: put it into a file")
                return None
            return LocatedText(node.value, location_of(node))
        more = f"; {IN_QUOTES}" if isinstance(node, yaml.MappingNode) else ""
        self.mistake(node, f"{what} is {kind_of(node)}: write one value{more}")
        return None

    def texts(self, node: yaml.Node, what: str) -> list[LocatedText]:
        """Return a list of texts as written."""
        found = [self.text(entry, f"an entry of {what}") for entry in self.entries(node, what)]
        return [text for text in found if text is not None]

    def choice(self, node: yaml.Node, what: str, choices: Collection[str]) -> str:
        """Return one of some texts; "" if it is none of them."""
        text = self.text(node, what)
        if text is None:
            return ""
        data = plain_data(node)
        chosen = text.text.lower() if isinstance(data, bool) else text.text
        if chosen in choices:
            return chosen
        self.mistake(node, f"{what} = {shown(text.text)} is none of {', '.join(choices)}: use one of them")
        return ""

    def by_rule(self, node: yaml.Node, what: str, rule: Rule, unit: str = "") -> Any:
        """Return what a rule makes of the value; None where it refuses it."""
        data = plain_data(node)
        try:
            return rule(data)
        except ValueError as error:
            self.mistake(node, f"{what} = {shown(data)} {error}{f' (in {unit})' if unit else ''}")
            return None


def is_null(node: yaml.Node) -> bool:
    """Return whether a value is null, as one that is left out."""
    return isinstance(node, yaml.ScalarNode) and value_of(node).data is None


def kind_of(node: yaml.Node) -> str:
    """Return what a node is, for a message."""
    if isinstance(node, yaml.ScalarNode):
        return f"the text {shown(node.value)}"
    return "a list" if isinstance(node, yaml.SequenceNode) else "a mapping"
