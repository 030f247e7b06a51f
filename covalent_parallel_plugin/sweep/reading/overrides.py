"""`--set key=value` on top of a sweep's file: the value is YAML, the key may lead into mappings and lists."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from ..mistakes import Location, Mistake
from .yaml_nodes import read_nodes


def apply_overrides(root: yaml.MappingNode, overrides: Sequence[str], mistakes: list[Mistake]) -> yaml.MappingNode:
    """Return the file's nodes with some values set; what cannot be set is added to `mistakes`."""
    for override in overrides:
        name, equals, text = override.partition("=")
        option = f"--set {override}"
        keys = name.strip().split(".")
        if not equals or not all(keys):
            mistakes.append(Mistake("write key=value, such as max_parallel=4", Location(0, 0, option)))
            continue
        before = len(mistakes)
        value = read_nodes(text.encode(errors="surrogateescape"), option, mistakes)
        if len(mistakes) > before:
            continue
        mark = _mark(option)
        try:
            changed = _with(root, keys, value or yaml.ScalarNode("", "", mark, mark), mark)
        except LookupError as error:
            mistakes.append(Mistake(str(error.args[0]), Location(0, 0, option)))
        else:
            assert isinstance(changed, yaml.MappingNode)  # as the root is
            root = changed
    return root


def _mark(option: str) -> yaml.Mark:
    return yaml.Mark(option, 0, 0, 0, None, 0)


def _with(node: yaml.Node | None, keys: Sequence[str], value: yaml.Node, mark: yaml.Mark) -> yaml.Node:
    """Return a copy of a node with a value set in it, so that what an alias shares stays; raises LookupError."""
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(node, yaml.SequenceNode):
        if not key.isdecimal() or int(key) >= len(node.value):
            raise LookupError(f"{key!r} is not an entry of a list of {len(node.value)}: use a number from 0 on")
        entries = [_with(entry, rest, value, mark) if at == int(key) else entry for at, entry in enumerate(node.value)]
        return yaml.SequenceNode(node.tag, entries, node.start_mark, node.end_mark)
    pairs = list(node.value) if isinstance(node, yaml.MappingNode) else []
    places = [place for place, (name, _) in enumerate(pairs) if getattr(name, "value", None) == key]
    if places:
        name, old = pairs[places[0]]
        pairs[places[0]] = (name, _with(old, rest, value, mark))
    else:
        pairs.append((yaml.ScalarNode("", key, mark, mark), _with(None, rest, value, mark)))
    start, end = (node.start_mark, node.end_mark) if isinstance(node, yaml.MappingNode) else (mark, mark)
    return yaml.MappingNode("", pairs, start, end)
